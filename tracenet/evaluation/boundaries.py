"""The inner boundaries of masks, as boundary IoU compares them (arXiv 2103.16562)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_Mask = npt.NDArray[np.bool_]

WIDTH = 0.02
"""Of a boundary, as a share of the picture's diagonal."""


def boundary_width(height: int, width: int) -> int:
    """How many pixels wide the boundaries on a picture are; at least 1."""
    return max(1, round(WIDTH * math.hypot(height, width)))


def boundary(mask: _Mask, width: int) -> _Mask:
    """The pixels of a mask (bool H x W) at most ``width`` from one that is not of it.

    The distance is the larger of the two along the axes. What lies outside the array is not of the
    mask. So a mask's boundary may be computed on any part of the picture that holds the mask.
    """
    inner = _whole_runs(_whole_runs(mask, 2 * width + 1).T, 2 * width + 1).T
    found = mask.copy()
    if inner.size:
        found[width:-width, width:-width] &= ~inner
    return found


def _whole_runs(mask: _Mask, length: int) -> _Mask:
    """Where ``length`` rows from here on are set: bool (H - length + 1) x W, or 0 x W.

    Runs are doubled until they are long enough, which takes few passes whatever their length.
    """
    if len(mask) < length:
        return mask[:0]
    have = 1
    while have < length:
        step = min(have, length - have)
        mask = mask[:-step] & mask[step:]
        have += step
    return mask
