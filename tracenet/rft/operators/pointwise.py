"""Operators whose output cell reads its own cell of every input and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._ops import OpOverload

from tracenet.rft.axis_maps import Unchanged
from tracenet.rft.geometry import Rect
from tracenet.rft.operators.call import Call, Patch, Refusal, Rule, RuleReader
from tracenet.rft.operators.refused import RANDOM

aten = torch.ops.aten


def cell_by_cell(call: Call, macs_per_cell: int = 0) -> Rule:
    """The rule of an operator that works on every cell by itself, all of its channels.

    Raises:
        Refusal: an input does not have the output's rows and columns.
    """
    for spatial in call.inputs:
        if spatial.extent != call.extent:
            raise Refusal(
                f"it spreads an input of {spatial.extent} cells over {call.extent}",
                "Bring the inputs to one size with a resize or a pad first.",
            )

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        return call.run([patch.crop(wanted) for patch in patches])

    return Rule(Unchanged(), Unchanged(), kernel, macs_per_cell)


def elementwise(call: Call) -> Rule:
    """The rule of an operator that broadcasts its arguments and works on every value by itself."""
    rows_and_columns = slice(-3, -1) if call.channels_last else slice(-2, None)
    for constant in call.constants:
        if any(size != 1 for size in constant.shape[rows_and_columns]):
            raise Refusal(
                f"it takes a constant of shape {tuple(constant.shape)}, which varies over "
                "the picture",
                "Use a number or a constant per channel (C x 1 x 1).",
            )
    return cell_by_cell(call)


def is_tagged_pointwise(operator: OpOverload) -> bool:
    """Whether torch itself declares an operator of its own to work value by value.

    The tag is also on ``equal``, which compares whole tensors and returns a number, and on
    operators with several outputs, so it counts only where one tensor is returned.
    """
    schema = operator._schema
    return (
        operator.namespace == "aten"
        and torch.Tag.pointwise in operator.tags
        and torch.Tag.nondeterministic_seeded not in operator.tags
        and not schema.is_mutable
        and [str(value.type) for value in schema.returns] == ["Tensor"]
    )


def _not_in_training(call: Call) -> Rule:
    if call.arguments.get("train", call.arguments.get("training")):
        raise Refusal(*RANDOM)
    return cell_by_cell(call)


# What torch does not tag: other names of tagged operators, compositions of them, and operators
# that only copy, convert or take the shape of a tensor.
ELEMENTWISE = (
    aten.absolute.default,
    aten.alias.default,
    aten.arctan.default,
    aten.bitwise_not.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.divide.Scalar,
    aten.divide.Tensor,
    aten.expand.default,
    aten.expand_as.default,
    aten.fix.default,
    aten.float_power.Tensor_Scalar,
    aten.floor_divide.Scalar,
    aten.floor_divide.default,
    aten.full_like.default,
    aten.greater.Scalar,
    aten.greater.Tensor,
    aten.greater_equal.Scalar,
    aten.greater_equal.Tensor,
    aten.hardswish.default,
    aten.isclose.default,
    aten.less.Scalar,
    aten.less.Tensor,
    aten.less_equal.Scalar,
    aten.less_equal.Tensor,
    aten.log_sigmoid.default,
    aten.masked_fill.Tensor,
    aten.multiply.Scalar,
    aten.multiply.Tensor,
    aten.negative.default,
    aten.not_equal.Scalar,
    aten.not_equal.Tensor,
    aten.ones_like.default,
    aten.rsub.Tensor,
    aten.special_expit.default,
    aten.subtract.Scalar,
    aten.subtract.Tensor,
    aten.to.device,
    aten.to.dtype,
    aten.to.dtype_layout,
    aten.to.other,
    aten.type_as.default,
    aten.where.Scalar,
    aten.where.ScalarOther,
    aten.where.ScalarSelf,
    aten.zeros_like.default,
)

DROPOUTS = (
    aten.alpha_dropout.default,
    aten.dropout.default,
    aten.feature_alpha_dropout.default,
    aten.feature_dropout.default,
    aten.rrelu.default,
)

RULES: dict[OpOverload, RuleReader] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(DROPOUTS, _not_in_training),
}
