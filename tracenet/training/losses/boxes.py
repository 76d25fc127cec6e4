"""How far boxes are from the thing's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def box_loss(boxes: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of 1 - GIoU (arXiv 1902.09630) and of the sides' error over the box's size.

    Args:
        boxes: T x 5 x 4, (x0, y0, x1, y1) canvas pixels.
        target: T x 4.
        weight: T x 5.
    """
    target = target[:, None]

    def area(box: Tensor) -> Tensor:
        return (box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1)

    def rectangle(low: Tensor, high: Tensor) -> Tensor:
        return area(torch.cat([low, high], -1))

    inner = rectangle(
        torch.maximum(boxes[..., :2], target[..., :2]),
        torch.minimum(boxes[..., 2:], target[..., 2:]),
    )
    outer = rectangle(
        torch.minimum(boxes[..., :2], target[..., :2]),
        torch.maximum(boxes[..., 2:], target[..., 2:]),
    )
    union = area(boxes) + area(target) - inner
    giou = inner / union.clamp(min=1e-6) - (outer - union) / outer.clamp(min=1e-6)
    size = (target[..., 2:] - target[..., :2]).amax(-1, keepdim=True)
    side = F.smooth_l1_loss(
        boxes / size, target.expand_as(boxes) / size, reduction="none", beta=0.1
    )
    return ((1 - giou + side.mean(-1)) * weight).sum() / weight.sum().clamp(min=1e-6)
