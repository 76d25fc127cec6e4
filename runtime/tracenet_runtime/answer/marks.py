"""Gestures on a canvas, and the planes that show them to a guided look.

Training and every replay fill the planes here, so that the network sees in use what it learnt from;
training shows it all of every line, use what ``as_shown`` says.
Coordinates are canvas pixels: pixel ``x`` covers ``[x, x + 1)``, its centre is ``x + 0.5``.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tracenet_runtime.contract import GUIDE_PLANES, GUIDE_STRIDE
from tracenet_runtime.image.geometry import Box

FloatArray = npt.NDArray[np.float32]
Point = tuple[float, float]

LEAST_RADIUS = 5.0
"""Canvas pixels; thinner strokes, and taps, are shown so thick."""

NEARNESS = 48.0
"""Canvas pixels over which the newest mark's plane falls to 1 / e."""

FAR = 128.0
"""Canvas pixels that are 1 in the planes of distances from the first mark."""

_SHOWN = 0.5
"""The share of a negative line that a guided look is shown."""

_AT_ONCE = 32
"""Parts of a line whose distances are computed together."""

GUIDE_DESCRIBED: Mapping[str, object] = {
    "planes": list(GUIDE_PLANES),
    "stride": GUIDE_STRIDE,
    "least_radius": LEAST_RADIUS,
    "nearness": NEARNESS,
    "far": FAR,
}
"""What a manifest says of the planes."""


@dataclass(frozen=True)
class Stroke:
    """A line that says of what it covers whether it belongs to the thing.

    ``points`` (x, y) are joined by straight lines; one is a tap. All within ``radius`` of the line
    is covered.
    """

    points: tuple[Point, ...]
    radius: float
    positive: bool

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("a stroke has at least one point")

    @property
    def length(self) -> float:
        """From the line's first point to its last, along it."""
        return sum(self._lengths())

    @property
    def middle(self) -> Point:
        """The point halfway along the line."""
        return self._at(self.length / 2)

    @property
    def marks_off(self) -> bool:
        """Whether it is a negative line, which shows how large what is wrong is.

        A line no longer than a tap is shown wide says as little of that as a tap does.
        """
        return not self.positive and self.length > 2 * LEAST_RADIUS

    def middle_part(self, share: float) -> "Stroke":
        """This share of the line, about its middle."""
        length, passed = self.length, itertools.accumulate(self._lengths(), initial=0.0)
        first, last = (1 - share) / 2 * length, (1 + share) / 2 * length
        between = [
            point for point, at in zip(self.points, passed, strict=True) if first < at < last
        ]
        return replace(self, points=(self._at(first), *between, self._at(last)))

    def _lengths(self) -> list[float]:
        """Of its straight lines."""
        return [math.dist(a, b) for a, b in itertools.pairwise(self.points)]

    def _at(self, left: float) -> Point:
        """The point so far along the line from its first."""
        pairs = itertools.pairwise(self.points)
        for ((x0, y0), (x1, y1)), length in zip(pairs, self._lengths(), strict=True):
            if length > 0 and left <= length:
                share = left / length
                return x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            left -= length
        return self.points[-1]

    def distance(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """From the line to the places at columns ``x`` and rows ``y``: len(y) x len(x)."""
        points = np.asarray(self.points, np.float32)
        starts, stops = (points, points) if len(points) == 1 else (points[:-1], points[1:])
        nearest = np.full((len(y), len(x)), np.inf, np.float32)
        for first in range(0, len(starts), _AT_ONCE):
            start, stop = (v[first : first + _AT_ONCE, :, None, None] for v in (starts, stops))
            (x0, y0), (dx, dy) = start.swapaxes(0, 1), (stop - start).swapaxes(0, 1)
            square = dx * dx + dy * dy
            to_x, to_y = x[None, None, :] - x0, y[None, :, None] - y0
            share = (to_x * dx + to_y * dy) / np.where(square == 0, 1, square)
            share = share.clip(0, 1)
            away = (to_x - share * dx) ** 2 + (to_y - share * dy) ** 2
            np.minimum(nearest, away.min(0), out=nearest)
        distance: FloatArray = np.sqrt(nearest)
        return distance


@dataclass(frozen=True)
class Area:
    """A box (x0, y0, x1, y1) about the thing."""

    box: Box

    @property
    def positive(self) -> bool:
        """It says where the thing is."""
        return True

    @property
    def middle(self) -> Point:
        """The box's centre."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    def distance(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """From the box to the places at columns ``x`` and rows ``y``, 0 inside: len(y) x len(x)."""
        x0, y0, x1, y1 = self.box
        across = np.maximum(np.maximum(x0 - x, x - x1), 0)[None, :]
        down = np.maximum(np.maximum(y0 - y, y - y1), 0)[:, None]
        distance: FloatArray = np.hypot(across, down).astype(np.float32)
        return distance

    def coverage(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """How much of the cells centred at ``x`` and ``y`` is inside: len(y) x len(x)."""
        x0, y0, x1, y1 = self.box
        across, down = (
            np.clip(np.minimum(at - low, high - at) / GUIDE_STRIDE + 0.5, 0, 1)
            for at, low, high in ((x, x0, x1), (y, y0, y1))
        )
        covered: FloatArray = (down[:, None] * across[None, :]).astype(np.float32)
        return covered


Mark = Stroke | Area


def as_shown(mark: Mark) -> Mark:
    """What a guided look is shown of a mark: of a negative line its middle half.

    All of it, along the rim of a thing or a gap in it, covers so much of what belongs to the thing
    that the network takes the thing away.
    """
    if isinstance(mark, Stroke) and mark.marks_off:
        return mark.middle_part(_SHOWN)
    return mark


def guide_planes(
    marks: Sequence[Mark],
    prior: FloatArray,
    own_positive: FloatArray,
    own_negative: FloatArray,
) -> FloatArray:
    """The planes of ``GUIDE_PLANES``, float32, one h x w plane of ``GUIDE_STRIDE`` cells each.

    ``marks`` are in the order in which they were made, at least one. ``prior`` is the probability
    of the mask so far; ``own_positive`` and ``own_negative`` are TraceNet's own masks at the
    positive and at the negative marks, times their scores, the largest of each. All are h x w.
    Where a stroke says the opposite of an earlier one, the later one is right.
    """
    height, width = prior.shape
    x, y = centres(width), centres(height)
    planes = np.zeros((len(GUIDE_PLANES), height, width), np.float32)
    positive, negative, box = planes[:3]
    for mark in marks:
        if isinstance(mark, Area):
            box[:] = mark.coverage(x, y)
            continue
        said, opposite = (positive, negative) if mark.positive else (negative, positive)
        covered = _covered(mark, height, width)
        np.maximum(said, covered, out=said)
        np.minimum(opposite, 1 - covered, out=opposite)
    planes[3], planes[4], planes[5] = prior, own_positive, own_negative
    newest = marks[-1]
    planes[6] = np.exp(-newest.distance(x, y) / NEARNESS) * (1 if newest.positive else -1)
    anchor_x, anchor_y = next((mark for mark in marks if mark.positive), newest).middle
    planes[7] = ((x - anchor_x) / FAR)[None, :]
    planes[8] = ((y - anchor_y) / FAR)[:, None]
    return planes


def centres(count: int) -> FloatArray:
    """Where the centres of so many cells of ``GUIDE_STRIDE`` are, from the canvas's border on."""
    return (np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(GUIDE_STRIDE)


@lru_cache(maxsize=128)
def _covered(stroke: Stroke, height: int, width: int) -> FloatArray:
    """How much of each cell it covers; kept, as every later correction shows it again."""
    radius = max(stroke.radius, LEAST_RADIUS)
    distance = stroke.distance(centres(width), centres(height))
    covered: FloatArray = np.clip((radius - distance) / GUIDE_STRIDE + 0.5, 0, 1)
    covered.flags.writeable = False
    return covered
