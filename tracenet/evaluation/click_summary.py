"""The figures of an evaluation by clicks: overall, per size, per category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracenet.evaluation.figures import Groups, by_category, by_size, mean_block
from tracenet.evaluation.scores import PhotoScore, SequenceScore
from tracenet.evaluation.statistics import Floats

GOALS = (80, 85, 90, 95)
"""IoUs that are to be reached, per cent."""

DROP = 0.02
"""A click that lowers the IoU by more than this spoils the mask."""


def summarise_clicks(
    scores: Sequence[PhotoScore[SequenceScore]], max_clicks: int, seed: int
) -> dict[str, Any]:
    """The figures of at least one instance, as docs/evaluation.md describes them (JSON-ready).

    Args:
        scores: of all photos.
        max_clicks: on each instance.
        seed: of the bootstrap.
    """
    photos = [photo.index for photo in scores for _ in photo.instances]
    instances = [score for photo in scores for score in photo.instances]
    columns = _columns(instances, max_clicks)
    given = [len(score.clicks) for score in instances]

    def block(group: Sequence[int]) -> dict[str, Any]:
        figures = mean_block(
            {
                name: None if values is None else [float(values[i]) for i in group]
                for name, values in columns.items()
            },
            [photos[i] for i in group],
            seed,
            # Of clicks, not of instances.
            weights={"obeyed": [given[i] for i in group]},
        )
        return figures | {"instances": len(group), "clicks": sum(given[i] for i in group)}

    def blocks(groups: Groups) -> dict[str, dict[str, Any]]:
        return {name: block(group) for name, group in groups.items()}

    categories = by_category(instances)
    return {
        **block(range(len(instances))),
        "sizes": blocks(by_size(instances)),
        "categories": None if categories is None else blocks(categories),
    }


def _columns(instances: Sequence[SequenceScore], max_clicks: int) -> dict[str, Floats | None]:
    """A value per instance for each figure."""
    ious = np.array([_ious(score, max_clicks) for score in instances])
    columns: dict[str, Floats | None] = {f"iou@{n}": iou for n, iou in enumerate(ious.T, 1)}
    for goal in GOALS:
        never = ious.max(axis=1) < goal / 100
        needed = np.where(never, max_clicks, (ious >= goal / 100).argmax(axis=1) + 1)
        columns[f"noc@{goal}"] = needed.astype(np.float64)
        columns[f"never@{goal}"] = never.astype(np.float64)
        columns[f"at_limit@{goal}"] = (needed == max_clicks).astype(np.float64)
    drops = (ious[:, :-1] - ious[:, 1:] > DROP).mean(axis=1) if max_clicks > 1 else None
    obeyed = [np.mean([click.obeyed for click in score.clicks]) for score in instances]
    return columns | {"drops": drops, "obeyed": np.array(obeyed)}


def _ious(score: SequenceScore, max_clicks: int) -> list[float]:
    """After each click; where there was nothing left to click, the IoU stays."""
    ious = [click.iou for click in score.clicks]
    return ious + ious[-1:] * (max_clicks - len(ious))
