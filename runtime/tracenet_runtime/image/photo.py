"""Photos as arrays: uint8, H x W x 3, RGB, upright."""

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from tracenet_runtime.errors import PhotoError, refuse_if_out_of_memory
from tracenet_runtime.image.decode import decode
from tracenet_runtime.image.gray import LevelsError, gray_levels

MAX_PIXELS = 200_000_000
"""The largest photo that is decoded: today's largest phone sensors have just under this."""

# Named, because Pillow would otherwise also try formats that start other programs (EPS).
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM") + (
    ("AVIF",) if features.check("avif") else ()
)

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = 1
_NOT_EXIF = ("xmp", "XML:com.adobe.xmp", "Raw profile type exif")
"""Where Pillow looks for an orientation, too, and browsers do not."""

_SIZES = {b"\x89PNG\r\n\x1a\n": (16, ">II"), b"GIF8": (6, "<HH"), b"BM": (18, "<ii")}
"""Where in a file, and how, a format has width and height, by the first bytes."""

_pillow_limit_lock = threading.Lock()


def load_photo(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read a photo as uint8, H x W x 3, RGB, turned upright as its EXIF orientation says.

    As in browsers and on phones, it is EXIF alone that counts, and where a format leaves its place
    open, EXIF before the pixels: an orientation in XMP, which editors also write of photos that
    they have turned, is not looked at.

    Grayscale, palette and CMYK pictures become RGB; transparency is dropped over white; integers
    of more than 8 bits, and signed ones, are scaled to 8 bits, from 0 to the largest number that
    they can be (of 16 bits 65535 becomes 255), the other way round where a TIFF says that 0 is
    white; of an animation the first frame is taken. Colour profiles are not applied.

    Reading a JPEG of RGB takes at most 6 bytes of memory a pixel (a progressive one 7), and 3 then.

    Raises ``PhotoError`` when the file is missing, is not a picture that can be decoded completely,
    has pixels of no agreed shade (floating-point or negative ones), or more than ``MAX_PIXELS`` of
    them (found out before decoding), and ``OutOfMemory``.
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
            with _without_pillows_limit():
                image = Image.open(file, formats=_FORMATS)
        except Exception as error:
            refuse_if_out_of_memory(error, f"open {path}")
            raise PhotoError(f"{path} {_why_unreadable(file)}.") from error
        if image.width * image.height > MAX_PIXELS:
            raise PhotoError(
                f"{path} has {image.width} x {image.height} pixels, more than the "
                f"{MAX_PIXELS // 1_000_000} megapixels that are read; make it smaller."
            )
        try:
            # A TIFF's size is checked once more when it is decoded.
            with _without_pillows_limit() if image.format == "TIFF" else nullcontext():
                return decode(image, _orientation(image), gray_levels(image))
        except LevelsError as error:
            raise PhotoError(
                f"{path} cannot be read as a photo: {error}; convert it to JPEG or PNG."
            ) from error
        except Exception as error:
            refuse_if_out_of_memory(error, f"decode {path}")
            raise PhotoError(
                f"{path} cannot be decoded; it is damaged, incomplete or of an unusual kind "
                f"({error})."
            ) from error


def photo_suffixes() -> frozenset[str]:
    """How the names of files that `load_photo` reads end, in small letters: ``.jpg`` and others."""
    return frozenset(
        suffix for suffix, kind in Image.registered_extensions().items() if kind in _FORMATS
    )


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Pillow's own size check is off; ours is for the caller to make.

    Pillow's warns on standard error at 89 megapixels, an ordinary photo of a phone, and its limit
    is a global of the process, hence the lock.
    """
    with _pillow_limit_lock:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _why_unreadable(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(32)
    if not start:
        return "is empty, as a file is whose copy was broken off; copy it again"
    for signature, (offset, form) in _SIZES.items():
        if start.startswith(signature) and len(start) >= offset + struct.calcsize(form):
            width, height = struct.unpack_from(form, start, offset)
            if width == 0 or height == 0:
                return f"has no pixels, it is {width} x {height}; name another photo"
    return "is not a picture that can be read; convert it to JPEG or PNG"


def _orientation(image: Image.Image) -> int:
    """What EXIF says of a picture that is not decoded yet; Pillow turns a TIFF by itself then."""
    for name in _NOT_EXIF:
        image.info.pop(name, None)
    try:
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(_EXIF_ORIENTATION)
    except MemoryError:  # says nothing about how the photo lies
        raise
    except Exception:  # damaged metadata does not make the picture unusable
        return _UPRIGHT
    return orientation if isinstance(orientation, int) else _UPRIGHT
