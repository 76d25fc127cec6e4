"""manifest.json as frozen dataclasses; docs/bundle.md explains every field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracenet_runtime.answer.levels import FullNetIou, Meaning
from tracenet_runtime.graph.program import Program, StoredProgram
from tracenet_runtime.graph.schedule import Schedule
from tracenet_runtime.strategies.rules import StrategyRule
from tracenet_runtime.tracking.records import Tracking

SCHEMA_VERSION = 7
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class FileRecord:
    """What a file of the bundle must be: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The parsed manifest; paths are relative to the bundle, with forward slashes.

    ``fullnet_iou`` has an entry for each schedule, None for an exact one; ``tracking`` is None for
    a network that does not carry masks through clips.
    """

    identity: str
    name: str
    licence: str
    target: str
    precision: str
    checked_by: str
    producer: Mapping[str, str]
    network: Mapping[str, Any]
    weights_sha256: str
    pad_value: tuple[int, int, int]
    canvas_multiple: int
    programs: Mapping[str, Program]
    stored: Mapping[str, StoredProgram]
    schedules: tuple[Schedule, ...]
    meaning: Meaning
    fullnet_iou: tuple[FullNetIou | None, ...]
    strategy: StrategyRule
    tracking: Tracking | None
    table_file: str
    table_count: int
    golden_file: str
    golden_photo: str
    parity_file: str
    files: Mapping[str, FileRecord]
