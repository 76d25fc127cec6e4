"""The processes that measure: started as they are, or limited to a device's profile."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tracenet_bench.device.constraint import Constraint
from tracenet_bench.device.profile import load_profile
from tracenet_bench.report.schema import Device


@dataclass(frozen=True)
class Limits:
    """Of every process that measures.

    Attributes:
        profile: name or file of the device's profile, None for no limits.
        constraint: what that comes to on this machine.
    """

    profile: str | None = None
    constraint: Constraint | None = None

    @classmethod
    def of(cls, profile: str | None) -> Limits:
        """Raises ``TraceNetError`` where there is no such profile, or nothing can be limited."""
        return cls(profile, None if profile is None else Constraint(load_profile(profile)))

    @property
    def threads(self) -> int:
        """As many as a device has cores; one where nothing is limited."""
        return 1 if self.constraint is None else self.constraint.cores

    @property
    def device(self) -> Device | None:
        """For the report."""
        return None if self.constraint is None else self.constraint.device

    def command(self, module: str, *arguments: str) -> list[str]:
        """Runs one of our modules in one process that is limited."""
        python = [sys.executable, "-m"]
        if self.constraint is not None:
            limits = json.dumps(self.constraint.confinement())
            python += ["tracenet_bench.device.constrained_process", limits]
        return [*python, module, *arguments]

    def close(self) -> None:
        """Remove what limited processes that have ended."""
        if self.constraint is not None:
            self.constraint.close()
