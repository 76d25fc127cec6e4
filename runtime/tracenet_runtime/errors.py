"""What can go wrong, as types.

Every message is a sentence or two for the person at the keyboard: what is wrong, and what to do.
The command-line tools print it without a traceback and exit with code 2.
"""

import errno
import re
from collections.abc import Iterator


class TraceNetError(Exception):
    """Base of every error that the project raises on purpose (exit code 2 in the tools)."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in a form that fits into a sentence."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".;")


class PhotoError(TraceNetError):
    """The photo is missing, cannot be decoded, is too large, or is not H x W x 3 uint8."""


class FrameError(TraceNetError):
    """A frame of a clip does not exist, or is not uint8 H x W x 3 of the clip's size."""


class ClipError(TraceNetError):
    """The file of a clip is missing, damaged, cut off, or holds no video."""


class GestureError(TraceNetError):
    """A gesture cannot be used: it is off the photo, empty, or nothing is there that it changes."""


class TapOutsidePhoto(GestureError):  # noqa: N818 - reads as what happened
    """The tap is not on a pixel of the photo."""


class BundleError(TraceNetError):
    """The bundle is missing, damaged, altered, malformed, or of another schema version."""


def contradiction(what: str) -> BundleError:
    """The error for a bundle whose parts do not fit together: ``what`` is wrong, as a clause."""
    return BundleError(f"The bundle contradicts itself: {what}; export it again.")


def not_finite() -> BundleError:
    """The error for a network whose answers are no numbers."""
    return BundleError(
        "The network answers with numbers that are not finite; export the bundle again, or use "
        "another engine or precision."
    )


class EngineUnavailable(TraceNetError):  # noqa: N818 - reads as what happened
    """The engine is unknown, not installed, or does not run this bundle's target."""


class UnknownLevel(TraceNetError):  # noqa: N818 - reads as what happened
    """A level was named that the schedule does not ask."""


class SessionClosed(TraceNetError):  # noqa: N818 - reads as what happened
    """The session on a photo, clip or stream was closed; open that again."""


class OutOfMemory(TraceNetError):  # noqa: N818 - reads as what happened
    """The system refused the memory that something needs; nothing is wrong with that itself."""


class OutputError(TraceNetError):
    """A result could not be written where it was asked for."""


_REFUSED_MEMORY = re.compile(
    r"out of memory|\bOOM\b|bad[_ ]alloc|allocation failed|not enough memory|smaller than requested"
    r"|(failed to|could not|cannot|can't|unable to) allocate(?! tensors)",
    re.IGNORECASE,
)
"""As libraries say it, whose errors have no type of their own for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, says that memory was refused."""
    return any(
        isinstance(one, MemoryError)
        or (isinstance(one, OSError) and one.errno == errno.ENOMEM)
        or _REFUSED_MEMORY.search(str(one)) is not None
        for one in _with_causes(error)
    )


def refuse_if_out_of_memory(error: BaseException, what: str) -> None:
    """Before anything else is said of an error, which would send people the wrong way.

    Raises:
        OutOfMemory: memory was refused to ``what`` (a phrase such as "run the program 'one'").
    """
    if is_out_of_memory(error):
        raise OutOfMemory(
            f"There is not enough memory to {what}; close other programs, or give a smaller photo "
            "or canvas."
        ) from error


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
