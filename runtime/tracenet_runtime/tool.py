"""What the command-line tools share: arguments of the same form, and how they end.

They end with one sentence for a mistake, no traceback, and an exit code.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable

from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.manifest import MAX_SIDE

_OURS = ("tracenet", "tracenet_export", "tracenet_runtime", "tracenet_bench")


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number in decimal digits, both bounds included."""
    bounds = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def number(text: str) -> int:
        value = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
        if value < minimum or (maximum is not None and value > maximum):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {bounds}")
        return value

    return number


thread_count = whole_number(1, 1024)
"""An argparse type: a number of threads."""


def canvas_size(text: str) -> tuple[int, int]:
    """An argparse type: ``HxW``, such as ``640x480``, as (height, width) in pixels."""
    sides = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text)
    height, width = map(int, sides.groups()) if sides else (0, 0)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HEIGHTxWIDTH in pixels, each from 1 to {MAX_SIDE}, such as 640x480"
        )
    return height, width


def run_tool(
    name: str, extra: str, work: Callable[[], None], stopped: Callable[[], str] | None = None
) -> int:
    """Do a tool's work; the exit code.

    0, 2 for a ``TraceNetError`` or a package that is not installed, 130 after Ctrl-C. ``name`` is
    the tool's, ``extra`` installs what it needs, ``stopped`` says what Ctrl-C leaves behind.
    """
    try:
        work()
        sys.stdout.flush()
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
    except BrokenPipeError:
        # Whoever read the results, such as `head`, has enough; Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"{name}: {stopped() if stopped else 'stopped'}", file=sys.stderr)
        return 130
    return 0
