"""Two reports compared, figure by figure: what became slower, larger or worse."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from tracenet_bench.compare.comparison import (
    ACCURACY_BOUND,
    MEMORY_BOUND,
    MEMORY_FLOOR,
    SIZE_BOUND,
    Change,
    Comparison,
    Figure,
    Pair,
    Verdict,
)
from tracenet_bench.compare.obstacles import find_obstacles, find_remarks
from tracenet_bench.measure.statistics import percentile_interval, resampled_medians
from tracenet_bench.report.schema import Conditions, Interval, Measured, Report
from tracenet_bench.report.texts import NONE, label, megabytes, number, printable
from tracenet_runtime.errors import TraceNetError


class ComparisonError(TraceNetError):
    """No time of one run can be compared with the other's."""


def compare(old: Report, new: Report, tolerance: float) -> Comparison:
    """Pair configurations by name and compare what can be compared.

    Args:
        old, new: the reports.
        tolerance: share by which a median may grow, such as 0.05.
    """
    before = {measured.subject.name: measured for measured in old.measured}
    after = {measured.subject.name: measured for measured in new.measured}
    obstacles = tuple(find_obstacles(old, new))
    return Comparison(
        tolerance=tolerance,
        pairs=tuple(
            _pair(before[name], after[name], obstacles, tolerance, new.conditions)
            for name in after
            if name in before
        ),
        missing=tuple(label(it.subject) for name, it in before.items() if name not in after),
        added=tuple(label(it.subject) for name, it in after.items() if name not in before),
        remarks=tuple(find_remarks(old, new)),
    )


def ratio_of_medians(
    old: Sequence[float], new: Sequence[float], taps: int, seed: int
) -> tuple[float, Interval]:
    """New over old, with its 95 % percentile bootstrap interval.

    The runs were apart, so their samples, of as many taps, are resampled independently.
    """
    random = np.random.default_rng(seed)
    ratios = resampled_medians(new, taps, random) / resampled_medians(old, taps, random)
    ratio = statistics.median(new) / statistics.median(old)
    return ratio, percentile_interval(ratios, ratio)


def _pair(
    old: Measured,
    new: Measured,
    obstacles: tuple[str, ...],
    tolerance: float,
    conditions: Conditions,
) -> Pair:
    if old.subject.threads != new.subject.threads:
        threads = f"they ran on {old.subject.threads} and on {new.subject.threads} threads"
        obstacles = (*obstacles, threads)
    changes = [
        *_outcome(old, new, bool(obstacles)),
        *_time(old, new, bool(obstacles), tolerance, conditions),
        *_memory(old, new, bool(obstacles)),
        *_size(old, new),
        *_accuracy(old, new),
    ]
    return Pair(label(new.subject), tuple(changes), obstacles)


def _outcome(old: Measured, new: Measured, blocked: bool) -> Iterator[Change]:
    if old.failure is None and new.failure is None:
        return
    verdict: Verdict = "same"
    if (old.failure is None) != (new.failure is None):
        verdict = "regression" if old.failure is None else "improvement"
    yield Change(
        "outcome", _ended(old), _ended(new), NONE, "not comparable" if blocked else verdict
    )


def _ended(measured: Measured) -> str:
    failure = measured.failure
    return "ran" if failure is None else f"failed at {printable(failure.stage)}"


def _time(
    old: Measured, new: Measured, blocked: bool, tolerance: float, conditions: Conditions
) -> Iterator[Change]:
    if old.steady is None or new.steady is None:
        return
    ratio, (low, high) = ratio_of_medians(
        old.steady.samples, new.steady.samples, conditions.taps, conditions.seed
    )
    verdict: Verdict = "same"
    if low > 1 + tolerance:
        verdict = "regression"
    elif high < 1 / (1 + tolerance):
        verdict = "improvement"
    yield Change(
        "median",
        number(old.steady.p50),
        number(new.steady.p50),
        f"{ratio:.3f} ({low:.3f}-{high:.3f})",
        "not comparable" if blocked else verdict,
        ratio,
        (low, high),
    )


def _memory(old: Measured, new: Measured, blocked: bool) -> Iterator[Change]:
    if old.memory is None or new.memory is None:
        return
    was, now = old.memory.above_baseline, new.memory.above_baseline
    verdict = _growth(was, now, MEMORY_BOUND) if abs(now - was) > MEMORY_FLOOR else "same"
    yield _bytes("memory", was, now, "not comparable" if blocked else verdict)


def _size(old: Measured, new: Measured) -> Iterator[Change]:
    """Files are as large on every machine, so nothing stands in the way."""
    if old.bundle_size is not None and new.bundle_size is not None:
        verdict = _growth(old.bundle_size, new.bundle_size, SIZE_BOUND)
        yield _bytes("size", old.bundle_size, new.bundle_size, verdict)


def _growth(old: float, new: float, bound: float) -> Verdict:
    if new > old * (1 + bound):
        return "regression"
    return "improvement" if old > new * (1 + bound) else "same"


def _bytes(figure: Figure, old: int, new: int, verdict: Verdict) -> Change:
    ratio = f"{new / old:.3f}" if old else NONE
    return Change(figure, megabytes(old), megabytes(new), ratio, verdict)


def _accuracy(old: Measured, new: Measured) -> Iterator[Change]:
    before, after = old.accuracy, new.accuracy
    if before is None or after is None:
        return
    same_things = (before.instances, before.taps) == (after.instances, after.taps)
    figures: tuple[tuple[Figure, float, float], ...] = (
        ("mIoU-T", before.miou_t, after.miou_t),
        ("mTA", before.mta, after.mta),
    )
    for figure, was, now in figures:
        verdict: Verdict = "same"
        if not same_things:
            verdict = "not comparable"
        elif abs(now - was) > ACCURACY_BOUND:
            verdict = "regression" if now < was else "improvement"
        yield Change(figure, f"{was:.3f}", f"{now:.3f}", NONE, verdict)
