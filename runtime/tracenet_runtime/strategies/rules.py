"""What a manifest says of its strategy, one kind each.

The zoom looks twice: at the whole photo, small, then at the thing, at the scale that suits it. The
first look's box tells how large the thing is in the photo. The second look is an ordinary tap
on an ordinary canvas, whose photo is a tile of the photo; what it answers is moved back to where
the tile was. Neither depends on how large the photo is.

A guided look follows the zoom: it corrects the mask on the tile, gesture by gesture.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.contract import GUIDE_STRIDE
from tracenet_runtime.image.geometry import Box, PlacedTile, Placement, Size, Tile, span

Mask = npt.NDArray[np.bool_]


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
        return self._scale(box, self.extent)

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
        top, bottom = span(self._inside(at[1], (y0 + y1) / 2, height), height, first.photo_height)
        left, right = span(self._inside(at[0], (x0 + x1) / 2, width), width, first.photo_width)
        return left, top, right, bottom

    def tile_about(self, canvas: Size, photo: Size, box: Box, extent: float) -> Tile:
        """The tile whose canvas shows the longer side of a box as ``extent`` canvas pixels.

        ``box`` is in pixels of a photo of this (height, width), beyond which no tile reaches.
        """
        x0, y0, x1, y1 = box
        height, width = (math.floor(side / self._scale(box, extent) + 0.5) for side in canvas)
        top, bottom = span((y0 + y1) / 2, height, photo[0])
        left, right = span((x0 + x1) / 2, width, photo[1])
        return left, top, right, bottom

    def _scale(self, box: Box, extent: float) -> float:
        x0, y0, x1, y1 = box
        return min(extent / max(x1 - x0, y1 - y0, 1.0), self.enlarge)

    def _inside(self, tapped: float, middle: float, side: int) -> float:
        """The middle nearest to this one of a tile of ``side`` on which the tap lies well."""
        tap = math.floor(tapped) + 0.5
        slack = self.inside * side / 2
        return min(max(middle, tap - slack), tap + slack)


@dataclass(frozen=True)
class GuidedRule:
    """How a mask is corrected on a tile, and when the tile moves.

    ``zoom`` says which tile a first tap is looked at on; ``passes``, ``settled`` and ``near`` are
    those of ``Passes``.

    A gesture that is not ``margin`` canvas pixels inside the tile moves the tile to the mask, all
    positive gestures and this one, which then fill the zoom's extent. So do these where they are
    left with less than the share ``small`` of the tile's longer side. A mask that covers more than
    the share ``spill`` of a side of the tile gets a tile of which they fill the share ``roomy``.
    """

    zoom: ZoomRule
    passes: int
    settled: float
    near: float
    margin: float
    spill: float
    roomy: float
    small: float

    def leaves(self, view: PlacedTile, photo: Size, bounds: Box) -> bool:
        """Whether what has these bounds, in photo pixels, is not well inside a tile.

        A side of the tile that is the photo's needs no margin.
        """
        x0, y0, x1, y1 = view.tile
        across, down = (self.margin / scale for scale in view.scale)
        return (
            (x0 > 0 and bounds[0] < x0 + across)
            or (y0 > 0 and bounds[1] < y0 + down)
            or (x1 < photo[1] and bounds[2] > x1 - across)
            or (y1 < photo[0] and bounds[3] > y1 - down)
        )

    def shrinks(self, box: Box, view: PlacedTile) -> bool:
        """Whether what has this box is too small on a tile, and another one shows more of it.

        ``box`` is in photo pixels.
        """
        x0, y0, x1, y1 = box
        across, down = view.scale
        longer = max((x1 - x0) * across, (y1 - y0) * down)
        closer = self.zoom.scale(box) > max(across, down)
        return closer and longer < self.small * max(view.canvas)

    def spills(self, inside: Mask, view: PlacedTile, photo: Size) -> bool:
        """Whether a mask of a tile's cells reaches over a side of it that is not the photo's.

        ``inside`` is bool, of cells of ``GUIDE_STRIDE`` canvas pixels.
        """
        x0, y0, x1, y1 = view.tile
        rows = -(-view.placement.content_height // GUIDE_STRIDE)
        columns = -(-view.placement.content_width // GUIDE_STRIDE)
        shown = inside[:rows, :columns]
        sides = [
            (x0 > 0, shown[:, 0]),
            (y0 > 0, shown[0]),
            (x1 < photo[1], shown[:, -1]),
            (y1 < photo[0], shown[-1]),
        ]
        return any(open_ and side.mean() > self.spill for open_, side in sides)


StrategyRule = SingleRule | ZoomRule | GuidedRule
