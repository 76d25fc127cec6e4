"""What every correction keeps to, whatever the network says.

What is at a stroke has its label, far from the newest stroke nothing changes against its sense, and
far from a negative line only what is clear is taken away. Cells are of ``GUIDE_STRIDE`` canvas
pixels.
"""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.marks import FloatArray, Stroke, centres
from tracenet_runtime.answer.mask_state import STROKE_REACH
from tracenet_runtime.contract import GUIDE_STRIDE
from tracenet_runtime.image.geometry import PlacedTile

INSIDE, OUTSIDE = 0.75, 0.25
"""What a cell that disobeys becomes."""

_CLEAR = 0.01
"""How far from 0.5 a cell must be, so that cells of one label mix to it."""

_REACH, _LEAST_REACH = 0.25, 8.0
"""How far what is wrong reaches from a negative line: this share of its length, and at least so
many canvas pixels."""

_LONG = 0.75
"""From which share of the root of the mask's area on a negative line says that most of it is
wrong."""

_BEYOND = 16.0
"""Canvas pixels over which a cell must become clearer to be taken away, from 0.5 to ``OUTSIDE``."""

_SPACING = 1.0
"""Canvas pixels between the places of a line that are looked at."""

_AT_ONCE = 128


def obeys(cells: FloatArray, stroke: Stroke) -> bool:
    """Whether the mask has a stroke's label all along its line."""
    x, y = _along(stroke).T
    columns, rows = (
        (at / GUIDE_STRIDE - 0.5).clip(0, count - 1)
        for at, count in ((x, cells.shape[1]), (y, cells.shape[0]))
    )
    left, top = np.floor(columns).astype(np.intp), np.floor(rows).astype(np.intp)
    right, bottom = (
        np.minimum(first + 1, count - 1)
        for first, count in ((left, cells.shape[1]), (top, cells.shape[0]))
    )
    across, down = columns - left, rows - top
    upper = cells[top, left] * (1 - across) + cells[top, right] * across
    lower = cells[bottom, left] * (1 - across) + cells[bottom, right] * across
    inside = upper * (1 - down) + lower * down > 0.5
    return bool(np.all(inside == stroke.positive))


def force(cells: FloatArray, strokes: Sequence[Stroke], view: PlacedTile) -> FloatArray:
    """The cells, where those at a stroke that disobey it are made to; the newest stroke is last.

    These are all that any pixel of the photo within ``STROKE_REACH`` of the line mixes, so they
    hang together as the line does.
    """
    forced = cells.copy()
    for stroke in strokes:
        at = _mixed_near(stroke, cells.shape, view)
        if stroke.positive:
            forced[at & (forced < 0.5 + _CLEAR)] = INSIDE
        else:
            forced[at & (forced > 0.5 - _CLEAR)] = OUTSIDE
    return forced


def hold(
    cells: FloatArray, before: FloatArray, stroke: Stroke, near: float, view: PlacedTile
) -> FloatArray:
    """The cells, where none that a pixel farther than ``near`` from a stroke mixes goes against it.

    There a negative stroke makes nothing more probable than ``before``, a positive one nothing
    less, so that the one adds no pixel and the other removes none.
    """
    reach_x, reach_y = _mixing(view)
    far = _away(stroke, cells.shape) > max(near - math.hypot(reach_x, reach_y), 0.0)
    kept = np.maximum(cells, before) if stroke.positive else np.minimum(cells, before)
    held: FloatArray = np.where(far, kept, cells)
    return held


def spare(cells: FloatArray, before: FloatArray, stroke: Stroke) -> FloatArray:
    """The cells, where a negative line takes nothing away far from it that is not clear.

    A line along what is wrong shows how large that is, which a tap does not. The farther beyond
    that a cell is, the less probable it must be to leave the mask ``before``. A line that is long
    for that mask leaves the network free.
    """
    root = GUIDE_STRIDE * math.sqrt(np.count_nonzero(before > 0.5))
    if not stroke.marks_off or stroke.length >= _LONG * root:
        return cells
    reach = max(_REACH * stroke.length, _LEAST_REACH)
    beyond = ((_away(stroke, cells.shape) - np.float32(reach)) / np.float32(_BEYOND)).clip(0, 1)
    unclear = (beyond > 0) & (cells > 0.5 - (0.5 - OUTSIDE) * beyond)
    spared: FloatArray = np.where((before > 0.5) & unclear, np.maximum(cells, before), cells)
    return spared


def _mixing(view: PlacedTile) -> tuple[float, float]:
    """Canvas pixels along x and y within which a cell's centre counts for a pixel's centre."""
    across, down = view.scale
    return max(GUIDE_STRIDE, across), max(GUIDE_STRIDE, down)


@lru_cache(maxsize=1)
def _away(stroke: Stroke, shape: tuple[int, ...]) -> FloatArray:
    """How far a tile's cells are from a stroke; kept, as each pass asks twice of the newest."""
    height, width = shape
    away = stroke.distance(centres(width), centres(height))
    away.flags.writeable = False
    return away


@lru_cache(maxsize=128)
def _mixed_near(stroke: Stroke, shape: tuple[int, ...], view: PlacedTile) -> npt.NDArray[np.bool_]:
    """Which cells a pixel mixes whose centre is within ``STROKE_REACH`` of the line.

    Kept, as every later correction on the tile asks again.
    """
    places = _along(stroke)
    # A place that is looked at is at most half a spacing from any other of the line.
    reach = math.hypot(STROKE_REACH, _SPACING / 2)
    near = np.zeros(shape, np.bool_)
    for some in np.array_split(places, math.ceil(len(places) / _AT_ONCE)):
        x, y = (
            np.maximum(
                np.abs(((np.arange(count) + 0.5) * GUIDE_STRIDE)[None, :] - at[:, None]) - mixing, 0
            )
            for at, count, mixing in zip(some.T, shape[::-1], _mixing(view), strict=True)
        )
        near |= (x[:, None, :] ** 2 + y[:, :, None] ** 2).min(0) < reach**2
    near.flags.writeable = False
    return near


def _along(stroke: Stroke) -> npt.NDArray[np.float64]:
    """Places (x, y) of a line, close to each other: n x 2."""
    points = np.asarray(stroke.points, np.float64)
    parts = [points[:1]]
    for start, stop in itertools.pairwise(points):
        count = max(1, math.ceil(math.dist(start, stop) / _SPACING))
        parts.append(start + np.arange(1, count + 1)[:, None] / count * (stop - start))
    return np.concatenate(parts)
