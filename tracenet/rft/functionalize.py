"""Rewrites of the captured graph.

After them every node is one tensor that nothing mutates, and its call holds for windows of the
picture too, as far as it can be written so.
"""

from __future__ import annotations

import operator
from itertools import accumulate
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from tracenet.rft.fx_nodes import refuse

aten = torch.ops.aten

# May return their very input, which their schemas do not say.
UNDECLARED_VIEWS = {
    aten.alpha_dropout.default,
    aten.channel_shuffle.default,
    aten.conj_physical.default,
    aten.dropout.default,
    aten.feature_alpha_dropout.default,
    aten.feature_dropout.default,
    aten.type_as.default,
}
_CUTS = {
    aten.chunk.default,
    aten.split.Tensor,
    aten.split.sizes,
    aten.split_with_sizes.default,
    aten.tensor_split.indices,
    aten.tensor_split.sections,
}
_EXTREMES = {aten.max.dim: aten.amax.default, aten.min.dim: aten.amin.default}
_EXPANSIONS = {aten.expand.default, aten.broadcast_to.default}
_RESIZES = {
    aten.upsample_nearest2d.vec,
    aten._upsample_nearest_exact2d.vec,
    aten.upsample_bicubic2d.vec,
    aten.upsample_bilinear2d.vec,
}


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


def take_items_one_by_one(graph: fx.Graph) -> None:
    """Replace operators with several results by one operator for every result that is used.

    Items of ``chunk``, ``split`` and their like become slices; the values (not the indices) of
    ``max`` and ``min`` along an axis become ``amax`` and ``amin``.
    """
    for item in graph.find_nodes(op="call_function", target=operator.getitem):
        source, index = item.args
        if source.target in _CUTS:
            dim = _argument(source, "dim")
            ends = list(accumulate(piece.shape[dim] for piece in source.meta["val"]))
            start = 0 if index == 0 else ends[index - 1]
            item.target = aten.slice.Tensor
            item.args = (source.args[0], dim, start, ends[index])
        elif source.target in _EXTREMES and index == 0:
            item.target = _EXTREMES[source.target]
            item.args = (source.args[0], [_argument(source, "dim")], _argument(source, "keepdim"))


def cut_from_the_ends(graph: fx.Graph) -> None:
    """Write slices and ``narrow`` with a start from the first cell and an end from the last.

    The result is the same, and the call then also holds for a window of the picture.
    """
    for fx_node in graph.find_nodes(op="call_function", target=aten.narrow.default):
        dim, start, length = (_argument(fx_node, name) for name in ("dim", "start", "length"))
        if isinstance(start, int):
            start %= fx_node.args[0].meta["val"].shape[dim]
            fx_node.target = aten.slice.Tensor
            fx_node.args = (fx_node.args[0], dim, start, start + length)
            fx_node.kwargs = {}
    for fx_node in graph.find_nodes(op="call_function", target=aten.slice.Tensor):
        dim, step = _argument(fx_node, "dim"), _argument(fx_node, "step")
        size = fx_node.args[0].meta["val"].shape[dim]
        limits = _argument(fx_node, "start"), _argument(fx_node, "end")
        if not all(limit is None or isinstance(limit, int) for limit in (size, *limits)):
            continue
        start, end, _ = slice(*limits).indices(size)
        fx_node.args = (fx_node.args[0], dim, start, None if end == size else end - size, step)
        fx_node.kwargs = {}


def expand_without_extents(graph: fx.Graph) -> None:
    """Leave out of ``expand`` the sizes that it does not change.

    The result is the same, and the call then also holds for a window of the picture.
    """
    for fx_node in graph.nodes:
        if fx_node.target not in _EXPANSIONS:
            continue
        source, size = fx_node.args
        before = source.meta["val"].shape
        if len(size) == len(before):
            kept = [-1 if new == old else new for new, old in zip(size, before, strict=True)]
            fx_node.target = aten.expand.default
            fx_node.args = (source, kept)


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


def _argument(fx_node: fx.Node, name: str) -> Any:
    """An argument by its name in the operator's schema, which may give its default."""
    assert isinstance(fx_node.target, OpOverload)
    for position, argument in enumerate(fx_node.target._schema.arguments):
        if argument.name == name:
            given = position < len(fx_node.args)
            default = argument.default_value
            return fx_node.args[position] if given else fx_node.kwargs.get(name, default)
    raise KeyError(name)


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
    if target is operator.getitem or target in UNDECLARED_VIEWS:
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
