"""One rule per ATen operator; adding an operator is adding a row to one of these modules."""

from torch._ops import OpOverload

from tracenet.rft.operators import convolution, padding, pointwise, pooling, resize
from tracenet.rft.operators.call import RuleReader

RULES: dict[OpOverload, RuleReader] = {
    **convolution.RULES,
    **padding.RULES,
    **pointwise.RULES,
    **pooling.RULES,
    **resize.RULES,
}
