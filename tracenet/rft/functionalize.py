"""Rewrites of the captured graph after which every node is one tensor that nothing mutates."""

from __future__ import annotations

import operator
from itertools import accumulate

import torch
from torch import fx
from torch._ops import OpOverload

from tracenet.rft.fx_nodes import refuse

aten = torch.ops.aten

_IDENTITY_IN_EVAL = {aten.dropout.default, aten.feature_dropout.default}
_CHANNEL_CUTS = {aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default}
_RESIZES = {aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.vec}


def remove_mutations(graph: fx.Graph) -> None:
    """Replace in-place operators (``relu_``) by those that return a new tensor (``relu``).

    ``torch.export`` already makes what reads a mutated tensor read the mutating node. What it
    does not follow are views: a tensor that shares the mutated memory and is read afterwards.

    Raises:
        UnsupportedOperator: for such a mutation, and where there is no functional operator.
    """
    order = {fx_node: position for position, fx_node in enumerate(graph.nodes)}
    memory: dict[fx.Node, fx.Node] = {}
    for fx_node in graph.nodes:
        aliased = _aliased(fx_node)
        memory[fx_node] = fx_node if aliased is None else memory[aliased]
        target = fx_node.target
        if not isinstance(target, OpOverload) or not target._schema.is_mutable:
            continue
        for other in list(memory):
            read_later = any(order[user] > order[fx_node] for user in other.users)
            if other is not fx_node and memory[other] is memory[fx_node] and read_later:
                raise refuse(
                    fx_node,
                    f"it changes memory in place that node {other.name!r} shares and that is "
                    "read afterwards",
                    "Use the operator that returns a new tensor (inplace=False).",
                )
        functional = _functional(target)
        if functional is None:
            raise refuse(
                fx_node,
                "it changes a tensor in place and has no form that returns a new one",
                "Write it without mutation.",
            )
        fx_node.target = functional


def cut_channels_by_slices(graph: fx.Graph) -> None:
    """Replace ``chunk`` and ``split`` over channels, item by item, by ``slice``."""
    for item in graph.find_nodes(op="call_function", target=operator.getitem):
        cut, index = item.args
        if cut.target not in _CHANNEL_CUTS:
            continue
        dim = cut.args[2] if len(cut.args) > 2 else cut.kwargs.get("dim", 0)
        if dim not in (1, -3) or cut.meta["val"][0].dim() != 4:
            continue
        ends = list(accumulate(piece.shape[1] for piece in cut.meta["val"]))
        start = 0 if index == 0 else ends[index - 1]
        item.target = aten.slice.Tensor
        item.args = (cut.args[0], 1, start, ends[index])


def resize_by_factors(graph: fx.Graph) -> None:
    """Write resizes to a given size by their factors where these are exact.

    The result is the same, and the call then also holds for a window of the picture.
    """
    for fx_node in graph.nodes:
        if fx_node.target not in _RESIZES or fx_node.args[1] is None:
            continue
        source_sizes = fx_node.args[0].meta["val"].shape[2:]
        factors = [
            _exact_factor(source, target)
            for source, target in zip(source_sizes, fx_node.meta["val"].shape[2:], strict=True)
        ]
        if None not in factors:
            arguments = list(fx_node.args)
            arguments[1], arguments[-1] = None, factors
            fx_node.args = tuple(arguments)


def _exact_factor(source: int, target: int) -> float | None:
    if target % source == 0:
        return float(target // source)
    if source % target == 0 and int(source * (target / source)) == target:
        return target / source
    return None


def _aliased(fx_node: fx.Node) -> fx.Node | None:
    """The argument whose memory the node's result shares, if any."""
    if not fx_node.all_input_nodes:
        return None
    target = fx_node.target
    if target is operator.getitem or target in _IDENTITY_IN_EVAL:
        return fx_node.all_input_nodes[0]
    if isinstance(target, OpOverload) and target._schema.arguments[0].alias_info is not None:
        return fx_node.all_input_nodes[0]
    return None


def _functional(mutating: OpOverload) -> OpOverload | None:
    packet_name = mutating.overloadpacket.__name__.removesuffix("_")
    packet = getattr(getattr(torch.ops, mutating.namespace), packet_name, None)
    functional = getattr(packet, mutating._overloadname, None)
    is_pure = isinstance(functional, OpOverload) and not functional._schema.is_mutable
    return functional if is_pure else None
