"""FullNet as a schedule: all of the network on all of the canvas, before any tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracenet.model import LEVELS
from tracenet_export.plan import CostModel, Plan, Setting, make_piece, place_whole
from tracenet_export.recipes.recipe import Ladder


@dataclass(frozen=True)
class Full:
    """All levels, in one program."""

    name = "full"
    levels = LEVELS
    has_windows = False
    corrects = False

    def ladder(self, asked: Sequence[int | None]) -> Ladder:
        """The whole canvas."""
        return (None,)

    def plan(self, own: Setting, halo: float, cost: CostModel) -> Plan:
        """One piece that runs once per photo."""
        graph = own.graph
        piece = make_piece(graph, (node for node in graph.nodes if node != graph.input_name))
        return Plan(
            graph=graph,
            encode=(place_whole(piece, own.keys),),
            query=(),
            alternatives=dict.fromkeys(own.alternatives, ()),
            wanted_query=own.query,
            wanted_alternatives=own.alternatives,
        )
