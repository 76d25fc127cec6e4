"""How the command-line tools end: one sentence for a mistake, no traceback, and an exit code."""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, BinaryIO, Self

from tracenet_runtime.cores import ThreadsWarning
from tracenet_runtime.errors import OutputError, TraceNetError, is_out_of_memory
from tracenet_runtime.files import replacing
from tracenet_runtime.streams import (
    ToolParser,
    finish_results,
    lossy_notes,
    open_results,
    print_results,
)

__all__ = [
    "ToolParser",
    "not_installed",
    "output_file",
    "print_results",
    "run_tool",
    "say",
]

_OURS = ("tracenet", "tracenet_export", "tracenet_runtime", "tracenet_bench")


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write a result into, which takes the place of ``path`` when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    print(f"wrote {path}", file=sys.stderr)


def run_tool(
    name: str, extra: str, work: Callable[[], int | None], stopped: Callable[[], str] | None = None
) -> int:
    """Do a tool's work; the exit code.

    That which the work gives, 0 for None; 2 for a ``TraceNetError``, a package that is not
    installed, and what the system refuses (memory, files, standard output), 130 after Ctrl-C, 143
    after SIGTERM, which otherwise does the same. ``name`` is the tool's, ``extra`` installs what it
    needs, ``stopped`` says what Ctrl-C leaves behind. A pipe that nobody reads changes nothing.
    """
    termination = _Termination()
    with lossy_notes(), _warnings_said(name):
        try:
            with termination:
                _check_folder()
                open_results()
                code = work()
                finish_results()
                return code or 0
        except KeyboardInterrupt:
            say(name, stopped() if stopped else "stopped")
            code = 143 if termination.came else 130
        except BrokenPipeError:  # of what others print
            code = 0
        except Exception as error:
            sentence = _sentence(error, extra)
            if sentence is None:
                raise
            say(name, sentence)
            code = 2
        with contextlib.suppress(OutputError):
            finish_results()
        return code


def say(name: str, sentence: str) -> None:
    """A tool's note, on standard error."""
    with lossy_notes():
        print(f"{name}: {sentence}", file=sys.stderr)


def _check_folder() -> None:
    """Before the libraries do, some of which end the process and say something else."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise TraceNetError(
            "the folder that this was started in is gone; change to one that is there"
        ) from error


@contextlib.contextmanager
def _warnings_said(name: str) -> Iterator[None]:
    """Within it, our own warnings are sentences too, without the line of code."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, ThreadsWarning):
            say(name, str(message))
        else:
            before(message, category, *where, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _sentence(error: Exception, extra: str) -> str | None:
    """What a tool says of an error; None for a fault of ours."""
    if isinstance(error, TraceNetError):
        return str(error)
    if is_out_of_memory(error):
        return (
            "there is not enough memory for this; close other programs, or give a smaller photo or "
            "canvas"
        )
    if isinstance(error, ModuleNotFoundError):
        return not_installed(error, extra)
    if isinstance(error, OSError):
        return _refused_by_the_system(error)
    return None


def _refused_by_the_system(error: OSError) -> str:
    where = f" of {error.filename}" if error.filename else ""
    return f"the system refuses the use{where}: {error.strerror or error}; mend that and try again"


def not_installed(error: ModuleNotFoundError, extra: str) -> str | None:
    """What to install, with the extra that has it; None if the module is ours, or has no name."""
    package = (error.name or "").split(".")[0]
    if not package or package in _OURS:
        return None
    return f"{package} is not installed; run: pip install 'tracenet[{extra}]'"


class _Termination:
    """Within it, SIGTERM does what Ctrl-C does; ``came`` tells which it was."""

    came = False

    def __enter__(self) -> Self:
        self._process = os.getpid()
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:  # no other may ask for signals
            self._before = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a fork of ours ends as processes do
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.came = True
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # ignored, as in a shell's background
            raise KeyboardInterrupt
        on_ctrl_c(signal.SIGINT, frame)
