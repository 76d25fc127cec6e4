"""Photos as arrays: uint8, H x W x 3, RGB, upright."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_runtime.errors import PhotoError, refuse_if_out_of_memory

MAX_PIXELS = 200_000_000
"""The largest photo that is decoded: today's largest phone sensors have just under this."""

# Named, because Pillow would otherwise also try formats that start other programs (EPS).
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_pillow_limit_lock = threading.Lock()


def load_photo(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read a photo as uint8, H x W x 3, RGB, turned upright as its EXIF orientation says.

    Grayscale, palette and CMYK pictures become RGB; transparency is dropped over white; 16-bit
    pictures are scaled to 8 bits (65535 becomes 255); of an animation the first frame is taken.
    Colour profiles are not applied. Raises ``PhotoError`` when the file is missing, is not a
    picture that can be decoded completely, or has more than ``MAX_PIXELS`` pixels (found out
    before decoding), and ``OutOfMemory``.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise PhotoError(f"{path} is a folder; name a photo in it.")
        if not path.exists():
            raise PhotoError(f"There is no photo at {path}; check the path.")
        if not path.is_file():
            raise PhotoError(f"{path} is not a regular file; name a photo.")
        file = path.open("rb")
    except OSError as error:
        raise PhotoError(f"{path} cannot be opened: {error.strerror or error}.") from error
    with file:
        # Decoders of damaged files raise nearly anything (OSError, SyntaxError, struct.error...),
        # and to the caller it all means the same.
        try:
            image = _open_unlimited(file)
        except Exception as error:
            refuse_if_out_of_memory(error, f"open {path}")
            raise PhotoError(
                f"{path} is not a picture that can be read; convert it to JPEG or PNG."
            ) from error
        if image.width * image.height > MAX_PIXELS:
            raise PhotoError(
                f"{path} has {image.width} x {image.height} pixels, more than the "
                f"{MAX_PIXELS // 1_000_000} megapixels that are read; make it smaller."
            )
        try:
            image.load()
            return np.array(_to_rgb(_turn_upright(image)))
        except Exception as error:
            refuse_if_out_of_memory(error, f"decode {path}")
            raise PhotoError(
                f"{path} cannot be decoded; it is damaged, incomplete or of an unusual kind "
                f"({error})."
            ) from error


def check_photo(photo: npt.NDArray[Any]) -> None:
    """Raise ``PhotoError`` unless the array is uint8, H x W x 3, with at least one pixel."""
    if not isinstance(photo, np.ndarray):
        raise PhotoError(f"A photo must be a numpy array, not {type(photo).__name__}.")
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        raise PhotoError(
            "A photo must be a uint8 array of height x width x 3 (RGB) with at least one pixel, "
            f"not {photo.dtype} of shape {photo.shape}."
        )


def _open_unlimited(file: Any) -> Image.Image:
    """Read the header without Pillow's own size check; ours is for the caller to make.

    Pillow's warns on standard error at 89 megapixels, an ordinary photo of a phone, and its limit
    is a global of the process, hence the lock.
    """
    with _pillow_limit_lock:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(file, formats=_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except MemoryError:  # says nothing about how the photo lies
        raise
    except Exception:  # damaged metadata does not make the picture unusable
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int32).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB")
