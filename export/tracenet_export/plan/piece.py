"""Pieces: the parts of a graph that run as one program, and the windows they run on.

A piece runs its nodes, with their ordinary padding, on windows of fixed size. All windows of a
piece follow from one *frame* per axis: with ``o`` the frame's origin and ``q`` its size, the window
of node ``n`` is ``[step[n] * o, step[n] * (o + q) + offset[n])`` in cells of that node. ``step`` is
the node's resolution relative to the coarsest common unit of the piece, so that every stride keeps
its phase; ``offset`` is what the node's extent has beyond a multiple of it (an odd extent, a
convolution without padding). With ``q`` the frame's whole extent the windows are the whole extents.

A piece computes the wanted cells exactly for a tap when, for every node, the window contains the
node's exact region: padding inside the picture never reaches a region, and where a region touches
the picture's border so does the window, whose padding is then the true one. With windows that keep
less than that (``plan/halo.py``) padding inside the picture stands in for what they lack.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tracenet.rft import ConvGraph, Edge, Span
from tracenet.rft.axis_maps import AxisMap, ReflectPad
from tracenet_export.errors import PlanError

Spans = tuple[Span, Span]
"""An interval per axis (y, x) and per key cell of that axis."""

AXES = (0, 1)

BYTES_PER_VALUE = 4


@dataclass(frozen=True)
class Frame:
    """One axis of a piece: see the module's documentation.

    Attributes:
        extent: the frame's size when every window is the whole extent.
        smallest: the least size at which every operator can run at all.
        step, offset: per node, inputs included.
    """

    extent: int
    smallest: int
    step: Mapping[str, int]
    offset: Mapping[str, int]

    def window(self, node: str, placement: AxisPlacement) -> Span:
        """The node's window for every key cell."""
        lo = self.step[node] * placement.origin
        return Span(lo, lo + self.size(node, placement.size))

    def size(self, node: str, frame_size: int) -> int:
        """Cells of the node's window."""
        return self.step[node] * frame_size + self.offset[node]


@dataclass(frozen=True)
class AxisPlacement:
    """Where a frame lies: its origin for every key cell, int64 K, and its one size."""

    origin: np.ndarray
    size: int


@dataclass(frozen=True)
class Piece:
    """Nodes that run as one program.

    Attributes:
        nodes: in topological order.
        sources: nodes outside the piece that it reads; one window is cut out of each.
        frames: y and x.
    """

    nodes: tuple[str, ...]
    sources: tuple[str, ...]
    frames: tuple[Frame, Frame]

    @property
    def members(self) -> tuple[str, ...]:
        """Sources and nodes: everything that has a window."""
        return self.sources + self.nodes


@dataclass(frozen=True)
class PlacedPiece:
    """A piece and where its frames lie."""

    piece: Piece
    placements: tuple[AxisPlacement, AxisPlacement]

    def window(self, node: str) -> Spans:
        """A member's window (y, x) for every key cell."""
        y, x = (
            frame.window(node, placement)
            for frame, placement in zip(self.piece.frames, self.placements, strict=True)
        )
        return y, x

    def size(self, node: str) -> tuple[int, int]:
        """A member's window in cells (height, width)."""
        height, width = (
            frame.size(node, placement.size)
            for frame, placement in zip(self.piece.frames, self.placements, strict=True)
        )
        return height, width

    def macs(self, graph: ConvGraph) -> int:
        """Multiply-adds of one run."""
        return sum(self.node_macs(graph, node) for node in self.piece.nodes)

    def node_macs(self, graph: ConvGraph, node: str) -> int:
        """Multiply-adds of one node in one run."""
        known = graph.nodes[node]
        return known.macs(self.size(node), self.size(known.edges[0].source))

    def bytes_cut(self, graph: ConvGraph) -> int:
        """Bytes of the windows that are cut out for one run."""
        return sum(
            BYTES_PER_VALUE * graph.nodes[source].channels * math.prod(self.size(source))
            for source in self.piece.sources
        )


def computed_by(pieces: Iterable[PlacedPiece]) -> set[str]:
    """The nodes that pieces compute."""
    return {node for placed in pieces for node in placed.piece.nodes}


def united(spans: Sequence[Spans]) -> Spans:
    """The smallest intervals that cover all, key cell by key cell."""
    y, x = spans[0]
    for other_y, other_x in spans[1:]:
        y, x = y.union(other_y), x.union(other_x)
    return y, x


def add_spans(held: dict[str, Spans], node: str, spans: Spans) -> None:
    """Widen what is held of a node so that it covers these intervals too."""
    held[node] = united([held[node], spans]) if node in held else spans


def make_piece(graph: ConvGraph, nodes: Iterable[str]) -> Piece:
    """The piece of these nodes, which must be connected.

    Raises:
        PlanError: an operator has no fixed-size form, or the nodes do not fit into one frame.
    """
    inside = set(nodes)
    ordered = tuple(node for node in graph.nodes if node in inside)
    sources = tuple(
        dict.fromkeys(
            edge.source
            for node in ordered
            for edge in graph.nodes[node].edges
            if edge.source not in inside
        )
    )
    y, x = (_frame(graph, ordered, sources, axis) for axis in AXES)
    return Piece(ordered, sources, (y, x))


def place(
    graph: ConvGraph,
    piece: Piece,
    regions: Mapping[str, Spans],
    hulls: Mapping[str, Spans],
) -> PlacedPiece:
    """The smallest frames that hold what is wanted of a piece for every key cell.

    Args:
        graph: the graph of the piece.
        piece: what to place.
        regions: what is kept of every node, sources included (see `kept_regions`).
        hulls: what later pieces cut out of this one's nodes, where they do.
    """
    y, x = (_place_axis(graph, piece, regions, hulls, axis) for axis in AXES)
    return PlacedPiece(piece, (y, x))


def place_whole(piece: Piece, keys: tuple[int, int]) -> PlacedPiece:
    """A piece on the whole extents, for this many key cells along y and x."""
    y, x = (
        AxisPlacement(np.zeros(count, np.int64), frame.extent)
        for count, frame in zip(keys, piece.frames, strict=True)
    )
    return PlacedPiece(piece, (y, x))


def axis_map(edge: Edge, axis: int) -> AxisMap:
    """The edge's map along y (0) or x (1)."""
    return edge.x if axis else edge.y


def source_needs(
    graph: ConvGraph, piece: Piece, regions: Mapping[str, Spans], axis: int
) -> dict[str, Span]:
    """The part of each source that the piece's regions read, as far as it is kept."""
    needs: dict[str, Span] = {}
    for node in piece.nodes:
        for edge in graph.nodes[node].edges:
            if edge.source in piece.sources:
                need = axis_map(edge, axis).needs(regions[node][axis])
                need = need.clip(graph.nodes[edge.source].extent[axis])
                need = need.within(regions[edge.source][axis])
                held = needs.get(edge.source)
                needs[edge.source] = need if held is None else held.union(need)
    return needs


def frame_span(
    graph: ConvGraph,
    piece: Piece,
    regions: Mapping[str, Spans],
    hulls: Mapping[str, Spans],
    axis: int,
) -> Span:
    """The part of a piece's frame that is wanted, for every key cell; see :func:`place`."""
    frame = piece.frames[axis]
    wanted = [(node, regions[node][axis]) for node in piece.nodes]
    wanted += source_needs(graph, piece, regions, axis).items()
    wanted += [(node, hulls[node][axis]) for node in piece.nodes if node in hulls]
    return Span(
        np.minimum.reduce([span.lo // frame.step[node] for node, span in wanted]),
        np.maximum.reduce(
            [-((frame.offset[node] - span.hi) // frame.step[node]) for node, span in wanted]
        ),
    )


def _place_axis(
    graph: ConvGraph,
    piece: Piece,
    regions: Mapping[str, Spans],
    hulls: Mapping[str, Spans],
    axis: int,
) -> AxisPlacement:
    frame = piece.frames[axis]
    span = frame_span(graph, piece, regions, hulls, axis)
    size = min(frame.extent, max(int(span.size.max()), frame.smallest))
    return AxisPlacement(np.clip(span.lo, 0, frame.extent - size), size)


def _frame(graph: ConvGraph, nodes: tuple[str, ...], sources: tuple[str, ...], axis: int) -> Frame:
    scale = _relative_scales(graph, nodes, axis)
    denominator = math.lcm(*(value.denominator for value in scale.values()))
    steps = {member: int(value * denominator) for member, value in scale.items()}
    divisor = math.gcd(*steps.values())
    steps = {member: step // divisor for member, step in steps.items()}
    extents = {member: graph.nodes[member].extent[axis] for member in steps}
    extent = min(extents[source] // steps[source] for source in sources)
    if extent < 1:
        coarsest = max(sources, key=lambda source: steps[source] / extents[source])
        raise PlanError(
            f"{coarsest} has {extents[coarsest]} cells, fewer than the {steps[coarsest]} that one "
            "step of the coarsest layer takes; use a larger canvas"
        )
    offset = {member: extents[member] - step * extent for member, step in steps.items()}
    # Every window needs a cell, and a reflection needs more cells than it mirrors.
    least = dict.fromkeys(steps, 1)
    for node in nodes:
        for edge in graph.nodes[node].edges:
            mapped = axis_map(edge, axis)
            if isinstance(mapped, ReflectPad):
                least[edge.source] = max(least[edge.source], mapped.before + 1, mapped.after + 1)
    smallest = max(-((offset[member] - count) // steps[member]) for member, count in least.items())
    return Frame(extent, smallest, steps, offset)


def _relative_scales(graph: ConvGraph, nodes: tuple[str, ...], axis: int) -> dict[str, Fraction]:
    """Every member's resolution relative to the first node's."""
    inside = set(nodes)
    neighbours: dict[str, list[tuple[str, Fraction]]] = {}
    for node in nodes:
        for edge in graph.nodes[node].edges:
            mapped = axis_map(edge, axis)
            if mapped.fixed_form is not None:
                raise PlanError(
                    f"{node} ({graph.nodes[node].operator}) cannot run on windows of a fixed "
                    f"size: {mapped.fixed_form}; use the dynamic form, `ReceptiveFieldTracer`"
                )
            neighbours.setdefault(edge.source, []).append((node, mapped.ratio))
            neighbours.setdefault(node, []).append((edge.source, 1 / mapped.ratio))
    scale = {nodes[0]: Fraction(1)}
    queue = [nodes[0]]
    while queue:
        member = queue.pop()
        for other, ratio in neighbours.get(member, []):
            value = scale[member] * ratio
            if other not in scale:
                scale[other] = value
                queue.append(other)
            elif scale[other] != value:
                raise PlanError(
                    f"{other} is reached at two resolutions ({scale[other]} and {value} of "
                    f"{nodes[0]}), which no window of a fixed size serves exactly"
                )
    missing = inside - set(scale)
    if missing:
        raise PlanError(f"the piece of {nodes[0]} and {min(missing)} is not connected")
    return scale
