"""Checks a bundle before it is finished: on by default, with the engine that a user would run."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import torch

from tracenet.model import TraceNet
from tracenet_export.assemble import Assembly
from tracenet_export.clips import (
    CLIP_FRAMES,
    ClipParity,
    compare_clips,
    moving_clips,
    track,
)
from tracenet_export.draft import PROGRAMS, Draft, Source
from tracenet_export.engine_process import EngineProcess
from tracenet_export.errors import ExportError, ParityError
from tracenet_export.limits import RANDOM_WEIGHTS, Limits
from tracenet_export.parity import (
    REPLAYED_TAPS,
    ComparingEngine,
    Differences,
    FullNetOracle,
    TorchEngine,
    check_replay,
    parity_taps,
    refuse_programs,
    refuse_replay,
    run_few_taps,
)
from tracenet_export.photos import parity_photos
from tracenet_export.sessions import SessionParity, compare_sessions
from tracenet_export.targets import TARGETS, Converted
from tracenet_runtime.bundle.choice import own_strategy
from tracenet_runtime.engines import EngineReport, engine_for, engines_for, why_unavailable
from tracenet_runtime.graph.program import ProgramFiles
from tracenet_runtime.graph.schedule import Choice, Schedule
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Placement
from tracenet_runtime.strategies.guided import Guided

Tap = tuple[int, int]

_CLIPS = 2
"""How many of the photos become clips."""

_LEAST_SEEN = 0.5
"""Share of the masks of clips in PyTorch that must not be empty."""

_FEW_FRAMES = 6
"""Of the clip in which each program is compared; fusion's runs in all but two."""


@dataclass(frozen=True)
class Checked:
    """What the check of a bundle found; parity.json holds it.

    Attributes:
        target, precision: of the bundle.
        engine: that ran the programs.
        limits: what had to be reached; None where they were not enforced.
        programs: name -> ``operators``, ``partitions``, and for every output its name in words, and
            the largest and the mean difference from PyTorch.
        schedules: ``schedule``, ``canvas``, ``halo``, ``replay``; where the halo is below 1, the
            replay's limits do not apply.
        sessions: how a guided look's compare with PyTorch's; None without one.
        clips: how tracked ones compare with PyTorch's; None where there is no tracking.
        program_bytes: of all files of the programs.
        checkpoint_bytes: what the network's weights take in fp16.
    """

    target: str
    precision: str
    engine: EngineReport
    limits: Limits | None
    programs: dict[str, dict[str, Any]]
    schedules: list[dict[str, Any]]
    sessions: SessionParity | None
    clips: ClipParity | None
    program_bytes: int
    checkpoint_bytes: int

    @property
    def checked_by(self) -> str:
        """In words, as the manifest says it."""
        version = self.engine.actual["version"]
        if self.engine.name == engine_for(self.target):
            return f"{self.engine.name} {version}"
        return f"reference executor ({self.engine.name} {version}), not run on {self.target}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"checked_by": self.checked_by, **asdict(self)}


def checking_engine(target: str) -> str:
    """The engine that checks bundles for a target here: its own, or else a reference executor.

    Raises:
        ExportError: there is none.
    """
    reasons = []
    for name, row in engines_for(target).items():
        reason = why_unavailable(name, row)
        if reason is None:
            return name
        reasons.append(reason)
    raise ExportError(f"an export for {target} cannot be checked here: {reasons[0]}")


def check_bundle(
    draft: Draft, files: ProgramFiles, engine: EngineProcess, converted: Mapping[str, Converted]
) -> Checked:
    """Compare every program with PyTorch and every schedule's replay with FullNet, on photos.

    Args:
        draft: what the bundle holds.
        files: its programs.
        engine: with these open.
        converted: what the converter said of them.

    Raises:
        ParityError: a program or a replay is out of the limits of the target and precision.
    """
    source, assembly = draft.source, draft.assembly
    limits = _limits(source, draft.target, draft.precision)
    photos = CheckPhotos(source.network)
    described = _described(assembly)
    differences = Differences()
    comparing = ComparingEngine(TorchEngine(assembly.programs), engine, differences)
    comparison, alone = (draft.viewer(files.programs, v) for v in (comparing, engine))
    schedules = []
    for schedule in assembly.schedules:
        choice = Choice.own(schedule)
        for oracle, _ in photos.cases(schedule):
            run_few_taps(comparison.replay(choice), oracle.canvas)
        errors = {described[name]: error for name, error in differences.relative().items()}
        if limits:
            refuse_programs(limits, errors)
        parity = check_replay(alone.replay(choice), photos.cases(schedule))
        if limits and schedule.halo == 1:
            refuse_replay(limits, schedule.name, parity, errors)
        schedules.append(
            {
                "schedule": schedule.name,
                "canvas": list(schedule.canvas),
                "halo": schedule.halo,
                "replay": parity.to_dict(),
            }
        )
    strategy = own_strategy(assembly.schedules, draft.strategy)
    torch_engine = TorchEngine(assembly.programs)
    reference = draft.viewer(files.programs, torch_engine)
    sessions = None
    if isinstance(strategy, Guided):
        sessions = compare_sessions(strategy, reference, alone, parity_photos())
        if limits:
            _refuse_masks(
                f"after each of {sessions.gestures} gestures", sessions.iou_mean, limits.session_iou
            )
    clips = None
    if assembly.tracking is not None:
        moving = list(moving_clips(strategy, reference, parity_photos()[:_CLIPS], CLIP_FRAMES))
        compared = draft.track_programs(files.programs, comparing)
        for _ in track(assembly.tracking, compared, replace(moving[0], length=_FEW_FRAMES)):
            pass
        if limits:
            refuse_programs(limits, differences.relative())
        one, two = (draft.track_programs(files.programs, v) for v in (torch_engine, engine))
        clips = compare_clips(assembly.tracking, one, two, moving)
        if limits:
            _refuse_masks("in each frame of clips", clips.iou_mean, limits.clip_iou)
            _refuse_masks("from equal memory", clips.frame_iou_mean, limits.frame_iou)
        if limits and limits.clip_iou and clips.seen < _LEAST_SEEN:
            raise ParityError(
                f"PyTorch loses what it follows in {1 - clips.seen:.0%} of the frames of clips, so "
                "that they compare nothing; train propagation for longer; nothing was written"
            )
    paths = (path for path in (files.folder / PROGRAMS).rglob("*") if path.is_file())
    return Checked(
        target=draft.target,
        precision=draft.precision,
        engine=engine.report,
        limits=limits,
        programs=_programs(assembly, converted, differences, described),
        schedules=schedules,
        sessions=sessions,
        clips=clips,
        program_bytes=sum(path.stat().st_size for path in paths),
        checkpoint_bytes=_half_bytes(source),
    )


def _refuse_masks(which: str, iou: float, limit: float) -> None:
    if not iou >= limit:
        raise ParityError(
            f"masks {which} overlap PyTorch's by {iou:.4f} on average (IoU), at least {limit:g} is "
            "asked for; nothing was written"
        )


def _limits(source: Source, target: str, precision: str) -> Limits | None:
    if source.trained:
        return TARGETS[target].precisions[precision].limits
    # Such bundles are for measuring costs, and fp32 shows that they are put together rightly.
    return RANDOM_WEIGHTS if precision == "fp32" else None


class CheckPhotos:
    """The photos of the check with FullNet's answers, computed once for each canvas."""

    def __init__(self, network: TraceNet) -> None:
        self._network = network
        self._on_canvas = functools.cache(self._compute)

    def cases(self, schedule: Schedule) -> list[tuple[FullNetOracle, list[Tap]]]:
        """FullNet on each photo, with taps on it, canvas pixels."""
        return self._on_canvas(*schedule.canvas)

    def _compute(self, height: int, width: int) -> list[tuple[FullNetOracle, list[Tap]]]:
        canvas = Canvas(height, width, self._network.pad_value)
        photos = parity_photos()
        cases = []
        for number, photo in enumerate(photos):
            pixels, placement = canvas.fit(photo)
            oracle = FullNetOracle(self._network, pixels)
            cases.append((oracle, _taps(placement, REPLAYED_TAPS // len(photos), number)))
        return cases


def _taps(placement: Placement, count: int, seed: int) -> list[Tap]:
    taps = parity_taps(placement.photo_height, placement.photo_width, count, seed)
    return [placement.to_canvas(*tap) for tap in taps]


def _described(assembly: Assembly) -> dict[str, str]:
    """program/tensor -> the same with the arrays that it becomes, which say what it is."""
    arrays: dict[str, list[str]] = {}
    for schedule in assembly.schedules:
        for call in chain.from_iterable(phase.program_calls for phase in schedule.graph.phases):
            for window in call.outputs:
                names = arrays.setdefault(f"{call.program}/{window.name}", [])
                array = window.array.split("/")[-1]
                if array not in names:
                    names.append(array)
    described = {name: f"{name} ({', '.join(found)})" for name, found in arrays.items()}
    # Those of clips have names that say it.
    of_clips = (f"{v.name}/{o.name}" for v in assembly.programs if v.of_clips for o in v.outputs)
    return described | {name: name for name in of_clips}


def _programs(
    assembly: Assembly,
    converted: Mapping[str, Converted],
    differences: Differences,
    described: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    largest, mean = differences.relative(), differences.mean_relative()
    return {
        program.name: {
            "operators": dict(converted[program.name].operators),
            "partitions": converted[program.name].partitions,
            "outputs": {
                spec.name: {
                    "described": described[f"{program.name}/{spec.name}"],
                    "max": largest[f"{program.name}/{spec.name}"],
                    "mean": mean[f"{program.name}/{spec.name}"],
                }
                for spec in program.outputs
            },
        }
        for program in assembly.programs
    }


def _half_bytes(source: Source) -> int:
    tensors = source.network.state_dict().values()
    return sum(2 * tensor.numel() for tensor in tensors if tensor.dtype == torch.float32)
