"""How far masks are from the thing: dice, cross-entropy near it, IoU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.data.taps import TARGET_STRIDE

NEAR_MARGIN = 16
"""Canvas pixels added to a thing's extent where cross-entropy is taken near it."""


def dice_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """One minus the dice coefficient of K masks; all K x h x w -> K."""
    probability = logits.sigmoid() * known
    target = target * known
    overlap = (probability * target).sum((1, 2))
    total = probability.square().sum((1, 2)) + target.square().sum((1, 2))
    return 1 - 2 * overlap / (total + 1e-4)


def near_bce(logits: Tensor, target: Tensor, known: Tensor, box: Tensor) -> Tensor:
    """Mean cross-entropy of K masks over the thing's box, enlarged twice about its centre.

    Over the whole canvas the mean would hardly see small things; what is far is left to dice.

    Args:
        logits, target, known: K x h x w, cells of ``TARGET_STRIDE`` canvas pixels.
        box: K x 4, canvas pixels.

    Returns:
        K.
    """
    height, width = logits.shape[1:]
    centre, extent = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2] + NEAR_MARGIN

    def near(count: int, axis: int) -> Tensor:
        at = (torch.arange(count, device=box.device) + 0.5) * TARGET_STRIDE
        return (at - centre[:, axis, None]).abs() < extent[:, axis, None]

    region = near(height, 1)[:, :, None] & near(width, 0)[:, None, :] & known
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * region).sum((1, 2)) / region.sum((1, 2)).clamp(min=1)


def mask_iou(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """IoU of K thresholded masks with their targets; all K x h x w -> K."""
    predicted = (logits > 0) & known
    wanted = (target > 0.5) & known
    union = (predicted | wanted).sum((1, 2))
    return (predicted & wanted).sum((1, 2)) / union.clamp(min=1)
