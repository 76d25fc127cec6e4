"""How the levels are ranked at a tap."""

from __future__ import annotations

import torch
from torch import Tensor


def tap_score(class_logit: Tensor, quality_logit: Tensor) -> Tensor:
    """The score by which the levels compete for a tap; the highest one answers.

    It is the probability that the level is the right one for a thing of this size, times the IoU
    that the level expects of its own mask, both at the tapped cell. The second factor takes the
    place of FCOS's centerness, which ranks cells of one thing by their distance to its centre and
    so says nothing about a tap that the user has placed.

    The score is computed inside the network, so training, evaluation and every exported program
    rank by this one function; what is left to a runtime is the arg-max.

    Args:
        class_logit, quality_logit: any shape, equal.

    Returns:
        The same shape, in [0, 1].
    """
    return torch.sigmoid(class_logit) * torch.sigmoid(quality_logit)
