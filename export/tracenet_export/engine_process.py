"""An engine in a process of its own: what the user's process will do, without torch beside it.

Nothing here imports torch, so that an engine proves itself in a process that the exporter's
libraries have not touched; and one that crashes takes only its own process along.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tracenet_export.errors import ParityError
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.engines import EngineReport, EngineSettings, load_engine
from tracenet_runtime.errors import TraceNetError

Arrays = Mapping[str, npt.NDArray[Any]]

_PATIENCE = 10.0  # seconds for the process to end by itself


class EngineProcess:
    """Runs a bundle's programs in a fresh process; a context manager.

    Args:
        name: of the engine.
        bundle: need not be complete yet; golden taps are not read.
        settings: for the engine.

    Raises:
        TraceNetError: the engine does not open the bundle.
        ParityError: its process ended.
    """

    def __init__(self, name: str, bundle: Bundle, settings: EngineSettings) -> None:
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, name, bundle, settings), daemon=True
        )
        self._process.start()
        theirs.close()
        self.report: EngineReport = self._receive("while it opened the bundle")

    def run(self, program: str, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """See :class:`tracenet_runtime.replay.Engine`."""
        with contextlib.suppress(ConnectionError):  # receiving says it better
            self._connection.send((program, dict(inputs)))
        return cast(dict[str, npt.NDArray[Any]], self._receive(f"in the program {program}"))

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._process.join(_PATIENCE)
        self._process.kill()

    def _receive(self, when: str) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(_PATIENCE)
            raise ParityError(
                f"the engine {self._name} crashed {when} (exit code {self._process.exitcode}); "
                "export in another precision or with another version of it; nothing was written"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _serve(connection: Connection, name: str, bundle: Bundle, settings: EngineSettings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exporter decides, and closes the pipe
    os.dup2(2, 1)  # stdout is for the exporter's report
    try:
        engine, report = load_engine(name, bundle, settings)
    except (TraceNetError, ImportError) as error:
        connection.send(error)
        return
    connection.send(report)
    while True:
        try:
            program, inputs = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            layout = bundle.manifest.programs[program].layout
            outputs: Any = engine.run(program, {n: _laid_out(v, layout) for n, v in inputs.items()})
        except TraceNetError as error:
            outputs = error
        connection.send(outputs)


def _laid_out(values: npt.NDArray[Any], layout: str) -> npt.NDArray[Any]:
    """As the replay hands them over; a pipe does not keep strides."""
    if layout == "NHWC":
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return values
