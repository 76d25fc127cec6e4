"""A tile is computed once but for the heads and a guided look; taps and corrections run these."""

from __future__ import annotations

from dataclasses import dataclass

from tracenet_export.recipes.warm import Warm


@dataclass(frozen=True)
class Guided(Warm):
    """As ``warm``, and what the guided look reads is kept, too."""

    name = "guided"
    corrects = True
