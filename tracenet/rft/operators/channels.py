"""Operators along the channels, wherever they lie: each cell by itself, all of its channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tracenet.rft.operators.call import Call, Refusal, Rule, RuleReader
from tracenet.rft.operators.pointwise import cell_by_cell
from tracenet.rft.operators.refused import (
    ATTENTION,
    CARRIED_ALONG,
    CUT,
    DATA_DEPENDENT,
    GLOBAL_POOLING,
    STATISTICS,
)

aten = torch.ops.aten


def _over_channels(otherwise: tuple[str, str], argument: str = "dim") -> RuleReader:
    """A reader for operators that are local along the channels only."""

    def read(call: Call) -> Rule:
        if not call.is_over_channels(call[argument]):
            raise Refusal(*otherwise)
        return cell_by_cell(call)

    return read


def _cat(call: Call) -> Rule:
    if not call.is_over_channels(call["dim"]):
        raise Refusal(*CUT)
    if call.constants:
        raise Refusal("it joins a constant to the picture's features")
    return cell_by_cell(call)


def _index(call: Call) -> Rule:
    indices = call["indices"]
    if not all(index is None or isinstance(index, Tensor) for index in indices):
        raise Refusal(*DATA_DEPENDENT)
    indexed = [axis for axis, index in enumerate(indices) if index is not None]
    if not call.is_over_channels(indexed):
        raise Refusal(*CUT)
    return cell_by_cell(call)


def _index_select(call: Call) -> Rule:
    if not isinstance(call["index"], Tensor):
        raise Refusal(*DATA_DEPENDENT)
    return _over_channels(CUT)(call)


def _layer_norm(call: Call) -> Rule:
    if not call.channels_last or len(call["normalized_shape"]) != 1:
        raise Refusal(*STATISTICS)
    return cell_by_cell(call)


def _linear(call: Call) -> Rule:
    weight, bias = call["weight"], call["bias"]
    if not call.channels_last:
        raise Refusal(*ATTENTION)
    if not isinstance(weight, Tensor) or not (bias is None or isinstance(bias, Tensor)):
        raise Refusal("its weights are computed from the picture")
    return cell_by_cell(call, macs_per_cell=call.batch * math.prod(weight.shape))


_REDUCTIONS = (
    aten.all.dim,
    aten.amax.default,
    aten.amin.default,
    aten.any.dim,
    aten.argmax.default,
    aten.argmin.default,
    aten.linalg_vector_norm.default,
    aten.logsumexp.default,
    aten.mean.dim,
    aten.norm.ScalarOpt_dim,
    aten.prod.dim_int,
    aten.std.correction,
    aten.std.dim,
    aten.sum.dim_IntList,
    aten.var.correction,
    aten.var.dim,
)

RULES: dict[torch._ops.OpOverload, RuleReader] = {
    **dict.fromkeys(_REDUCTIONS, _over_channels(GLOBAL_POOLING)),
    aten.cat.default: _cat,
    aten.cumprod.default: _over_channels(CARRIED_ALONG),
    aten.cumsum.default: _over_channels(CARRIED_ALONG),
    aten.flip.default: _over_channels(CARRIED_ALONG, "dims"),
    aten.glu.default: _over_channels(CUT),
    aten.index.Tensor: _index,
    aten.index_select.default: _index_select,
    aten.layer_norm.default: _layer_norm,
    aten.linear.default: _linear,
    aten.log_softmax.int: _over_channels(ATTENTION),
    aten.repeat.default: cell_by_cell,
    aten.repeat_interleave.self_int: _over_channels(CUT),
    aten.roll.default: _over_channels(CARRIED_ALONG, "dims"),
    aten.softmax.int: _over_channels(ATTENTION),
    aten.tile.default: cell_by_cell,
}
