"""Writes bundles: programs, table, golden taps, parity and manifest (docs/bundle.md)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from tracenet.scene import generate_scene
from tracenet_export.assemble import assemble
from tracenet_export.calibration import calibrated
from tracenet_export.check import Checked, check_bundle, checking_engine
from tracenet_export.engine_process import EngineProcess
from tracenet_export.manifest import (
    PROGRAMS,
    Source,
    list_files,
    make_manifest,
    parsed_manifest,
    place_programs,
    program_labels,
)
from tracenet_export.parity import few_taps
from tracenet_export.parity_report import parity_markdown
from tracenet_export.replacing import replacing_bundle
from tracenet_export.schedule import SchedulePlan
from tracenet_export.targets import Calibration, open_target
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.choose import Loadable, loadable
from tracenet_runtime.engines import EngineSettings
from tracenet_runtime.manifest import MANIFEST_NAME
from tracenet_runtime.replay import Engine
from tracenet_runtime.result import TapResult
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.zoom import ZOOM
from tracenet_runtime.zoom_rule import ZoomRule

_GOLDEN_SIZE = (240, 320)
_GOLDEN_TAPS = 4
_GOLDEN_CANDIDATES = 12
_NEARBY = 0.1
"""How far the thresholds of a zoom must be from its golden taps, as a share of them."""


def export_bundle(
    source: Source,
    plans: Sequence[SchedulePlan],
    target_name: str,
    precision: str | None,
    out: Path,
    *,
    zoom: ZoomRule | None = None,
    calibration: Sequence[Path] = (),
    accuracy: Sequence[Mapping[str, Any] | None] = (),
    threads: int = 2,
) -> dict[str, Any]:
    """Convert, check and write a bundle; ``out`` appears when everything has passed.

    Args:
        source: the network.
        plans: the schedules, planned for this network; the first is the default of its canvas.
        target_name: a name in `TARGETS`.
        precision: the target's default for None.
        out: a folder; a bundle that is there already is replaced.
        zoom: between two of the schedules, by their numbers.
        calibration: files of photos, where the precision is calibrated.
        accuracy: for each schedule what the manifest says as ``miou_t``; nothing if not measured.
        threads: for the engine, while checking.

    Returns:
        The content of parity.json.

    Raises:
        ExportError: the target cannot be written here, or ``out`` is something else than a bundle.
        ParityError: a program or the replay differs from PyTorch.
    """
    target, precision, converter = open_target(target_name, precision)
    engine_name = checking_engine(target_name)
    with replacing_bundle(out) as folder:
        assembly = assemble(plans)
        manifest = make_manifest(source, assembly, target_name, precision, zoom)
        seen: contextlib.AbstractContextManager[Calibration | None] = contextlib.nullcontext()
        if precision in target.calibrated:
            seen = calibrated(parsed_manifest(manifest), assembly.programs, calibration)
        with seen as samples:
            converted = converter.convert(assembly.programs, folder / PROGRAMS, precision, samples)
        converter.label(folder / PROGRAMS, program_labels(manifest))
        place_programs(manifest, converted)
        (folder / "table.bin").write_bytes(assembly.table.tobytes())
        manifest["files"] = list_files(folder)
        unfinished = Bundle(folder, parsed_manifest(manifest), assembly.table)

        with EngineProcess(engine_name, unfinished, EngineSettings(threads)) as engine:
            checked = check_bundle(source, unfinished, assembly, engine, converted)
            _write_golden(unfinished, engine)
            manifest["checked_by"] = checked.checked_by
            _add_measured(manifest, checked, accuracy)
            _write_parity(folder, checked)
            manifest["files"] = list_files(folder)
            _write_json(folder / MANIFEST_NAME, manifest)
            finished = Bundle.open(folder)
            everything = Loadable(finished.manifest.schedules, finished.manifest.zoom)
            TapSegmenter(finished, engine, everything).check_golden()
    return checked.to_dict()


def _add_measured(
    manifest: dict[str, Any], checked: Checked, accuracy: Sequence[Mapping[str, Any] | None]
) -> None:
    """Say of every schedule that is not exact how far it is off."""
    for schedule, found in zip(manifest["schedules"], checked.schedules, strict=True):
        if not schedule["exact"]:
            replay = found["replay"]
            schedule["fullnet_iou"] = {"mean": replay["iou_mean"], "p5": replay["iou_p5"]}
    for schedule, measured in zip(manifest["schedules"], accuracy, strict=False):
        schedule["miou_t"] = measured


def _write_parity(folder: Path, checked: Checked) -> None:
    _write_json(folder / "parity.json", checked.to_dict())
    (folder / "parity.md").write_text(parity_markdown(checked.to_dict()))


def _write_golden(bundle: Bundle, engine: Engine) -> None:
    """Taps whose answer is not a close call between levels, answered by the engine."""
    height, width = _GOLDEN_SIZE
    photo = generate_scene(height, width, seed=1)
    Image.fromarray(photo).save(bundle.golden_photo)
    manifest = bundle.manifest
    ways = [Loadable((schedule,), None) for schedule in manifest.schedules]
    if manifest.zoom is not None:
        ways.append(loadable(manifest, ZOOM, None))
    answers = []
    for way in ways:
        canvas = None if way.zoom else way.schedules[0].canvas
        segmenter = TapSegmenter(bundle, engine, way, canvas)
        candidates = [
            (tap, segmenter.tap(photo, tap)) for tap in few_taps(height, width, _GOLDEN_CANDIDATES)
        ]
        candidates.sort(key=lambda candidate: -_margin(candidate[1]))
        if way.zoom is not None:
            # Clear between the two looks as well, and those first that look twice.
            others = [TapSegmenter(bundle, engine, way) for way in _rules_nearby(way)]
            candidates.sort(
                key=lambda candidate: (
                    any(_other_look(v.tap(photo, candidate[0]), candidate[1]) for v in others),
                    candidate[1].tile is None,
                )
            )
        answers.append(
            [
                {
                    "at": list(tap),
                    "level": result.level,
                    "score": result.score,
                    "box": list(result.box),
                    "mask_rle": result.rle(),
                }
                for tap, result in candidates[:_GOLDEN_TAPS]
            ]
        )
    _write_json(bundle.folder / bundle.manifest.golden_file, {"answers": answers})


def _rules_nearby(way: Loadable) -> list[Loadable]:
    """The same zoom, a little readier or less ready to look twice and to trust what it then saw."""
    rule = way.zoom
    assert rule is not None
    changed = [
        replace(rule, gain=rule.gain * factor, trust=rule.trust * other)
        for factor in (1 - _NEARBY, 1 + _NEARBY)
        for other in (1 - _NEARBY, 1 + _NEARBY)
    ]
    return [replace(way, zoom=rule) for rule in changed]


def _other_look(one: TapResult, other: TapResult) -> bool:
    """Whether two results of a zoom come from different looks."""
    return one.tile != other.tile or one.score != other.score


def _margin(result: TapResult) -> float:
    """How far the best level's score is above the next."""
    scores = [candidate.score for candidate in result.candidates]
    return scores[0] - scores[1] if len(scores) > 1 else scores[0]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
