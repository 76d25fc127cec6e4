"""The figures of an evaluation: overall, per band, per size, per category."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracenet.evaluation.evaluate import THRESHOLD
from tracenet.evaluation.figures import Groups, by_category, by_size, mean_block, rounded
from tracenet.evaluation.protocol import BANDS, ProtocolName
from tracenet.evaluation.scores import InstanceScore, PhotoScore
from tracenet.evaluation.statistics import (
    Floats,
    band_variance,
    estimate_share,
)

MIOU = "miou_t"
BOUNDARY_IOU = "boundary_iou_t"
MTA = f"mta_{THRESHOLD}"
ORACLE = "_oracle_level"


@dataclass(frozen=True, slots=True)
class _Figures:
    """What one instance adds to the means; without an oracle, its two are None.

    ``area`` is the share of pixels above the threshold, as (estimate, variance).
    """

    photo: int
    taps: int
    iou: float
    boundary_iou: float
    area: tuple[float, float]
    oracle_iou: float | None
    oracle_area: tuple[float, float] | None


def summarise(
    scores: Sequence[PhotoScore[InstanceScore]], protocol: ProtocolName, seed: int
) -> dict[str, Any]:
    """The figures of at least one instance, as docs/evaluation.md describes them (JSON-ready).

    Args:
        scores: of all photos.
        protocol: that drew the taps.
        seed: of the bootstrap.
    """
    photos = [photo.index for photo in scores for _ in photo.instances]
    instances = [score for photo in scores for score in photo.instances]
    figures = [
        _of_instance(photo, score, protocol) for photo, score in zip(photos, instances, strict=True)
    ]
    bands = {
        str(band): [
            _of_band(photo, score, band, protocol)
            for photo, score in zip(photos, instances, strict=True)
            if any(tap.band == band for tap in score.taps)
        ]
        for band in range(1, BANDS + 1)
    }

    def blocks(groups: Groups) -> dict[str, dict[str, Any]]:
        return {name: _block([figures[i] for i in group], seed) for name, group in groups.items()}

    categories = by_category(instances)
    return {
        **_block(figures, seed),
        "bands": {name: _block(band, seed) for name, band in bands.items() if band},
        "sizes": blocks(by_size(instances)),
        "categories": None if categories is None else blocks(categories),
    }


def _of_instance(photo: int, score: InstanceScore, protocol: ProtocolName) -> _Figures:
    iou = np.array([tap.iou for tap in score.taps])
    means = len(iou), float(iou.mean()), float(np.mean([tap.boundary_iou for tap in score.taps]))
    bands = np.array([tap.band for tap in score.taps])

    def share(values: Floats) -> tuple[float, float]:
        return estimate_share(values, bands, score.band_pixels, protocol)

    hits = (iou > THRESHOLD).astype(np.float64)
    area = share(hits) if score.above is None else (score.above / score.area, 0.0)
    oracle = _oracle(score)
    if oracle is None:
        return _Figures(photo, *means, area, None, None)
    # Where all pixels were tapped, only what the oracle adds needs to be estimated.
    oracle_hits = (oracle > THRESHOLD).astype(np.float64)
    if score.above is None:
        oracle_area = share(oracle_hits)
    else:
        added, variance = share(oracle_hits - hits)
        oracle_area = area[0] + added, variance
    return _Figures(photo, *means, area, float(oracle.mean()), oracle_area)


def _of_band(photo: int, score: InstanceScore, band: int, protocol: ProtocolName) -> _Figures:
    inside = np.array([tap.band == band for tap in score.taps])
    iou = np.array([tap.iou for tap in score.taps])[inside]
    boundary_iou = np.array([tap.boundary_iou for tap in score.taps])[inside]
    means = len(iou), float(iou.mean()), float(boundary_iou.mean())
    # Of uniform taps too, those in a band are uniform in it, but may repeat.
    pixels = score.band_pixels[band - 1] if protocol == "bands" else 0

    def share(values: Floats) -> tuple[float, float]:
        hits = (values > THRESHOLD).astype(np.float64)
        if pixels:
            return float(hits.mean()), band_variance(hits, pixels)
        return estimate_share(hits, np.ones(len(hits), np.intp), (), "uniform")

    oracle = _oracle(score)
    if oracle is None:
        return _Figures(photo, *means, share(iou), None, None)
    oracle = oracle[inside]
    return _Figures(photo, *means, share(iou), float(oracle.mean()), share(oracle))


def _oracle(score: InstanceScore) -> Floats | None:
    values = [tap.oracle for tap in score.taps if tap.oracle is not None]
    return np.array(values) if len(values) == len(score.taps) else None


def _block(figures: Sequence[_Figures], seed: int) -> dict[str, Any]:
    """The means of one group, their standard errors and intervals."""
    oracles = [(f.oracle_iou, f.oracle_area) for f in figures]
    known = [(iou, area) for iou, area in oracles if iou is not None and area is not None]
    every = len(known) == len(figures)
    variances = {
        MTA: [f.area[1] for f in figures],
        MTA + ORACLE: [area[1] for _, area in known] if every else [math.nan],
    }
    block = mean_block(
        {
            MIOU: [f.iou for f in figures],
            MIOU + ORACLE: [iou for iou, _ in known] if every else None,
            BOUNDARY_IOU: [f.boundary_iou for f in figures],
            MTA: [f.area[0] for f in figures],
            MTA + ORACLE: [area[0] for _, area in known] if every else None,
        },
        [f.photo for f in figures],
        seed,
    )
    for name, of_instances in variances.items():
        error = math.sqrt(sum(of_instances)) / len(figures)
        block[f"{name}_standard_error"] = rounded(error)
    return block | {"instances": len(figures), "taps": sum(f.taps for f in figures)}
