"""How the command-line tools end: one sentence for a mistake, no traceback, and an exit code."""

import sys
from collections.abc import Callable

from tracenet_runtime.errors import TraceNetError

_OURS = ("tracenet", "tracenet_export", "tracenet_runtime", "tracenet_bench")


def run_tool(
    name: str, extra: str, work: Callable[[], None], stopped: Callable[[], str] | None = None
) -> int:
    """Do a tool's work; the exit code.

    0, 2 for a ``TraceNetError`` or a package that is not installed, 130 after Ctrl-C. ``name`` is
    the tool's, ``extra`` installs what it needs, ``stopped`` says what Ctrl-C leaves behind.
    """
    try:
        work()
    except TraceNetError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if not package or package in _OURS:
            raise
        print(
            f"{name}: {package} is not installed; run: pip install 'tracenet[{extra}]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"{name}: {stopped() if stopped else 'stopped'}", file=sys.stderr)
        return 130
    return 0
