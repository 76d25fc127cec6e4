"""The zoom and the guided look: the canvases of their looks, and the rules stored in the bundle."""

from __future__ import annotations

from tracenet_runtime.strategies.rules import GuidedRule, ZoomRule

FIRST_CANVAS = (256, 256)
"""Of the first look, where none is asked for."""

TILE_CANVAS = (256, 256)
"""Of the second look."""

# Chosen on photos held out of training, checked on others: the end of docs/training.md,
# "What helped and what did not".
_EXTENT = 0.75
"""Share of the tile's canvas that the thing's longer side is to fill."""
_ENLARGE = 4.0
_GAIN = 1.2
_INSIDE = 0.8
_TRUST = 0.7

_PASSES = 1
_SETTLED = 20.0
_NEAR = 64.0
_MARGIN = 4.0
_SPILL = 0.02
_ROOMY = 0.6
_SMALL = 0.4


def zoom_rule(first: int, tile: int) -> ZoomRule:
    """The rule for two schedules of a bundle, by their numbers."""
    return ZoomRule(
        first=first,
        tile=tile,
        extent=_EXTENT * min(TILE_CANVAS),
        enlarge=_ENLARGE,
        gain=_GAIN,
        inside=_INSIDE,
        trust=_TRUST,
    )


def guided_rule(first: int, tile: int) -> GuidedRule:
    """The rule for the schedules of a guided look, likewise."""
    return GuidedRule(
        zoom=zoom_rule(first, tile),
        passes=_PASSES,
        settled=_SETTLED,
        near=_NEAR,
        margin=_MARGIN,
        spill=_SPILL,
        roomy=_ROOMY,
        small=_SMALL,
    )
