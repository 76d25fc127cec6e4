"""What the summaries of all protocols share: groups of instances, and means with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracenet.evaluation.scores import Scored
from tracenet.evaluation.statistics import bootstrap_intervals

SIZES = {"small": 32**2, "medium": 96**2, "large": math.inf}
"""COCO's sizes: photo pixels that an instance has fewer of."""

_DIGITS = 6

Groups = dict[str, list[int]]
"""Name -> the indices of instances."""


def by_size(scores: Sequence[Scored]) -> Groups:
    """The sizes that some instance has, smallest first."""
    names = [next(n for n, most in SIZES.items() if score.area < most) for score in scores]
    return _grouped(names, SIZES)


def by_category(scores: Sequence[Scored]) -> Groups | None:
    """The categories that some instance has, by name; None where no instance has one."""
    if all(score.category is None for score in scores):
        return None
    names = [score.category or "without a name" for score in scores]
    return _grouped(names, sorted(set(names)))


def _grouped(names: Sequence[str], order: Sequence[str] | Mapping[str, float]) -> Groups:
    groups: Groups = {name: [] for name in order}
    for index, name in enumerate(names):
        groups[name].append(index)
    return {name: indices for name, indices in groups.items() if indices}


def mean_block(
    columns: Mapping[str, Sequence[float] | None],
    photos: Sequence[int],
    seed: int,
    weights: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """The mean of each column under its name, and its interval under ``name_interval``.

    Args:
        columns: a value per instance each; None where it is not known, which has no mean.
        photos: the photo of each instance.
        seed: of the bootstrap.
        weights: of instances, for columns whose instances do not count alike.
    """
    known = {name: column for name, column in columns.items() if column is not None}
    alike = np.ones(len(photos))
    values = np.array(list(known.values())).T
    weighted = np.array([(weights or {}).get(name, alike) for name in known]).T
    intervals = bootstrap_intervals(values, photos, seed, weighted)
    block: dict[str, Any] = {}
    for name in columns:
        block[name] = block[f"{name}_interval"] = None
        if name not in known:
            continue
        place = list(known).index(name)
        block[name] = rounded(float(np.average(values[:, place], weights=weighted[:, place])))
        if intervals is not None:
            block[f"{name}_interval"] = [rounded(bound) for bound in intervals[place]]
    return block


def rounded(value: float) -> float | None:
    """As results have it; None for NaN."""
    return None if math.isnan(value) else round(value, _DIGITS)
