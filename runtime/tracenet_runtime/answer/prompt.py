"""Gestures on a photo: what a user says of the thing that is meant.

Coordinates are photo pixels: pixel ``x`` covers ``[x, x + 1)``, its centre is ``x + 0.5``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.marks import Area, Mark, Point, Stroke
from tracenet_runtime.errors import GestureError
from tracenet_runtime.image.geometry import Box, PlacedTile, Size, check_tap

_BESIDE = 0.05
"""Canvas pixels."""


@dataclass(frozen=True)
class Tap:
    """The pixel that holds ``at`` (x, y) belongs to the thing, or does not."""

    at: Point
    positive: bool = True

    @property
    def middle(self) -> Point:
        """The centre of the pixel."""
        return math.floor(self.at[0]) + 0.5, math.floor(self.at[1]) + 0.5

    @property
    def bounds(self) -> Box:
        """The box (x0, y0, x1, y1) that holds it."""
        x, y = self.middle
        return x, y, x, y


@dataclass(frozen=True)
class Scribble:
    """What a line of ``width`` photo pixels covers belongs to the thing, or does not.

    ``points`` (x, y) are joined by straight lines.
    """

    points: tuple[Point, ...]
    width: float
    positive: bool = True

    @property
    def middle(self) -> Point:
        """The point halfway along the line."""
        return Stroke(self.points, 0.0, self.positive).middle

    @property
    def bounds(self) -> Box:
        """The box (x0, y0, x1, y1) that holds the line."""
        x, y = zip(*self.points, strict=True)
        return min(x), min(y), max(x), max(y)


@dataclass(frozen=True)
class Bounds:
    """The thing lies in this ``box`` (x0, y0, x1, y1)."""

    box: Box

    @property
    def positive(self) -> bool:
        """It says where the thing is."""
        return True

    @property
    def middle(self) -> Point:
        """The box's centre."""
        return Area(self.box).middle

    @property
    def bounds(self) -> Box:
        """The box itself."""
        return self.box


Gesture = Tap | Scribble | Bounds


def check_gesture(gesture: Gesture, photo: Size) -> None:
    """Raise ``GestureError`` for what is not on a photo of this height and width, or is empty.

    Positions on the photo's right and lower border are on it, but for a tap, which is of a pixel
    (``TapOutsidePhoto``).
    """
    height, width = photo
    if isinstance(gesture, Tap):
        check_tap(*gesture.at, photo)
        return
    if isinstance(gesture, Scribble):
        if not gesture.points:
            raise GestureError("The scribble has no points; give one at least.")
        if not (math.isfinite(gesture.width) and gesture.width > 0):
            raise GestureError(
                f"The scribble is {gesture.width} wide; give a width in photo pixels above 0."
            )
        what, corners = "scribble", gesture.points
    else:
        x0, y0, x1, y1 = gesture.box
        what, corners = "box", ((x0, y0), (x1, y1))
    for x, y in corners:
        if not (0 <= x <= width and 0 <= y <= height):
            raise GestureError(
                f"The {what} reaches ({x}, {y}), which is outside the photo; x must be from 0 to "
                f"{width} and y from 0 to {height}."
            )
    if isinstance(gesture, Bounds) and not (x0 < x1 and y0 < y1):
        raise GestureError(
            f"The box {gesture.box} is empty; give x0, y0, x1, y1 with x0 below x1 and y0 below y1."
        )


def check_mask(mask: npt.NDArray[np.bool_], photo: Size) -> None:
    """Raise ``GestureError`` unless a mask is a bool array of the photo's height and width."""
    dtype, shape = getattr(mask, "dtype", type(mask).__name__), getattr(mask, "shape", ())
    if dtype != np.bool_ or shape != photo:
        raise GestureError(
            f"The mask is {dtype} {' x '.join(map(str, shape))}; give bool "
            f"{photo[0]} x {photo[1]}, as high and as wide as the photo."
        )


def mark_of(gesture: Gesture, view: PlacedTile) -> Mark:
    """A gesture in canvas pixels of a tile, on the tile or not."""
    if isinstance(gesture, Bounds):
        x0, y0, x1, y1 = gesture.box
        return Area((*view.to_canvas(x0, y0), *view.to_canvas(x1, y1)))
    if isinstance(gesture, Tap):
        return Stroke((view.to_canvas(*gesture.middle),), 0.0, gesture.positive)
    points = _simplified([view.to_canvas(*point) for point in gesture.points])
    return Stroke(points, gesture.width / 2 * max(view.scale), gesture.positive)


def tapped(gesture: Gesture, photo: Size) -> Point:
    """The pixel (x, y) of a photo at which TraceNet is asked what a gesture means."""
    x, y = gesture.middle
    return min(math.floor(x), photo[1] - 1), min(math.floor(y), photo[0] - 1)


def _simplified(line: Sequence[Point]) -> tuple[Point, ...]:
    """The line without points that lie within ``_BESIDE`` of it (Douglas and Peucker, 1973).

    Hands are sampled more finely than a canvas can show.
    """
    points = np.array(line)
    kept, parts = {0, len(points) - 1}, [(0, len(points) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        chord, between = points[last] - points[first], points[first + 1 : last] - points[first]
        square = float(chord @ chord)
        share = (between @ chord / square if square else np.zeros(len(between))).clip(0, 1)
        away = np.hypot(*(between - share[:, None] * chord).T)
        farthest = int(away.argmax())
        if away[farthest] > _BESIDE:
            middle = first + 1 + farthest
            kept.add(middle)
            parts += [(first, middle), (middle, last)]
    return tuple(line[number] for number in sorted(kept))
