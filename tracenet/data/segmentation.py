"""Segmentations of COCO's form: polygons and run lengths.

pycocotools trusts them: counts of the wrong sum write beyond the mask, coordinates far away fill
the memory, and four numbers are taken for a box. So all of it is checked here before.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from tracenet.data.problems import Problem

Segmentation: TypeAlias = tuple[npt.NDArray[np.float64], ...] | bytes
"""Checked: polygons, each as x0, y0, x1, y1, ..., in photo pixels, or COCO's compressed counts."""


def check_segmentation(segmentation: Any, height: int, width: int) -> Segmentation | Problem:
    """What an annotation of a photo of this size has as segmentation, or what is wrong with it.

    Masks are not drawn, except for those of polygons so thin that they may have no pixel.
    """
    if isinstance(segmentation, dict):
        return _check_rle(segmentation, height, width)
    if isinstance(segmentation, list) and segmentation:
        return _check_polygons(segmentation, height, width)
    return Problem.NO_SEGMENTATION


def draw_mask(segmentation: Segmentation, height: int, width: int) -> npt.NDArray[np.bool_]:
    """The mask, bool height x width, as pycocotools draws it."""
    mask: npt.NDArray[np.uint8] = coco_mask.decode(_to_rle(segmentation, height, width))
    return mask.astype(np.bool_)


def _to_rle(segmentation: Segmentation, height: int, width: int) -> Any:
    if isinstance(segmentation, bytes):
        return {"size": [height, width], "counts": segmentation}
    return coco_mask.merge(coco_mask.frPyObjects(list(segmentation), height, width))


def _check_polygons(listed: list[Any], height: int, width: int) -> Segmentation | Problem:
    polygons = []
    surely_drawn = False
    for numbers in listed:
        try:
            polygon = np.array(numbers)
        except (ValueError, OverflowError):  # lists in lists, numbers of hundreds of digits
            return Problem.BROKEN_POLYGON
        if (
            polygon.dtype.kind not in "iuf"
            or polygon.ndim != 1
            or polygon.size < 6
            or polygon.size % 2
        ):
            return Problem.BROKEN_POLYGON
        polygon = polygon.astype(np.float64)
        x, y = polygon[::2], polygon[1::2]
        left, right, top, bottom = x.min(), x.max(), y.min(), y.max()
        # Written so that NaN fails. Annotators do draw a little over the photo's border.
        if not (-width <= left <= right <= 2 * width and -height <= top <= bottom <= 2 * height):
            return Problem.BROKEN_POLYGON
        inside = left >= 0 and top >= 0 and right <= width and bottom <= height
        # If no pixel of a column is drawn, less than about a pixel of it is covered.
        surely_drawn |= bool(inside and _area(x, y) > right - left + bottom - top + 2)
        polygons.append(polygon)
    if not surely_drawn:
        if all(_is_line(polygon) for polygon in polygons):
            return Problem.BROKEN_POLYGON
        if not coco_mask.area(_to_rle(tuple(polygons), height, width)):
            return Problem.EMPTY_INSTANCE
    return tuple(polygons)


def _area(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Square pixels, by the shoelace formula; parts of opposite orientation cancel out."""
    x, y = x - x[0], y - y[0]
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1])) / 2


def _is_line(polygon: npt.NDArray[np.float64]) -> bool:
    """All points lie on one line, within a thousandth of a pixel."""
    points = polygon.reshape(-1, 2)
    return bool(np.linalg.svd(points - points.mean(0), compute_uv=False)[1] < 1e-3)


def _check_rle(rle: dict[str, Any], height: int, width: int) -> Segmentation | Problem:
    if rle.get("size") != [height, width]:
        return Problem.RLE_SIZE
    counts = rle.get("counts")
    runs = _compressed_runs(counts) if isinstance(counts, str) else _listed_runs(counts)
    pixels = height * width
    if runs is None or runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
        return Problem.BROKEN_RLE
    if not runs[1::2].any():
        return Problem.EMPTY_INSTANCE
    listed = {"size": [height, width], "counts": runs.tolist()}
    compressed: bytes = coco_mask.frPyObjects(listed, height, width)["counts"]
    return compressed


def _listed_runs(counts: Any) -> npt.NDArray[np.int64] | None:
    try:
        runs = np.array(counts)
    except (ValueError, OverflowError):
        return None
    if runs.dtype.kind != "i" or runs.ndim != 1 or not runs.size:
        return None
    return runs.astype(np.int64)


def _compressed_runs(counts: str) -> npt.NDArray[np.int64] | None:
    """The run lengths in a string of COCO's compressed form; None if it is not of that form.

    Each number is its groups of five bits, lowest first, one character each from "0" on; 32 in a
    character says that the number goes on, 16 in its last one that it is negative. From the
    fourth on, a number is the difference to the one two places before.
    """
    characters = np.frombuffer(counts.encode("utf-8", "surrogatepass"), np.uint8).astype(
        np.int64
    ) - ord("0")
    if not characters.size or characters.min() < 0 or characters.max() > 63:
        return None
    goes_on = characters & 32 != 0
    ends = np.flatnonzero(~goes_on) + 1
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    # Seven groups hold more than a mask has pixels.
    if goes_on[-1] or lengths.max() > 7:
        return None
    place = np.arange(characters.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((characters & 31) << 5 * place, starts)
    numbers -= (characters[ends - 1] & 16 != 0) * (1 << 5 * lengths)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
