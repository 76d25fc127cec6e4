"""From what is wanted at a tap to placed pieces: a query, and alternatives that follow it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tracenet.rft import ConvGraph
from tracenet_export.errors import PlanError
from tracenet_export.plan.partition import partition
from tracenet_export.plan.piece import AXES, PlacedPiece, Spans, axis_map

Wanted = Mapping[str, Spans]
"""Output name -> rows and columns wanted of it, for every key cell."""


@dataclass(frozen=True)
class Plan:
    """Everything that runs for a tap.

    Attributes:
        graph: the network.
        query: runs first, in this order.
        alternatives: by name; one of them may follow the query and use its arrays.
        wanted_query, wanted_alternatives: what was asked for.
    """

    graph: ConvGraph
    query: tuple[PlacedPiece, ...]
    alternatives: Mapping[str, tuple[PlacedPiece, ...]]
    wanted_query: Wanted
    wanted_alternatives: Mapping[str, Wanted]

    @property
    def query_macs(self) -> int:
        """Multiply-adds of the query."""
        return sum(piece.macs(self.graph) for piece in self.query)

    def alternative_macs(self, name: str) -> int:
        """Multiply-adds of one alternative, the query not included."""
        return sum(piece.macs(self.graph) for piece in self.alternatives[name])

    @property
    def input_window(self) -> tuple[int, int]:
        """Height and width of the largest window that is cut out of the picture."""
        sizes = [
            piece.size(self.graph.input_name)
            for piece in (*self.query, *(p for a in self.alternatives.values() for p in a))
            if self.graph.input_name in piece.piece.sources
        ]
        height, width = (max(size[axis] for size in sizes) for axis in AXES)
        return height, width


def make_plan(
    graph: ConvGraph, query: Wanted, alternatives: Mapping[str, Wanted] | None = None
) -> Plan:
    """Plan a query and its alternatives, and prove that they are exact for every key cell.

    Nodes that the query and all alternatives need are computed once, by the query, where that
    costs less than computing each one's part by itself.

    Args:
        graph: the network.
        query: what the query wants.
        alternatives: what each alternative wants besides.

    Raises:
        PlanError: no windows of a fixed size serve this exactly.
    """
    alternatives = alternatives or {}
    query_regions = graph.regions(query)
    regions_of = {name: graph.regions(wanted) for name, wanted in alternatives.items()}
    shared = _worth_sharing(graph, query_regions, list(regions_of.values()))

    first_regions = {
        node: _united([spans, *(r[node] for r in regions_of.values() if node in shared)])
        for node, spans in query_regions.items()
    }
    external: dict[str, Spans] = {graph.outputs[name]: spans for name, spans in query.items()}
    placed_alternatives = {}
    for name, regions in regions_of.items():
        own = [node for node in regions if node not in shared]
        wanted = {graph.outputs[output]: spans for output, spans in alternatives[name].items()}
        pieces = partition(graph, own, regions, wanted)
        placed_alternatives[name] = tuple(pieces)
        for piece in pieces:
            for source in set(piece.piece.sources) & shared - {graph.input_name}:
                held = [external[source]] if source in external else []
                external[source] = _united([*held, piece.window(source)])
    first = [node for node in query_regions if node != graph.input_name]
    plan = Plan(
        graph,
        tuple(partition(graph, first, first_regions, external)),
        placed_alternatives,
        query,
        alternatives,
    )
    check_plan(plan)
    return plan


def _worth_sharing(
    graph: ConvGraph, query: Mapping[str, Spans], alternatives: Sequence[Mapping[str, Spans]]
) -> set[str]:
    """Nodes that the query computes for its alternatives too; always the picture itself."""
    shared = {graph.input_name}
    if not alternatives:
        return shared
    for name, node in graph.nodes.items():
        everywhere = name in query and all(name in regions for regions in alternatives)
        if not everywhere or not all(edge.source in shared for edge in node.edges):
            continue
        apart = [_largest_area(regions[name]) for regions in (query, *alternatives)]
        together = _largest_area(_united([query[name], *(r[name] for r in alternatives)]))
        if together <= apart[0] + sum(apart[1:]) / len(alternatives):
            shared.add(name)
    return shared


def _largest_area(spans: Spans) -> int:
    return math.prod(int(span.size.max()) for span in spans)


def _united(spans: Sequence[Spans]) -> Spans:
    y, x = spans[0]
    for other_y, other_x in spans[1:]:
        y, x = y.union(other_y), x.union(other_x)
    return y, x


def check_plan(plan: Plan) -> None:
    """Check for every key cell that a plan is exact; nothing is sampled.

    Every window lies within its node's extent and within the array it is cut from; it contains
    everything that its piece's wanted cells depend on, followed backwards from what is asked of
    the plan; the inputs of every operator share one phase and, where they meet, one window.

    Raises:
        PlanError: it is not, which is a defect of the planner.
    """
    query_demand = _check_outputs(plan, plan.query, plan.wanted_query)
    demands = [query_demand]
    for name, pieces in plan.alternatives.items():
        demand = _check_outputs(plan, pieces, plan.wanted_alternatives[name])
        demands.append(_check_pieces(plan, pieces, demand))
    _check_pieces(plan, plan.query, _united_demands(demands))
    for name, pieces in plan.alternatives.items():
        _check_cuts(plan, (*plan.query, *pieces), name)


def _check_outputs(plan: Plan, pieces: Sequence[PlacedPiece], wanted: Wanted) -> dict[str, Spans]:
    computed = {node for piece in (*plan.query, *pieces) for node in piece.piece.nodes}
    computed.add(plan.graph.input_name)
    demand: dict[str, Spans] = {}
    for output, spans in wanted.items():
        node = plan.graph.outputs[output]
        if node not in computed:
            raise PlanError(f"no piece computes {output}")
        demand[node] = spans if node not in demand else _united([demand[node], spans])
    return demand


def _united_demands(demands: Sequence[Mapping[str, Spans]]) -> dict[str, Spans]:
    united: dict[str, Spans] = {}
    for demand in demands:
        for node, spans in demand.items():
            united[node] = _united([united[node], spans]) if node in united else spans
    return united


def _check_pieces(
    plan: Plan, pieces: Sequence[PlacedPiece], demand: Mapping[str, Spans]
) -> dict[str, Spans]:
    """Follow a demand backwards through pieces; returns what is left for earlier ones."""
    graph, left = plan.graph, dict(demand)
    for placed in reversed(pieces):
        for node in reversed(placed.piece.nodes):
            wanted = left.pop(node, None)
            if wanted is None:
                raise PlanError(f"{node} is computed but nothing needs it")
            _check_window(plan, placed, node, wanted)
            for edge in graph.nodes[node].edges:
                need: list[Spans] = [left[edge.source]] if edge.source in left else []
                spans = []
                for axis in AXES:
                    mapped = axis_map(edge, axis)
                    needed = mapped.needs(wanted[axis])
                    spans.append(needed.clip(graph.nodes[edge.source].extent[axis]))
                    frame = placed.piece.frames[axis]
                    size = placed.size(edge.source)[axis]
                    if (
                        mapped.output_size(size) != placed.size(node)[axis]
                        or frame.step[edge.source] * mapped.ratio != frame.step[node]
                    ):
                        raise PlanError(f"{edge.source} and {node} do not share one frame")
                _check_window(plan, placed, edge.source, (spans[0], spans[1]))
                left[edge.source] = _united([*need, (spans[0], spans[1])])
    return left


def _check_window(plan: Plan, placed: PlacedPiece, node: str, wanted: Spans) -> None:
    for axis, window in zip(AXES, placed.window(node), strict=True):
        extent = plan.graph.nodes[node].extent[axis]
        if np.any(window.lo < 0) or np.any(window.hi > extent):
            raise PlanError(f"a window of {node} leaves its extent")
        if np.any(window.lo > wanted[axis].lo) or np.any(window.hi < wanted[axis].hi):
            raise PlanError(f"a window of {node} misses a part of what is wanted of it")


def _check_cuts(plan: Plan, pieces: Sequence[PlacedPiece], name: str) -> None:
    arrays: dict[str, Spans] = {}
    for placed in pieces:
        for source in placed.piece.sources:
            if source == plan.graph.input_name:
                continue
            if source not in arrays:
                raise PlanError(f"{name}: {source} is cut before it is computed")
            for held, window in zip(arrays[source], placed.window(source), strict=True):
                if np.any(window.lo < held.lo) or np.any(window.hi > held.hi):
                    raise PlanError(f"{name}: a window of {source} leaves its array")
        for node in placed.piece.nodes:
            arrays[node] = placed.window(node)
