"""Masks of golden.json."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.errors import BundleError
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.rle import decode_rle

MAX_PHOTO_SIDE = 1 << 30

TOLERANCES = {"fp32": (0.001, 0.995), "fp16": (0.01, 0.98), "int8": (0.05, 0.9)}
"""How far a replay may be from a golden answer: (score, IoU), as docs/bundle.md says."""


@dataclass(frozen=True)
class GoldenMask:
    """A mask that a correct replay gives: height and width, and its RLE's counts."""

    size: Size
    counts: str

    def decoded(self) -> npt.NDArray[np.bool_]:
        """Bool H x W; ``BundleError`` where the counts are not those of such a mask."""
        try:
            return decode_rle(*self.size, self.counts)
        except ValueError as error:
            raise BundleError(
                f"The golden mask cannot be decoded ({error}); export the bundle again."
            ) from error

    def iou(self, mask: npt.NDArray[np.bool_]) -> float:
        """With a mask of the same size; two empty ones are the same."""
        expected = self.decoded()
        union = np.count_nonzero(mask | expected)
        return np.count_nonzero(mask & expected) / union if union else 1.0


def parse_golden_mask(rle: JsonValue) -> GoldenMask:
    """A COCO RLE; its counts are read when they are needed."""
    height, width = rle["size"].tuple_of(2)
    size = height.integer(1, MAX_PHOTO_SIDE), width.integer(1, MAX_PHOTO_SIDE)
    return GoldenMask(size, rle["counts"].text())
