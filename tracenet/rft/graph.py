"""The captured network as a graph of spatial nodes, and the regions that its outputs need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from tracenet.rft.axis_maps import AxisMap
from tracenet.rft.errors import RegionError
from tracenet.rft.geometry import IntArray, Span
from tracenet.rft.operators.call import Call, RegionKernel

SpanPair = tuple[Span, Span]
"""Rows and columns of one node, in this order."""

Size = TypeVar("Size", int, IntArray)


@dataclass(frozen=True)
class Edge:
    """One spatial input of a node: which node it reads, and how, per axis."""

    source: str
    y: AxisMap
    x: AxisMap


@dataclass(frozen=True, eq=False)
class Operation:
    """What a node computes: ``call`` on whole tensors, ``kernel`` on rectangles."""

    call: Call
    kernel: RegionKernel


@dataclass(frozen=True, eq=False)
class Node:
    """One tensor N x C x H x W of the graph.

    Attributes:
        operator: the ATen operator such as ``aten.conv2d.default``; ``input`` for the picture.
        edges: one per spatial input, in the order of the operator's arguments.
        extent: (H, W).
        macs_per_cell: multiply-adds of applying the operator once, all channels and the example's
            batch; for one output cell, or one input cell of a transposed convolution (see `macs`).
        module_path: such as ``backbone.layer1.0.conv1``; ``""`` if unknown.
        operation: None for the picture.
    """

    name: str
    operator: str
    edges: tuple[Edge, ...]
    extent: tuple[int, int]
    channels: int
    macs_per_cell: int
    module_path: str
    fx_node: torch.fx.Node
    operation: Operation | None

    def macs(self, output_size: tuple[Size, Size], input_size: tuple[Size, Size]) -> Size:
        """Multiply-adds of computing so many cells of it from so many of its first input.

        Args:
            output_size: height and width, as numbers or one per tap and axis.
            input_size: the same for the first edge's source.
        """
        per_input_cell = any(edge.y.applied_per_input_cell for edge in self.edges)
        rows, columns = input_size if per_input_cell else output_size
        return self.macs_per_cell * rows * columns


@dataclass(frozen=True, eq=False)
class ConvGraph:
    """A purely convolutional network.

    Attributes:
        nodes: by name, in topological order.
        input_name: the node that is the picture.
        outputs: output name -> node name.
        input_shape, input_dtype: of the example that the graph was captured with.
        fx_graph: the functional ATen graph that the nodes come from.
        constants: tensors of the fx nodes that do not depend on the picture (parameters and
            what is computed from them), by fx node name.
    """

    nodes: dict[str, Node]
    input_name: str
    outputs: dict[str, str]
    input_shape: tuple[int, int, int, int]
    input_dtype: torch.dtype
    fx_graph: torch.fx.Graph
    constants: dict[str, torch.Tensor]

    @property
    def full_macs(self) -> int:
        """Multiply-adds of every output over its whole extent."""
        return sum(map(self.node_macs, self.nodes))

    def node_macs(self, name: str) -> int:
        """Multiply-adds of one node over its whole extent."""
        node = self.nodes[name]
        return sum(node.macs(node.extent, self.nodes[e.source].extent) for e in node.edges[:1])

    def regions(self, wanted: Mapping[str, SpanPair]) -> dict[str, SpanPair]:
        """What must be known at each node to have the wanted parts of the outputs.

        Args:
            wanted: output name -> rows and columns, one interval per tap and axis; rows and
                columns need not have the same shape.

        Returns:
            node name -> rows and columns, clipped to the node's extent; where several
            consumers meet, the smallest rectangle that covers what each of them needs. Nodes
            that are not needed are absent.

        Raises:
            RegionError: nothing wanted, an unknown output name, an empty interval, or one
                outside the extent.
        """
        if not wanted:
            raise RegionError(f"nothing is wanted; ask for some of {sorted(self.outputs)}")
        regions: dict[str, SpanPair] = {}

        def unite(name: str, y: Span, x: Span) -> None:
            held = regions.get(name)
            regions[name] = (y, x) if held is None else (held[0].union(y), held[1].union(x))

        for output, (y, x) in wanted.items():
            self._check_wanted(output, y, x)
            unite(self.outputs[output], y, x)
        for name in reversed(self.post_order(list(regions))):
            y, x = regions[name]
            for edge in self.nodes[name].edges:
                height, width = self.nodes[edge.source].extent
                unite(edge.source, edge.y.needs(y).clip(height), edge.x.needs(x).clip(width))
        return regions

    def post_order(self, roots: Iterable[str]) -> list[str]:
        """The nodes that ``roots`` depend on, each after all of its inputs, roots included."""
        finished: dict[str, None] = {}
        stack = [(root, False) for root in roots]
        while stack:
            name, inputs_finished = stack.pop()
            if inputs_finished:
                finished[name] = None
            elif name not in finished:
                stack.append((name, True))
                stack.extend((edge.source, False) for edge in self.nodes[name].edges)
        return list(finished)

    def _check_wanted(self, output: str, y: Span, x: Span) -> None:
        if output not in self.outputs:
            raise RegionError(
                f"there is no output {output!r}; ask for one of {sorted(self.outputs)}"
            )
        extent = self.nodes[self.outputs[output]].extent
        for axis, span, size in (("rows", y, extent[0]), ("columns", x, extent[1])):
            if np.any(span.lo >= span.hi):
                raise RegionError(
                    f"the wanted {axis} of {output!r} are empty; intervals are half-open, so "
                    "one cell is [i, i + 1)"
                )
            if np.any(span.lo < 0) or np.any(span.hi > size):
                raise RegionError(
                    f"the wanted {axis} [{np.min(span.lo)}, {np.max(span.hi)}) of {output!r} "
                    f"leave its extent [0, {size}); clip them to it"
                )
