"""The mask of a thing that is corrected: maps of tiles, the newest on top, over a mask given.

It lives in photo coordinates: a correction sees a tile and changes nothing outside of it.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.marks import FloatArray, Stroke
from tracenet_runtime.contract import GUIDE_STRIDE
from tracenet_runtime.image.geometry import Box, PlacedTile, Size, Tile, contains, united
from tracenet_runtime.image.mask import PictureAxis, ProbabilityMap, blank_mask

STROKE_REACH = 2.0
"""Canvas pixels; what is so near to a stroke's line has its label."""

_PIECE = 16.0
"""Canvas pixels of a line that are painted at once."""

_Mask = npt.NDArray[np.bool_]
_Positions = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Layer:
    """What a look or a correction said of a tile.

    ``map`` fills the tile; ``strokes`` are the gestures so far in its canvas pixels, oldest first:
    what is within ``STROKE_REACH`` of them has their label, whatever the map says.
    """

    map: ProbabilityMap
    view: PlacedTile
    strokes: tuple[Stroke, ...] = ()

    def paint(self, mask: _Mask, blank: bool) -> None:
        """Fill in the tile's part of a mask of the whole photo; all is False in a ``blank`` one."""
        down, across = self.map.axes(*mask.shape)
        if not blank:
            mask[_places(down), _places(across)] = False
        self.map.write(mask)
        for stroke in self.strokes:
            for piece in _pieces(stroke):
                _paint(mask, piece, down, across)

    def box(self, newer: Sequence[Tile]) -> Box | None:
        """About the cells above 0.5 whose centre is on no newer tile; photo pixels."""
        x, y = self._centres()
        inside = self.map.probability > 0.5
        for x0, y0, x1, y1 in newer:
            inside = inside & ~np.outer((y0 <= y) & (y < y1), (x0 <= x) & (x < x1))
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not rows.size:
            return None
        left, top = self.map.window[:2]
        step = self.map.stride
        return self.view.box_to_photo(
            (
                left + step * float(columns[0]),
                top + step * float(rows[0]),
                left + step * float(columns[-1] + 1),
                top + step * float(rows[-1] + 1),
            )
        )

    def sampled(self, x: _Positions, y: _Positions) -> FloatArray:
        """Probabilities at columns ``x`` and rows ``y`` of the photo, bilinear, 0 outside.

        len(y) x len(x).
        """
        cells = self.map.probability
        left, top = self.map.window[:2]
        (x_scale, y_scale), (x0, y0, _, _) = self.view.scale, self.view.tile
        columns, right, x_share = _mixed((x - x0) * x_scale - left, cells.shape[1], self.map.stride)
        rows, lower, y_share = _mixed((y - y0) * y_scale - top, cells.shape[0], self.map.stride)
        across = cells[:, columns] * (1 - x_share) + cells[:, right] * x_share
        values = across[rows] * (1 - y_share)[:, None] + across[lower] * y_share[:, None]
        sampled: FloatArray = values.astype(np.float32)
        return sampled

    def holds(
        self, x: _Positions, y: _Positions
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which columns and rows of the photo are on the tile, and in the map's window."""
        left, top, right, bottom = self.map.window
        (x_scale, y_scale), (x0, y0, x1, y1) = self.view.scale, self.view.tile
        u, v = (x - x0) * x_scale, (y - y0) * y_scale
        return (
            (x0 <= x) & (x < x1) & (left <= u) & (u < right),
            (y0 <= y) & (y < y1) & (top <= v) & (v < bottom),
        )

    def _centres(self) -> tuple[_Positions, _Positions]:
        (x_scale, y_scale), (x0, y0, _, _) = self.view.scale, self.view.tile
        rows, columns = self.map.probability.shape
        left, top = self.map.window[:2]
        u = left + (np.arange(columns) + 0.5) * self.map.stride
        v = top + (np.arange(rows) + 0.5) * self.map.stride
        return x0 + u / x_scale, y0 + v / y_scale


@dataclass(frozen=True, eq=False)
class MaskState:
    """The mask so far, of a photo of ``photo`` (height, width) pixels; it never changes.

    A place belongs to the mask as the newest of ``layers``, which stand oldest first, whose tile
    holds it says, otherwise as the mask ``base`` (bool, of the photo's size) says, if there is one.
    """

    photo: Size
    layers: tuple[Layer, ...] = ()
    base: _Mask | None = None

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """What it is made of, and other states may share."""
        maps = tuple(layer.map.probability for layer in self.layers)
        return maps if self.base is None else (*maps, self.base)

    def put(self, layer: Layer) -> "MaskState":
        """The mask with one more layer; those that it covers are dropped."""
        kept = tuple(v for v in self.layers if not contains(layer.view.tile, v.view.tile))
        whole = contains(layer.view.tile, (0, 0, self.photo[1], self.photo[0]))
        return MaskState(self.photo, (*kept, layer), None if whole else self.base)

    def mask_at(self, height: int, width: int) -> _Mask:
        """The mask in a picture of the whole photo of this size: bool, height x width.

        ``ValueError`` for a picture without pixels.
        """
        mask = blank_mask(height, width)
        if self.base is not None:
            rows, columns = (
                ((np.arange(side) + 0.5) * whole / side).astype(np.intp)
                for side, whole in zip((height, width), self.photo, strict=True)
            )
            same = mask.shape == self.photo
            mask[:] = self.base if same else self.base[rows[:, None], columns]
        for number, layer in enumerate(self.layers):
            layer.paint(mask, blank=self.base is None and number == 0)
        return mask

    @cached_property
    def box(self) -> Box | None:
        """About the mask, in photo pixels, up to a cell; None of an empty one."""
        tiles = [layer.view.tile for layer in self.layers]
        boxes = [layer.box(tiles[n + 1 :]) for n, layer in enumerate(self.layers)]
        if self.base is not None:
            shown = self.base.copy() if tiles else self.base
            for x0, y0, x1, y1 in tiles:
                shown[y0:y1, x0:x1] = False
            rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
            if rows.size:
                ends = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
                boxes.append((float(ends[0]), float(ends[1]), float(ends[2]), float(ends[3])))
        found = [box for box in boxes if box is not None]
        return united(found) if found else None

    def carried(self, view: PlacedTile) -> FloatArray:
        """The mask on a tile's canvas, one cell per ``GUIDE_STRIDE`` canvas pixels.

        The newest layer's own cells where it is of the same tile; otherwise the mean of what is
        there at the centres of each cell's canvas pixels. 0 beside the photo.
        """
        if self.layers and self.layers[-1].view == view:
            newest = self.layers[-1].map
            if newest.stride == GUIDE_STRIDE and newest.window == (0, 0, *view.canvas[::-1]):
                return newest.probability
        (height, width), placement = view.canvas, view.placement
        x = view.tile[0] + (np.arange(width) + 0.5) / view.scale[0]
        y = view.tile[1] + (np.arange(height) + 0.5) / view.scale[1]
        values = np.zeros((height, width), np.float32)
        if self.base is not None:
            rows = y.astype(np.intp).clip(0, self.photo[0] - 1)
            columns = x.astype(np.intp).clip(0, self.photo[1] - 1)
            values[:] = self.base[rows[:, None], columns]
        for layer in self.layers:
            on_columns, on_rows = layer.holds(x, y)
            x0, y0, x1, y1 = layer.view.tile
            values[np.ix_((y0 <= y) & (y < y1), (x0 <= x) & (x < x1))] = 0
            values[np.ix_(on_rows, on_columns)] = layer.sampled(x[on_columns], y[on_rows])
        values[placement.content_height :] = 0
        values[:, placement.content_width :] = 0
        return coarser(values, GUIDE_STRIDE)


def coarser(values: FloatArray, factor: int) -> FloatArray:
    """The mean of every ``factor`` x ``factor`` values: float32."""
    height, width = (side // factor for side in values.shape)
    blocks = values.reshape(height, factor, width, factor)
    mean: FloatArray = blocks.mean((1, 3), dtype=np.float32)
    return mean


def _mixed(
    at: _Positions, count: int, stride: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], _Positions]:
    """Of positions in canvas pixels: the two cells that mix there, and the second one's share."""
    place = (at / stride - 0.5).clip(0, count - 1)
    first = np.floor(place).astype(np.intp)
    return first, np.minimum(first + 1, count - 1), place - first


def _places(axis: PictureAxis) -> slice:
    pixels = axis.pixels_within(0, axis.content)
    return slice(pixels.start, pixels.stop)


def _pieces(stroke: Stroke) -> Iterator[Stroke]:
    """The line in parts so short that what is about each is small."""
    points = stroke.points
    if len(points) == 1:
        yield stroke
    for start, stop in itertools.pairwise(points):
        count = max(1, math.ceil(math.dist(start, stop) / _PIECE))
        ends = [
            (
                start[0] + n / count * (stop[0] - start[0]),
                start[1] + n / count * (stop[1] - start[1]),
            )
            for n in range(count + 1)
        ]
        yield from (Stroke(pair, 0.0, stroke.positive) for pair in itertools.pairwise(ends))


def _paint(mask: _Mask, piece: Stroke, down: PictureAxis, across: PictureAxis) -> None:
    """Give the pixels whose centre is near to a line, and on the tile, its label."""
    x, y = zip(*piece.points, strict=True)
    columns, rows = (
        axis.pixels_within(
            math.floor(min(values) - STROKE_REACH), math.ceil(max(values) + STROKE_REACH) + 1
        )
        for axis, values in ((across, x), (down, y))
    )
    near = piece.distance(
        across.centres(columns).astype(np.float32), down.centres(rows).astype(np.float32)
    )
    part = mask[rows.start : rows.stop, columns.start : columns.stop]
    part[near <= STROKE_REACH] = piece.positive
