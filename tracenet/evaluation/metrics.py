"""The IoU of masks, and that of their boundaries, with an instance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracenet.evaluation.boundaries import boundary, boundary_width

Mask = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
"""Rows and columns, none of them None."""


class Truth:
    """An instance of a photo, prepared to be compared with many masks.

    Its own pixels are looked at in its bounding box only; of the rest of a mask nothing but the
    number of pixels matters.
    """

    def __init__(self, mask: Mask, ignore: Mask) -> None:
        """``mask`` (bool H x W) is the instance; ignored pixels on it count as the instance."""
        self.area = int(np.count_nonzero(mask))
        self._window = bounding_window(mask)
        self._mask = mask[self._window].copy()
        ignored = ignore & ~mask
        self._ignored_window = bounding_window(ignored)
        self._ignored = ignored[self._ignored_window].copy()
        self._boundary_width = boundary_width(*mask.shape)
        self._boundary = boundary(self._mask, self._boundary_width)

    def iou(self, mask: Mask) -> float:
        """Intersection over union with a mask (bool H x W), ignored pixels left out.

        Without ignored pixels this is ``pycocotools.mask.iou`` to the last bit. Two empty masks
        have an IoU of 0, as there.
        """
        common = np.count_nonzero(mask[self._window] & self._mask)
        left_out = np.count_nonzero(mask[self._ignored_window] & self._ignored)
        union = self.area + np.count_nonzero(mask) - left_out - common
        return float(common / union) if union else 0.0

    def boundary_iou(self, mask: Mask) -> float:
        """The IoU of the inner boundary with that of a mask (bool H x W), 2 % of the diagonal wide.

        What the mask says at ignored pixels makes no difference: they are taken out of it before
        its boundary is found. Two empty masks have a boundary IoU of 0.
        """
        if self._ignored.size:
            mask = mask.copy()
            mask[self._ignored_window] &= ~self._ignored
        window = bounding_window(mask)
        given = boundary(mask[window], self._boundary_width)
        both = _overlap(window, self._window)
        common = np.count_nonzero(
            given[_within(window, both)] & self._boundary[_within(self._window, both)]
        )
        union = np.count_nonzero(given) + np.count_nonzero(self._boundary) - common
        return float(common / union) if union else 0.0


def mask_iou(mask: Mask, truth: Mask, ignore: Mask) -> float:
    """The IoU of two masks with ignored pixels left out (see `Truth.iou`), all bool H x W."""
    return Truth(truth, ignore).iou(mask)


def bounding_window(mask: Mask) -> Window:
    """Rows and columns of the smallest rectangle that holds a mask (H x W); may be empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return slice(top, bottom), slice(int(columns[0]), int(columns[-1]) + 1)


def _overlap(one: Window, other: Window) -> Window:
    rows, columns = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def _within(outer: Window, inner: Window) -> Window:
    """Where a window lies in an array that holds the pixels of a larger one."""
    rows, columns = (
        slice(b.start - a.start, b.stop - a.start) for a, b in zip(outer, inner, strict=True)
    )
    return rows, columns
