"""The machine and the software that figures come from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil

from tracenet_bench.report.schema import Environment
from tracenet_runtime.cores import usable_cores

PACKAGES = (
    "tracenet", "numpy", "pillow", "onnxruntime", "ai-edge-litert", "coremltools", "torch",
    "transformers",
)  # fmt: skip
"""Whose versions figures depend on."""

WATCHED_SECONDS = 2.0

_CPUINFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class Activity:
    """What else the machine does, before it does anything for us.

    Attributes:
        busy: share of all cores' time that is taken.
        load: see :func:`load_average`; it remembers a run that has just ended, too.
    """

    busy: float
    load: float | None

    @classmethod
    def now(cls) -> Self:
        """Watch for some seconds."""
        return cls(psutil.cpu_percent(WATCHED_SECONDS) / 100, load_average())


def load_average() -> float | None:
    """Processes that ran or waited, the mean over the last minute; None where nobody counts."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has no such function
        return None


def describe_environment(
    before: Activity, peak: Mapping[int, float], bandwidth: Mapping[int, float]
) -> Environment:
    """Everything, as it is now; see :class:`~tracenet_bench.report.schema.Environment`."""
    commit, modified = git_state(Path(__file__))
    return Environment(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=cpu_name(),
        logical_cores=psutil.cpu_count() or 1,
        physical_cores=psutil.cpu_count(logical=False),
        usable_cores=usable_cores(),
        governor=governor(),
        memory=psutil.virtual_memory().total,
        system=platform.platform(),
        versions={"python": platform.python_version()} | installed_versions(),
        commit=commit,
        modified=modified,
        busy_before=before.busy,
        load_before=before.load,
        load_after=load_average(),
        peak_macs_per_second=peak,
        bandwidth=bandwidth,
    )


def cpu_name() -> str | None:
    """As the processor calls itself; None where it does not: ``aarch64`` alone names none."""
    if sys.platform == "linux":
        return _cpu_of_linux()
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"])
    return platform.processor() or None


def _cpu_of_linux() -> str | None:
    """On ARM the board's name, where there is one, and the numbers of each kind of core."""
    told = _CPUINFO.read_text()
    numbers = re.findall(
        r"^CPU implementer\s*: (\S+)$.*?^CPU part\s*: (\S+)$", told, re.MULTILINE | re.DOTALL
    )
    if not numbers:
        named = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
        return named[1].strip() if named else None
    board = [_BOARD.read_text().rstrip("\0")] if _BOARD.exists() else []
    kinds = [f"implementer {implementer} part {part}" for implementer, part in numbers]
    return ", ".join([*board, *dict.fromkeys(kinds)])


def governor() -> str | None:
    """What decides on the clock of the first core; None where the system does not say."""
    try:
        return _GOVERNOR.read_text().strip()
    except OSError:
        return None


def installed_versions() -> dict[str, str]:
    """Of those ``PACKAGES`` that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(file: Path) -> tuple[str | None, bool | None]:
    """Commit of the tree that a file is tracked in, and whether that is modified; else None."""
    git = ["git", "-C", str(file.parent)]
    # An installed package may lie in somebody else's tree, which says nothing of it.
    if _output([*git, "ls-files", "--error-unmatch", file.name]) is None:
        return None, None
    changes = _output([*git, "status", "--porcelain", "--untracked-files=no"])
    return _output([*git, "rev-parse", "HEAD"]), bool(changes)


def _output(command: list[str]) -> str | None:
    """What a command prints; None if there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
