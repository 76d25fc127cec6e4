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
from tracenet_export.plan.piece import PlacedPiece, Spans, make_piece, place

MACS_PER_CALL = 2_000_000
"""What one program call costs besides its work, in multiply-adds (about 50 us at 40 G/s)."""

MACS_PER_BYTE = 10
"""What one byte that is cut out of an array or handed over costs (about 4 GB/s at 40 G/s)."""

BYTES_PER_VALUE = 4


@dataclass
class Partition:
    """Pieces of one phase, and what they are asked for.

    Attributes:
        graph: the graph that the pieces are parts of.
        regions: every node's exact region.
        external: windows that others (the answer, later phases) cut out of nodes.
    """

    graph: ConvGraph
    regions: Mapping[str, Spans]
    external: Mapping[str, Spans]
    pieces: dict[int, PlacedPiece] = field(default_factory=dict)
    owner: dict[str, int] = field(default_factory=dict)

    def consumers(self, piece: int) -> set[int]:
        """Pieces that read what this one computes."""
        return {
            other for other, placed in self.pieces.items()
            if any(self.owner.get(source) == piece for source in placed.piece.sources)
        }  # fmt: skip

    def producers(self, piece: int) -> set[int]:
        """Pieces that this one reads."""
        sources = self.pieces[piece].piece.sources
        return {self.owner[source] for source in sources if source in self.owner}

    def hulls(self, nodes: Iterable[str], without: frozenset[int]) -> dict[str, Spans]:
        """What is cut out of these nodes by others than the pieces ``without``."""
        wanted = set(nodes)
        hulls = {node: spans for node, spans in self.external.items() if node in wanted}
        for number, placed in self.pieces.items():
            if number in without:
                continue
            for source in placed.piece.sources:
                if source in wanted:
                    (y, x), held = placed.window(source), hulls.get(source)
                    hulls[source] = (y, x) if held is None else (held[0].union(y), held[1].union(x))
        return hulls

    def placed(self, nodes: Iterable[str], without: frozenset[int]) -> PlacedPiece:
        """A piece of these nodes, placed as the other pieces ask for it."""
        piece = make_piece(self.graph, nodes)
        return place(self.graph, piece, self.regions, self.hulls(piece.nodes, without))

    def cost(self, placed: PlacedPiece, internal: frozenset[int] = frozenset()) -> float:
        """Multiply-adds, or what takes as long.

        Args:
            placed: the piece.
            internal: pieces that it replaces, whose reading of its nodes is no hand-over.
        """
        inside = set(placed.piece.nodes)
        handed_over = set(placed.piece.sources) | {n for n in self.external if n in inside}
        for number, other in self.pieces.items():
            if number not in internal:
                handed_over.update(s for s in other.piece.sources if s in inside)
        values = sum(
            self.graph.nodes[node].channels * math.prod(placed.size(node)) for node in handed_over
        )
        return placed.macs(self.graph) + MACS_PER_CALL + MACS_PER_BYTE * BYTES_PER_VALUE * values

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

    def in_order(self) -> list[PlacedPiece]:
        """The pieces, each after those it reads."""
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
        return [self.pieces[number] for number in ordered]


def partition(
    graph: ConvGraph,
    nodes: Iterable[str],
    regions: Mapping[str, Spans],
    external: Mapping[str, Spans],
) -> list[PlacedPiece]:
    """Divide nodes into pieces that cost least together, as far as merging pairs finds it.

    Args:
        graph: the graph of the nodes.
        nodes: what must be computed, without the graph's input.
        regions: every node's exact region, for every key cell.
        external: what is cut out of the nodes from outside.

    Returns:
        Placed pieces, each after those it reads.

    Raises:
        PlanError: an operator has no fixed-size form.
    """
    wanted = set(nodes)
    ordered = [node for node in graph.nodes if node in wanted]
    search = Partition(graph, regions, external)
    atoms = _atoms(graph, ordered)
    # Consumers first: what they cut decides the windows of what they read.
    for number, atom in reversed(list(enumerate(atoms))):
        search.pieces[number] = search.placed(atom, frozenset())
        search.owner.update(dict.fromkeys(atom, number))
    _merge_what_pays(search)
    return search.in_order()


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
    readers: dict[str, list[int]] = defaultdict(list)
    for number, placed in sorted(search.pieces.items()):
        for source in placed.piece.sources:
            readers[source].append(number)
    pairs: dict[frozenset[int], None] = {}
    for source, numbers in readers.items():
        group = numbers + ([search.owner[source]] if source in search.owner else [])
        for index, first in enumerate(group):
            for second in group[index + 1 :]:
                pairs[frozenset((first, second))] = None
    return list(pairs)


def _gain(search: Partition, pair: frozenset[int]) -> tuple[float, PlacedPiece] | None:
    """What merging two pieces saves, if it is possible and saves anything."""
    if _closes_circle(search, pair):
        return None
    nodes = [node for number in pair for node in search.pieces[number].piece.nodes]
    try:
        merged = search.placed(nodes, pair)
    except PlanError:
        return None
    apart = sum(search.cost(search.pieces[number]) for number in pair)
    gain = apart - search.cost(merged, pair)
    return (gain, merged) if gain > 0 else None


def _replace(search: Partition, pair: frozenset[int], merged: PlacedPiece) -> set[int]:
    """Put a merged piece in the place of two; re-place what feeds it. Returns what changed."""
    number = min(pair)
    for old in pair:
        del search.pieces[old]
    search.pieces[number] = merged
    search.owner.update(dict.fromkeys(merged.piece.nodes, number))
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
