"""Which nodes run together: a search over crop points by cost.

Every boundary between two pieces is a crop point. More of them mean smaller windows, hence fewer
multiply-adds, but more calls and copies. The search starts with a crop point at every operator that
does not work cell by cell, and then removes those that do not pay.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tracenet.rft import ConvGraph
from tracenet.rft.axis_maps import Unchanged
from tracenet_export.errors import PlanError
from tracenet_export.plan.piece import (
    BYTES_PER_VALUE,
    Piece,
    PlacedPiece,
    Spans,
    make_piece,
    place,
    place_whole,
    united,
)


@dataclass(frozen=True)
class CostModel:
    """What cuts cost besides the work, in multiply-adds.

    Attributes:
        per_call: of one program call.
        per_byte: of one byte that is cut out of an array. That an array is handed over instead of
            kept inside a program costs nothing measurable.
    """

    per_call: int
    per_byte: int

    def cost(self, macs: int, bytes_cut: int) -> float:
        """Of a call with this work that cuts so many bytes."""
        return macs + self.per_call + self.per_byte * bytes_cut


ONNX_RUNTIME = CostModel(per_call=4_000_000, per_byte=9)
"""50 us at 80 G/s, and 11 GB/s beside 100 G/s, as measured by ``tracenet-bench --cuts``."""


@dataclass(frozen=True)
class CropPoint:
    """An edge of the graph where a window is cut out, and what that buys.

    Attributes:
        node: what is cut.
        reader: the piece that reads the window, by its place in the phase.
        bytes: of the window.
        macs_saved: how many more multiply-adds the two pieces would take as one; for the picture,
            the piece that reads it on the whole picture; None where the two cannot be one.
    """

    node: str
    reader: int
    bytes: int
    macs_saved: int | None


@dataclass
class Partition:
    """Pieces of one phase, and what they are asked for.

    Attributes:
        graph: the graph that the pieces are parts of.
        regions: what is kept of every node (see `kept_regions`).
        external: windows that others (the answer, later phases) cut out of nodes.
        model: what cuts cost.
        pieces: by number.
        owner: node -> the piece that computes it.
        readers: node -> the pieces that cut a window out of it.
    """

    graph: ConvGraph
    regions: Mapping[str, Spans]
    external: Mapping[str, Spans]
    model: CostModel
    pieces: dict[int, PlacedPiece] = field(default_factory=dict)
    owner: dict[str, int] = field(default_factory=dict)
    readers: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    # Of the same nodes, which are tried again whenever a neighbour has changed.
    _made: dict[frozenset[str], Piece] = field(default_factory=dict, init=False)

    def add(self, number: int, placed: PlacedPiece) -> None:
        """Take in a piece whose nodes no other piece has."""
        self.pieces[number] = placed
        self.owner.update(dict.fromkeys(placed.piece.nodes, number))
        for source in placed.piece.sources:
            self.readers[source].add(number)

    def remove(self, number: int) -> None:
        """Give up a piece, for another to have its nodes."""
        for source in self.pieces.pop(number).piece.sources:
            self.readers[source].remove(number)

    def consumers(self, piece: int) -> set[int]:
        """Pieces that read what this one computes."""
        return set[int]().union(
            *(self.readers[node] for node in self.pieces[piece].piece.nodes if node in self.readers)
        )

    def producers(self, piece: int) -> set[int]:
        """Pieces that this one reads."""
        sources = self.pieces[piece].piece.sources
        return {self.owner[source] for source in sources if source in self.owner}

    def hulls(self, nodes: Iterable[str], without: frozenset[int]) -> dict[str, Spans]:
        """What is cut out of these nodes by others than the pieces ``without``."""
        hulls: dict[str, Spans] = {}
        for node in nodes:
            cuts = [self.external[node]] if node in self.external else []
            readers = self.readers.get(node, set()) - without
            cuts += [self.pieces[number].window(node) for number in sorted(readers)]
            if cuts:
                hulls[node] = united(cuts)
        return hulls

    def placed(self, nodes: Iterable[str], without: frozenset[int]) -> PlacedPiece:
        """A piece of these nodes, placed as the other pieces ask for it."""
        members = frozenset(nodes)
        if members not in self._made:
            self._made[members] = make_piece(self.graph, members)
        piece = self._made[members]
        return place(self.graph, piece, self.regions, self.hulls(piece.nodes, without))

    def cost(self, placed: PlacedPiece) -> float:
        """Multiply-adds, or what takes as long."""
        return self.model.cost(placed.macs(self.graph), placed.bytes_cut(self.graph))

    def reaches(self, start: int, goal: int, skip_direct: bool) -> bool:
        """Whether ``goal`` depends on ``start``, optionally by another way than directly."""
        stack = [n for n in self.consumers(start) if not (skip_direct and n == goal)]
        seen = set(stack)
        while stack:
            number = stack.pop()
            if number == goal:
                return True
            fresh = self.consumers(number) - seen
            seen |= fresh
            stack.extend(fresh)
        return False

    def in_order(self) -> list[int]:
        """The pieces' numbers, each after those it reads."""
        ordered: list[int] = []
        done: set[int] = set()

        def visit(number: int) -> None:
            if number not in done:
                done.add(number)
                for producer in sorted(self.producers(number)):
                    visit(producer)
                ordered.append(number)

        for number in sorted(self.pieces):
            visit(number)
        return ordered


def partition(
    graph: ConvGraph,
    nodes: Iterable[str],
    regions: Mapping[str, Spans],
    external: Mapping[str, Spans],
    cost: CostModel,
) -> tuple[list[PlacedPiece], list[CropPoint]]:
    """Divide nodes into pieces that cost least together, as far as merging pairs finds it.

    Args:
        graph: the graph of the nodes.
        nodes: what must be computed, without the graph's input.
        regions: what is kept of every node and of what they read, for every key cell.
        external: what is cut out of the nodes from outside.
        cost: what calls and cuts cost.

    Returns:
        Placed pieces, each after those it reads, and the crop points between them.

    Raises:
        PlanError: an operator has no fixed-size form.
    """
    wanted = set(nodes)
    ordered = [node for node in graph.nodes if node in wanted]
    search = Partition(graph, regions, external, cost)
    atoms = _atoms(graph, ordered)
    # Consumers first: what they cut decides the windows of what they read.
    for number, atom in reversed(list(enumerate(atoms))):
        search.add(number, search.placed(atom, frozenset()))
    _merge_what_pays(search)
    order = search.in_order()
    return [search.pieces[number] for number in order], _crop_points(search, order)


def _atoms(graph: ConvGraph, ordered: list[str]) -> list[list[str]]:
    """Operators, each with the cell-by-cell ones behind it: cutting before those buys nothing."""
    atoms: list[list[str]] = []
    atom_of: dict[str, list[str]] = {}
    for node in ordered:
        edges = graph.nodes[node].edges
        cell_by_cell = len(edges) == 1 and all(
            isinstance(m, Unchanged) for m in (edges[0].y, edges[0].x)
        )
        free = cell_by_cell and graph.nodes[node].macs_per_cell == 0
        if free and edges[0].source in atom_of:
            atom = atom_of[edges[0].source]
        else:
            atom = []
            atoms.append(atom)
        atom.append(node)
        atom_of[node] = atom
    return atoms


def _merge_what_pays(search: Partition) -> None:
    gains: dict[frozenset[int], tuple[float, PlacedPiece] | None] = {}
    while True:
        pairs = _pairs(search)
        for pair in pairs:
            if pair not in gains:
                gains[pair] = _gain(search, pair)
        best = max(
            ((pair, gain) for pair in pairs if (gain := gains[pair]) is not None),
            key=lambda item: item[1][0],
            default=None,
        )
        if best is None:
            return
        chosen, (_, merged) = best
        if _closes_circle(search, chosen):
            # Not when the gain was computed, but since a merge elsewhere.
            gains[chosen] = None
            continue
        changed = _replace(search, chosen, merged)
        touched = changed.union(*(search.consumers(n) | search.producers(n) for n in changed))
        gains = {pair: gain for pair, gain in gains.items() if not pair & (touched | chosen)}


def _closes_circle(search: Partition, pair: frozenset[int]) -> bool:
    """Whether one piece depends on the other by way of a third."""
    first, second = pair
    return search.reaches(first, second, True) or search.reaches(second, first, True)


def _pairs(search: Partition) -> list[frozenset[int]]:
    """Pieces next to each other, and pieces that read the same node."""
    pairs: dict[frozenset[int], None] = {}
    for source, numbers in search.readers.items():
        group = sorted(numbers) + ([search.owner[source]] if source in search.owner else [])
        for index, first in enumerate(group):
            for second in group[index + 1 :]:
                pairs[frozenset((first, second))] = None
    return list(pairs)


def _gain(search: Partition, pair: frozenset[int]) -> tuple[float, PlacedPiece] | None:
    """What merging two pieces saves, if it is possible and saves anything."""
    merged = _merged(search, pair)
    if merged is None:
        return None
    gain = sum(search.cost(search.pieces[number]) for number in pair) - search.cost(merged)
    return (gain, merged) if gain > 0 else None


def _merged(search: Partition, pair: frozenset[int]) -> PlacedPiece | None:
    """Two pieces as one, if that is possible."""
    if _closes_circle(search, pair):
        return None
    nodes = [node for number in pair for node in search.pieces[number].piece.nodes]
    try:
        return search.placed(nodes, pair)
    except PlanError:
        return None


def _replace(search: Partition, pair: frozenset[int], merged: PlacedPiece) -> set[int]:
    """Put a merged piece in the place of two; re-place what feeds it. Returns what changed."""
    number = min(pair)
    for old in pair:
        search.remove(old)
    search.add(number, merged)
    changed = {number}
    stack = sorted(search.producers(number))
    while stack:
        upstream = stack.pop()
        old_placement = search.pieces[upstream]
        hulls = search.hulls(old_placement.piece.nodes, frozenset())
        new = place(search.graph, old_placement.piece, search.regions, hulls)
        same = all(
            a.size == b.size and (a.origin == b.origin).all()
            for a, b in zip(new.placements, old_placement.placements, strict=True)
        )
        if not same:
            search.pieces[upstream] = new
            changed.add(upstream)
            stack.extend(sorted(search.producers(upstream)))
    return changed


def _crop_points(search: Partition, order: list[int]) -> list[CropPoint]:
    graph = search.graph
    points = []
    for place_in_order, number in enumerate(order):
        reader = search.pieces[number]
        for node in reader.piece.sources:
            cut = BYTES_PER_VALUE * graph.nodes[node].channels * math.prod(reader.size(node))
            points.append(CropPoint(node, place_in_order, cut, _macs_saved(search, node, number)))
    return points


def _macs_saved(search: Partition, node: str, number: int) -> int | None:
    reader = search.pieces[number]
    if node == search.graph.input_name:
        keys = len(reader.placements[0].origin), len(reader.placements[1].origin)
        return place_whole(reader.piece, keys).macs(search.graph) - reader.macs(search.graph)
    if node not in search.owner:
        return None
    pair = frozenset((search.owner[node], number))
    merged = _merged(search, pair)
    if merged is None:
        return None
    return merged.macs(search.graph) - sum(search.pieces[n].macs(search.graph) for n in pair)
