"""What training on corrections minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ALPHA, GAMMA = 0.5, 2.0
"""Of the normalised focal loss, as in arXiv 2303.05620, section 4.1."""


def normalised_focal_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Focal loss, divided by what its weights add up to (arXiv 1910.01444, section 3.2).

    Args:
        logits: K x h x w.
        target: bool K x h x w.
        known: bool K x h x w; other cells do not count.

    Returns:
        K.
    """
    probability = logits.sigmoid()
    right = torch.where(target, probability, 1 - probability).clamp(1e-5, 1)
    weight = (1 - right).pow(GAMMA) * known
    cells = known.sum((1, 2)).clamp(min=1)
    # The normaliser is no way to lower the loss: it has no gradient.
    scale = (cells / (weight.sum((1, 2)) + 1e-6)).detach().clamp(max=1e3)
    return -(ALPHA * weight * right.log()).sum((1, 2)) * scale / cells


def obedience_loss(logits: Tensor, target: Tensor, touched: Tensor) -> Tensor:
    """Mean cross-entropy of the cells that were clicked; among so many others they hardly count.

    Args:
        logits: K x h x w.
        target: bool K x h x w.
        touched: bool K x h x w; where none is, the loss is 0.

    Returns:
        K.
    """
    each = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
    return (each * touched).sum((1, 2)) / touched.sum((1, 2)).clamp(min=1)
