"""From photo to canvas: the one implementation that training and the phone share."""

import itertools
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.image.geometry import Placement
from tracenet_runtime.image.pixels import check_photo
from tracenet_runtime.image.resize import resize_part

_BLOCK = 512


@dataclass(frozen=True)
class Canvas:
    """The picture that the network sees: its size in pixels and the RGB colour of its padding."""

    height: int
    width: int
    pad_value: tuple[int, int, int]

    def place(self, photo_height: int, photo_width: int) -> Placement:
        """Where a photo of this size lies: one scale for both axes, the largest that fits.

        Neither side of the content is ever below one pixel, however narrow the photo.
        """
        scale = min(self.height / photo_height, self.width / photo_width)
        return Placement(
            photo_height=photo_height,
            photo_width=photo_width,
            content_height=min(self.height, max(1, round(photo_height * scale))),
            content_width=min(self.width, max(1, round(photo_width * scale))),
        )

    def open(self, photo: npt.NDArray[np.uint8]) -> "CanvasImage":
        """The photo (uint8, H x W x 3, RGB) on this canvas; parts are resized when they are cut.

        Raises ``PhotoError`` when the array is not a photo.
        """
        check_photo(photo)
        return CanvasImage(self, photo)

    def fit(self, photo: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], Placement]:
        """All of the photo on this canvas (uint8, height x width x 3), as ``open`` cuts it."""
        image = self.open(photo)
        pixels = image.cut(0, 0, self.height, self.width)
        pixels.flags.writeable = True  # nobody else has this image
        return pixels, image.placement


class CanvasImage:
    """A photo on a canvas, resized block by block when a part of it is first cut.

    Blocks are 512 canvas pixels large, aligned at the top left, and each is resized by itself, so
    that a pixel does not depend on what else is cut; where the photo has less than 3 pixels per
    canvas pixel on both axes, it differs by at most one level from what Pillow makes of the whole
    photo at once. The photo must not change while this is in use.
    Several threads may cut.
    """

    def __init__(self, canvas: Canvas, photo: npt.NDArray[np.uint8]) -> None:
        self.height, self.width = canvas.height, canvas.width
        self.placement = canvas.place(photo.shape[0], photo.shape[1])
        self._photo = photo
        self._pixels = np.empty((canvas.height, canvas.width, 3), np.uint8)
        rows = self._pixels.reshape(canvas.height, -1)
        padding = np.tile(np.array(canvas.pad_value, np.uint8), canvas.width)
        rows[self.placement.content_height :] = padding
        right = 3 * self.placement.content_width
        rows[:, right:] = padding[right:]
        self._resized: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """How much memory the canvas takes, without the photo."""
        return self._pixels.nbytes

    def cut(self, y0: int, x0: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        """The canvas pixels from row y0 and column x0 on: uint8, height x width x 3, read-only."""
        tops = _block_starts(y0, min(y0 + height, self.placement.content_height))
        lefts = _block_starts(x0, min(x0 + width, self.placement.content_width))
        with self._lock:
            for block in itertools.product(tops, lefts):
                if block not in self._resized:
                    self._resize_block(*block)
                    self._resized.add(block)
        window = self._pixels[y0 : y0 + height, x0 : x0 + width]
        window.flags.writeable = False
        return window

    def _resize_block(self, top: int, left: int) -> None:
        size = self.placement.content_height, self.placement.content_width
        bottom, right = min(top + _BLOCK, size[0]), min(left + _BLOCK, size[1])
        self._pixels[top:bottom, left:right] = resize_part(
            self._photo, size, range(top, bottom), range(left, right)
        )


def _block_starts(start: int, stop: int) -> range:
    """Where the blocks begin that hold the pixels ``[start, stop)`` of one axis."""
    return range(start // _BLOCK * _BLOCK, stop, _BLOCK) if start < stop else range(0)
