"""Scores of masks for taps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def mask_iou(mask: Mask, truth: Mask, ignore: Mask) -> float:
    """Intersection over union, with ignored pixels left out, all H x W.

    Without ignored pixels this is ``pycocotools.mask.iou``.
    """
    counted = ~(ignore & ~truth)
    union = np.count_nonzero((mask | truth) & counted)
    return np.count_nonzero(mask & truth) / union if union else 0.0


@dataclass(frozen=True)
class InstanceScore:
    """The taps on one instance.

    Attributes:
        photo: index of the photo in its dataset.
        instance: index of the instance in its photo.
        taps: (x, y) photo pixels.
        iou: per tap, of the mask of the level that answered.
        iou_by_level: per tap, of every level's mask, finest first.
    """

    photo: int
    instance: int
    taps: tuple[tuple[int, int], ...]
    iou: tuple[float, ...]
    iou_by_level: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Summary:
    """Means over instances of the means over their taps.

    Attributes:
        miou_t: IoU of the mask that was given.
        miou_t_oracle_level: IoU of the best level's mask: what a perfect choice would give.
        share_above_0_7: share of taps with an IoU above 0.7.
        instances, taps: how many.
    """

    miou_t: float
    miou_t_oracle_level: float
    share_above_0_7: float
    instances: int
    taps: int

    def to_dict(self) -> dict[str, float]:
        """JSON-ready, with the names that ``tracenet-eval`` prints."""
        values = {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(self).items()}
        values["share_above_0.7"] = values.pop("share_above_0_7")
        return values


def summarise(scores: Sequence[InstanceScore]) -> Summary:
    """The means of at least one instance's scores."""
    return Summary(
        miou_t=float(np.mean([np.mean(s.iou) for s in scores])),
        miou_t_oracle_level=float(
            np.mean([np.mean([max(levels) for levels in s.iou_by_level]) for s in scores])
        ),
        share_above_0_7=float(np.mean([np.mean(np.array(s.iou) > 0.7) for s in scores])),
        instances=len(scores),
        taps=sum(len(s.taps) for s in scores),
    )
