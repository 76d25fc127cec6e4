"""How many cores this process may use, and what becomes of more threads than that."""

import functools
import math
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


class ThreadsWarning(UserWarning):
    """More threads were asked for than there are cores to run them."""


def usable_cores() -> int:
    """Whole cores that this process may use, at least one.

    Those that it may run on, or as much of their time as its control groups (a container's limit)
    leave to it, rounded up, whichever is less.
    """
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, math.ceil(min([allowed, *_quotas()])))


def default_threads() -> int:
    """Two, of which phones and servers make use in every layer, or as many as there are cores."""
    return min(2, usable_cores())


@functools.cache  # to be warned once is enough
def warn_of_threads(threads: int, cores: int | None = None) -> None:
    """A ``ThreadsWarning`` if there are more threads than ``cores``, by default those usable."""
    cores = usable_cores() if cores is None else cores
    if threads > cores:
        warnings.warn(
            f"{threads} threads on {cores} {'core' if cores == 1 else 'cores'}, which are all that "
            "this process may use, are many times slower than one on each; ask for at most "
            f"{cores}",
            ThreadsWarning,
            stacklevel=3,
        )


def _quotas() -> Iterator[float]:
    """Cores' worth of time that each control group around this process may take."""
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 has one tree; of version 1 each controller has its own, below its name.
        root = CGROUPS / controllers
        own = PurePosixPath(path.lstrip("/"))
        # A container sees its own group as the root, whatever the path says.
        for group in (root / own, *(root / parent for parent in own.parents)):
            quota = _quota(group)
            if quota is not None:
                yield quota


def _quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            most, period = (group / "cpu.max").read_text().split()
        else:
            most = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        quota = float(most) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return quota if quota > 0 else None  # -1 for none in version 1
