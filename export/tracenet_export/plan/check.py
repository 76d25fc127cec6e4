"""Is a plan exact, or as near to it as its halo says? Nothing is sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tracenet.rft import Edge, Span
from tracenet_export.errors import PlanError
from tracenet_export.plan.halo import kept_regions, query_regions
from tracenet_export.plan.piece import AXES, PlacedPiece, Spans, axis_map, computed_by
from tracenet_export.plan.plan import QUERY, Plan, Wanted


def check_plan(plan: Plan, axes: Sequence[int] = AXES) -> None:
    """Check for every key cell that a plan's windows hold what they must; nothing is sampled.

    Every window lies within its node's extent and within the array it is cut from; it contains
    everything that its piece's wanted cells depend on, followed backwards from what is asked of
    the plan; the inputs of every operator share one phase and, where they meet, one window. So the
    plan is exact. With a halo below 1, what is followed backwards is at every node only what the
    halo keeps of it (see `kept_regions`).

    Args:
        plan: what to check.
        axes: y (0), x (1) or both; windows are separable.

    Raises:
        PlanError: they do not, which is a defect of the planner, or a canvas that they do not
            serve.
    """
    kept: dict[str, Mapping[str, Spans]] = {}
    if plan.halo < 1:
        query, alternatives = plan.wanted_query, plan.wanted_alternatives
        kept = {name: kept_regions(plan.graph, w, plan.halo) for name, w in alternatives.items()}
        kept[QUERY] = query_regions(plan, plan.graph, query, alternatives)
    for axis in axes:
        _AxisCheck(plan, axis, kept).run()


@dataclass(frozen=True)
class _AxisCheck:
    """One axis of a plan.

    Attributes:
        kept: of every phase, what of each node need not go beyond this; nothing of an exact plan.
    """

    plan: Plan
    axis: int
    kept: Mapping[str, Mapping[str, Spans]]

    def run(self) -> None:
        plan = self.plan
        first = (*plan.encode, *plan.query)
        demands = [self._asked(first, plan.wanted_query)]
        for name, pieces in plan.alternatives.items():
            asked = self._asked((*first, *pieces), plan.wanted_alternatives[name])
            demands.append(self._follow(name, pieces, asked))
        self._follow(QUERY, first, _united(demands))
        for name in plan.alternatives:
            self._check_cuts((*first, *plan.alternatives[name]), name)
        if not plan.alternatives:
            self._check_cuts(first, "query")

    def _asked(self, pieces: Sequence[PlacedPiece], wanted: Wanted) -> dict[str, Span]:
        graph = self.plan.graph
        computed = computed_by(pieces) | {graph.input_name}
        asked: dict[str, Span] = {}
        for output, spans in wanted.items():
            node = graph.outputs[output]
            if node not in computed:
                raise PlanError(f"no piece computes {output}")
            _add(asked, node, spans[self.axis])
        return asked

    def _follow(
        self, phase: str, pieces: Sequence[PlacedPiece], demand: Mapping[str, Span]
    ) -> dict[str, Span]:
        """Follow a demand backwards through pieces; returns what is left for earlier ones."""
        left = dict(demand)
        for placed in reversed(pieces):
            for node in reversed(placed.piece.nodes):
                wanted = left.pop(node, None)
                if wanted is None:
                    raise PlanError(f"{node} is computed but nothing needs it")
                self._check_window(placed, node, wanted)
                for edge in self.plan.graph.nodes[node].edges:
                    need = axis_map(edge, self.axis).needs(wanted)
                    need = need.clip(self.plan.graph.nodes[edge.source].extent[self.axis])
                    if self.kept:
                        need = need.within(self.kept[phase][edge.source][self.axis])
                    self._check_edge(placed, node, edge)
                    self._check_window(placed, edge.source, need)
                    _add(left, edge.source, need)
        return left

    def _check_edge(self, placed: PlacedPiece, node: str, edge: Edge) -> None:
        mapped, step = axis_map(edge, self.axis), placed.piece.frames[self.axis].step
        sizes = placed.size(edge.source)[self.axis], placed.size(node)[self.axis]
        if (
            mapped.output_size(sizes[0]) != sizes[1]
            or step[edge.source] * mapped.ratio != step[node]
        ):
            raise PlanError(f"{edge.source} and {node} do not share one frame")

    def _check_window(self, placed: PlacedPiece, node: str, wanted: Span) -> None:
        window = placed.window(node)[self.axis]
        if np.any(window.lo < 0) or np.any(
            window.hi > self.plan.graph.nodes[node].extent[self.axis]
        ):
            raise PlanError(f"a window of {node} leaves its extent")
        if np.any(window.lo > wanted.lo) or np.any(window.hi < wanted.hi):
            raise PlanError(f"a window of {node} misses a part of what is wanted of it")

    def _check_cuts(self, pieces: Sequence[PlacedPiece], name: str) -> None:
        arrays: dict[str, Span] = {}
        for placed in pieces:
            for source in placed.piece.sources:
                if source == self.plan.graph.input_name:
                    continue
                if source not in arrays:
                    raise PlanError(f"{name}: {source} is cut before it is computed")
                held, window = arrays[source], placed.window(source)[self.axis]
                if np.any(window.lo < held.lo) or np.any(window.hi > held.hi):
                    raise PlanError(f"{name}: a window of {source} leaves its array")
            for node in placed.piece.nodes:
                arrays[node] = placed.window(node)[self.axis]


def _add(demand: dict[str, Span], node: str, span: Span) -> None:
    demand[node] = demand[node].union(span) if node in demand else span


def _united(demands: Sequence[Mapping[str, Span]]) -> dict[str, Span]:
    united: dict[str, Span] = {}
    for demand in demands:
        for node, span in demand.items():
            _add(united, node, span)
    return united
