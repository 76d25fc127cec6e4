"""Writes bundles: programs, table, golden taps, parity and manifest (docs/bundle.md)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tracenet.model import COARSEST_STRIDE, LEVELS, TraceNet
from tracenet.scene import generate_scene
from tracenet_export.assemble import Assembly, assemble
from tracenet_export.errors import ExportError
from tracenet_export.parity import (
    REPLAYED_TAPS,
    TOLERANCE,
    ComparingEngine,
    FullNetOracle,
    TorchEngine,
    check_replay,
    few_taps,
    parity_taps,
    refuse_above,
    run_few_taps,
)
from tracenet_export.schedule import SchedulePlan
from tracenet_export.targets import Target, open_target
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.checked_json import parse_json
from tracenet_runtime.engines import load_engine
from tracenet_runtime.manifest import MANIFEST_NAME, SCHEMA_VERSION, parse_manifest
from tracenet_runtime.replay import Replay
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.table import make_table

PREPROCESSING = (
    "Decode the photo to upright 8-bit RGB. Resize it with one scale for both axes so that it just "
    "fits the canvas (each side rounded to whole pixels, at least 1), with Pillow's BILINEAR "
    "filter: a triangle filter over pixel centres, widened by the scale when reducing, so that "
    "reducing averages; any such filter within one level of Pillow's will do. Place it at the top "
    "left of the canvas; fill the rest with pad_value. Feed the values 0-255 as they are, as "
    "floats: the programs normalise them."
)

_GOLDEN_SIZE = (240, 320)
_GOLDEN_TAPS = 4
_PROGRAMS = "programs"
_PACKAGES = (
    "tracenet",
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "coremltools",
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
    """

    network: TraceNet
    sha256: str
    licence: str


def export_bundle(
    source: Source,
    plans: Sequence[SchedulePlan],
    target_name: str,
    precision: str | None,
    out: Path,
    *,
    threads: int = 2,
) -> dict[str, Any]:
    """Convert, check and write a bundle; ``out`` appears when everything has passed.

    Args:
        source: the network.
        plans: the schedules, planned for this network; the first is the default of its canvas.
        target_name: ``onnx`` or ``coreml``.
        precision: the target's default for None.
        out: a folder; a bundle that is there already is replaced.
        threads: for the engine, while checking.

    Returns:
        The content of parity.json.

    Raises:
        ExportError: the target cannot be written here, or ``out`` is something else than a bundle.
        ParityError: a program or the replay differs from PyTorch.
    """
    target, precision, converter = open_target(target_name, precision)
    with replacing_bundle(out) as folder:
        assembly = assemble(plans)
        files = converter.convert(assembly.programs, folder / _PROGRAMS, precision)
        (folder / "table.bin").write_bytes(assembly.table.tobytes())
        manifest = _manifest(source, assembly, files, target_name, precision)
        manifest["files"] = _listing(folder)
        parsed = parse_manifest(parse_json(json.dumps(manifest).encode(), MANIFEST_NAME))
        unfinished = Bundle(folder, parsed, assembly.table)

        parity = _check(source, unfinished, assembly, target, threads)
        _write_json(folder / "parity.json", parity)
        _write_golden(unfinished, assembly)
        manifest["files"] = _listing(folder)
        _write_json(folder / MANIFEST_NAME, manifest)
        bundle = Bundle.open(folder)
        if target.engine is not None:
            engine = load_engine(target.engine, bundle, threads)
            TapSegmenter(bundle, engine).check_golden()
    return parity


def _check(
    source: Source, bundle: Bundle, assembly: Assembly, target: Target, threads: int
) -> dict[str, Any]:
    manifest = bundle.manifest
    reference = TorchEngine(assembly.programs)
    # The plan can be proven without the target's engine, its programs' numbers cannot.
    engine = None if target.engine is None else load_engine(target.engine, bundle, threads)
    tolerance = TOLERANCE[manifest.precision if engine else "fp32"]
    oracle = functools.cache(lambda *size: FullNetOracle(source.network, generate_scene(*size)))
    schedules = []
    for schedule in manifest.schedules:
        checked: dict[str, Any] = {"schedule": schedule.name}
        size = schedule.canvas
        table = make_table(schedule, *size)
        if engine:
            comparing = ComparingEngine(reference, engine)
            run_few_taps(Replay(manifest, schedule, *size, table, comparing), oracle(*size).canvas)
            checked["programs"] = comparing.differences.relative()
            refuse_above(tolerance, checked["programs"])
        replay = Replay(manifest, schedule, *size, table, engine or reference)
        checked["replay"] = check_replay(oracle(*size), replay, parity_taps(*size, REPLAYED_TAPS))
        refuse_above(tolerance, checked["replay"]["relative_error"])
        schedules.append({"canvas": list(size), **checked})
    not_run = "reloaded; names, shapes and precision compared, not run"
    return {
        "programs_checked_by": target.engine or not_run,
        "replay_checked_by": target.engine or "torch",
        "tolerance": tolerance,
        "schedules": schedules,
    }


def _manifest(
    source: Source,
    assembly: Assembly,
    files: dict[str, str],
    target: str,
    precision: str,
) -> dict[str, Any]:
    config = source.network.config
    # Engines take and give fp32 whatever they compute in.
    dtype = "float32"
    return {
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
            "dtype": dtype,
            "range": [0, 255],
            "layout": "NCHW",
            "resize": "pillow-bilinear",
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
        "programs": {
            program.name: {
                "file": f"{_PROGRAMS}/{files[program.name]}",
                "macs": program.macs,
                "inputs": [
                    {"name": spec.name, "shape": list(spec.shape), "dtype": dtype}
                    for spec in program.inputs
                ],
                "outputs": [
                    {"name": spec.name, "shape": list(spec.shape), "dtype": dtype}
                    for spec in program.outputs
                ],
            }
            for program in assembly.programs
        },
        "schedules": list(assembly.schedules),
        "table": {"file": "table.bin", "count": len(assembly.table)},
        "golden": {"file": "golden.json", "photo": "golden.png"},
        "parity": "parity.json",
    }


def _write_golden(bundle: Bundle, assembly: Assembly) -> None:
    height, width = _GOLDEN_SIZE
    photo = generate_scene(height, width, seed=1)
    Image.fromarray(photo).save(bundle.golden_photo)
    engine = TorchEngine(assembly.programs)
    answers: list[list[dict[str, Any]]] = []
    for schedule in bundle.manifest.schedules:
        segmenter = TapSegmenter(bundle, engine, [schedule], schedule.canvas)
        answers.append([])
        for x, y in few_taps(height, width, _GOLDEN_TAPS):
            result = segmenter.tap(photo, (x, y))
            answers[-1].append(
                {
                    "at": [x, y],
                    "level": result.level,
                    "score": result.score,
                    "box": list(result.box),
                    "mask_rle": result.rle(),
                }
            )
    _write_json(bundle.folder / bundle.manifest.golden_file, {"answers": answers})


def _producer() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _listing(folder: Path) -> dict[str, dict[str, Any]]:
    listing = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST_NAME:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            listing[name] = {"sha256": digest, "bytes": path.stat().st_size}
    return listing


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


@contextlib.contextmanager
def replacing_bundle(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block succeeds, and else vanishes.

    Raises:
        ExportError: ``out`` exists and is no bundle, or cannot be written.
    """
    check_replaceable(out)
    try:
        out = out.resolve()
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
    old = folder.with_name(f"{folder.name}-old")
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            out.replace(old)
        folder.replace(out)
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        if old.exists() and not out.exists():
            old.replace(out)
        for leftover in (folder, old):
            shutil.rmtree(leftover, ignore_errors=True)


def check_replaceable(out: Path) -> None:
    """Refuse what is neither absent, nor an empty folder, nor a bundle and nothing besides.

    Raises:
        ExportError: it holds something else, or cannot be read.
    """
    try:
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return
        # Others have a manifest.json too.
        manifest = json.loads((out / MANIFEST_NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        manifest = None
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
    listed = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(listed, dict) or "schema_version" not in manifest:
        raise ExportError(f"{out} exists and is no bundle; give another --out")
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    foreign = sorted(there - listed.keys() - {MANIFEST_NAME})
    if foreign:
        raise ExportError(
            f"{out} holds {foreign[0]}, which is no part of the bundle there and would be lost; "
            "move it or give another --out"
        )
