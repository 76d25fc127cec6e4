"""What manifest.json says (docs/bundle.md), and the hashes of a bundle's files."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracenet.model import COARSEST_STRIDE, LEVELS, TraceNet
from tracenet_export.assemble import Assembly
from tracenet_export.programs import Program, TensorShape
from tracenet_export.targets import Converted
from tracenet_runtime.checked_json import parse_json
from tracenet_runtime.manifest import MANIFEST_NAME, SCHEMA_VERSION, Manifest, parse_manifest
from tracenet_runtime.zoom_rule import ZoomRule

PROGRAMS = "programs"
"""Folder of the programs' files in a bundle."""

PREPROCESSING = (
    "Decode the photo to upright 8-bit RGB. Resize it with one scale for both axes so that it just "
    "fits the canvas (each side rounded to whole pixels, at least 1), with Pillow's BILINEAR "
    "filter: a triangle filter over pixel centres, widened by the scale when reducing, so that "
    "reducing averages; any such filter within one level of Pillow's will do. On an axis with 3 "
    "photo pixels or more per resized pixel, filter only every n-th of them, from number "
    "floor((n - 1) / 2) on, where n = floor(2 * side / (3 * resized side)). Place it at the top "
    "left of the canvas; fill the rest with pad_value. Feed the values 0-255 as they are, as "
    "floats: the programs normalise them."
)

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


def make_manifest(
    source: Source, assembly: Assembly, target: str, precision: str, zoom: ZoomRule | None
) -> dict[str, Any]:
    """The manifest before its programs have files: without ``files`` and ``checked_by``."""
    config = source.network.config
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "licence": source.licence,
        "target": target,
        "precision": precision,
        "producer": _producer(),
        "network": config.to_dict(),
        "weights_sha256": source.sha256,
        "preprocessing": {
            "text": PREPROCESSING,
            "color": "RGB",
            "dtype": "float32",
            "range": [0, 255],
            "layout": "NCHW",
            "resize": "thinned-pillow-bilinear",
            "pad_value": list(source.network.pad_value),
        },
        "canvas_multiple": COARSEST_STRIDE,
        "levels": [
            {
                "name": level.name,
                "stride": level.stride,
                "size_of_interest": level.size_of_interest,
                "score": level.output("score"),
                "box": level.output("box"),
                "filter": level.output("filter"),
            }
            for level in LEVELS
        ],
        "programs": {program.name: _program(program) for program in assembly.programs},
        "schedules": list(assembly.schedules),
        "zoom": zoom and asdict(zoom),
        "table": {"file": "table.bin", "count": len(assembly.table)},
        "golden": {"file": "golden.json", "photo": "golden.png"},
        "parity": "parity.json",
    }
    return {"identity": _identity(manifest, assembly), **manifest}


def parsed_manifest(manifest: Mapping[str, Any]) -> Manifest:
    """A manifest, finished or not, as the runtime reads it."""
    content = json.dumps({"files": {}, "checked_by": "not checked yet", **manifest}).encode()
    return parse_manifest(parse_json(content, MANIFEST_NAME))


def place_programs(manifest: dict[str, Any], converted: Mapping[str, Converted]) -> None:
    """Say where the programs are."""
    for name, program in manifest["programs"].items():
        made = converted[name]
        program |= {
            "file": f"{PROGRAMS}/{made.file}",
            "signature": made.signature,
            "layout": made.layout,
        }


def program_labels(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the model files themselves say of the bundle that they belong to."""
    schedules = (
        f"{schedule['name']} {schedule['canvas']['height']}x{schedule['canvas']['width']}"
        for schedule in manifest["schedules"]
    )
    return {
        "org.tracenet.bundle": manifest["identity"],
        "org.tracenet.weights_sha256": manifest["weights_sha256"],
        "org.tracenet.schedules": ", ".join(schedules),
    }


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Hash and size of every file of a bundle but the manifest."""
    listing = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST_NAME:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            listing[name] = {"sha256": digest, "bytes": path.stat().st_size}
    return listing


def _program(program: Program) -> dict[str, Any]:
    return {
        "file": program.name,
        "signature": None,
        "layout": "NCHW",
        "macs": program.macs,
        "inputs": _tensors(program.inputs),
        "outputs": _tensors(program.outputs),
    }


def _tensors(specs: Sequence[TensorShape]) -> list[dict[str, Any]]:
    # Engines take and give fp32 whatever they compute in.
    return [{"name": spec.name, "shape": list(spec.shape), "dtype": "float32"} for spec in specs]


def _identity(manifest: Mapping[str, Any], assembly: Assembly) -> str:
    """The same for bundles of the same weights, schedules, target and precision."""
    content = {key: value for key, value in manifest.items() if key != "producer"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    digest.update(assembly.table.tobytes())
    return digest.hexdigest()


def _producer() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
