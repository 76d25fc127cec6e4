"""Views of the captured graph: which of them only move the channels, proved by running them.

Some networks leave N x C x H x W for a while. ConvNeXt permutes to N x H x W x C and back;
ShuffleNet splits the channels into groups with views and transposes them. Both are chains of
operators that move values and change none, so a chain is run once on a tensor of indices, and what
it did is read off the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload

from tracenet.rft.fx_nodes import refuse
from tracenet.rft.operators.refused import MIXED_LAYOUTS

aten = torch.ops.aten

_MOVES = {
    aten.channel_shuffle.default,
    aten.flatten.using_ints,
    aten.moveaxis.int,
    aten.moveaxis.intlist,
    aten.movedim.int,
    aten.movedim.intlist,
    aten.permute.default,
    aten.reshape.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.swapaxes.default,
    aten.swapdims.default,
    aten.transpose.int,
    aten.unflatten.int,
    aten.unsqueeze.default,
    aten.view.default,
}
_COPIES = {aten.alias.default, aten.clone.default, aten.contiguous.default, aten.detach.default}

# An index tensor need not have the strides with which a view was captured.
_IN_ANY_MEMORY: dict[Any, OpOverload] = {aten.view.default: aten.reshape.default}


@dataclass(frozen=True)
class _Moved:
    """Values of ``source``, elsewhere.

    Attributes:
        source: a node that is N C H W or N H W C.
        numbers: its values numbered, as N x C x H x W.
        indices: of the values that a node returns, their numbers.
    """

    source: fx.Node
    numbers: Tensor
    indices: Tensor

    def channels(self, channels_last: bool) -> Tensor | None:
        """Which channels of the source these are, if all rows and columns are in their places."""
        if self.indices.dim() != 4:
            return None
        found = self.indices.permute(_axes_of_nchw(channels_last))
        if found.shape != self.numbers.shape:
            return None
        cells = found.shape[2] * found.shape[3]
        channels = found[0, :, 0, 0] // cells % found.shape[1]
        return channels if torch.equal(found, self.numbers[:, channels]) else None


def resolve_moves(graph: fx.Graph, picture: str) -> frozenset[fx.Node]:
    """Replace views that only permute channels, or put them last or second again.

    What such a view returns is its source, or an ``index_select`` of its source's channels. Views
    that do anything else stay, and have no rule.

    Args:
        graph: whose nodes are replaced.
        picture: name of its node; only what depends on it is looked at.

    Returns:
        The nodes that are N x H x W x C.

    Raises:
        UnsupportedOperator: an operator takes both layouts at once.
    """
    moves = _Moves()
    for fx_node in graph.nodes:
        if fx_node.name == picture:
            moves.channels_last[fx_node] = False
        moves.visit(fx_node)
    return frozenset(fx_node for fx_node, last in moves.channels_last.items() if last)


class _Moves:
    """Goes through the graph and keeps what is known of each node so far.

    Attributes:
        channels_last: of every node that is N C H W or N H W C, which of the two it is.
        pending: views that are neither, or not yet.
    """

    def __init__(self) -> None:
        self.channels_last: dict[fx.Node, bool] = {}
        self.pending: dict[fx.Node, _Moved] = {}

    def visit(self, fx_node: fx.Node) -> None:
        """Find the node's layout, or what it moved; call it for the nodes in their order."""
        sources = fx_node.all_input_nodes
        layouts = {self.channels_last[node] for node in sources if node in self.channels_last}
        if len(layouts) > 1:
            raise refuse(fx_node, *MIXED_LAYOUTS)
        if len(sources) == 1 and sources[0] in self.pending:
            if fx_node.target in _MOVES | _COPIES:
                self._follow(fx_node, self.pending[sources[0]])
        elif layouts and fx_node.target in _MOVES:
            self._follow(fx_node, self._unmoved(sources[0]))
        elif layouts and _is_four_dimensional(fx_node):
            (self.channels_last[fx_node],) = layouts

    def _unmoved(self, source: fx.Node) -> _Moved:
        last = self.channels_last[source]
        shape = source.meta["val"].shape
        batch, channels, height, width = (shape[axis] for axis in _axes_of_nchw(last))
        indices = torch.arange(shape.numel()).reshape(batch, channels, height, width)
        return _Moved(source, indices, indices.permute(0, 2, 3, 1) if last else indices)

    def _follow(self, fx_node: fx.Node, start: _Moved) -> None:
        """Move the indices as the node does; replace the node if it is back in some layout."""
        moved = replace(start, indices=_move(fx_node, start.indices))
        for last in (False, True):
            channels = moved.channels(last)
            if channels is not None:
                _select_channels(fx_node, moved.source, self.channels_last[moved.source], channels)
                self.channels_last[fx_node] = last
                return
        self.pending[fx_node] = moved


def _axes_of_nchw(channels_last: bool) -> tuple[int, int, int, int]:
    return (0, 3, 1, 2) if channels_last else (0, 1, 2, 3)


def _is_four_dimensional(fx_node: fx.Node) -> bool:
    value = fx_node.meta.get("val")
    return isinstance(value, Tensor) and value.dim() == 4


def _move(fx_node: fx.Node, indices: Tensor) -> Tensor:
    if fx_node.target in _COPIES:
        return indices
    target = _IN_ANY_MEMORY.get(fx_node.target, fx_node.target)
    args, kwargs = fx.map_arg((fx_node.args, fx_node.kwargs), lambda _: indices)
    assert isinstance(target, OpOverload)
    result: Tensor = target(*args, **kwargs)
    return result


def _select_channels(
    fx_node: fx.Node, source: fx.Node, source_channels_last: bool, channels: Tensor
) -> None:
    """Make the node return these channels of the source, in this order."""
    fx_node.kwargs = {}
    if torch.equal(channels, torch.arange(len(channels))):
        fx_node.target, fx_node.args = aten.alias.default, (source,)
    else:
        axis = 3 if source_channels_last else 1
        # The nodes of fx take any value as an argument, whatever the annotation says.
        arguments: tuple[Any, ...] = (source, axis, channels)
        fx_node.target, fx_node.args = aten.index_select.default, arguments
