"""Resizing a part of a photo with Pillow's bilinear filter, at a cost that the photo does not set.

A triangle filter reads every pixel of the photo, so a 48-megapixel photo would take 150 times as
long as one of 640 x 480. Where the photo has several pixels for one resized pixel, it is therefore
thinned first, to every n-th pixel of an axis, so that 1.5 to 3 are left per resized pixel.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

_STRIP_ROWS = 256


def resize_part(
    photo: npt.NDArray[np.uint8], size: tuple[int, int], rows: range, columns: range
) -> npt.NDArray[np.uint8]:
    """Some rows and columns of the photo resized to ``size`` (height, width).

    ``photo`` is uint8, H x W x 3, in any memory order; the result is uint8, rows x columns x 3.
    The photo is thinned (see above), then filtered with Pillow's bilinear filter: a triangle, as
    wide as two pixels of the coarser of both grids, so that it averages when it reduces. Each row
    is filtered first, then each column, and both results are rounded to 8 bits; in the other order,
    or all of the photo at once, a pixel can differ by one.
    """
    picked_rows, (y0, y1) = _source(rows, size[0], photo.shape[0])
    picked_columns, (x0, x1) = _source(columns, size[1], photo.shape[1])
    # Each row by itself gives the same pixels, so only a strip of rows at a time is copied into
    # Pillow's own form. None begins with the last row, which may lie outside the photo.
    height, width = len(picked_rows), len(columns)
    narrowed = Image.new("RGB", (width, height))
    tops = range(0, max(1, height - 1), _STRIP_ROWS)
    for top, bottom in zip(tops, (*tops[1:], height), strict=True):
        strip = Image.fromarray(_pick(photo, picked_rows[top:bottom], picked_columns))
        resized = strip.resize(
            (width, strip.height), Image.Resampling.BILINEAR, box=(x0, 0, x1, strip.height)
        )
        narrowed.paste(resized, (0, top))
    return np.asarray(
        narrowed.resize((width, len(rows)), Image.Resampling.BILINEAR, box=(0, y0, width, y1))
    )


def _source(pixels: range, resized: int, photo: int) -> tuple[range, tuple[float, float]]:
    """What pixels of one axis are made of when ``photo`` pixels are resized to ``resized``.

    Returns the photo pixels that the filter reads, of which the last may lie outside the photo by
    less than a step, and the interval that the resized pixels cover: in steps, from the first of
    them.
    """
    step = max(1, 2 * photo // (3 * resized))
    # The middle pixel of each step, the left one of two. Pixel t of the thinned photo is pixel
    # first + t * step of the photo, so the photo's position p is (p - first - 0.5) / step + 0.5.
    first = (step - 1) // 2
    shift = 0.5 - (first + 0.5) / step
    start, stop = (p * photo / resized / step + shift for p in (pixels.start, pixels.stop))
    scale = photo / resized / step
    margin = max(1.0, scale) - scale / 2
    t0 = max(0, math.floor(start - margin))
    t1 = min(math.ceil(photo / step + shift), math.ceil(stop + margin))
    return range(first + t0 * step, first + t1 * step, step), (start - t0, stop - t0)


def _pick(photo: npt.NDArray[np.uint8], rows: range, columns: range) -> npt.NDArray[np.uint8]:
    """These pixels of a photo, contiguous; for one outside, the last that is inside."""
    picked = photo[rows.start : rows.stop : rows.step, columns.start : columns.stop : columns.step]
    outside = [(0, len(rows) - picked.shape[0]), (0, len(columns) - picked.shape[1]), (0, 0)]
    return np.ascontiguousarray(np.pad(picked, outside, "edge") if np.any(outside) else picked)
