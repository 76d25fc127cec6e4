"""A bundle before it is one, and its manifest once its programs are converted and checked."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracenet.model import COARSEST_STRIDE, TraceNet
from tracenet_export.assemble import Assembly
from tracenet_export.targets import Converted
from tracenet_export.write import write_program, write_schedule, write_strategy, write_tracking
from tracenet_runtime.answer.levels import FullNetIou
from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.bundle.records import MANIFEST_NAME, FileRecord, Manifest
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.graph.program import Program as ProgramSpec
from tracenet_runtime.graph.program import ProgramFiles, StoredProgram
from tracenet_runtime.strategies.rules import StrategyRule
from tracenet_runtime.tracking.programs import TrackPrograms

PROGRAMS = "programs"
"""Folder of the programs' files in a bundle."""

TABLE, GOLDEN, GOLDEN_PHOTO, PARITY = "table.bin", "golden.json", "golden.png", "parity.json"

_PACKAGES = (
    "tracenet",
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "coremltools",
    "litert-torch",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
    "pillow",
)


@dataclass(frozen=True)
class Source:
    """What a bundle is made from.

    Attributes:
        network: in eval mode, fp32.
        sha256: of its checkpoint.
        licence: of its weights, in words.
        trained: False for random weights, which are for measuring costs.
    """

    network: TraceNet
    sha256: str
    licence: str
    trained: bool = True


@dataclass(frozen=True)
class Draft:
    """A bundle before it is converted and checked.

    Attributes:
        source: the network.
        assembly: of its plans.
        strategy: what a tap does with the schedules.
        target, precision: of the programs' files.
    """

    source: Source
    assembly: Assembly
    strategy: StrategyRule
    target: str
    precision: str

    @property
    def table(self) -> npt.NDArray[np.int32]:
        """The rows of every schedule on its own canvas, one behind the other: int32."""
        starts = (row for v in self.assembly.schedules for row in v.starts(*v.canvas))
        return np.concatenate(list(starts)).astype("<i4")

    @cached_property
    def identity(self) -> str:
        """The same for bundles of the same weights, schedules, target and precision."""
        assembly = self.assembly
        content = {
            "target": self.target,
            "precision": self.precision,
            "network": self.source.network.config.to_dict(),
            "weights_sha256": self.source.sha256,
            "licence": self.source.licence,
            "programs": {n: write_program(v) for n, v in assembly.described().items()},
            "schedules": [write_schedule(schedule) for schedule in assembly.schedules],
            "answer": asdict(assembly.meaning),
            "strategy": write_strategy(self.strategy),
            "tracking": write_tracking(assembly.tracking),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def labels(self) -> dict[str, str]:
        """What the model files themselves say of the bundle that they belong to."""
        schedules = (
            f"{v.name} {v.canvas_height}x{v.canvas_width}" for v in self.assembly.schedules
        )
        return {
            "org.tracenet.bundle": self.identity,
            "org.tracenet.weights_sha256": self.source.sha256,
            "org.tracenet.schedules": ", ".join(schedules),
        }

    def stored(self, folder: Path, converted: Mapping[str, Converted]) -> ProgramFiles:
        """The programs as they lie in the bundle's folder."""
        return ProgramFiles(
            folder=folder,
            target=self.target,
            programs={
                name: replace(program, layout=converted[name].layout)
                for name, program in self.assembly.described().items()
            },
            stored={
                name: StoredProgram(f"{PROGRAMS}/{made.file}", made.signature)
                for name, made in converted.items()
            },
            listed=frozenset(list_files(folder)),
        )

    def viewer(self, programs: Mapping[str, ProgramSpec], engine: Engine) -> Viewer:
        """What looks at photos with the programs on an engine."""
        return Viewer(programs, self.assembly.meaning, self.source.network.pad_value, engine)

    def track_programs(self, programs: Mapping[str, ProgramSpec], engine: Engine) -> TrackPrograms:
        """What carries masks through clips, of a network that does, on an engine."""
        tracking = self.assembly.tracking
        assert tracking is not None
        return TrackPrograms(tracking, programs, engine, self.source.network.pad_value)

    def manifest(
        self, files: ProgramFiles, checked_by: str, fullnet_iou: Sequence[FullNetIou | None]
    ) -> Manifest:
        """The manifest of what lies in the folder."""
        config = self.source.network.config
        return Manifest(
            identity=self.identity,
            name=config.name,
            licence=self.source.licence,
            target=self.target,
            precision=self.precision,
            checked_by=checked_by,
            producer=_producer(),
            network=config.to_dict(),
            weights_sha256=self.source.sha256,
            pad_value=self.source.network.pad_value,
            canvas_multiple=COARSEST_STRIDE,
            programs=files.programs,
            stored=files.stored,
            schedules=self.assembly.schedules,
            meaning=self.assembly.meaning,
            fullnet_iou=tuple(fullnet_iou),
            strategy=self.strategy,
            tracking=self.assembly.tracking,
            table_file=TABLE,
            table_count=len(self.table),
            golden_file=GOLDEN,
            golden_photo=GOLDEN_PHOTO,
            parity_file=PARITY,
            files=list_files(files.folder),
        )


def list_files(folder: Path) -> dict[str, FileRecord]:
    """Hash and size of every file of a bundle but the manifest."""
    listing = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST_NAME:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            listing[name] = FileRecord(digest, path.stat().st_size)
    return listing


def _producer() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
