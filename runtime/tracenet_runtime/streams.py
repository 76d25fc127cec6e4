"""A tool's standard output and standard error, wherever they lead.

To a full disk, to a pipe whose reader has gone, into an encoding that lacks a letter, nowhere.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

from tracenet_runtime.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


def open_results() -> None:
    """Make standard output fit for any text: what its encoding lacks is printed as an escape.

    Raises:
        OutputError: it is closed, so that nothing could be printed after the work.
    """
    if sys.stdout is None:
        raise OutputError(
            f"standard output is closed; lead it to a file, or to {os.devnull} to do without"
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_results(text: str) -> bool:
    """Print on standard output, at once; False if nobody reads there any more.

    Raises:
        OutputError: it cannot be written.
    """
    return _try_printing(f"{text}\n")


def finish_results() -> None:
    """Print what is left to be, after which Python finds nothing to complain of at its end.

    Raises:
        OutputError: it cannot be written.
    """
    if sys.stdout is not None:
        _try_printing("")


def _try_printing(text: str) -> bool:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read, such as `head`, has enough
        _discard(sys.stdout)
        return False
    except OSError as error:
        _discard(sys.stdout)
        raise OutputError(
            f"standard output cannot be written ({error.strerror or error}); make room there or "
            "lead it elsewhere"
        ) from error
    return True


@contextlib.contextmanager
def lossy_notes() -> Iterator[None]:
    """Within it, what cannot be written on standard error is lost, and no work with it."""
    with contextlib.redirect_stderr(cast(TextIO, _Notes(_standard_error()))):
        yield


def _standard_error() -> TextIO:
    """A closed one would be a file's that is opened, and Python would print on standard output."""
    if sys.stderr is None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if nowhere != 2:
            os.dup2(nowhere, 2)
            os.close(nowhere)
        sys.stderr = os.fdopen(2, "w", closefd=False)
    return sys.stderr


class _Notes:
    """Standard error that never fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            _discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _discard(stream: TextIO) -> None:
    """From now on, whatever is written there, and what waits to be, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class ToolParser(argparse.ArgumentParser):
    """Says how a tool is called, as safely as it prints its results.

    Options are named in full: a new one would give the beginning of an old one another meaning.
    """

    def __init__(self, *, prog: str, description: str, epilog: str) -> None:
        """``epilog`` stands below the options as it is, examples first."""
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        """Print the help, on standard output unless another is given; ends where it cannot."""
        if file is not None:
            super().print_help(file)
            return
        try:
            open_results()
            print_results(self.format_help().rstrip("\n"))
        except OutputError as error:
            self.exit(2, f"{self.prog}: {error}\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the process, after a message on standard error."""
        with lossy_notes():
            super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        """End the process with 2, after the usage and a mistake on standard error."""
        with lossy_notes():
            super().error(message)
