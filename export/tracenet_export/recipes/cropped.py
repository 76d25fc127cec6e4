"""FullNet on a crop of the image that holds what is kept for a tap: a baseline of one program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracenet.model import Level
from tracenet_export.plan import (
    CostModel,
    Plan,
    Setting,
    add_spans,
    kept_regions,
    make_piece,
    place,
)
from tracenet_export.recipes.levels import Levels
from tracenet_export.recipes.recipe import Ladder

INPUT_ONLY = "/input"
"""Ends the name of a schedule whose only crop point is the image."""


@dataclass(frozen=True)
class Cropped:
    """The same as some levels, with the largest of their mask windows and no cut inside."""

    uncropped: Levels
    has_windows = True
    corrects = False

    @property
    def name(self) -> str:
        """That of the levels, with the ending."""
        return self.uncropped.name + INPUT_ONLY

    @property
    def levels(self) -> tuple[Level, ...]:
        """Those of the schedule that it is a baseline of."""
        return self.uncropped.levels

    def ladder(self, asked: Sequence[int | None]) -> Ladder:
        """The largest window."""
        return self.uncropped.ladder(asked)[-1:]

    def plan(self, own: Setting, halo: float, cost: CostModel) -> Plan:
        """One piece on the crop."""
        graph = own.graph
        ((name, mask),) = own.alternatives.items()
        wanted = {**own.query, **mask}
        regions = kept_regions(graph, own.query, halo)
        for node, spans in kept_regions(graph, mask, halo).items():
            add_spans(regions, node, spans)
        piece = make_piece(graph, regions.keys() - {graph.input_name})
        cut = {graph.outputs[output]: spans for output, spans in wanted.items()}
        return Plan(
            graph=graph,
            encode=(),
            query=(place(graph, piece, regions, cut),),
            alternatives={name: ()},
            wanted_query=own.query,
            wanted_alternatives=own.alternatives,
            halo=halo,
        )
