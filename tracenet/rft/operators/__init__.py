"""One rule per ATen operator; adding an operator is adding a row to one of these modules."""

from torch._ops import OpOverload

from tracenet.rft.operators import (
    channels,
    convolution,
    normalization,
    padding,
    pointwise,
    pooling,
    resize,
    shuffling,
    slicing,
)
from tracenet.rft.operators.call import RuleReader

_IN_EITHER_LAYOUT: dict[OpOverload, RuleReader] = {
    **channels.RULES,
    **pointwise.RULES,
    **slicing.RULES,
}
"""Rules that heed `Call.channels_last`; what is not here never runs on N x H x W x C."""

RULES: dict[OpOverload, RuleReader] = {
    **_IN_EITHER_LAYOUT,
    **convolution.RULES,
    **normalization.RULES,
    **padding.RULES,
    **pooling.RULES,
    **resize.RULES,
    **shuffling.RULES,
}


def rule_of(operator: OpOverload, channels_last: bool = False) -> RuleReader | None:
    """The operator's row, or for want of one what torch's own tag says of it; else None.

    Args:
        operator: the ATen operator.
        channels_last: whether it is to run on N x H x W x C.
    """
    if operator in RULES:
        return (_IN_EITHER_LAYOUT if channels_last else RULES).get(operator)
    return pointwise.elementwise if pointwise.is_tagged_pointwise(operator) else None
