"""What a report says of a device: what taps were constrained to, and projections to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Device:
    """The profile that taps were constrained to: nothing here is a projection.

    Attributes:
        profile: its name.
        profile_cores: how many cores it has for this.
        cores: the processes were pinned to as many; fewer where this machine has no more.
        profile_memory: how much memory it has.
        memory: limit on each process, a share of that which this benchmark chose, and how it was
            set (``cgroup`` or ``rlimit``).
    """

    profile: str
    profile_cores: int
    cores: int
    profile_memory: int
    memory: int
    memory_by: Literal["cgroup", "rlimit"]


@dataclass(frozen=True)
class Projection:
    """What a tap would take on a device, by a roofline over the programs' operators.

    Attributes:
        subject: name of the configuration.
        device: the profile's name.
        milliseconds: projected, not measured: the engine's part of a cold tap with the largest
            mask window.
        compute_bound: share of it that arithmetic bounds, projected; the rest is bound by memory
            or is what the engine takes for each operator besides.
        fits: weights and the largest live activations, by their sizes, not measured, are within
            what an app may take on the device.
    """

    subject: str
    device: str
    milliseconds: float
    compute_bound: float
    fits: bool


@dataclass(frozen=True)
class NotProjected:
    """A configuration, by its name, for which there is no projection, and why, in a sentence."""

    subject: str
    reason: str


@dataclass(frozen=True)
class Calibration:
    """The roofline against this machine: median over programs of |projected / measured - 1|.

    Each program is projected by a model that was fitted to the others only; ``worst`` is the
    program that this is worst for, ``programs`` how many there are.
    Of several bundles, that of the one with the largest median.
    """

    error: float
    worst: float
    programs: int
