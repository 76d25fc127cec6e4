"""What a tap gives: the thing under it, in photo pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.mask_state import MaskState
from tracenet_runtime.image.geometry import Box, Tile
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.image.rle import encode_rle

GIVEN = "given"
"""The level of a mask that no look answered."""


@dataclass(frozen=True)
class Candidate:
    """What one level says; ``box`` is (x0, y0, x1, y1) in photo pixels, clipped to the photo."""

    level: str
    score: float
    box: Box


@dataclass(frozen=True, eq=False)
class TapResult:
    """The thing under a tap.

    ``score`` (in [0, 1]), ``level`` and ``box`` ((x0, y0, x1, y1), photo pixels, clipped to the
    photo) are those of the level that answered, and ``candidates`` has every level that was asked,
    the best first; ``probability`` is what it says of every place of the photo, as the network
    gives it. ``schedule`` names the schedule or strategy that answered, ``mask_window`` the window
    that the mask was computed in, on a ``canvas`` of (height, width) pixels, and ``macs`` are the
    multiply-adds behind the answer, without those that a session ran once for the photo. A zoom
    that looked a second time looked at ``tile``, photo pixels (x0, y0, x1, y1), half-open; the
    canvas is that of the look that answered. ``timings_ms`` has milliseconds by stage: ``canvas``
    (resizing what is read of the photo), ``cut``, ``engine/<program>``, ``mask``, and ``total``,
    which covers them all, but not writing a mask of many pixels.

    Of a guided look, ``probability`` is the mask so far, ``mask_window`` its phase, ``canvas`` and
    ``tile`` those of the tile that it corrects, and the stages are ``canvas``, ``tap`` (looks),
    ``encode`` (a tile), ``correction``, ``mask`` and ``total``. Score, level and candidates stay
    those of the look that the thing began with (1, ``GIVEN`` and none for a mask that was given);
    ``box`` is that look's until something is corrected, then it is about the mask. ``obeyed`` says
    whether the newest gesture had its label before it was forced; None where nothing was corrected.
    """

    probability: ProbabilityMap | MaskState
    score: float
    level: str
    box: Box
    candidates: tuple[Candidate, ...]
    schedule: str
    mask_window: str
    canvas: tuple[int, int]
    macs: int
    tile: Tile | None
    timings_ms: Mapping[str, float]
    obeyed: bool | None = None

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Bool, H x W, in photo pixels; written when it is first asked for, and kept."""
        return self.mask_at(*self.probability.photo)

    def mask_at(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """The mask in a picture of the whole photo of this size, such as the one on the screen.

        Bool, height x width. It takes time and memory for its own pixels, not for the photo's.
        Raises ``ValueError`` for a picture without pixels.
        """
        return self.probability.mask_at(height, width)

    @property
    def area(self) -> int:
        """The number of photo pixels in the mask."""
        return int(np.count_nonzero(self.mask))

    def rle(self) -> dict[str, Any]:
        """The mask as a COCO RLE: {"size": [H, W], "counts": text}."""
        return encode_rle(self.mask)
