"""Resizing a part of a photo with Pillow's bilinear filter, without copying all of the photo."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

_STRIP_ROWS = 256


def resize_part(
    photo: npt.NDArray[np.uint8], size: tuple[int, int], rows: range, columns: range
) -> npt.NDArray[np.uint8]:
    """Some rows and columns of the photo resized to ``size`` (height, width).

    ``photo`` is uint8, H x W x 3, C-contiguous; the result is uint8, rows x columns x 3. Pillow's
    bilinear filter is a triangle, as wide as two pixels of the coarser of both grids, so that it
    averages when it reduces. Each row is filtered first, then each column, and both results are
    rounded to 8 bits; in the other order, or all of the photo at once, a pixel can differ by one.
    """
    photo_rows, y0, y1 = _source(rows, size[0], photo.shape[0])
    photo_columns, x0, x1 = _source(columns, size[1], photo.shape[1])
    # Each row by itself gives the same pixels, so only a strip of rows at a time is copied into
    # Pillow's own form.
    width = len(columns)
    narrowed = Image.new("RGB", (width, len(photo_rows)))
    for top in range(photo_rows.start, photo_rows.stop, _STRIP_ROWS):
        strip = range(top, min(top + _STRIP_ROWS, photo_rows.stop))
        resized = _pillow_image(photo, strip, photo_columns).resize(
            (width, len(strip)), Image.Resampling.BILINEAR, box=(x0, 0, x1, len(strip))
        )
        narrowed.paste(resized, (0, top - photo_rows.start))
    return np.asarray(
        narrowed.resize((width, len(rows)), Image.Resampling.BILINEAR, box=(0, y0, width, y1))
    )


def _source(pixels: range, resized: int, photo: int) -> tuple[range, float, float]:
    """What pixels of one axis are made of when ``photo`` pixels are resized to ``resized``.

    Returns the photo pixels that the filter reads, and the interval that the resized pixels cover,
    in photo pixels from the first of those.
    """
    scale = photo / resized
    start, stop = pixels.start * photo / resized, pixels.stop * photo / resized
    margin = max(1.0, scale) - scale / 2
    first = max(0, math.floor(start - margin))
    last = min(photo, math.ceil(stop + margin))
    return range(first, last), start - first, stop - first


def _pillow_image(photo: npt.NDArray[np.uint8], rows: range, columns: range) -> Image.Image:
    stride = 3 * photo.shape[1]
    start = rows.start * stride + 3 * columns.start
    stop = (rows.stop - 1) * stride + 3 * columns.stop
    pixels = photo.reshape(-1).data[start:stop]
    return Image.frombytes("RGB", (len(columns), len(rows)), pixels, "raw", ("RGB", stride, 1))
