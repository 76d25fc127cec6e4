"""Estimates with their errors: the share of an instance's pixels, and intervals of means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracenet.evaluation.protocol import ProtocolName

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95
_RESAMPLES_AT_ONCE = 64


def estimate_share(
    values: Floats, bands: npt.NDArray[np.intp], band_pixels: Sequence[int], protocol: ProtocolName
) -> tuple[float, float]:
    """The mean of a value over an instance's pixels, from taps; unbiased, and its variance.

    Taps of ``uniform`` are a simple random sample with replacement. Those of ``bands`` are one
    without replacement in each band: bands are weighted with their pixels (stratified sampling).

    Args:
        values: of T taps.
        bands: of T taps, 1 to 5.
        band_pixels: how many of the instance's pixels each band holds.
        protocol: that drew the taps.

    Returns:
        The estimate, and an unbiased estimate of the variance that the choice of taps gives it;
        NaN where a sample of one tap does not tell.
    """
    if protocol == "uniform":
        return float(values.mean()), _variance_of_mean(values)
    strata = [
        (pixels / sum(band_pixels), pixels, values[bands == band])
        for band, pixels in enumerate(band_pixels, 1)
        if pixels
    ]
    return (
        float(sum(weight * sample.mean() for weight, _, sample in strata)),
        float(sum(weight**2 * band_variance(v, pixels) for weight, pixels, v in strata)),
    )


def band_variance(values: Floats, pixels: int) -> float:
    """The variance of the mean of a sample without replacement from so many pixels."""
    if len(values) == pixels:
        return 0.0
    return _variance_of_mean(values) * (1 - len(values) / pixels)


def _variance_of_mean(values: Floats) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else float("nan")


def bootstrap_intervals(
    values: Floats, clusters: Sequence[int], seed: int, weights: Floats | None = None
) -> list[tuple[float, float]] | None:
    """Percentile intervals (95 %) of the means of each column.

    Instances of one photo resemble each other, so photos are drawn, each with all its instances.
    Draws in which no instance of a column counts are left out of its interval.

    Args:
        values: K x M, one row per instance.
        clusters: the photo of each row.
        seed: of the resamples; the same gives the same intervals.
        weights: K x M, not negative, of the values in their column's mean; all alike by default.

    Returns:
        (low, high) for each of the M columns; None for fewer than two photos.
    """
    _, photo = np.unique(np.asarray(clusters), return_inverse=True)
    photos = int(photo.max()) + 1
    if photos < 2:
        return None
    weights = np.ones_like(values) if weights is None else weights
    sums = np.zeros((photos, 2 * values.shape[1]))
    np.add.at(sums, photo, np.column_stack([values * weights, weights]))
    # scipy.stats.bootstrap gives the same, but no interval where one draw lacks a column, and holds
    # every photo of every draw where sums weighted by how often a photo is drawn will do.
    random = np.random.default_rng(seed)
    means = []
    for start in range(0, RESAMPLES, _RESAMPLES_AT_ONCE):
        count = min(_RESAMPLES_AT_ONCE, RESAMPLES - start)
        times_drawn = random.multinomial(photos, np.full(photos, 1 / photos), size=count)
        totals = times_drawn @ sums
        with np.errstate(invalid="ignore"):
            means.append(np.divide(*np.split(totals, 2, axis=1)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
