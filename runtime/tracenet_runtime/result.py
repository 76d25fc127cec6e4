"""What a tap gives: the thing under it, in photo pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet_runtime.rle import encode_rle
from tracenet_runtime.zoom_rule import Box as Box
from tracenet_runtime.zoom_rule import Tile


@dataclass(frozen=True)
class Candidate:
    """What one level says; ``box`` is (x0, y0, x1, y1) in photo pixels, clipped to the photo."""

    level: str
    score: float
    box: Box


@dataclass(frozen=True, eq=False)
class TapResult:
    """The thing under a tap.

    ``mask`` is bool, H x W, in photo pixels. ``score`` (in [0, 1]), ``level`` and ``box`` ((x0,
    y0, x1, y1), photo pixels, clipped to the photo) are those of the level that answered, and
    ``candidates`` has every level that was asked, the best first. ``schedule`` and
    ``mask_schedule`` name the schedule and its mask alternative that were run, on a ``canvas`` of
    (height, width) pixels, and ``macs`` are the multiply-adds of all that was run for this tap. A
    zoom that looked a second time looked at ``tile``, photo pixels (x0, y0, x1, y1), half-open; the
    canvas is that of the look that answered. ``timings_ms`` has milliseconds by stage: ``canvas``
    (resizing what is read of the photo), ``cut``, ``engine/<program>``, ``mask``, ``paste``, and
    ``total``, which covers them all.
    """

    mask: npt.NDArray[np.bool_]
    score: float
    level: str
    box: Box
    candidates: tuple[Candidate, ...]
    schedule: str
    mask_schedule: str
    canvas: tuple[int, int]
    macs: int
    tile: Tile | None
    timings_ms: Mapping[str, float]

    @property
    def area(self) -> int:
        """The number of photo pixels in the mask."""
        return int(np.count_nonzero(self.mask))

    def rle(self) -> dict[str, Any]:
        """The mask as a COCO RLE: {"size": [H, W], "counts": text}."""
        return encode_rle(self.mask)
