"""The one serialiser of manifest.json (docs/bundle.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tracenet_runtime.answer.marks import GUIDE_DESCRIBED
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.bundle.records import SCHEMA_VERSION, Manifest
from tracenet_runtime.graph.program import Program
from tracenet_runtime.graph.schedule import (
    Call,
    ExternalInput,
    Graph,
    ImageInput,
    Phase,
    PlaceMask,
    PlaneInput,
    Schedule,
    SideRange,
    VectorInput,
    Window,
)
from tracenet_runtime.strategies.rules import GuidedRule, SingleRule, StrategyRule
from tracenet_runtime.tracking.records import TRACKING_DESCRIBED, TRACKING_MEMORY, Tracking

_PREPROCESSING = (
    "Decode the photo to upright 8-bit RGB. Resize it with one scale for both axes so that it just "
    "fits the canvas (each side rounded to whole pixels, at least 1), with Pillow's BILINEAR "
    "filter: a triangle filter over pixel centres, widened by the scale when reducing, so that "
    "reducing averages; any such filter within one level of Pillow's will do. On an axis with 3 "
    "photo pixels or more per resized pixel, filter only every n-th of them, from number "
    "floor((n - 1) / 2) on, where n = floor(2 * side / (3 * resized side)). Place it at the top "
    "left of the canvas; fill the rest with pad_value. Feed the values 0-255 as they are, as "
    "floats: the programs normalise them."
)

Json = dict[str, Any]


def write_manifest(manifest: Manifest) -> Json:
    """What manifest.json says of a manifest."""
    return {
        "schema_version": SCHEMA_VERSION,
        "identity": manifest.identity,
        "name": manifest.name,
        "licence": manifest.licence,
        "target": manifest.target,
        "precision": manifest.precision,
        "checked_by": manifest.checked_by,
        "producer": dict(manifest.producer),
        "network": dict(manifest.network),
        "weights_sha256": manifest.weights_sha256,
        "preprocessing": {
            "text": _PREPROCESSING,
            "color": "RGB",
            "dtype": "float32",
            "range": [0, 255],
            "layout": "NCHW",
            "resize": "thinned-pillow-bilinear",
            "pad_value": list(manifest.pad_value),
        },
        "canvas_multiple": manifest.canvas_multiple,
        "programs": {
            name: asdict(manifest.stored[name]) | write_program(program)
            for name, program in manifest.programs.items()
        },
        "schedules": [write_schedule(schedule) for schedule in manifest.schedules],
        "answer": asdict(manifest.meaning)
        | {
            "guide": dict(GUIDE_DESCRIBED)
            if any(schedule.graph.correction for schedule in manifest.schedules)
            else None,
            "fullnet_iou": [iou and asdict(iou) for iou in manifest.fullnet_iou],
        },
        "strategy": write_strategy(manifest.strategy),
        "tracking": write_tracking(manifest.tracking),
        "table": {"file": manifest.table_file, "count": manifest.table_count},
        "golden": {"file": manifest.golden_file, "photo": manifest.golden_photo},
        "parity": manifest.parity_file,
        "files": {
            name: {"sha256": record.sha256, "bytes": record.size}
            for name, record in manifest.files.items()
        },
    }


def write_program(program: Program) -> Json:
    """A program, but where it is stored."""
    return {
        "layout": program.layout,
        "macs": program.macs,
        "inputs": [asdict(spec) for spec in program.inputs.values()],
        "outputs": [asdict(spec) for spec in program.outputs.values()],
    }


def write_schedule(schedule: Schedule) -> Json:
    """A schedule with its graph."""
    return {
        "name": schedule.name,
        "canvas": {"height": schedule.canvas_height, "width": schedule.canvas_width},
        "serves": {
            "height": _range(schedule.serves.height),
            "width": _range(schedule.serves.width),
        },
        "halo": schedule.halo,
        "key_stride": schedule.key_stride,
        "rows": [asdict(row) for row in schedule.rows],
        "table_offset": schedule.table_offset,
        "graph": _graph(schedule.graph),
        "full_macs": schedule.full_macs,
    }


def write_strategy(rule: StrategyRule) -> Json:
    """A strategy with its kind."""
    if isinstance(rule, GuidedRule):
        own = asdict(rule)
        return {"kind": "guided", **own.pop("zoom"), **own}
    return {"kind": "single" if isinstance(rule, SingleRule) else "zoom", **asdict(rule)}


def write_tracking(tracking: Tracking | None) -> Json | None:
    """What carries masks through clips; null without."""
    if tracking is None:
        return None
    return {
        "programs": tracking.programs,
        "rule": asdict(tracking.rule),
        "described": dict(TRACKING_DESCRIBED),
        "memory_bytes": dict(TRACKING_MEMORY),
    }


def write_gesture(gesture: Gesture) -> Json:
    """A gesture of a golden session with its kind."""
    kinds = {Tap: "tap", Scribble: "scribble", Bounds: "box"}
    return {"kind": kinds[type(gesture)], **asdict(gesture)}


def _range(sides: SideRange) -> list[int]:
    return [sides.least, sides.most]


def _graph(graph: Graph) -> Json:
    return {
        "inputs": {name: _input(kind) for name, kind in graph.inputs.items()},
        "phases": [_phase(phase) for phase in graph.phases],
        "outputs": {role: list(names) for role, names in graph.outputs.items()},
    }


def _input(kind: ExternalInput) -> Json:
    kinds = {ImageInput: "image", VectorInput: "vector", PlaneInput: "plane"}
    return {"kind": kinds[type(kind)], **asdict(kind)}


def _phase(phase: Phase) -> Json:
    calls = [_call(call) for call in phase.calls]
    return {"name": phase.name, "when": phase.when, "calls": calls}


def _call(call: Call) -> Json:
    if isinstance(call, PlaceMask):
        return {"kind": "place_mask", **asdict(call)}
    return {
        "kind": "program",
        "program": call.program,
        "origin": {"y": call.origin_y, "x": call.origin_x},
        "inputs": [_window(window) for window in call.inputs],
        "vectors": dict(call.vectors),
        "outputs": [_window(window) for window in call.outputs],
    }


def _window(window: Window) -> Json:
    return {
        "name": window.name,
        "array": window.array,
        "step": window.step,
        "size": [window.height, window.width],
    }
