"""What training on clips minimises."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def bootstrapped_bce(logits: Tensor, target: Tensor, known: Tensor, share: float) -> Tensor:
    """Mean cross-entropy of the worst cells of each mask (MiVOS, arXiv 2103.07941, section 3.2).

    Args:
        logits: K x h x w.
        target: bool K x h x w.
        known: bool K x h x w; other cells do not count.
        share: of the cells that count, in (0, 1].

    Returns:
        K.
    """
    loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
    loss = (loss * known).flatten(1)
    if share < 1:
        loss = loss.topk(max(1, round(share * loss.shape[1])), 1).values
    return loss.mean(1)


def presence_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of whether a thing is at a cell: mean of that where it is and where it is not.

    Of a thing that covers no cell, those count that it covers at least half as much as any. Cells
    of which it covers less, or of which something is not known, do not.

    Args:
        logits: K x h x w.
        truth: float K x s h x s w, 1 where the thing is.
        known: bool K x s h x s w.
    """
    stride = truth.shape[-1] // logits.shape[-1]
    share = F.avg_pool2d(truth[:, None], stride).squeeze(1)
    whole = F.avg_pool2d(known.float()[:, None], stride).squeeze(1) > 1 - 1e-6
    there = (share > 0) & (share >= share.amax((1, 2), keepdim=True) / 2)
    beside = (share == 0) & whole
    entropy = F.binary_cross_entropy_with_logits(logits, there.float(), reduction="none")

    def mean(cells: Tensor) -> Tensor:
        return (entropy * cells).sum() / cells.sum().clamp(min=1)

    return (mean(there) + mean(beside)) / 2
