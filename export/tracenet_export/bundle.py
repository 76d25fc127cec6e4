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
from tracenet_export.calibration import calibrated
from tracenet_export.check import Checked, check_bundle, checking_engine
from tracenet_export.draft import GOLDEN, GOLDEN_PHOTO, PARITY, PROGRAMS, TABLE, Draft
from tracenet_export.engine_process import EngineProcess
from tracenet_export.parity import few_taps
from tracenet_export.parity_report import parity_markdown
from tracenet_export.replacing import replacing_bundle
from tracenet_export.sessions import make_session
from tracenet_export.targets import Calibration, open_target
from tracenet_export.write import write_gesture, write_manifest
from tracenet_runtime.answer.levels import FullNetIou
from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.choice import own_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.bundle.records import MANIFEST_NAME
from tracenet_runtime.engines import EngineSettings
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.graph.program import ProgramFiles
from tracenet_runtime.graph.schedule import Schedule
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.image.rle import encode_rle
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.strategies.guided import Guided
from tracenet_runtime.strategies.rules import StrategyRule
from tracenet_runtime.strategies.single import Single
from tracenet_runtime.strategies.strategy import Strategy
from tracenet_runtime.strategies.zoom import Zoom
from tracenet_runtime.tracking.programs import Features, TrackPrograms
from tracenet_runtime.tracking.records import Tracking
from tracenet_runtime.tracking.tracker import Mask, Tracker

_GOLDEN_SIZE = (240, 320)
_GOLDEN_TAPS = 4
_GOLDEN_CANDIDATES = 12
_GOLDEN_THINGS = 2
_CLIP_SIZE = (200, 270)
_CLIP_STARTS = ((20, 15), (27, 12), (36, 8))
"""Of the golden clip's frames, (x, y) of the golden photo."""
_NEARBY = 0.1
"""How far the thresholds of a zoom must be from its golden taps, as a share of them."""


def export_bundle(
    draft: Draft,
    out: Path,
    *,
    calibration: Sequence[Path] = (),
    threads: int = 2,
) -> dict[str, Any]:
    """Convert, check and write a bundle; ``out`` appears when everything has passed.

    Args:
        draft: what it is to hold.
        out: a folder; a bundle that is there already is replaced.
        calibration: files of photos, where the precision is calibrated.
        threads: for the engine, while checking.

    Returns:
        The content of parity.json.

    Raises:
        ExportError: the target cannot be written here, or ``out`` is something else than a bundle.
        ParityError: a program or the replay differs from PyTorch.
    """
    target, _, converter = open_target(draft.target, draft.precision)
    engine_name = checking_engine(draft.target)
    programs = draft.assembly.programs
    with replacing_bundle(out) as folder:
        seen: contextlib.AbstractContextManager[Calibration | None] = contextlib.nullcontext()
        if target.precisions[draft.precision].calibrated:
            seen = calibrated(draft, calibration)
        with seen as samples:
            converted = converter.convert(programs, folder / PROGRAMS, draft.precision, samples)
        converter.label(folder / PROGRAMS, draft.labels())
        (folder / TABLE).write_bytes(draft.table.tobytes())
        files = draft.stored(folder, converted)
        with EngineProcess(engine_name, files, EngineSettings(threads)) as engine:
            checked = check_bundle(draft, files, engine, converted)
            _write_golden(draft, files, engine)
            _write_parity(folder, checked)
            found = map(_fullnet_iou, draft.assembly.schedules, checked.schedules)
            manifest = draft.manifest(files, checked.checked_by, list(found))
            _write_json(folder / MANIFEST_NAME, write_manifest(manifest))
            finished = Bundle.open(folder)
            for strategy in _strategies(manifest.schedules, manifest.strategy):
                segmenter = TapSegmenter(finished, engine, strategy)
                segmenter.check_golden()
            if manifest.tracking is not None:
                segmenter.check_golden_clips()
    return checked.to_dict()


def _strategies(schedules: Sequence[Schedule], rule: StrategyRule) -> list[Strategy]:
    """Every way to answer a tap: each schedule on its own canvas, then the bundle's own."""
    alone = (Single((schedule,), schedule.canvas) for schedule in schedules)
    return [*alone, own_strategy(schedules, rule)]


def _fullnet_iou(schedule: Schedule, checked: Mapping[str, Any]) -> FullNetIou | None:
    """How far a schedule that is not exact is off."""
    replay = checked["replay"]
    return None if schedule.halo == 1 else FullNetIou(replay["iou_mean"], replay["iou_p5"])


def _write_parity(folder: Path, checked: Checked) -> None:
    _write_json(folder / PARITY, checked.to_dict())
    (folder / "parity.md").write_text(parity_markdown(checked.to_dict()))


def _write_golden(draft: Draft, files: ProgramFiles, engine: Engine) -> None:
    """Taps whose answer is not a close call between levels, answered by the engine."""
    height, width = _GOLDEN_SIZE
    photo = generate_scene(height, width, seed=1)
    Image.fromarray(photo).save(files.folder / GOLDEN_PHOTO)
    viewer = draft.viewer(files.programs, engine)
    strategies = _strategies(draft.assembly.schedules, draft.strategy)
    *schedules, own = (_golden_taps(viewer, strategy, photo) for strategy in strategies)
    sessions = []
    if isinstance(strategies[-1], Guided):
        sessions = _golden_sessions(viewer, strategies[-1], photo, own[0]["at"])
    clips = []
    if draft.assembly.tracking is not None:
        network = draft.track_programs(files.programs, engine)
        taps = [(tap["at"][0], tap["at"][1]) for tap in own[:_GOLDEN_THINGS]]
        masks = [strategies[-1].look(viewer, photo, tap, {}).result({}).mask for tap in taps]
        clips = [_golden_clip(draft.assembly.tracking, network, photo, masks)]
    golden = {"schedules": schedules, "strategy": own, "sessions": sessions, "clips": clips}
    _write_json(files.folder / GOLDEN, golden)


def _golden_sessions(
    viewer: Viewer, guided: Guided, photo: Photo, at: Sequence[int]
) -> list[list[dict[str, Any]]]:
    """One that begins with a clear tap, and one that begins with a box; every kind of gesture."""
    height, width = photo.shape[:2]
    tap, box = Tap((at[0], at[1])), Bounds((0.3 * width, 0.2 * height, 0.7 * width, 0.8 * height))
    across = (0.4 * width, 0.3 * height), (0.5 * width, 0.6 * height), (0.6 * width, 0.5 * height)
    beside = Tap((int(0.35 * width), int(0.25 * height)), positive=False)
    sessions: list[list[Gesture]] = [
        [tap, beside, Scribble(across, 8.0)],
        [box, Scribble(across[:2], 6.0, positive=False), tap],
    ]
    return [
        [
            write_gesture(gesture) | {"mask_rle": step.result().rle()}
            for gesture, step in zip(
                gestures, make_session(guided, viewer, photo, gestures), strict=True
            )
        ]
        for gestures in sessions
    ]


def _golden_clip(
    tracking: Tracking, network: TrackPrograms, photo: Photo, masks: Sequence[Mask]
) -> dict[str, Any]:
    """Windows of the photo, and these masks of it carried through them."""
    height, width = _CLIP_SIZE
    windows = [(slice(y, y + height), slice(x, x + width)) for x, y in _CLIP_STARTS]
    tracker = Tracker[Features](network, len(masks), tracking.rule)
    found = [[mask[windows[0]] for mask in masks]]
    tracker.touch(0, photo[windows[0]], found[0])
    for number, window in enumerate(windows[1:], 1):
        found.append([thing.mask() for thing in tracker.step(number, photo[window])])
    return {
        "size": list(_CLIP_SIZE),
        "frames": [
            {"at": list(start), "masks_rle": [encode_rle(mask) for mask in things]}
            for start, things in zip(_CLIP_STARTS, found, strict=True)
        ],
    }


def _golden_taps(viewer: Viewer, strategy: Strategy, photo: Photo) -> list[dict[str, Any]]:
    def answer(strategy: Strategy, tap: tuple[int, int]) -> TapResult:
        return strategy.look(viewer, photo, tap, {}).result({})

    taps = few_taps(photo.shape[0], photo.shape[1], _GOLDEN_CANDIDATES)
    candidates = [(tap, answer(strategy, tap)) for tap in taps]
    candidates.sort(key=lambda candidate: -_margin(candidate[1]))
    others = _nearby(strategy)
    # Clear between the two looks of a zoom as well, and those first that look twice.
    candidates.sort(
        key=lambda candidate: (
            any(_other_look(answer(v, candidate[0]), candidate[1]) for v in others),
            candidate[1].tile is None,
        )
    )
    return [
        {
            "at": list(tap),
            "level": result.level,
            "score": result.score,
            "box": list(result.box),
            "mask_rle": result.rle(),
        }
        for tap, result in candidates[:_GOLDEN_TAPS]
    ]


def _nearby(strategy: Strategy) -> list[Strategy]:
    """A zoom a little readier or less ready to look twice and to trust what it then saw."""
    if isinstance(strategy, Single):
        return []
    assert isinstance(strategy, Zoom | Guided)
    rule = strategy.rule.zoom if isinstance(strategy, Guided) else strategy.rule
    others = [
        replace(rule, gain=rule.gain * factor, trust=rule.trust * other)
        for factor in (1 - _NEARBY, 1 + _NEARBY)
        for other in (1 - _NEARBY, 1 + _NEARBY)
    ]
    if isinstance(strategy, Guided):
        return [replace(strategy, rule=replace(strategy.rule, zoom=other)) for other in others]
    return [replace(strategy, rule=other) for other in others]


def _other_look(one: TapResult, other: TapResult) -> bool:
    """Whether two results of a zoom come from different looks."""
    return one.tile != other.tile or one.score != other.score


def _margin(result: TapResult) -> float:
    """How far the best level's score is above the next."""
    scores = [candidate.score for candidate in result.candidates]
    return scores[0] - scores[1] if len(scores) > 1 else scores[0]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
