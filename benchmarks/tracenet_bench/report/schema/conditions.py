"""What all figures of a report were measured under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """The machine and the software.

    Attributes:
        measured_at: when the measuring ended: ISO 8601, UTC, to the second.
        cpu: the processor's name, None where the system does not say.
        logical_cores, physical_cores: of the machine; of those, ``usable_cores`` may be used.
        governor: the frequency governor, None where the system does not say.
        memory: of the machine.
        system: name and release of the operating system.
        versions: of the packages that figures depend on, those that are installed, and Python.
        commit: of the source tree, None where it is none; ``modified`` if it has local changes.
        busy_before: share of all cores' time that was taken before anything was measured.
        load_before, load_after: the one-minute load average at both ends, None where unknown.
        peak_macs_per_second: measured, fp32, by number of threads.
        bandwidth: measured, bytes per second read and written, by number of threads.
    """

    measured_at: str
    cpu: str | None
    logical_cores: int
    physical_cores: int | None
    usable_cores: int
    governor: str | None
    memory: int
    system: str
    versions: Mapping[str, str]
    commit: str | None
    modified: bool | None
    busy_before: float
    load_before: float | None
    load_after: float | None
    peak_macs_per_second: Mapping[int, float]
    bandwidth: Mapping[int, float]


@dataclass(frozen=True)
class Photo:
    """A photo that was tapped: its ``source`` (a file's name, or how it was made) and size."""

    source: str
    height: int
    width: int


@dataclass(frozen=True)
class Conditions:
    """What all configurations had in common.

    Attributes:
        photos: in the order in which they were tapped.
        taps: different taps, uniform over the photos.
        seed: of the taps and the bootstrap.
        warm_up: taps before the first counted one, on every photo at least one.
        target_interval: width of the median's interval, high - low, as a share of the median, below
            which a configuration has been timed long enough.
        limit_taps, limit_seconds: of each configuration, counted taps alone, whatever its interval.
        stream_seconds: that throughput was measured over, or longer where its taps took longer.
    """

    photos: tuple[Photo, ...]
    taps: int
    seed: int
    warm_up: int
    target_interval: float
    limit_taps: int
    limit_seconds: float
    stream_seconds: float


@dataclass(frozen=True)
class Noise:
    """Whether the machine was quiet enough to compare, and if not, why not, in sentences."""

    quiet: bool
    reasons: tuple[str, ...]
