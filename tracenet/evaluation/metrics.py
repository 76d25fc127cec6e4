"""The IoU of masks with an instance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


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

    def iou(self, mask: Mask) -> float:
        """Intersection over union with a mask (bool H x W), ignored pixels left out.

        Without ignored pixels this is ``pycocotools.mask.iou`` to the last bit. Two empty masks
        have an IoU of 0, as there.
        """
        common = np.count_nonzero(mask[self._window] & self._mask)
        left_out = np.count_nonzero(mask[self._ignored_window] & self._ignored)
        union = self.area + np.count_nonzero(mask) - left_out - common
        return float(common / union) if union else 0.0


def mask_iou(mask: Mask, truth: Mask, ignore: Mask) -> float:
    """The IoU of two masks with ignored pixels left out (see `Truth.iou`), all bool H x W."""
    return Truth(truth, ignore).iou(mask)


def bounding_window(mask: Mask) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle that holds a mask (H x W); may be empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return slice(top, bottom), slice(int(columns[0]), int(columns[-1]) + 1)
