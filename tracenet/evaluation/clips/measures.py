"""DAVIS's measures of a mask in a frame, and of a thing in a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

from tracenet.evaluation.metrics import Mask

TOLERANCE = 0.008
"""Of a frame's diagonal: how far boundaries may lie apart, rounded up to pixels."""

QUARTERS = 4


def jaccard(mask: Mask, truth: Mask) -> float:
    """J, the intersection over union of two masks, bool H x W; 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def boundary_f(mask: Mask, truth: Mask) -> float:
    """F, how well boundaries agree: the harmonic mean of precision and recall.

    Precision is the share of the mask's boundary pixels that are at most ``TOLERANCE`` from a
    boundary pixel of the truth, recall the reverse. Where both have no boundary it is 1, where one
    has none 0.

    Args:
        mask, truth: bool H x W.
    """
    given, true = boundary(mask), boundary(truth)
    counts = np.count_nonzero(given), np.count_nonzero(true)
    if not all(counts):
        return 1.0 if not any(counts) else 0.0
    distance = math.ceil(TOLERANCE * math.hypot(*mask.shape))
    precision = np.count_nonzero(given & _near(true, distance)) / counts[0]
    recall = np.count_nonzero(true & _near(given, distance)) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask: Mask) -> Mask:
    """The pixels that differ from their right, lower or lower right neighbour, bool H x W.

    Beyond the frame's edge everything is as at the edge.
    """
    wide = np.pad(mask, ((0, 1), (0, 1)), "edge")
    differs: Mask = (mask != wide[:-1, 1:]) | (mask != wide[1:, :-1]) | (mask != wide[1:, 1:])
    return differs


def recall(values: Sequence[float]) -> float:
    """The share of a clip's frames whose value is above a half."""
    return float(np.mean(np.array(values) > 0.5))


def decay(values: Sequence[float]) -> float:
    """By how much values fall: the mean of a clip's first quarter minus that of its last.

    As in DAVIS, a quarter has both of its ends, which are rounded to frames.
    """
    ends = np.floor(np.linspace(0, len(values) - 1, QUARTERS + 1) + 0.5).astype(int)
    first, last = values[: ends[1] + 1], values[ends[-2] :]
    return float(np.mean(first) - np.mean(last))


def _near(pixels: Mask, distance: int) -> Mask:
    """Within so many pixels, as the crow flies, of one of these, of which there is one."""
    near = np.zeros_like(pixels)
    rows, columns = find_objects(pixels.view(np.uint8))[0]
    window = (
        slice(max(0, rows.start - distance), rows.stop + distance),
        slice(max(0, columns.start - distance), columns.stop + distance),
    )
    near[window] = distance_transform_edt(~pixels[window]) <= distance
    return near
