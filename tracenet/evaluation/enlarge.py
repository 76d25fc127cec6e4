"""Photos made larger before they are tapped: do outlines stay sharp on large ones?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tracenet.evaluation.answers import Photo
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.protocol import Tap


@dataclass(frozen=True)
class Enlargement:
    """What makes a photo, its masks and taps on it larger; detail is not added.

    Attributes:
        before, after: height and width, pixels; the same if nothing is enlarged.
    """

    before: tuple[int, int]
    after: tuple[int, int]

    @classmethod
    def of(cls, photo: Photo, megapixels: float | None) -> Enlargement:
        """To so many megapixels; photos that have as many, and all for None, stay as they are."""
        height, width = photo.shape[:2]
        factor = max(1.0, math.sqrt((megapixels or 0) * 1e6 / (height * width)))
        return cls((height, width), (round(height * factor), round(width * factor)))

    def photo(self, photo: Photo) -> Photo:
        """The photo, by Lanczos's filter."""
        if self.before == self.after:
            return photo
        size = self.after[::-1]
        return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))

    def mask(self, mask: Mask) -> Mask:
        """A mask (bool): where its share, interpolated between the middles of pixels, is a half."""
        if self.before == self.after:
            return mask
        share = Image.fromarray(mask.astype(np.float32))
        return np.asarray(share.resize(self.after[::-1], Image.Resampling.BILINEAR)) >= 0.5

    def tap(self, tap: Tap) -> Tap:
        """The pixel on which the middle of a tapped pixel comes to lie."""
        x, y = (
            int((at + 0.5) * after / before)
            for at, after, before in zip(tap, self.after[::-1], self.before[::-1], strict=True)
        )
        return x, y
