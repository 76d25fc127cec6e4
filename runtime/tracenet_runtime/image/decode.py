"""From an opened picture to upright RGB, band by band: a large photo fits into memory once.

Pillow has 4 bytes for a pixel of RGB, so a whole picture there, another turned upright and the
array would take 11. A band of rows at a time is taken from Pillow's picture instead.
"""

import math
import mmap

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_runtime.image.gray import GrayLevels
from tracenet_runtime.image.memory import blank_memory, give_back

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FROM_THE_END = (3, 4, 6, 7)
"""Orientations whose first row is the last row or column of the upright picture."""

_SIDEWAYS = (5, 6, 7, 8)
"""Orientations whose rows are columns of the upright picture."""

_BAND_PIXELS = 1 << 20
_BYTES = 4
"""Of a pixel of RGB in Pillow's memory."""


def decode(
    image: Image.Image, orientation: int, levels: GrayLevels | None
) -> npt.NDArray[np.uint8]:
    """All pixels of an opened picture, turned upright: uint8, H x W x 3, RGB.

    ``orientation`` is one of EXIF's, of which any but 2 to 8 mean upright. What Pillow's decoders
    raise goes through, and ``LevelsError`` of ``GrayLevels``.
    """
    memory = _own_memory(image)
    image.load()
    width, height = image.size
    sideways, reverse = orientation in _SIDEWAYS, orientation in _FROM_THE_END
    pixels = _blank_photo(width, height) if sideways else np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    kept = 0
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = _to_rgb(image.crop((0, top, width, bottom)), levels)
        if orientation in _UPRIGHT:
            band = band.transpose(_UPRIGHT[orientation])
        place = slice(height - bottom, height - top) if reverse else slice(top, bottom)
        (pixels[:, place] if sideways else pixels[place])[:] = np.asarray(band)
        if memory is not None:
            kept = give_back(memory, kept, _BYTES * width * bottom)
    return pixels


def _own_memory(image: Image.Image) -> mmap.mmap | None:
    """Let a photo of a camera be decoded into memory that can be given back in parts.

    Only a JPEG of RGB: it is what large photos are, and decoders of other formats may ask for a
    picture of their own, or look at what it holds.
    """
    if image.format not in ("JPEG", "MPO") or image.mode != "RGB":
        return None
    memory = blank_memory(_BYTES * math.prod(image.size))
    pixels = np.frombuffer(memory, np.uint8)
    image.im = Image.frombuffer("RGBX", image.size, pixels, "raw", "RGBX", 0, 1).im
    return memory


def _blank_photo(height: int, width: int) -> npt.NDArray[np.uint8]:
    """For a photo that is filled column by column, as ``blank_memory`` has it."""
    memory = blank_memory(height * width * 3)
    return np.frombuffer(memory, np.uint8).reshape(height, width, 3)


def _to_rgb(image: Image.Image, levels: GrayLevels | None) -> Image.Image:
    if levels is not None:
        values = np.asarray(image)
        gray = levels.to_8_bits(values)
        if isinstance(clear := image.info.get("transparency"), int):
            gray[values == clear] = 255
        return Image.fromarray(gray).convert("RGB")
    if image.mode == "La":  # the one with an alpha channel that Pillow converts to LA alone
        image = image.convert("LA")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB")
