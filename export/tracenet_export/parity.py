"""Is what was exported what was trained? Programs against PyTorch, the replay against FullNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from tracenet.model import LEVELS, TapAnswers, TraceNet, answer_taps
from tracenet_export.errors import ParityError
from tracenet_export.limits import Limits
from tracenet_export.programs import Program
from tracenet_runtime.answer.levels import LevelAnswer
from tracenet_runtime.answer.marks import Area, Mark, Stroke, guide_planes
from tracenet_runtime.answer.mask_state import coarser
from tracenet_runtime.answer.replay import MaskAnswer, QueryAnswer, Replay
from tracenet_runtime.contract import GUIDE_STRIDE, PROBABILITY_STRIDE
from tracenet_runtime.graph.executor import Engine

FloatArray = npt.NDArray[Any]


MASK = "mask"
"""What a replay's masks are called among the tensors that are compared."""

REPLAYED_TAPS = 64
"""Taps of the replay's comparison, over all photos; corners and edges of each among them."""

TIE = 0.01
"""Share by which scores of two levels may differ in FullNet for either to be a right answer."""

_TINY = 1e-30
_PROGRAM_TAPS = 2
_SMALLEST_UNION = 64


class TorchEngine:
    """Runs programs in PyTorch, in the precision of their modules."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = {program.name: program for program in programs}

    @torch.inference_mode()
    def run(self, program: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """See :class:`tracenet_runtime.graph.executor.Engine`."""
        known = self._programs[program]
        outputs = known.module(*(torch.from_numpy(inputs[spec.name]) for spec in known.inputs))
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        # Copied, because a module may return a view of an input, which an engine must not.
        return {
            spec.name: value.numpy().copy()
            for spec, value in zip(known.outputs, values, strict=True)
        }


class Differences:
    """How tensors differ, relative to the largest value that each is compared with."""

    def __init__(self) -> None:
        self._largest: dict[str, float] = {}
        self._sum: dict[str, float] = {}
        self._count: dict[str, int] = {}
        self._scale: dict[str, float] = {}

    def add(self, name: str, value: FloatArray, reference: FloatArray) -> None:
        """Compare once more; a value that is not finite is infinitely wrong."""
        differences = np.abs(value.astype(np.float64) - reference)
        worst, total = float(np.max(differences)), float(np.sum(differences))
        if not np.isfinite(total):
            worst = total = float("inf")
        self._largest[name] = max(self._largest.get(name, 0.0), worst)
        self._sum[name] = self._sum.get(name, 0.0) + total
        self._count[name] = self._count.get(name, 0) + differences.size
        self._scale[name] = max(self._scale.get(name, 0.0), float(np.max(np.abs(reference))))

    def relative(self) -> dict[str, float]:
        """The largest difference by tensor, in the order of the first comparison."""
        return {name: self._relative(name, worst) for name, worst in self._largest.items()}

    def mean_relative(self) -> dict[str, float]:
        """The mean difference by tensor, likewise."""
        return {
            name: self._relative(name, total / self._count[name])
            for name, total in self._sum.items()
        }

    def _relative(self, name: str, difference: float) -> float:
        if not np.isfinite(difference):
            return difference
        return difference / max(self._scale[name], _TINY)


class ComparingEngine:
    """Runs every program on two engines and notes how they differ; answers as the first."""

    def __init__(self, reference: Engine, other: Engine, differences: Differences) -> None:
        self._reference, self._other = reference, other
        self._differences = differences

    def run(self, program: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """See :class:`tracenet_runtime.graph.executor.Engine`."""
        reference = self._reference.run(program, inputs)
        other = self._other.run(program, inputs)
        for name, value in reference.items():
            self._differences.add(f"{program}/{name}", other[name], value)
        return reference


def parity_taps(height: int, width: int, count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Taps (x, y) on a picture: its corners, then edges up to half of them, the rest anywhere."""
    random = np.random.default_rng(seed)
    last_x, last_y = width - 1, height - 1
    taps = [(0, 0), (last_x, 0), (0, last_y), (last_x, last_y)]
    while len(taps) < count // 2:
        x, y = int(random.integers(width)), int(random.integers(height))
        taps += [(x, 0), (x, last_y), (0, y), (last_x, y)]
    while len(taps) < count:
        taps.append((int(random.integers(width)), int(random.integers(height))))
    return taps[:count]


def few_taps(height: int, width: int, count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Taps (x, y) for quick checks: one inside first, a corner, more from inside."""
    random = np.random.default_rng(seed)

    def inside(extent: int) -> int:
        return int(random.integers(extent // 4, extent - extent // 4))

    taps = [(inside(width), inside(height)) for _ in range(count - 1)]
    return [taps[0], (width - 1, height - 1), *taps[1:]]


def run_few_taps(replay: Replay, canvas: npt.NDArray[np.uint8]) -> None:
    """Run every call of a schedule on real windows, for what a comparing engine notes."""
    encoded = replay.encode(canvas)
    for tap in few_taps(replay.canvas_height, replay.canvas_width, _PROGRAM_TAPS):
        query = replay.answer_query(encoded, tap)
        for mask in range(len(replay.schedule.graph.windows)):
            answer = replay.compute_mask(query, query.best_level, mask)
        if replay.schedule.graph.correction:  # and so its last window is all of the canvas
            replay.correct(encoded, _planes(tap, answer))


def _planes(tap: tuple[int, int], answer: MaskAnswer) -> FloatArray:
    """What a guided look sees after the tap and two more gestures."""
    x, y = tap[0] + 0.5, tap[1] + 0.5
    cells = coarser(answer.probability.astype(np.float32), GUIDE_STRIDE // PROBABILITY_STRIDE)
    marks: list[Mark] = [
        Stroke(((x, y),), 0.0, True),
        Area((x - 40, y - 60, x + 50, y + 30)),
        Stroke(((x + 20, y), (x + 40, y - 30)), 8.0, False),
    ]
    return guide_planes(marks, cells, 0.7 * cells, 0.2 * cells)


class FullNetOracle:
    """FullNet on one canvas, computed once.

    Args:
        network: in eval mode, in the precision in which to compare.
        canvas: uint8 height x width x 3, or 1 x 3 x height x width in the network's precision.
    """

    def __init__(self, network: TraceNet, canvas: FloatArray) -> None:
        self.canvas = canvas
        image = torch.from_numpy(canvas)
        if canvas.dtype == np.uint8:
            dtype = next(network.parameters()).dtype
            image = image.permute(2, 0, 1)[None].to(dtype)
        with torch.inference_mode():
            self._outputs = network(image)

    @torch.inference_mode()
    def answer(self, tap: tuple[int, int]) -> TapAnswers:
        """All five levels' answers at a tap (x, y), a canvas pixel, with probabilities."""
        return answer_taps(self._outputs, torch.tensor([tap]), probability=True)


@dataclass(frozen=True)
class ReplayParity:
    """How a replay compares with FullNet.

    Attributes:
        taps: how many were compared.
        iou_mean, iou_p5: IoU with FullNet's mask inside the window, mean and 5th percentile; a
            flip counts as 0.
        small: taps that are left out of it, because both masks together cover less than 64 cells
            (16 x 16 canvas pixels), of which one at 0.5 would decide.
        level_flips: taps that another level answered than FullNet's best of the asked ones, or
            than one that ties with it (``TIE``).
        truncated: taps whose window cut off some of FullNet's mask.
        whole_iou_mean: IoU with FullNet's mask of the whole canvas, which that lowers.
        relative_error, mean_error: by tensor, the largest and the mean difference, see
            :class:`Differences`.
    """

    taps: int
    iou_mean: float
    iou_p5: float
    small: int
    level_flips: int
    truncated: int
    whole_iou_mean: float
    relative_error: dict[str, float]
    mean_error: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def answer_errors(mean_error: Mapping[str, float]) -> dict[str, float]:
    """Those of scores, boxes and masks: a mask shows what is wrong with a filter."""
    return {name: error for name, error in mean_error.items() if not name.endswith("_filter")}


def check_replay(
    replay: Replay, cases: Sequence[tuple[FullNetOracle, Sequence[tuple[int, int]]]]
) -> ReplayParity:
    """Compare a replay with FullNet, tap by tap.

    Every level's score, box and filter, the mask that a user would get, and one more mask with
    level and window in turn, so that all pairs come up.

    Args:
        replay: the schedule on a canvas.
        cases: FullNet on canvases of that size, with taps (x, y), canvas pixels, for each.
    """
    comparison = _ReplayComparison(replay)
    taps = [(oracle, tap) for oracle, some in cases for tap in some]
    before: FullNetOracle | None = None
    for oracle, tap in tqdm(taps, unit="tap", desc=f"{replay.schedule.name} against FullNet"):
        if oracle is not before:
            encoded, before = replay.encode(oracle.canvas), oracle
        comparison.add(oracle.answer(tap), replay.answer_query(encoded, tap))
    return comparison.result()


class _ReplayComparison:
    """Adds up what :func:`check_replay` finds."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        names = [level.name for level in replay.levels]
        self._asked = [index for index, level in enumerate(LEVELS) if level.name in names]
        self._differences = Differences()
        self._ious: list[float] = []
        self._whole_ious: list[float] = []
        self._taps = self._small = self._flips = self._truncated = 0

    def add(self, answers: TapAnswers, query: QueryAnswer) -> None:
        """Compare one tap with FullNet's answers."""
        masks = answers.mask[0, self._asked].numpy()
        for level, index in zip(query.levels, self._asked, strict=True):
            self._compare_level(level, answers, index)
        best = query.best_level
        scores = answers.score[0, self._asked]
        flipped = bool(scores[best] < (1 - TIE) * scores.max())
        given = self._mask(query, best, self._replay.choose_mask(query, best), masks)
        inside, whole, truncated = _overlaps(given, masks[best])
        self._flips += flipped
        self._truncated += truncated
        if flipped:
            self._ious.append(0.0)
        elif inside is not None:
            self._ious.append(inside)
        else:
            self._small += 1
        if whole is not None:
            self._whole_ious.append(whole)
        number, windows = self._taps, len(self._replay.schedule.graph.windows)
        self._mask(query, number // windows % len(self._asked), number % windows, masks)
        self._taps += 1

    def result(self) -> ReplayParity:
        """Of all taps."""
        return ReplayParity(
            taps=self._taps,
            iou_mean=float(np.mean(self._ious)) if self._ious else 1.0,
            iou_p5=float(np.percentile(self._ious, 5)) if self._ious else 1.0,
            small=self._small,
            level_flips=self._flips,
            truncated=self._truncated,
            whole_iou_mean=float(np.mean(self._whole_ious)) if self._whole_ious else 1.0,
            relative_error=self._differences.relative(),
            mean_error=self._differences.mean_relative(),
        )

    def _compare_level(self, given: LevelAnswer, answers: TapAnswers, index: int) -> None:
        name = given.level.name.lower()
        for kind, value, reference in (
            ("score", np.array(given.score), answers.score),
            ("box", np.array(given.box), answers.box),
            ("filter", given.filter.ravel(), answers.filter),
        ):
            self._differences.add(f"{name}_{kind}", value, reference[0, index].numpy())

    def _mask(self, query: QueryAnswer, level: int, window: int, masks: FloatArray) -> MaskAnswer:
        given = self._replay.compute_mask(query, level, window)
        self._differences.add(MASK, given.probability, masks[level][_cells(given)])
        return given


def refuse_programs(limits: Limits, errors: Mapping[str, float]) -> None:
    """Raise :class:`ParityError` that names the worst tensor when one is out of limits."""
    _refuse_above(limits.program_error, errors)


def refuse_replay(
    limits: Limits, name: str, parity: ReplayParity, programs: Mapping[str, float]
) -> None:
    """Raise :class:`ParityError` when a schedule's replay is out of limits.

    Args:
        limits: of the target and precision.
        name: of the schedule.
        parity: of its replay.
        programs: the largest relative error of each program's tensors, to name the worst one.
    """
    largest = dict(parity.relative_error)
    mask_error = largest.pop(MASK)
    _refuse_above(limits.replay_error, largest)
    if limits.mask_error is not None:
        _refuse_above(limits.mask_error, {MASK: mask_error})
    answers = answer_errors(parity.mean_error)
    _refuse_above(
        limits.answer_error, {f"{name} on average": error for name, error in answers.items()}
    )
    if parity.iou_mean >= limits.iou_mean and parity.iou_p5 >= (limits.iou_p5 or 0.0):
        return
    tensor, worst = max(programs.items(), key=lambda item: item[1])
    raise ParityError(
        f"the masks of {name} overlap FullNet's by {parity.iou_mean:.4f} on average and "
        f"{parity.iou_p5:.4f} at the 5th percentile (IoU), {parity.level_flips} of {parity.taps} "
        f"taps are answered by another level; {_asked_for(limits)}. The tensor that differs most "
        f"from PyTorch is {tensor}, by {worst:.1e} of its largest value; nothing was written"
    )


def _refuse_above(limit: float, errors: Mapping[str, float]) -> None:
    name, worst = max(errors.items(), key=lambda item: item[1])
    if not worst <= limit:
        raise ParityError(
            f"{name} differs from PyTorch by {worst:.1e} of its largest value, more than the "
            f"{limit:.0e} that is allowed; nothing was written"
        )


def _asked_for(limits: Limits) -> str:
    percentile = "" if limits.iou_p5 is None else f" and {limits.iou_p5} at the 5th percentile"
    return f"at least {limits.iou_mean}{percentile} is asked for"


def _cells(answer: MaskAnswer) -> tuple[slice, slice]:
    """Rows and columns of a mask's window in cells of the probability map."""
    x0, y0, x1, y1 = (side // PROBABILITY_STRIDE for side in answer.window)
    return slice(y0, y1), slice(x0, x1)


def _overlaps(answer: MaskAnswer, full: FloatArray) -> tuple[float | None, float | None, bool]:
    """IoU with FullNet's mask, inside the window and as a whole; did the window cut some off?"""
    wanted, inside = full > 0.5, _cells(answer)
    given = np.zeros_like(wanted)
    given[inside] = answer.probability > 0.5
    truncated = bool(np.count_nonzero(wanted[inside]) < np.count_nonzero(wanted))
    return _iou(given[inside], wanted[inside]), _iou(given, wanted), truncated


def _iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float | None:
    """None where both together are too small."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union >= _SMALLEST_UNION else None
