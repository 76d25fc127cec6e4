"""What a device profile limits a process to: its number of cores, and what memory an app may take.

What happens when memory runs out is then real; the times are this machine's, not the device's.

Memory is limited by a cgroup (version 2) of its own where one can be made: it counts what is
resident, as phones do. Elsewhere it is RLIMIT_DATA, which counts private writable memory whether
touched or not, and no files that are mapped to be read, whose pages a phone takes back too.
RLIMIT_AS would count every address that is reserved. After a tap with the default ONNX bundle on
four threads, 185 MB were resident and 1.7 GB reserved, mostly by glibc's arenas; RLIMIT_DATA
counted 652 MB, mostly stacks of 8 MB for each thread of each program, and 289 MB once stacks are
as small as a phone's, which is why they are made so. On one thread it counts 234 MB of 181 MB.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tracenet_bench.device.profile import Profile, load_profile
from tracenet_bench.report.schema import Device
from tracenet_runtime.errors import TraceNetError

_CGROUPS = Path("/sys/fs/cgroup")
_TOPOLOGY = Path("/sys/devices/system/cpu")


class ConstraintError(TraceNetError):
    """This system cannot limit a process."""


@dataclass(frozen=True)
class Constraint:
    """The limits of a profile on this machine.

    Attributes:
        profile: the device.
        cgroups: where the system keeps control groups.
        topology: where it says which of the numbered cores are one in truth.
    """

    profile: Profile
    cgroups: Path = _CGROUPS
    topology: Path = _TOPOLOGY
    _groups: list[Path] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if sys.platform != "linux":
            raise ConstraintError(
                "Processes can be constrained to a device on Linux only; leave --device out, or "
                "measure on Linux."
            )

    @property
    def cores(self) -> int:
        """How many cores the process gets: the profile's, or all that may be used here if fewer."""
        return len(self._pinned())

    @property
    def memory(self) -> int:
        """Bytes that the process may take."""
        return self.profile.app_memory

    @property
    def memory_by(self) -> Literal["cgroup", "rlimit"]:
        """What holds it to that."""
        return "rlimit" if self._parent_group() is None else "cgroup"

    @property
    def device(self) -> Device:
        """For the report."""
        return Device(
            profile=self.profile.name,
            profile_cores=self.profile.cores,
            cores=self.cores,
            profile_memory=self.profile.memory,
            memory=self.memory,
            memory_by=self.memory_by,
        )

    def of_one_process(self) -> dict[str, Any]:
        """Of one more: JSON-ready arguments of ``constrained_process.constrain``."""
        parent, group = self._parent_group(), None
        if parent is not None:
            group = parent / f"tracenet-bench-{secrets.token_hex(8)}"
            self._groups.append(group)
        return {
            "cores": self._pinned(),
            "memory": self.memory,
            "group": None if group is None else str(group),
        }

    def close(self) -> None:
        """Remove the groups of processes that have ended."""
        for group in self._groups:
            try:
                group.rmdir()
            except OSError:  # a process is still in it, or it was never made
                continue

    def _pinned(self) -> list[int]:
        """Cores that are one in truth only where there are no others."""
        usable = sorted(os.sched_getaffinity(0))
        distinct = {self._siblings(core): core for core in usable}.values()
        # The last ones: systems put their own work on the first.
        preferred = sorted(usable, key=lambda core: (core in distinct, core))
        return sorted(preferred[-self.profile.cores :])

    def _siblings(self, core: int) -> str:
        """The same for all that share one physical core; of its own where the system is silent."""
        try:
            return (self.topology / f"cpu{core}/topology/thread_siblings_list").read_text()
        except OSError:
            return str(core)

    def _parent_group(self) -> Path | None:
        """The group beside whose members one can be made whose memory is limited."""
        own = [
            line.removeprefix("0::")
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        ]
        if not own:
            return None
        parent = (self.cgroups / own[0].lstrip("/")).parent
        control, members = parent / "cgroup.subtree_control", parent / "cgroup.procs"
        try:
            limits_memory = "memory" in control.read_text().split()
        except OSError:
            return None
        writable = os.access(parent, os.W_OK) and os.access(members, os.W_OK)
        return parent if limits_memory and writable else None


@dataclass(frozen=True)
class Launcher:
    """Starts every process that measures: as it is, or constrained to a device.

    Attributes:
        profile: name or file of the device's profile, None for no constraint.
        constraint: what that comes to on this machine.
    """

    profile: str | None = None
    constraint: Constraint | None = None

    @classmethod
    def of(cls, profile: str | None) -> Launcher:
        """Raises ``TraceNetError`` where there is no such profile, or no way to constrain."""
        return cls(profile, None if profile is None else Constraint(load_profile(profile)))

    @property
    def threads(self) -> int:
        """As many as a device has cores; one where nothing is constrained."""
        return 1 if self.constraint is None else self.constraint.cores

    @property
    def device(self) -> Device | None:
        """For the report."""
        return None if self.constraint is None else self.constraint.device

    def command(self, module: str, *arguments: str) -> list[str]:
        """Runs one of our modules in one process."""
        python = [sys.executable, "-m"]
        if self.constraint is not None:
            constraint = json.dumps(self.constraint.of_one_process())
            python += ["tracenet_bench.device.constrained_process", constraint]
        return [*python, module, *arguments]

    def close(self) -> None:
        """Remove the control groups of processes that have ended."""
        if self.constraint is not None:
            self.constraint.close()
