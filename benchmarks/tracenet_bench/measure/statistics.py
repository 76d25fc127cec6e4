"""Medians with their intervals, by the bootstrap: what a report says of samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracenet_bench.report.schema import Interval, Steady

RESAMPLES = 1000
CONFIDENCE = 0.95

MINIMUM_SAMPLES = 10
"""Of fewer, no interval is believed: one sample alone has none."""

PASSES = 4
"""Through all taps; of fewer, nothing is known of how much the same tap varies."""

_VALUES_AT_ONCE = 1_000_000

Floats = npt.NDArray[np.float64]


def median_interval(samples: Sequence[float], taps: int, seed: int) -> Interval:
    """Percentile bootstrap interval of the median; the same seed gives the same interval.

    Args:
        samples: of the taps in turn, again and again; the last pass need not be whole.
        taps: different ones.
        seed: of the bootstrap.
    """
    medians = resampled_medians(samples, taps, np.random.default_rng(seed))
    return percentile_interval(medians, float(np.median(samples)))


def resampled_medians(samples: Sequence[float], taps: int, random: np.random.Generator) -> Floats:
    """The median of each of ``RESAMPLES`` samples drawn from these with replacement.

    Each tap's are drawn from its own: that taps differ, by photo and by mask window, is no noise.
    Of too few passes all are drawn from all, as one tap's, which makes intervals wider.
    """
    values = np.asarray(samples, np.float64)
    if len(values) < PASSES * taps:
        taps = 1
    tap = np.arange(len(values)) % taps
    times_tapped = np.bincount(tap)
    # One fewer of each tap than there are: medians of as many would vary too little, as the
    # variance within n samples is too small by a share of 1 / n. scipy.stats.bootstrap always draws
    # as many, and gives narrower intervals of few passes.
    tap = tap[: max(1, len(values) - taps)]
    rows = max(1, _VALUES_AT_ONCE // len(tap))
    medians = []
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start), len(tap)
        drawn = tap + taps * random.integers(times_tapped[tap], size=size)
        medians.append(np.median(values[drawn], axis=1))
    return np.concatenate(medians)


def percentile_interval(resampled: Floats, figure: float) -> Interval:
    """What holds ``CONFIDENCE`` of the resampled figures, as many left out on either side.

    It holds the figure itself too: a median between slow taps and quick ones hangs on the quickest
    of the slow and the slowest of the quick, and resamples rarely have those.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return min(float(low), figure), max(float(high), figure)


def relative_width(samples: Sequence[float], interval: Interval) -> float:
    """(high - low) / median."""
    return (interval[1] - interval[0]) / float(np.median(samples))


def describe(
    samples: Sequence[float], photo_of: Sequence[int], photos: int, target: float, seed: int
) -> Steady:
    """The steady state of one configuration.

    Args:
        samples: milliseconds, of the taps in turn.
        photo_of: the photo of each tap.
        photos: how many there are, each with a sample.
        target: relative width of the interval below which the timing has converged.
        seed: of the bootstrap.
    """
    values, taps = np.asarray(samples, np.float64), len(photo_of)
    of = np.resize(photo_of, len(values))
    interval = median_interval(samples, taps, seed)
    width = relative_width(samples, interval)
    p50, p90, p99 = (float(v) for v in np.percentile(values, [50, 90, 99]))
    return Steady(
        samples=tuple(samples),
        minimum=float(values.min()),
        p50=p50,
        p90=p90,
        p99=p99,
        interval=interval,
        converged=len(samples) >= fewest_samples(taps) and width < target,
        by_photo=tuple(float(np.median(values[of == photo])) for photo in range(photos)),
    )


def fewest_samples(taps: int) -> int:
    """Of which an interval is believed, in whole passes through so many taps."""
    return taps * max(PASSES, -(-MINIMUM_SAMPLES // taps))


def paired_ratio(
    of: Sequence[float], to: Sequence[float], taps: int, seed: int
) -> tuple[float, Interval]:
    """Median of the ratios of samples of the same round, and its interval.

    Rounds that only one of them took part in, after the other was timed long enough, are left out.
    """
    both = min(len(of), len(to))
    ratios = np.asarray(of[:both], np.float64) / np.asarray(to[:both], np.float64)
    return float(np.median(ratios)), median_interval(ratios.tolist(), taps, seed)
