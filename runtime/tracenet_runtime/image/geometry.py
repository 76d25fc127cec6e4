"""Where a photo lies on its canvas, and how positions go from one to the other.

Coordinates: pixel ``x`` covers ``[x, x + 1)`` and has its centre at ``x + 0.5``, in the photo and
on the canvas alike. The photo sits at the top left of the canvas, so only a scale per axis
separates the two; it is ``content / photo`` and not the scale the fit aimed at, because the
content has a whole number of pixels.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tracenet_runtime.errors import TapOutsidePhoto

Size = tuple[int, int]
"""Height and width, in pixels."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

Tile = tuple[int, int, int, int]
"""Photo pixels x0, y0, x1, y1, half-open."""


@dataclass(frozen=True)
class Placement:
    """Where a photo lies on its canvas: at the top left, ``content`` pixels large.

    All four sizes are in pixels, of the photo and of the canvas respectively.
    """

    photo_height: int
    photo_width: int
    content_height: int
    content_width: int

    def to_canvas(self, x: float, y: float) -> tuple[int, int]:
        """The canvas pixel (x, y) under the centre of the photo pixel (x, y).

        Fractions are floored: a position inside a pixel means that pixel. The result always lies
        on the content, never on the padding. Raises ``TapOutsidePhoto`` for a position that is
        not on the photo.
        """
        check_tap(x, y, (self.photo_height, self.photo_width))
        return (
            (2 * math.floor(x) + 1) * self.content_width // (2 * self.photo_width),
            (2 * math.floor(y) + 1) * self.content_height // (2 * self.photo_height),
        )

    def box_to_photo(self, box: Box) -> Box:
        """A box (x0, y0, x1, y1) in canvas pixels as one in photo pixels, clipped to the photo."""
        x_scale = self.photo_width / self.content_width
        y_scale = self.photo_height / self.content_height
        x0, y0, x1, y1 = box
        return (
            _clip(x0 * x_scale, self.photo_width),
            _clip(y0 * y_scale, self.photo_height),
            _clip(x1 * x_scale, self.photo_width),
            _clip(y1 * y_scale, self.photo_height),
        )


@dataclass(frozen=True)
class PlacedTile:
    """A ``tile`` of a photo on a ``canvas`` of (height, width) pixels.

    ``placement`` is how the tile, taken for a photo, lies there.
    """

    tile: Tile
    placement: Placement
    canvas: Size

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per photo pixel, along x and y."""
        return (
            self.placement.content_width / self.placement.photo_width,
            self.placement.content_height / self.placement.photo_height,
        )

    def to_canvas(self, x: float, y: float) -> tuple[float, float]:
        """A position in the photo as one on the canvas; on it or not."""
        across, down = self.scale
        return (x - self.tile[0]) * across, (y - self.tile[1]) * down

    def box_to_photo(self, box: Box) -> Box:
        """A box in canvas pixels as one in photo pixels, clipped to the tile."""
        left, top = self.tile[:2]
        x0, y0, x1, y1 = self.placement.box_to_photo(box)
        return x0 + left, y0 + top, x1 + left, y1 + top


def check_tap(x: float, y: float, photo: Size) -> None:
    """Raise ``TapOutsidePhoto`` for a position that is on no pixel of a photo."""
    height, width = photo
    if not (0 <= x < width and 0 <= y < height):
        raise TapOutsidePhoto(
            f"The tap ({x}, {y}) is outside the photo; x must be from 0 to {width - 1} and y from "
            f"0 to {height - 1}."
        )


def united(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all of them, of which there is one at least."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def contains(outer: Box, inner: Box) -> bool:
    """Whether a box lies in another one."""
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and outer[2] >= inner[2]
        and outer[3] >= inner[3]
    )


def span(middle: float, side: int, photo: int) -> tuple[int, int]:
    """Where a tile of ``side`` photo pixels starts and stops on one axis."""
    size = min(side, photo)
    start = min(max(math.floor(middle - size / 2 + 0.5), 0), photo - size)
    return start, start + size


def _clip(value: float, upper: float) -> float:
    return min(max(value, 0.0), float(upper))
