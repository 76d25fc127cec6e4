"""From the network's probabilities to a mask of the photo, at the photo's size or any other.

Coordinates are those of ``geometry``: pixel ``x`` covers ``[x, x + 1)``, its centre is ``x + 0.5``.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.contract import PROBABILITY_STRIDE
from tracenet_runtime.image.geometry import Placement, Tile
from tracenet_runtime.image.memory import blank_memory

_TILE_PIXELS = 1 << 18
_TILE_COLUMNS = 4096
_Taps = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class ProbabilityMap:
    """How probable it is that a place of the photo belongs to the thing.

    ``probability`` (float32, h x w) has one cell per ``stride`` canvas pixels of ``window``, which
    is (x0, y0, x1, y1) in canvas pixels. ``placement`` is how what was looked at lies on the
    canvas: all of a photo of ``photo`` (height, width) pixels, or the ``tile`` of it.
    """

    probability: npt.NDArray[np.float32]
    window: tuple[int, int, int, int]
    placement: Placement
    photo: tuple[int, int]
    tile: Tile | None
    stride: int = PROBABILITY_STRIDE

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.window
        rows, columns = self.probability.shape
        if (columns * self.stride, rows * self.stride) != (x1 - x0, y1 - y0):
            raise ValueError(f"a map of {rows} x {columns} cells does not fill {self.window}")

    def mask_at(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """The mask of the whole photo, in a picture of it that has this many pixels.

        It is where the probability, resized to the picture, is above 0.5: bool, height x width,
        False for every pixel whose centre is outside the window or the tile. Raises ``ValueError``
        for a picture without pixels.

        The filter is Pillow's bilinear one (a triangle, widened when the picture is smaller than
        the map), computed here tile by tile, and only where 0.5 lies between the cells that mix:
        floats for all of a 100-megapixel photo would take 400 MB, and Pillow rounds the corners of
        a tile to float32, so that its tiles do not join exactly.
        """
        mask = blank_mask(height, width)
        self.write(mask)
        return mask

    def axes(self, height: int, width: int) -> "tuple[PictureAxis, PictureAxis]":
        """Down and across, of a picture of the whole photo that has this many pixels."""
        left, top, right, bottom = self.tile or (0, 0, self.photo[1], self.photo[0])
        return (
            PictureAxis(height, self.photo[0], top, bottom, self.placement.content_height),
            PictureAxis(width, self.photo[1], left, right, self.placement.content_width),
        )

    def write(self, mask: npt.NDArray[np.bool_]) -> None:
        """Fill in a mask as ``mask_at`` gives it, where that is still all False."""
        x0, y0, _, _ = self.window
        down, across = self.axes(*mask.shape)
        cells = np.ascontiguousarray(self.probability, np.float32)
        # Mixing cells cannot exceed the largest of them: pixels far from every cell above 0.5 stay
        # out.
        likely = cells > 0.5
        columns, rows = (
            _pixels_near(
                np.flatnonzero(likely.any(axis)), start, likely.shape[1 - axis], on, self.stride
            )
            for axis, start, on in ((0, x0, across), (1, y0, down))
        )
        for tile_columns in _pieces(columns, _TILE_COLUMNS):
            column_taps = _triangle_taps(tile_columns, across, x0, cells.shape[1], self.stride)
            tile_height = max(1, _TILE_PIXELS // len(tile_columns))
            buffer = np.empty((3, tile_height, len(tile_columns)), np.bool_)
            for tile_rows in _pieces(rows, tile_height):
                row_taps = _triangle_taps(tile_rows, down, y0, cells.shape[0], self.stride)
                part = mask[_slice(tile_rows), _slice(tile_columns)]
                part[:] = _tile_mask(cells, row_taps, column_taps, buffer[:, : len(tile_rows)])


def blank_mask(height: int, width: int) -> npt.NDArray[np.bool_]:
    """All False; memory is only taken where it is written. ``ValueError`` for one without pixels.

    From `np.zeros` it would take all of its memory whenever the C library had such a block at hand.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a mask cannot have {height} x {width} pixels")
    return np.frombuffer(blank_memory(height * width), np.bool_).reshape(height, width)


def place_mask(
    probability: npt.NDArray[np.float32], window: tuple[int, int, int, int], placement: Placement
) -> npt.NDArray[np.bool_]:
    """The mask of a photo that lies on its canvas as a whole, in the photo's pixels.

    Arguments as for :class:`ProbabilityMap`; returns bool, photo_height x photo_width.
    """
    photo = placement.photo_height, placement.photo_width
    return ProbabilityMap(probability, window, placement, photo, tile=None).mask_at(*photo)


@dataclass(frozen=True)
class PictureAxis:
    """One axis of a picture of a photo, of which a part lies on the canvas.

    The photo has ``photo`` pixels, of which ``[start, stop)`` are ``content`` canvas pixels large,
    and the picture of it ``picture``.
    """

    picture: int
    photo: int
    start: int
    stop: int
    content: int

    @property
    def scale(self) -> float:
        """Canvas pixels per pixel of the picture."""
        return self.photo / self.picture * (self.content / (self.stop - self.start))

    def centres(self, pixels: range) -> npt.NDArray[np.float64]:
        """Where the centres of the picture's pixels are on the canvas."""
        in_picture = np.arange(pixels.start, pixels.stop, dtype=np.float64) + 0.5
        in_photo = in_picture * (self.photo / self.picture)
        return (in_photo - self.start) * (self.content / (self.stop - self.start))

    def pixels_within(self, start: int, stop: int) -> range:
        """The picture's pixels with their centre in the canvas interval, and on the content."""
        return range(
            self._first_at_or_after(max(0, start)), self._first_at_or_after(min(stop, self.content))
        )

    def _first_at_or_after(self, canvas_position: int) -> int:
        # The smallest X with centre(X) >= canvas_position, in whole numbers.
        length = self.stop - self.start
        twice = 2 * self.picture * (self.start * self.content + canvas_position * length)
        step = self.photo * self.content
        return -((step - twice) // (2 * step))


def _tile_mask(
    cells: npt.NDArray[np.float32],
    row_taps: _Taps,
    column_taps: _Taps,
    buffer: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Where the cells, resized to a tile of the picture, are above 0.5; a view of the buffer.

    ``buffer`` (3 x tile height x tile width) spares an allocation for each tile.
    """
    row_index, row_weight = row_taps
    first, last = row_index.min(), row_index.max()
    row_index = row_index - first
    stretched = _mix_columns(cells[first : last + 1], column_taps)
    # Values on one side of 0.5 mix to one on that side, and nearly everywhere they are.
    high = stretched > 0.5
    all_high: npt.NDArray[np.bool_] = buffer[0]
    some_high, next_high = buffer[1:]
    np.take(high, row_index[0], axis=0, out=all_high, mode="clip")
    some_high[:] = all_high
    for index in row_index[1:]:
        np.take(high, index, axis=0, out=next_high, mode="clip")
        all_high &= next_high
        some_high |= next_high
    mixed = np.not_equal(all_high, some_high, out=next_high)
    row_number, width = np.arange(len(mixed)), mixed.shape[1]
    pixel = np.flatnonzero(mixed)
    row = np.repeat(row_number, np.count_nonzero(mixed, axis=1))
    value = np.zeros(len(pixel), np.float32)
    for index, weight in zip(row_index, row_weight, strict=True):
        value += stretched.ravel()[pixel + ((index - row_number) * width)[row]] * weight[row]
    all_high.ravel()[pixel] = value > 0.5
    return all_high


def _mix_columns(cells: npt.NDArray[np.float32], taps: _Taps) -> npt.NDArray[np.float32]:
    index, weight = taps
    mixed: npt.NDArray[np.float32] = cells[:, index[0]] * weight[0]
    for i, w in zip(index[1:], weight[1:], strict=True):
        mixed += cells[:, i] * w
    return mixed


def _pixels_near(
    cells: npt.NDArray[np.intp],
    window_start: int,
    cell_count: int,
    axis: PictureAxis,
    stride: int,
) -> range:
    """The picture's pixels of one axis, inside the window, that mix any of these cells."""
    if not cells.size:
        return range(0)
    support = max(stride, axis.scale)
    first_centre, last_centre = (
        window_start + stride * (int(cell) + 0.5) for cell in (cells[0], cells[-1])
    )
    return axis.pixels_within(
        max(window_start, math.floor(first_centre - support)),
        min(window_start + stride * cell_count, math.ceil(last_centre + support)),
    )


def _slice(pixels: range) -> slice:
    return slice(pixels.start, pixels.stop)


def _pieces(whole: range, length: int) -> Iterator[range]:
    for start in range(whole.start, whole.stop, length):
        yield range(start, min(start + length, whole.stop))


def _triangle_taps(
    pixels: range, axis: PictureAxis, window_start: int, cell_count: int, stride: int
) -> _Taps:
    """Which cells each of the picture's pixels mixes on one axis, and in what shares.

    Returns two arrays, taps x pixels: cell indices (clipped into the window) and weights (0 outside
    the window, adding up to 1 per pixel).
    """
    support = max(1.0, axis.scale / stride)
    centre = (axis.centres(pixels) - window_start) / stride
    first = np.floor(centre - support + 0.5).astype(np.intp)
    index = first + np.arange(math.ceil(2 * support))[:, None]
    weight = np.maximum(0.0, 1.0 - np.abs(index + 0.5 - centre) / support)
    weight[(index < 0) | (index >= cell_count)] = 0.0
    weight /= weight.sum(axis=0)
    return index.clip(0, cell_count - 1), weight.astype(np.float32)
