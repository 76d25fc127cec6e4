"""Training canvases that show what a replay looks at closely: a tile about a tapped thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tracenet.data.view import View

TILED_AREA = 100
"""Photo pixels; of smaller things there is too little detail to be enlarged."""


@dataclass(frozen=True)
class TileAugmentation:
    """How often a canvas is a tile, and how a tile lies about its thing.

    A replay that looks twice chooses the tile by the box that the first look gave, so that size and
    place vary with that box's errors.

    Attributes:
        shares: by the canvas's side, which share of its canvases are tiles; of sides that it does
            not name, none.
        reach: the largest distance from the tap to a side of the thing's box, as a share of the
            canvas's side (low, high; log-uniform).
        enlargement: the tile's scale is at most this, in canvas pixels per photo pixel; a thing
            that would need more has a smaller reach.
        displacement: of the tile's middle from the box's, per axis, as a share of the canvas's side
            (standard deviation; normal).
        tap_within: the tap lies at most this far from the tile's middle, per axis, as a share of
            the canvas's side, unless the photo ends there.
        alone: probability that only the tile's thing is tapped, and not all that it shows.
    """

    shares: Mapping[int, float] = field(default_factory=dict)
    reach: tuple[float, float] = (0.14, 0.6)
    enlargement: float = 3.0
    displacement: float = 0.15
    tap_within: float = 0.42
    alone: float = 0.75

    def chosen(self, size: int, area: int, random: np.random.Generator) -> bool:
        """By chance, whether a canvas about a thing of ``area`` photo pixels is a tile.

        Nothing is drawn for a size that has none.
        """
        share = self.shares.get(size, 0.0)
        return share > 0 and random.random() < share and area >= TILED_AREA


def tile_view(
    shape: tuple[int, int],
    box: tuple[int, int, int, int],
    tap: tuple[float, float],
    size: int,
    settings: TileAugmentation,
    random: np.random.Generator,
) -> View:
    """A tile of a photo about a tapped thing.

    Along an axis on which the scaled photo is not larger than the tile, it lies on it at random;
    along others, the tile is on the photo.

    Args:
        shape: height and width of the photo.
        box: of the thing, (x0, y0, x1, y1), photo pixels.
        tap: (x, y) in the box, photo pixels; the middle of a pixel is at + 0.5.
        size: the tile's side, canvas pixels.
        settings: how the tile lies about the thing.
        random: of everything random.
    """
    (x0, y0, x1, y1), (x, y) = box, tap
    low, high = np.log(settings.reach)
    reach = size * np.exp(random.uniform(low, high))
    factor = min(reach / max(x - x0, x1 - x, y - y0, y1 - y), settings.enlargement)
    scaled = max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))

    def start(extent: int, middle: float, at: float) -> int:
        if extent <= size:
            return -int(random.integers(size - extent + 1))
        centre = middle * factor + random.normal() * settings.displacement * size
        away = settings.tap_within * size
        centre = np.clip(centre, at * factor - away, at * factor + away)
        return int(np.clip(round(centre - size / 2), 0, extent - size))

    return View(
        size, scaled, (start(scaled[0], (y0 + y1) / 2, y), start(scaled[1], (x0 + x1) / 2, x))
    )
