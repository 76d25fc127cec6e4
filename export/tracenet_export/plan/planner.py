"""From what is wanted at a tap to placed pieces: a query, and alternatives that follow it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from tracenet.rft import ConvGraph
from tracenet_export.plan.halo import kept_regions
from tracenet_export.plan.partition import ONNX_RUNTIME, CostModel, partition
from tracenet_export.plan.piece import Spans, add_spans, make_piece, place_whole, united
from tracenet_export.plan.plan import Plan, Wanted


def make_plan(
    graph: ConvGraph,
    query: Wanted,
    alternatives: Mapping[str, Wanted] | None = None,
    encoded: Collection[str] = (),
    halo: float = 1.0,
    cost: CostModel = ONNX_RUNTIME,
) -> Plan:
    """Plan a query and its alternatives; ``check_plan`` proves what comes of it.

    Nodes that the query and all alternatives need are computed once, by the query, where that
    costs less than computing each one's part by itself.

    Args:
        graph: the network.
        query: what the query wants.
        alternatives: what each alternative wants besides.
        encoded: nodes that are computed once per picture, on their whole extents, before any tap;
            with a node come all that it depends on.
        halo: the share of the halo that windows keep (see `kept_regions`); 1 is exact.
        cost: what calls and cuts cost beside their work.

    Raises:
        PlanError: no windows of a fixed size serve this exactly.
    """
    alternatives = alternatives or {}
    query_regions = kept_regions(graph, query, halo)
    regions_of = {name: kept_regions(graph, wanted, halo) for name, wanted in alternatives.items()}
    needed = set(query_regions).union(*regions_of.values()) - {graph.input_name}
    whole = [node for node in graph.post_order(encoded) if node in needed]
    before = {graph.input_name, *whole}
    shared = _worth_sharing(graph, query_regions, list(regions_of.values()), before)

    first_regions = dict(query_regions)
    for regions in regions_of.values():
        for node in shared & regions.keys():
            add_spans(first_regions, node, regions[node])
    external: dict[str, Spans] = {
        graph.outputs[name]: spans
        for name, spans in query.items()
        if graph.outputs[name] not in before
    }
    placed, crop_points = {}, {}
    for name, regions in regions_of.items():
        own = [node for node in regions if node not in shared]
        wanted = {graph.outputs[output]: spans for output, spans in alternatives[name].items()}
        pieces, crop_points[name] = partition(graph, own, regions, wanted, cost)
        placed[name] = tuple(pieces)
        for piece in pieces:
            for source in set(piece.piece.sources) & shared - before:
                add_spans(external, source, piece.window(source))
    pieces, crop_points["query"] = partition(
        graph, first_regions.keys() - before, first_regions, external, cost
    )
    y, x = next(iter(query.values()))
    encode = (place_whole(make_piece(graph, whole), (len(y.lo), len(x.lo))),) if whole else ()
    return Plan(
        graph=graph,
        encode=encode,
        query=tuple(pieces),
        alternatives=placed,
        wanted_query=query,
        wanted_alternatives=alternatives,
        crop_points={name: tuple(points) for name, points in crop_points.items()},
        halo=halo,
    )


def _worth_sharing(
    graph: ConvGraph,
    query: Mapping[str, Spans],
    alternatives: Sequence[Mapping[str, Spans]],
    before: Collection[str],
) -> set[str]:
    """Nodes that alternatives need not compute: those before, and what the query does for them."""
    shared = set(before)
    if not alternatives:
        return shared
    for name, node in graph.nodes.items():
        everywhere = name in query and all(name in regions for regions in alternatives)
        if name in shared or not everywhere:
            continue
        if not all(edge.source in shared for edge in node.edges):
            continue
        apart = [_largest_area(regions[name]) for regions in (query, *alternatives)]
        together = _largest_area(united([query[name], *(r[name] for r in alternatives)]))
        if together <= apart[0] + sum(apart[1:]) / len(alternatives):
            shared.add(name)
    return shared


def _largest_area(spans: Spans) -> int:
    return math.prod(int(span.size.max()) for span in spans)
