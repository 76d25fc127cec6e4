"""Which part of a frame is looked at, and a mask carried from one part to another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Box, PlacedTile, Size, Tile, span, united
from tracenet_runtime.tracking.contract import TILE_SIDE

FloatArray = npt.NDArray[np.float32]

SHARED = 1.5
"""How much longer than its own the side of a tile may be that a thing shares."""


@dataclass(frozen=True)
class FollowRule:
    """A tile that follows a thing, with room for it to move.

    The longer side of the thing's box in the frame before is the share ``fill`` of the tile's side,
    but no frame pixel is more than ``enlarge`` canvas pixels large. A thing whose presence is below
    ``lost`` is not in the tile: until it is found, every other frame is looked at in a larger tile
    about where it was seen last, each twice as long as the one before, up to the whole frame, and
    then from the first again. Only frames whose things all have a presence of ``sure`` are
    remembered.
    """

    fill: float = 0.5
    enlarge: float = 3.0
    lost: float = 0.5
    sure: float = 0.8

    def tile(self, frame: Size, box: Box | None, searched: int = 0) -> PlacedTile:
        """Which part of a frame is looked at.

        Args:
            frame: its height and width, pixels.
            box: where things were seen last, frame pixels; None for all of the frame.
            searched: frames in a row, the last ones, in which one of them was missing.
        """
        height, width = frame
        left, top, right, bottom = 0, 0, width, height
        if box is not None:
            x0, y0, x1, y1 = box
            side = _searched_side(self._side(frame, box), max(frame), searched)
            top, bottom = span((y0 + y1) / 2, side, height)
            left, right = span((x0 + x1) / 2, side, width)
        return placed((left, top, right, bottom))

    def groups(self, frame: Size, boxes: Sequence[Box | None]) -> list[tuple[int, ...]]:
        """Which things share a tile: those that it shows about as large as a tile of their own.

        A thing joins the first group that it fits, and one whose box is None is alone.
        """
        groups: list[tuple[int, ...]] = []
        for thing in range(len(boxes)):
            for place, group in enumerate(groups):
                if self._share(frame, [boxes[member] for member in (*group, thing)]):
                    groups[place] = (*group, thing)
                    break
            else:
                groups.append((thing,))
        return groups

    def _share(self, frame: Size, boxes: Sequence[Box | None]) -> bool:
        known = [box for box in boxes if box is not None]
        if len(known) < len(boxes):
            return False
        least = min(self._side(frame, box) for box in known)
        return self._side(frame, united(known)) <= SHARED * least

    def _side(self, frame: Size, box: Box) -> int:
        """Of the tile about a box, frame pixels."""
        x0, y0, x1, y1 = box
        side = max(max(x1 - x0, y1 - y0) / self.fill, TILE_SIDE / self.enlarge)
        return min(round(side), max(frame))


def _searched_side(side: int, whole: int, searched: int) -> int:
    if searched % 2 == 0:
        return side
    larger = [min(2 * side, whole)]
    while larger[-1] < whole:
        larger.append(min(2 * larger[-1], whole))
    return larger[searched // 2 % len(larger)]


def placed(tile: Tile) -> PlacedTile:
    """A tile of a frame (x0, y0, x1, y1) as it lies on its canvas."""
    x0, y0, x1, y1 = tile
    canvas = Canvas(TILE_SIDE, TILE_SIDE, (0, 0, 0))
    return PlacedTile(tile, canvas.place(y1 - y0, x1 - x0), (TILE_SIDE, TILE_SIDE))


def carried(mask: FloatArray, before: PlacedTile, now: PlacedTile) -> FloatArray:
    """A mask of one tile as another of the same frame has it, bilinearly; 0 beyond the first.

    Args:
        mask: float32 h x w, the cells of a tile.
        before: where it lies.
        now: where it is wanted.

    Returns:
        float32 h x w.
    """
    down, across = (
        _weights(size, now.scale[axis], now.tile[axis], before.scale[axis], before.tile[axis])
        for axis, size in ((1, mask.shape[0]), (0, mask.shape[1]))
    )
    moved: FloatArray = np.matmul(down @ mask, across.T, dtype=np.float32)
    return moved


def _weights(
    cells: int, scale: float, start: float, scale_before: float, start_before: float
) -> FloatArray:
    """Along one axis: how much of each cell before is in each cell now, cells x cells."""
    stride = TILE_SIDE / cells
    on_frame = (np.arange(cells) + 0.5) * stride / scale + start
    place = (on_frame - start_before) * scale_before / stride - 0.5
    distance = np.abs(place[:, None] - np.arange(cells))
    weights: FloatArray = np.maximum(0, 1 - distance).astype(np.float32)
    return weights
