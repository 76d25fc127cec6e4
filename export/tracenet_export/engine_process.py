"""An engine in a process of its own: what the user's process will do, apart from the exporter's.

Nothing here imports torch, so that an engine proves itself in a process that the exporter's
libraries have not touched (Core ML's reference executor, which is torch, brings it along); and one
that crashes takes only its own process with it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from tracenet_export.errors import ParityError
from tracenet_runtime.engines import EngineReport, EngineSettings, load_engine
from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.graph.program import ProgramFiles

Arrays = Mapping[str, npt.NDArray[Any]]

_PATIENCE = 10.0  # seconds for the process to end by itself


class EngineProcess:
    """Runs a bundle's programs in a fresh process; a context manager.

    Args:
        name: of the engine.
        files: the programs.
        settings: for the engine.

    Attributes:
        report: what the engine says of itself.

    Raises:
        TraceNetError: the engine does not open them.
        ParityError: its process ended.
    """

    def __init__(self, name: str, files: ProgramFiles, settings: EngineSettings) -> None:
        self._name = name
        # In a session of its own: Ctrl-C is for the exporter, which closes the pipe.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self.report = cast(
                EngineReport, self._ask((name, files, settings), "while it opened the programs")
            )
        except BaseException:
            self.close()
            raise

    def run(self, program: str, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """See :class:`tracenet_runtime.graph.executor.Engine`."""
        answer = self._ask((program, dict(inputs)), f"in the program {program}")
        return cast(dict[str, npt.NDArray[Any]], answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, question: object, when: str) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(question, self._process.stdin)
            answer: object = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            self.close()
            raise ParityError(
                f"the engine {self._name} crashed {when} (exit code {self._process.returncode}); "
                "export in another precision or with another version of it; nothing was written"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _send(content: object, pipe: IO[bytes]) -> None:
    pickle.dump(content, pipe, protocol=5)
    pipe.flush()


def _serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    name, files, settings = pickle.load(questions)
    try:
        engine, report = load_engine(name, files, settings)
    except (TraceNetError, ImportError) as error:
        _send(error, answers)
        return
    _send(report, answers)
    while True:
        program, inputs = pickle.load(questions)
        layout = files.programs[program].layout
        try:
            outputs: object = engine.run(
                program, {name: _laid_out(value, layout) for name, value in inputs.items()}
            )
        except TraceNetError as error:
            outputs = error
        _send(outputs, answers)


def _laid_out(values: npt.NDArray[Any], layout: str) -> npt.NDArray[Any]:
    """As the replay hands them over; a pipe does not keep strides."""
    if layout == "NHWC":
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return values


def main() -> None:
    """Answer until the exporter closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # an engine may print; the pipe is for answers alone
    with contextlib.suppress(EOFError, BrokenPipeError):
        _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
