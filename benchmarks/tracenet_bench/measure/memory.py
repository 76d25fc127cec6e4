"""How much memory a process held at most, by the kernel's own mark: nothing needs to sample."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_MARK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)

# What ONNX Runtime logs of its arenas at the level INFO; they never shrink by default.
_ARENA_MADE = "Creating BFCArena for"
_ARENA_GREW = re.compile(r"Extended allocation by (\d+) bytes")


def peak_resident() -> int:
    """The largest resident memory of this process so far, in bytes.

    On Linux VmHWM, on macOS and other Unix systems ``ru_maxrss``, on Windows the peak working set.
    (Linux's ``ru_maxrss`` is not used: it starts with what the parent process held.)
    """
    if _STATUS.exists() and (mark := _MARK.search(_STATUS.read_text())):
        return 1024 * int(mark[1])
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def interpreter_memory() -> int:
    """The largest resident memory of a Python that imports nothing but this file, in bytes."""
    code = f"import runpy; print(runpy.run_path({str(Path(__file__))!r})['peak_resident']())"
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return int(found.stdout)


def arenas_logged(log: Path) -> int | None:
    """Bytes in all of ONNX Runtime's arenas, by its log; None where it does not speak of any."""
    text = log.read_text(errors="replace")
    if _ARENA_MADE not in text:
        return None
    return sum(map(int, _ARENA_GREW.findall(text)))
