"""The halo: what windows keep of the exact regions around the wanted cells.

At every node there is

- the *place* of the wanted cells: those that cover the same part of the picture, rounded outwards;
- their *reach*: what they depend on there, in a picture without borders.

With a halo below 1 a window reaches beyond the place, on each side by itself, `CORE` cells and then
only this share of what the reach has beyond those, rounded up to whole cells. At 1 it holds the
exact region. What an operator then misses at the rim of its window is its own padding, as at the
border of the picture (zeros; the edge's cells for a resize): a program runs its operators with
their ordinary padding anyway.

Canvases do not change what is kept: it is measured without borders and clipped to the canvas, so
that the origins of windows have a closed form, and where a border holds a window, the real padding
is there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracenet.rft import ConvGraph, Span
from tracenet.rft.axis_maps import (
    AxisMap,
    ConstantPad,
    CubicResize,
    LinearResize,
    ReflectPad,
    Resize,
)
from tracenet.rft.geometry import IntArray
from tracenet_export.plan.piece import Spans, add_spans, computed_by
from tracenet_export.plan.plan import Plan, Wanted

CORE = 3
"""Cells around the place that are always kept.

Receptive fields count most in their middle (arXiv 1701.04128): three cells of every layer are worth
more than the same work spread over a share of the whole. Without them half of the halo of `all` on
512 x 512 gave masks that overlap FullNet's by 0.76 (IoU).
"""

_ROUNDING = 1e-9
"""Cells; so that 0.1 of 30 cells are 3."""


def kept_regions(graph: ConvGraph, wanted: Wanted, halo: float) -> dict[str, Spans]:
    """What the windows of every node are to hold, for every key cell.

    Args:
        graph: the network.
        wanted: output name -> rows and columns.
        halo: share of the halo, above 0; 1 gives the exact regions.

    Returns:
        node name -> rows and columns, clipped to the node's extent, never beyond the exact region.
    """
    exact = graph.regions(wanted)
    if halo == 1:
        return exact
    places: dict[str, Spans] = {}
    for output, spans in wanted.items():
        add_spans(places, graph.outputs[output], spans)
    reaches = dict(places)
    for name in reversed(graph.post_order(list(places))):
        for edge in graph.nodes[name].edges:
            maps = edge.y, edge.x
            (y, x), (rows, columns) = places[name], reaches[name]
            add_spans(places, edge.source, (_place(maps[0], y), _place(maps[1], x)))
            add_spans(reaches, edge.source, (_reach(maps[0], rows), _reach(maps[1], columns)))
    return {
        name: (
            _between(places[name][0], reaches[name][0], halo).within(y),
            _between(places[name][1], reaches[name][1], halo).within(x),
        )
        for name, (y, x) in exact.items()
    }


def query_regions(
    plan: Plan, graph: ConvGraph, query: Wanted, alternatives: Mapping[str, Wanted]
) -> dict[str, Spans]:
    """What is kept for the query, by itself and for the alternatives that borrow its nodes.

    Args:
        plan: which alternative computes what.
        graph: the network, on any canvas.
        query, alternatives: what is wanted there.
    """
    regions = kept_regions(graph, query, plan.halo)
    for name, pieces in plan.alternatives.items():
        own = computed_by(pieces)
        for node, spans in kept_regions(graph, alternatives[name], plan.halo).items():
            if node not in own:
                add_spans(regions, node, spans)
    return regions


def _between(place: Span, reach: Span, halo: float) -> Span:
    before, after = place.lo - reach.lo, reach.hi - place.hi
    return Span(place.lo - _share(before, halo), place.hi + _share(after, halo))


def _share(cells: IntArray, halo: float) -> IntArray:
    # A reach may end within the place: a stride skips cells, a pad moves them.
    cells = cells.clip(0)
    core = np.minimum(cells, CORE)
    share: IntArray = core + np.ceil(halo * (cells - core) - _ROUNDING).astype(np.int64)
    return share


def _place(mapped: AxisMap, output: Span) -> Span:
    """The input cells that lie where the output cells do."""
    ratio = mapped.ratio
    return Span(
        output.lo * ratio.denominator // ratio.numerator,
        -(-output.hi * ratio.denominator // ratio.numerator),
    )


def _reach(mapped: AxisMap, output: Span) -> Span:
    """The input cells that are read where no border is near; of a resize up to a cell more."""
    if isinstance(mapped, Resize):
        place = _place(mapped, output)
        more = 2 if isinstance(mapped, CubicResize) else int(isinstance(mapped, LinearResize))
        return Span(place.lo - more, place.hi + more)
    if isinstance(mapped, ReflectPad):
        return ConstantPad.needs(mapped, output)
    return mapped.needs(output)
