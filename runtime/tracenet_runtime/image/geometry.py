"""Where a photo lies on its canvas, and how positions go from one to the other.

Coordinates: pixel ``x`` covers ``[x, x + 1)`` and has its centre at ``x + 0.5``, in the photo and
on the canvas alike. The photo sits at the top left of the canvas, so only a scale per axis
separates the two; it is ``content / photo`` and not the scale the fit aimed at, because the
content has a whole number of pixels.
"""

import math
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
        if not (0 <= x < self.photo_width and 0 <= y < self.photo_height):
            raise TapOutsidePhoto(
                f"The tap ({x}, {y}) is outside the photo; x must be from 0 to "
                f"{self.photo_width - 1} and y from 0 to {self.photo_height - 1}."
            )
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


def _clip(value: float, upper: float) -> float:
    return min(max(value, 0.0), float(upper))
