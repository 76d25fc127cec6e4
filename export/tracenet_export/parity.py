"""Is what was exported what was trained? Programs against PyTorch, the replay against FullNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from tracenet.model import LEVELS, TapAnswers, TraceNet, answer_taps
from tracenet_export.errors import ParityError
from tracenet_export.programs import Program
from tracenet_runtime.canvas import PROBABILITY_STRIDE
from tracenet_runtime.replay import Engine, LevelAnswer, MaskAnswer, Replay

FloatArray = npt.NDArray[Any]

TOLERANCE = {"fp32": 1e-4}
"""Largest |a - b| over largest |b|, per tensor, that an engine may show in a precision."""

REPLAYED_TAPS = 64
"""Taps of the replay's comparison, corners and edges among them."""

_TINY = 1e-30
_PROGRAM_TAPS = 5
_EDGE_TAPS = 5


class TorchEngine:
    """Runs programs in PyTorch, in the precision of their modules."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = {program.name: program for program in programs}

    @torch.inference_mode()
    def run(self, program: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """See :class:`tracenet_runtime.replay.Engine`."""
        known = self._programs[program]
        outputs = known.module(*(torch.from_numpy(inputs[spec.name]) for spec in known.inputs))
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        return {spec.name: value.numpy() for spec, value in zip(known.outputs, values, strict=True)}


class Differences:
    """The largest difference of each tensor, relative to the largest value it is compared with."""

    def __init__(self) -> None:
        self._difference: dict[str, float] = {}
        self._scale: dict[str, float] = {}

    def add(self, name: str, value: FloatArray, reference: FloatArray) -> None:
        """Compare once more; a value that is not finite is infinitely wrong."""
        worst = float(np.max(np.abs(value.astype(np.float64) - reference)))
        worst = worst if np.isfinite(worst) else float("inf")
        self._difference[name] = max(self._difference.get(name, 0.0), worst)
        self._scale[name] = max(self._scale.get(name, 0.0), float(np.max(np.abs(reference))))

    def relative(self) -> dict[str, float]:
        """By tensor, in the order of the first comparison."""
        return {
            name: worst / max(self._scale[name], _TINY) if np.isfinite(worst) else worst
            for name, worst in self._difference.items()
        }


class ComparingEngine:
    """Runs every program on two engines and notes how they differ; answers as the first."""

    def __init__(self, reference: Engine, other: Engine) -> None:
        self._reference, self._other = reference, other
        self.differences = Differences()

    def run(self, program: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """See :class:`tracenet_runtime.replay.Engine`."""
        reference = self._reference.run(program, inputs)
        other = self._other.run(program, inputs)
        for name, value in reference.items():
            self.differences.add(f"{program}/{name}", other[name], value)
        return reference


def parity_taps(height: int, width: int, count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Canvas taps (x, y): the four corners, some on each edge, the rest anywhere."""
    random = np.random.default_rng(seed)
    last_x, last_y = width - 1, height - 1
    taps = [(0, 0), (last_x, 0), (0, last_y), (last_x, last_y)]
    for _ in range(_EDGE_TAPS):
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
    arrays = replay.encode(canvas)
    for tap in few_taps(replay.canvas_height, replay.canvas_width, _PROGRAM_TAPS):
        query = replay.answer_query(arrays, tap)
        for mask in range(len(replay.schedule.masks)):
            replay.compute_mask(query, query.best_level, mask)


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


def check_replay(
    oracle: FullNetOracle, replay: Replay, taps: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """Compare a replay with FullNet, tap by tap.

    Every level's score, box and filter, the mask that a user would get, and one more mask with
    level and window in turn, so that all pairs come up.

    Args:
        oracle: FullNet on a canvas.
        replay: the schedule on a canvas of that size.
        taps: (x, y) canvas pixels.

    Returns:
        ``relative_error`` by tensor; ``mask_iou_mean`` with FullNet's mask of the whole canvas,
        ``truncated``: taps whose window cut off some of it, ``level_flips``: taps that another
        level answered than FullNet's best of the asked ones.
    """
    asked = [index for index, level in enumerate(LEVELS) if level.name in replay.schedule.levels]
    differences, ious, truncated, flips = Differences(), [], 0, 0
    arrays = replay.encode(oracle.canvas)
    described = f"{replay.schedule.name} against FullNet"
    for number, tap in enumerate(tqdm(taps, unit="tap", desc=described)):
        answers = oracle.answer(tap)
        full_mask = answers.mask[0, asked].numpy()
        query = replay.answer_query(arrays, tap)
        for level, index in zip(query.levels, asked, strict=True):
            _compare_level(differences, level, answers.score[0, index], answers.box[0, index],
                           answers.filter[0, index])  # fmt: skip
        best = query.best_level
        flips += best != int(answers.score[0, asked].argmax())
        given = replay.compute_mask(query, best, replay.choose_mask(query, best))
        _compare_mask(differences, given, full_mask[best])
        iou, cut = _whole_mask(given, full_mask[best])
        ious.append(iou)
        truncated += cut
        windows = len(replay.schedule.masks)
        other = number // windows % len(asked)
        answer = replay.compute_mask(query, other, number % windows)
        _compare_mask(differences, answer, full_mask[other])
    return {
        "taps": len(taps),
        "relative_error": differences.relative(),
        "mask_iou_mean": float(np.mean(ious)),
        "truncated": truncated,
        "level_flips": flips,
    }


def refuse_above(tolerance: float, errors: Mapping[str, float]) -> None:
    """Raise :class:`ParityError` that names the worst tensor when one is out of tolerance."""
    name, worst = max(errors.items(), key=lambda item: item[1])
    if not worst <= tolerance:
        raise ParityError(
            f"{name} differs from PyTorch by {worst:.1e} of its largest value, more than the "
            f"{tolerance:.0e} that is allowed; nothing was written"
        )


def _compare_level(
    differences: Differences,
    answer: LevelAnswer,
    score: torch.Tensor,
    box: torch.Tensor,
    filter: torch.Tensor,
) -> None:
    name = answer.level.name.lower()
    differences.add(f"{name}_score", np.array(answer.score), score.numpy())
    differences.add(f"{name}_box", np.array(answer.box), box.numpy())
    differences.add(f"{name}_filter", answer.filter.ravel(), filter.numpy())


def _compare_mask(differences: Differences, answer: MaskAnswer, full: FloatArray) -> None:
    x0, y0, x1, y1 = (side // PROBABILITY_STRIDE for side in answer.window)
    differences.add("mask", answer.probability, full[y0:y1, x0:x1])


def _whole_mask(answer: MaskAnswer, full: FloatArray) -> tuple[float, bool]:
    """IoU with FullNet's mask of the whole canvas, and whether the window cut off some of it."""
    x0, y0, x1, y1 = (side // PROBABILITY_STRIDE for side in answer.window)
    wanted = full > 0.5
    given = np.zeros_like(wanted)
    given[y0:y1, x0:x1] = answer.probability > 0.5
    union = np.count_nonzero(wanted | given)
    inside = np.count_nonzero(wanted[y0:y1, x0:x1])
    cut = bool(inside < np.count_nonzero(wanted))
    return (np.count_nonzero(wanted & given) / union if union else 1.0), cut
