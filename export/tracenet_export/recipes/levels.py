"""A tap from nothing: its levels' answers, then mask features around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracenet.model import LEVELS, Level
from tracenet_export.errors import ExportError
from tracenet_export.plan import CostModel, Plan, Setting, make_plan
from tracenet_export.recipes.recipe import Ladder

LADDER: Ladder = (64, 128, 256, None)


@dataclass(frozen=True)
class Levels:
    """Some levels, or all of them."""

    levels: tuple[Level, ...]
    has_windows = True
    corrects = False

    @property
    def name(self) -> str:
        """``all``, ``P4``, ``P3-P7``, or ``P3,P5`` where levels are left out between."""
        if self.levels == LEVELS:
            return "all"
        names = [level.name for level in self.levels]
        span = LEVELS[LEVELS.index(self.levels[0]) : LEVELS.index(self.levels[-1]) + 1]
        return f"{names[0]}-{names[-1]}" if len(span) == len(names) > 1 else ",".join(names)

    def ladder(self, asked: Sequence[int | None]) -> Ladder:
        """By default those windows that the levels' answers can need.

        Raises:
            ExportError: a window does not fit the finest level.
        """
        stride = self.levels[0].stride
        misfit = [window for window in asked if window is not None and window % stride]
        if misfit:
            raise ExportError(
                f"a mask window of {misfit[0]} px does not fit: with {self.levels[0].name} as the "
                f"finest level, windows are multiples of {stride} px, or `all`"
            )
        if asked:
            return tuple(asked)
        largest = self.levels[-1].size_of_interest
        fitting = [w for w in LADDER if w is None or w % stride == 0]
        bounded = [w for w in fitting if w is not None and w <= largest]
        return tuple(bounded if largest in bounded else fitting)

    def plan(self, own: Setting, halo: float, cost: CostModel) -> Plan:
        """A query, and an alternative for each mask window."""
        return make_plan(own.graph, own.query, own.alternatives, (), halo, cost)
