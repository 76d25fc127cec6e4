"""From photo to canvas and back: the one implementation that training and the phone share.

Coordinates: pixel ``x`` covers ``[x, x + 1)`` and has its centre at ``x + 0.5``, in the photo and
on the canvas alike. The photo sits at the top left of the canvas, so only a scale per axis
separates the two; it is ``content / photo`` and not the scale the fit aimed at, because the
content has a whole number of pixels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_runtime.errors import TapOutsidePhoto
from tracenet_runtime.photo import check_photo

MASK_STRIDE = 2
"""Canvas pixels per cell of a probability map, on both axes."""

_TILE_PIXELS = 1 << 18
_TILE_COLUMNS = 4096


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

    def fit(self, photo: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], Placement]:
        """The photo (uint8, H x W x 3, RGB) on this canvas (uint8, height x width x 3).

        Resized with Pillow's bilinear filter, which averages when it reduces. Raises
        ``PhotoError`` when the array is not a photo.
        """
        check_photo(photo)
        placement = self.place(photo.shape[0], photo.shape[1])
        content_size = (placement.content_width, placement.content_height)
        content = Image.fromarray(photo).resize(content_size, Image.Resampling.BILINEAR)
        canvas = np.empty((self.height, self.width, 3), np.uint8)
        canvas[:] = self.pad_value
        canvas[: placement.content_height, : placement.content_width] = np.asarray(content)
        return canvas, placement


def place_mask(
    probability: npt.NDArray[np.float32],
    window: tuple[int, int, int, int],
    placement: Placement,
) -> npt.NDArray[np.bool_]:
    """The mask in photo pixels: where the probability, resized to the photo, is above 0.5.

    ``probability`` (h x w) has one cell per ``MASK_STRIDE`` canvas pixels of ``window``, which is
    (x0, y0, x1, y1) in canvas pixels. Returns a bool array photo_height x photo_width, False for
    every photo pixel whose centre is outside the window.

    The filter is Pillow's bilinear one (a triangle, widened when the photo is smaller than the
    map), computed here tile by tile: floats for all of a 100-megapixel photo would take 400 MB,
    and Pillow rounds the corners of a tile to float32, so that its tiles do not join exactly.
    """
    x0, y0, x1, y1 = window
    cell_rows, cell_columns = probability.shape
    if (cell_columns * MASK_STRIDE, cell_rows * MASK_STRIDE) != (x1 - x0, y1 - y0):
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

    mask = np.zeros((placement.photo_height, placement.photo_width), np.bool_)
    for tile_columns in _pieces(columns, _TILE_COLUMNS):
        index, weight = _triangle_taps(tile_columns, column_scale, x0, cell_columns)
        stretched = cells[:, index[0]] * weight[0]
        for i, w in zip(index[1:], weight[1:], strict=True):
            stretched += cells[:, i] * w
        for tile_rows in _pieces(rows, max(1, _TILE_PIXELS // len(tile_columns))):
            index, weight = _triangle_taps(tile_rows, row_scale, y0, cell_rows)
            tile = stretched[index[0]] * weight[0][:, None]
            for i, w in zip(index[1:], weight[1:], strict=True):
                tile += stretched[i] * w[:, None]
            mask[tile_rows.start : tile_rows.stop, tile_columns.start : tile_columns.stop] = (
                tile > 0.5
            )
    return mask


def _clip(value: float, upper: float) -> float:
    return min(max(value, 0.0), float(upper))


def _interval_near(
    cells: npt.NDArray[np.intp], window_start: int, window_stop: int, scale: float
) -> tuple[int, int]:
    """The canvas interval of one axis, inside the window, of pixels that mix any of these cells."""
    if not cells.size:
        return window_start, window_start
    support = max(MASK_STRIDE, scale)
    first_centre, last_centre = (
        window_start + MASK_STRIDE * (int(cell) + 0.5) for cell in (cells[0], cells[-1])
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


def _triangle_taps(
    pixels: range, scale: float, window_start: int, cell_count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Which cells each photo pixel of one axis mixes, and in what shares.

    ``scale`` is canvas pixels per photo pixel. Returns two arrays, taps x pixels: cell indices
    (clipped into the window) and weights (0 outside the window, adding up to 1 per pixel).
    """
    cells_per_pixel = scale / MASK_STRIDE
    support = max(1.0, cells_per_pixel)
    photo_centre = np.arange(pixels.start, pixels.stop) + 0.5
    centre = (photo_centre * scale - window_start) / MASK_STRIDE
    first = np.floor(centre - support + 0.5).astype(np.intp)
    index = first + np.arange(math.ceil(2 * support))[:, None]
    weight = np.maximum(0.0, 1.0 - np.abs(index + 0.5 - centre) / support)
    weight[(index < 0) | (index >= cell_count)] = 0.0
    weight /= weight.sum(axis=0)
    return index.clip(0, cell_count - 1), weight.astype(np.float32)
