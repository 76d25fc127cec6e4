"""What can go wrong, as types.

Every message is a sentence or two for the person at the keyboard: what is wrong, and what to do.
The command-line tools print it without a traceback and exit with code 2.
"""


class TraceNetError(Exception):
    """Base of every error that the project raises on purpose (exit code 2 in the tools)."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in a form that fits into a sentence."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".;")


class PhotoError(TraceNetError):
    """The photo is missing, cannot be decoded, is too large, or is not H x W x 3 uint8."""


class TapOutsidePhoto(TraceNetError):  # noqa: N818 - reads as what happened
    """The tap is not on a pixel of the photo."""


class BundleError(TraceNetError):
    """The bundle is missing, damaged, altered, malformed, or of another schema version."""


class EngineUnavailable(TraceNetError):  # noqa: N818 - reads as what happened
    """The engine is unknown, not installed, or does not run this bundle's target."""


class EncodedPhotoDropped(TraceNetError):  # noqa: N818 - reads as what happened
    """The encoded photo was dropped, or another photo was encoded; encode it again."""


class OutputError(TraceNetError):
    """A result could not be written where it was asked for."""
