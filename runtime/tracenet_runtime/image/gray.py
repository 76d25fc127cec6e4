"""What the numbers of pictures of one channel mean: which is black, and which is white."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

_WHITE_IS_ZERO = 0
_SIGNED = 2
_CCITT = ("tiff_ccitt", "group3", "group4")
"""Compressions of fax machines, where 0 is white unless the file says otherwise."""

_DTYPES: dict[tuple[str, bool], type[np.generic]] = {("L", True): np.int8, ("I", False): np.uint32}
"""What a TIFF has, by Pillow's mode and whether it is signed, where Pillow says otherwise."""


class LevelsError(ValueError):
    """Nobody knows which number is black, and which is white."""


@dataclass(frozen=True)
class GrayLevels:
    """``black`` becomes 0, ``white`` 255, and what lies between them in proportion.

    Either may be the larger number. ``dtype`` is what the file has where Pillow says otherwise.
    """

    black: int
    white: int
    dtype: type[np.generic] | None = None

    def to_8_bits(self, pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """What Pillow has (H x W) as uint8, rounded; ``LevelsError`` for negative pixels."""
        values = pixels if self.dtype is None else pixels.view(self.dtype)
        if values.min() < 0:
            raise LevelsError("negative pixels have no agreed shade")
        share = (values.astype(np.float64) - self.black) / (self.white - self.black)
        return np.rint(255 * share).astype(np.uint8)


_16_BITS = GrayLevels(0, 65535)


def gray_levels(image: Image.Image) -> GrayLevels | None:
    """The levels of a picture that is not decoded yet; None where Pillow makes 8 bits of it.

    0 is black and the largest number of their bits white, also of signed ones, or the other way
    round where a TIFF says so. Raises ``LevelsError`` for a picture whose numbers have no such
    range or are not known.
    """
    if image.mode == "F":
        raise LevelsError("floating-point pixels have no agreed range")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _tiff_levels(image)
    # Pillow scales what a PGM has to the whole of 16 bits.
    return _16_BITS if image.mode == "I" or image.mode.startswith("I;16") else None


def _tiff_levels(image: TiffImagePlugin.TiffImageFile) -> GrayLevels | None:
    tags = image.tag_v2
    photometric = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    if photometric is None and image.info.get("compression") not in _CCITT:
        raise LevelsError("it does not say whether 0 is black or white")
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0]
    signed = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] == _SIGNED
    if image.mode not in ("L", "I", "I;16", "I;16B") or (bits <= 8 and not signed):
        return None  # where 0 is white, Pillow has turned these round
    if image.mode == "I" and tags.prefix == b"MM" and image.tile[0].codec_name == "libtiff":
        # libtiff has put the bytes into the machine's order, and Pillow does it once more.
        raise LevelsError("compressed integers whose highest byte is first cannot be read")
    white = (1 << (bits - signed)) - 1
    if photometric == _WHITE_IS_ZERO:
        return GrayLevels(white, 0)
    return GrayLevels(0, white, _DTYPES.get((image.mode, signed)))
