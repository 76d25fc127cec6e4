"""What every recipe offers; a new one is a module beside this one, with a name in ``requests``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tracenet.model import Level
from tracenet_export.plan import CostModel, Plan, Setting

Ladder = tuple[int | None, ...]
"""Mask windows, smallest first: canvas pixels from the tap to each side; None is all of it."""


class Recipe(Protocol):
    """A kind of schedule.

    ``name`` is that of its schedules, ``levels`` are those that it asks, finest first;
    ``has_windows`` is false where all runs on the whole canvas, which is always exact;
    ``corrects`` is true where a guided look follows, whose features of the canvas are wanted, too.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def corrects(self) -> bool:
        """See above."""
        ...

    @property
    def levels(self) -> tuple[Level, ...]:
        """See above."""
        ...

    @property
    def has_windows(self) -> bool:
        """See above."""
        ...

    def ladder(self, asked: Sequence[int | None]) -> Ladder:
        """The mask windows, where a user asks for these or for none."""
        ...

    def plan(self, own: Setting, halo: float, cost: CostModel) -> Plan:
        """What runs on the setting's canvas, with this share of the halo."""
        ...
