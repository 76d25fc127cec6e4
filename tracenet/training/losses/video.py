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
