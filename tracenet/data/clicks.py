"""Clicks of a user who corrects a mask, simulated; training and evaluation draw the same ones.

The user is that of the usual protocol of interactive segmentation (arXiv 1603.04042, 2102.06583),
who looks for the place that lies deepest within what is wrong with the mask.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, find_objects

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Click:
    """A pixel of a photo (or tile), and whether it belongs to the thing that is meant."""

    x: int
    y: int
    positive: bool


def next_click(
    mask: _Mask,
    truth: _Mask,
    known: _Mask,
    clicked: Collection[tuple[int, int]] = (),
    *,
    random: np.random.Generator | None = None,
    depth: float = 1.0,
) -> Click | None:
    """The next click of a user who corrects a mask towards the truth.

    What is wrong are two maps: the known pixels that the mask lacks, and those that it has in
    excess. The depth of a pixel is its Euclidean distance to the nearest pixel that is not of its
    map, and nothing beyond the picture's edge is of it; a clicked pixel has the depth 0. The click
    goes into the map with the deeper pixel, into that of the excess if both are equally deep.

    Args:
        mask: bool H x W, to be corrected; for a first click one without any pixel.
        truth: bool H x W, what is meant.
        known: bool H x W, False where the annotation says nothing, which is never wrong.
        clicked: (x, y) of the clicks so far; they are not clicked again.
        random: draws uniformly among the map's pixels that are deep enough. Without it the deepest
            pixel is clicked, of several the first in row order.
        depth: of ``random``: how deep is deep enough, in (0, 1] of the deepest pixel's depth.

    Returns:
        The click, or None where nothing is left to click: every pixel that is wrong was clicked.
    """
    lacking = _Depths(truth & ~mask & known, clicked)
    excess = _Depths(mask & ~truth & known, clicked)
    positive = lacking.largest > excess.largest
    depths = lacking if positive else excess
    if not depths.largest:
        return None
    x, y = depths.deepest() if random is None else depths.draw(random, depth)
    return Click(x, y, positive)


class _Depths:
    """The depths of a map's pixels, in the smallest rectangle that holds the map.

    Around it there is nothing of the map, so that a ring of one pixel gives the same depths as the
    whole picture, many times as fast.
    """

    def __init__(self, wrong: _Mask, clicked: Collection[tuple[int, int]]) -> None:
        self.largest = 0.0
        windows = find_objects(wrong.view(np.uint8))
        if not windows:
            return
        rows, columns = windows[0]
        self._x, self._y = columns.start, rows.start
        ringed = np.pad(wrong[rows, columns], 1)
        depths: npt.NDArray[np.float64] = distance_transform_edt(ringed)[1:-1, 1:-1]
        for x, y in clicked:
            if columns.start <= x < columns.stop and rows.start <= y < rows.stop:
                depths[y - self._y, x - self._x] = 0
        self._depths = depths
        self.largest = float(depths.max())

    def deepest(self) -> tuple[int, int]:
        return self._point(int(self._depths.argmax()))

    def draw(self, random: np.random.Generator, depth: float) -> tuple[int, int]:
        return self._point(int(random.choice(np.flatnonzero(self._depths >= depth * self.largest))))

    def _point(self, place: int) -> tuple[int, int]:
        row, column = divmod(place, self._depths.shape[1])
        return self._x + column, self._y + row
