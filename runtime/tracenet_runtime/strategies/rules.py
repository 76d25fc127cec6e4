"""What a manifest says of its strategy, one kind each.

The zoom looks twice: at the whole photo, small, then at the thing, at the scale that suits it. The
first look's box tells how large the thing is in the photo. The second look is an ordinary tap
on an ordinary canvas, whose photo is a tile of the photo; what it answers is moved back to where
the tile was. Neither depends on how large the photo is.
"""

import math
from dataclasses import dataclass

from tracenet_runtime.image.geometry import Box, Placement, Size, Tile


@dataclass(frozen=True)
class SingleRule:
    """One look, by one of ``schedules``, which are indices into the bundle's."""

    schedules: tuple[int, ...]


@dataclass(frozen=True)
class ZoomRule:
    """When there is a second look, at which tile, and which of the two looks answers.

    ``first`` and ``tile`` are indices into the bundle's schedules; the canvases are theirs. The
    tile's scale gives the longer side of the first look's box ``extent`` canvas pixels, but never
    makes a photo pixel more than ``enlarge`` of them. Without at least ``gain`` times the scale of
    the first look there is no second one. The tile is about the box's middle, with the tap at most
    ``inside`` of half a side away from it, as far as the photo reaches. The second look answers if
    its score is at least ``trust`` times the first's, otherwise the first does.
    """

    first: int
    tile: int
    extent: float
    enlarge: float
    gain: float
    inside: float
    trust: float

    def scale(self, box: Box) -> float:
        """Canvas pixels of a tile per photo pixel, for a thing with this box in photo pixels."""
        x0, y0, x1, y1 = box
        return min(self.extent / max(x1 - x0, y1 - y0, 1.0), self.enlarge)

    def gained(self, first: Placement, box: Box) -> float:
        """That scale as a multiple of the first look's, on whose canvas the photo lies so."""
        first_scale = max(
            first.content_height / first.photo_height, first.content_width / first.photo_width
        )
        return self.scale(box) / first_scale

    def choose_tile(
        self, canvas: Size, first: Placement, at: tuple[float, float], box: Box
    ) -> Tile | None:
        """What of the photo is looked at again; None where once is enough.

        ``canvas`` is the second look's (height, width) in pixels, ``first`` where the photo lies on
        the first's; ``at`` is the tapped photo pixel (x, y), and ``box`` what the first look
        answered, clipped to the photo, in photo pixels.
        """
        if self.gained(first, box) < self.gain:
            return None
        x0, y0, x1, y1 = box
        height, width = (math.floor(side / self.scale(box) + 0.5) for side in canvas)
        top, bottom = self._span(at[1], (y0 + y1) / 2, height, first.photo_height)
        left, right = self._span(at[0], (x0 + x1) / 2, width, first.photo_width)
        return left, top, right, bottom

    def _span(self, tapped: float, middle: float, side: int, photo: int) -> tuple[int, int]:
        """Where a tile of ``side`` photo pixels starts and stops on one axis."""
        tap = math.floor(tapped) + 0.5
        slack = self.inside * side / 2
        middle = min(max(middle, tap - slack), tap + slack)
        size = min(side, photo)
        start = min(max(math.floor(middle - size / 2 + 0.5), 0), photo - size)
        return start, start + size


StrategyRule = SingleRule | ZoomRule
