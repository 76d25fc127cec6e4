"""A captured network on a picture of another size, without capturing it again."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tracenet.rft.errors import TracerError
from tracenet.rft.fx_nodes import read_node
from tracenet.rft.graph import ConvGraph, Node
from tracenet.rft.operators.call import Call, SpatialInput


@torch.no_grad()
def resized(graph: ConvGraph, height: int, width: int) -> ConvGraph:
    """What `capture` gives for a picture of this size, in a small part of its time.

    The module must do the same with pictures of both sizes, and no call may keep the captured one:
    a resize to a given size whose factor is not exact, for instance.

    Raises:
        TracerError: an operator does not run on such a picture.
    """
    shape = (*graph.input_shape[:2], height, width)
    tensors = {graph.input_name: torch.empty(shape, dtype=graph.input_dtype, device="meta")}
    nodes: dict[str, Node] = {}
    for name, node in graph.nodes.items():
        if node.operation is None:
            nodes[name] = dataclasses.replace(node, extent=(height, width))
            continue
        call = node.operation.call
        try:
            result = _without_values(call).run([tensors[edge.source] for edge in node.edges])
        except RuntimeError as error:
            raise TracerError(
                f"{node.operator} in {node.module_path or 'the network'} does not run on a "
                f"picture of {height} x {width}; give a larger one"
            ) from error
        tensors[name] = result
        nodes[name] = read_node(node.fx_node, _with_extents(call, nodes, tuple(result.shape)))
    return dataclasses.replace(graph, nodes=nodes, input_shape=shape)


def _without_values(call: Call) -> Call:
    """The call with parameters that have a shape and nothing else."""

    def emptied(leaf: Any) -> Any:
        return leaf.to("meta") if isinstance(leaf, Tensor) else leaf

    return dataclasses.replace(call, arguments=pytree.tree_map(emptied, call.arguments))


def _with_extents(call: Call, nodes: dict[str, Node], shape: tuple[int, ...]) -> Call:
    """The call with the extents of its inputs among ``nodes``, and its output's shape."""

    def placed(leaf: Any) -> Any:
        if not isinstance(leaf, SpatialInput):
            return leaf
        return dataclasses.replace(leaf, extent=nodes[leaf.node].extent)

    arguments = pytree.tree_map(placed, call.arguments)
    return dataclasses.replace(call, arguments=arguments, shape=shape)
