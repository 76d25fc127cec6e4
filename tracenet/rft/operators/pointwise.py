"""Operators whose output cell reads its own cell of every input and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tracenet.rft.axis_maps import Unchanged
from tracenet.rft.geometry import Rect
from tracenet.rft.operators.call import Call, Patch, Refusal, Rule, RuleReader
from tracenet.rft.operators.refused import ATTENTION, CUT, GLOBAL_POOLING

aten = torch.ops.aten


def _cell_by_cell(call: Call) -> Rule:
    for spatial in call.inputs:
        if spatial.extent != call.extent:
            raise Refusal(
                f"it spreads an input of {spatial.extent} cells over {call.extent}",
                "Bring the inputs to one size with a resize or a pad first.",
            )

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        return call.run([patch.crop(wanted) for patch in patches])

    return Rule(Unchanged(), Unchanged(), kernel)


def _elementwise(call: Call) -> Rule:
    for constant in call.constants:
        if any(size != 1 for size in constant.shape[-2:]):
            raise Refusal(
                f"it takes a constant of shape {tuple(constant.shape)}, which varies over "
                "the picture",
                "Use a number or a constant per channel (C x 1 x 1).",
            )
    return _cell_by_cell(call)


def _batch_norm(call: Call) -> Rule:
    if call["training"]:
        raise Refusal(
            "it normalises by the statistics of the whole picture",
            "Keep running statistics (track_running_stats=True).",
        )
    return _cell_by_cell(call)


def _dropout(call: Call) -> Rule:
    if call["train"]:
        raise Refusal("it drops values at random", "Let it follow module.eval().")
    return _cell_by_cell(call)


def _is_along_channels(call: Call) -> bool:
    dims = call["dim"] if isinstance(call["dim"], list) else [call["dim"]]
    return dims in ([1], [-3])


def _reduction(call: Call) -> Rule:
    if not _is_along_channels(call):
        raise Refusal(*GLOBAL_POOLING)
    return _cell_by_cell(call)


def _softmax(call: Call) -> Rule:
    if not _is_along_channels(call):
        raise Refusal(*ATTENTION)
    return _cell_by_cell(call)


def _slice(call: Call) -> Rule:
    if not _is_along_channels(call):
        raise Refusal(*CUT)
    return _cell_by_cell(call)


def _cat(call: Call) -> Rule:
    if not _is_along_channels(call):
        raise Refusal(*CUT)
    if call.constants:
        raise Refusal("it joins a constant to the picture's features")
    return _cell_by_cell(call)


ELEMENTWISE = (
    aten.abs.default,
    aten.add.Scalar,
    aten.add.Tensor,
    aten.alias.default,
    aten.celu.default,
    aten.clamp.default,
    aten.clamp_max.default,
    aten.clamp_min.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.div.Scalar,
    aten.div.Tensor,
    aten.elu.default,
    aten.exp.default,
    aten.gelu.default,
    aten.hardsigmoid.default,
    aten.hardswish.default,
    aten.hardtanh.default,
    aten.leaky_relu.default,
    aten.log.default,
    aten.maximum.default,
    aten.minimum.default,
    aten.mish.default,
    aten.mul.Scalar,
    aten.mul.Tensor,
    aten.neg.default,
    aten.pow.Tensor_Scalar,
    aten.relu.default,
    aten.relu6.default,
    aten.rsub.Scalar,
    aten.rsub.Tensor,
    aten.selu.default,
    aten.sigmoid.default,
    aten.sign.default,
    aten.silu.default,
    aten.softplus.default,
    aten.sqrt.default,
    aten.sub.Scalar,
    aten.sub.Tensor,
    aten.tanh.default,
    aten.to.dtype,
)

RULES: dict[torch._ops.OpOverload, RuleReader] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    aten.prelu.default: _cell_by_cell,
    aten.batch_norm.default: _batch_norm,
    aten.dropout.default: _dropout,
    aten.feature_dropout.default: _dropout,
    aten.cat.default: _cat,
    aten.slice.Tensor: _slice,
    aten.softmax.int: _softmax,
    aten.mean.dim: _reduction,
    aten.sum.dim_IntList: _reduction,
}
