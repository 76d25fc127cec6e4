"""The benchmark's end of a worker: started fresh, asked, and ended whatever happens."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tracenet_bench.measure.children import PATIENCE, how_it_ended, no_answer, with_threads
from tracenet_bench.report.schema import Failure

_SECONDS_TO_END = 5.0


class WorkerFailed(Exception):  # noqa: N818 - reads as what happened
    """A configuration could not go on; ``failure`` says at which stage and why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Worker:
    """A process of its own for one configuration.

    Args:
        command: runs ``tracenet_bench.measure.worker_process``.
        threads: for libraries that take their number of threads from the environment.
        log: file for all that the process prints.
        patience: seconds that a command may take.
    """

    def __init__(
        self,
        command: Sequence[str],
        threads: int,
        log: Path,
        patience: float = PATIENCE,
    ) -> None:
        self.log = log
        self._patience = patience
        self._gave_up = False
        with log.open("wb") as printed:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=with_threads(threads),
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: IO[str] = self._process.stdin
        self._replies: IO[str] = self._process.stdout

    def ask(self, stage: str, command: str, **arguments: Any) -> dict[str, Any]:
        """The reply to a command.

        Raises:
            ConstraintError: the system does not limit the process as it should.
            WorkerFailed: at ``stage``, or at the stage within it that the worker named last.
        """
        patience = threading.Timer(self._patience, self._give_up)
        patience.daemon = True
        patience.start()
        try:
            self._requests.write(f"{json.dumps({'command': command, **arguments})}\n")
            self._requests.flush()
            for line in self._replies:
                reply: dict[str, Any] = json.loads(line)
                if "stage" in reply:
                    stage = reply["stage"]
                elif "error" in reply:
                    raise WorkerFailed(Failure(stage, reply["error"]))
                else:
                    return reply
        except BrokenPipeError:
            pass
        finally:
            patience.cancel()
        raise WorkerFailed(Failure(stage, self._how_it_ended()))

    def start(self) -> None:
        """Wait until the process is limited and reads commands; errors are those of ``ask``."""
        self.ask("start", "start")

    def close(self) -> None:
        """End the process; kill it if it does not end by itself."""
        for pipe in (self._requests, self._replies):
            try:
                pipe.close()
            except BrokenPipeError:  # it is gone, with what was still to be written
                continue
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()  # stopped, or broken: nobody waits for what it was doing
        self.close()

    def _give_up(self) -> None:
        self._gave_up = True
        self._process.kill()

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if self._gave_up:
            return no_answer(self._patience)
        return how_it_ended(code, self.log.read_text(errors="replace"))
