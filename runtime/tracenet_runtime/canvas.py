"""From photo to canvas and back: the one implementation that training and the phone share.

Coordinates: pixel ``x`` covers ``[x, x + 1)`` and has its centre at ``x + 0.5``, in the photo and
on the canvas alike. The photo sits at the top left of the canvas, so only a scale per axis
separates the two; it is ``content / photo`` and not the scale the fit aimed at, because the
content has a whole number of pixels.
"""

import itertools
import math
import mmap
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.errors import TapOutsidePhoto
from tracenet_runtime.photo import check_photo
from tracenet_runtime.resize import resize_part

PROBABILITY_STRIDE = 2
"""Canvas pixels per cell of a probability map, on both axes."""

_BLOCK = 512
_TILE_PIXELS = 1 << 18
_TILE_COLUMNS = 4096
_Taps = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]


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

    def box_to_photo(
        self, box: tuple[float, float, float, float]
    ) -> tuple[float, float, float, float]:
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
class Canvas:
    """The picture that the network sees: its size in pixels and the RGB colour of its padding."""

    height: int
    width: int
    pad_value: tuple[int, int, int]

    def place(self, photo_height: int, photo_width: int) -> Placement:
        """Where a photo of this size lies: one scale for both axes, the largest that fits.

        Neither side of the content is ever below one pixel, however narrow the photo.
        """
        scale = min(self.height / photo_height, self.width / photo_width)
        return Placement(
            photo_height=photo_height,
            photo_width=photo_width,
            content_height=min(self.height, max(1, round(photo_height * scale))),
            content_width=min(self.width, max(1, round(photo_width * scale))),
        )

    def open(self, photo: npt.NDArray[np.uint8]) -> "CanvasImage":
        """The photo (uint8, H x W x 3, RGB) on this canvas; parts are resized when they are cut.

        Raises ``PhotoError`` when the array is not a photo.
        """
        check_photo(photo)
        return CanvasImage(self, photo)

    def fit(self, photo: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], Placement]:
        """All of the photo on this canvas (uint8, height x width x 3), as ``open`` cuts it."""
        image = self.open(photo)
        pixels = image.cut(0, 0, self.height, self.width)
        pixels.flags.writeable = True  # nobody else has this image
        return pixels, image.placement


class CanvasImage:
    """A photo on a canvas, resized block by block when a part of it is first cut.

    Blocks are 512 canvas pixels large, aligned at the top left, and each is resized by itself, so
    that a pixel does not depend on what else is cut; where the photo has less than 3 pixels per
    canvas pixel on both axes, it differs by at most one level from what Pillow makes of the whole
    photo at once. The photo must not change while this is in use.
    Several threads may cut.
    """

    def __init__(self, canvas: Canvas, photo: npt.NDArray[np.uint8]) -> None:
        self.height, self.width = canvas.height, canvas.width
        self.placement = canvas.place(photo.shape[0], photo.shape[1])
        self._photo = photo
        self._pixels = np.empty((canvas.height, canvas.width, 3), np.uint8)
        rows = self._pixels.reshape(canvas.height, -1)
        padding = np.tile(np.array(canvas.pad_value, np.uint8), canvas.width)
        rows[self.placement.content_height :] = padding
        right = 3 * self.placement.content_width
        rows[:, right:] = padding[right:]
        self._resized: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def cut(self, y0: int, x0: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        """The canvas pixels from row y0 and column x0 on: uint8, height x width x 3, read-only."""
        tops = _block_starts(y0, min(y0 + height, self.placement.content_height))
        lefts = _block_starts(x0, min(x0 + width, self.placement.content_width))
        with self._lock:
            for block in itertools.product(tops, lefts):
                if block not in self._resized:
                    self._resize_block(*block)
                    self._resized.add(block)
        window = self._pixels[y0 : y0 + height, x0 : x0 + width]
        window.flags.writeable = False
        return window

    def _resize_block(self, top: int, left: int) -> None:
        size = self.placement.content_height, self.placement.content_width
        bottom, right = min(top + _BLOCK, size[0]), min(left + _BLOCK, size[1])
        self._pixels[top:bottom, left:right] = resize_part(
            self._photo, size, range(top, bottom), range(left, right)
        )


def _block_starts(start: int, stop: int) -> range:
    """Where the blocks begin that hold the pixels ``[start, stop)`` of one axis."""
    return range(start // _BLOCK * _BLOCK, stop, _BLOCK) if start < stop else range(0)


def place_mask(
    probability: npt.NDArray[np.float32],
    window: tuple[int, int, int, int],
    placement: Placement,
    mask: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.bool_]:
    """The mask in photo pixels: where the probability, resized to the photo, is above 0.5.

    ``probability`` (h x w) has one cell per ``PROBABILITY_STRIDE`` canvas pixels of ``window``,
    which is (x0, y0, x1, y1) in canvas pixels. Returns a bool array photo_height x photo_width,
    False for every photo pixel whose centre is outside the window: ``mask``, which must be all
    False, or a new one.

    The filter is Pillow's bilinear one (a triangle, widened when the photo is smaller than the
    map), computed here tile by tile, and only where 0.5 lies between the cells that mix: floats for
    all of a 100-megapixel photo would take 400 MB, and Pillow rounds the corners of a tile to
    float32, so that its tiles do not join exactly.
    """
    x0, y0, x1, y1 = window
    cell_rows, cell_columns = probability.shape
    if (cell_columns * PROBABILITY_STRIDE, cell_rows * PROBABILITY_STRIDE) != (x1 - x0, y1 - y0):
        raise ValueError(f"a map of {cell_rows} x {cell_columns} cells does not fill {window}")
    cells = np.ascontiguousarray(probability, np.float32)
    column_scale = placement.content_width / placement.photo_width
    row_scale = placement.content_height / placement.photo_height
    # Mixing cells cannot exceed the largest of them: pixels far from every cell above 0.5 stay out.
    likely = cells > 0.5
    columns = _centred_inside(
        *_interval_near(np.flatnonzero(likely.any(axis=0)), x0, x1, column_scale),
        placement.content_width,
        placement.photo_width,
    )
    rows = _centred_inside(
        *_interval_near(np.flatnonzero(likely.any(axis=1)), y0, y1, row_scale),
        placement.content_height,
        placement.photo_height,
    )

    if mask is None:
        mask = empty_mask(placement.photo_height, placement.photo_width)
    for tile_columns in _pieces(columns, _TILE_COLUMNS):
        column_taps = _triangle_taps(tile_columns, column_scale, x0, cell_columns)
        tile_height = max(1, _TILE_PIXELS // len(tile_columns))
        buffer = np.empty((3, tile_height, len(tile_columns)), np.bool_)
        for tile_rows in _pieces(rows, tile_height):
            row_taps = _triangle_taps(tile_rows, row_scale, y0, cell_rows)
            tile = _tile_mask(cells, row_taps, column_taps, buffer[:, : len(tile_rows)])
            mask[tile_rows.start : tile_rows.stop, tile_columns.start : tile_columns.stop] = tile
    return mask


def empty_mask(height: int, width: int) -> npt.NDArray[np.bool_]:
    """An array of False, height x width, that takes memory only where it is written to.

    From ``np.zeros`` it would take all of it whenever the C library had such a block at hand.
    """
    if sys.platform == "win32":
        memory = mmap.mmap(-1, height * width)
    else:  # without the flags it is shared, and takes memory where it is read
        memory = mmap.mmap(-1, height * width, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, np.bool_).reshape(height, width)


def _tile_mask(
    cells: npt.NDArray[np.float32],
    row_taps: _Taps,
    column_taps: _Taps,
    buffer: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Where the cells, resized to a tile of the photo, are above 0.5; a view of the buffer.

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


def _clip(value: float, upper: float) -> float:
    return min(max(value, 0.0), float(upper))


def _interval_near(
    cells: npt.NDArray[np.intp], window_start: int, window_stop: int, scale: float
) -> tuple[int, int]:
    """The canvas interval of one axis, inside the window, of pixels that mix any of these cells."""
    if not cells.size:
        return window_start, window_start
    support = max(PROBABILITY_STRIDE, scale)
    first_centre, last_centre = (
        window_start + PROBABILITY_STRIDE * (int(cell) + 0.5) for cell in (cells[0], cells[-1])
    )
    return (
        max(window_start, math.floor(first_centre - support)),
        min(window_stop, math.ceil(last_centre + support)),
    )


def _centred_inside(start: int, stop: int, content: int, photo: int) -> range:
    """The photo pixels of one axis with their centre in the canvas interval [start, stop)."""

    def first_at_or_after(canvas_position: int) -> int:
        # The smallest X with (X + 0.5) * content / photo >= canvas_position, in whole numbers.
        return -((content - 2 * photo * canvas_position) // (2 * content))

    return range(max(0, first_at_or_after(start)), min(photo, first_at_or_after(stop)))


def _pieces(whole: range, length: int) -> Iterator[range]:
    for start in range(whole.start, whole.stop, length):
        yield range(start, min(start + length, whole.stop))


def _triangle_taps(pixels: range, scale: float, window_start: int, cell_count: int) -> _Taps:
    """Which cells each photo pixel of one axis mixes, and in what shares.

    ``scale`` is canvas pixels per photo pixel. Returns two arrays, taps x pixels: cell indices
    (clipped into the window) and weights (0 outside the window, adding up to 1 per pixel).
    """
    cells_per_pixel = scale / PROBABILITY_STRIDE
    support = max(1.0, cells_per_pixel)
    photo_centre = np.arange(pixels.start, pixels.stop) + 0.5
    centre = (photo_centre * scale - window_start) / PROBABILITY_STRIDE
    first = np.floor(centre - support + 0.5).astype(np.intp)
    index = first + np.arange(math.ceil(2 * support))[:, None]
    weight = np.maximum(0.0, 1.0 - np.abs(index + 0.5 - centre) / support)
    weight[(index < 0) | (index >= cell_count)] = 0.0
    weight /= weight.sum(axis=0)
    return index.clip(0, cell_count - 1), weight.astype(np.float32)
