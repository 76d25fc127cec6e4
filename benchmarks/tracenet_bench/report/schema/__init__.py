"""What a benchmark reports, as frozen dataclasses; docs/bench.md explains every field.

:mod:`tracenet_bench.report.file` converts them to and from JSON. All times are milliseconds, all
sizes bytes, unless a name says otherwise; intervals are (low, high) at 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracenet_bench.report.schema.conditions import Conditions, Environment, Noise, Photo
from tracenet_bench.report.schema.device import Calibration, Device, NotProjected, Projection
from tracenet_bench.report.schema.measured import (
    Accuracy,
    ClipMemory,
    Failure,
    Interval,
    Kind,
    Measured,
    Memory,
    Operation,
    OperationName,
    Ratio,
    Steady,
    Subject,
)

__all__ = [
    "SCHEMA_VERSION",
    "Accuracy",
    "Calibration",
    "ClipMemory",
    "Conditions",
    "Device",
    "Environment",
    "Failure",
    "Interval",
    "Kind",
    "Measured",
    "Memory",
    "Noise",
    "NotProjected",
    "Operation",
    "OperationName",
    "Photo",
    "Projection",
    "Ratio",
    "Report",
    "Steady",
    "Subject",
]

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Report:
    """All of it."""

    schema: int
    command: tuple[str, ...]
    environment: Environment
    conditions: Conditions
    device: Device | None
    measured: tuple[Measured, ...]
    ratios: tuple[Ratio, ...]
    noise: Noise
    projections: tuple[Projection, ...]
    not_projected: tuple[NotProjected, ...]
    calibration: Calibration | None
