"""The photos that are tapped, decoded once, and the taps on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_bench.measure.sampling import Tap
from tracenet_bench.report.schema import Photo
from tracenet_runtime.errors import OutputError, TraceNetError
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.image.photo_folder import INDEX, photos_in


class PhotosError(TraceNetError):
    """There is no photo to tap."""


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo, and the file (``.npy``) that has its pixels: uint8 H x W x 3."""

    photo: Photo
    path: Path

    @property
    def bytes(self) -> int:
        """In memory."""
        return 3 * self.photo.height * self.photo.width


def is_annotated(photos: Path | None) -> bool:
    """Whether accuracy can be measured on it."""
    return photos is not None and (photos / INDEX).is_file()


def find_photos(photos: Path, most: int) -> list[Path]:
    """A photo, or the photos of a folder in the order of their names, at most so many.

    Raises:
        PhotosError: a folder has none.
        PhotoError: a folder cannot be read.
    """
    if not photos.is_dir():
        return [photos]
    found = photos_in(photos)
    if not found:
        raise PhotosError(
            f"{photos} has no photo, .jpg or .jpeg or .png or another that is read; name another "
            "--photos"
        )
    return found[:most]


def decode_photos(
    paths: Sequence[Path], megapixels: Sequence[float], folder: Path
) -> list[DecodedPhoto]:
    """Decode photos into a folder; with ``megapixels`` the first of them alone, in these sizes.

    Raises:
        PhotoError: one is missing or cannot be decoded.
        OutputError: the folder has no room for it.
    """
    if megapixels:
        pixels = load_photo(paths[0])
        return [
            _keep(resized(pixels, size), f"{paths[0].name} at {size:g} megapixels", n, folder)
            for n, size in enumerate(megapixels)
        ]
    return [_keep(load_photo(path), path.name, n, folder) for n, path in enumerate(paths)]


def random_taps(photos: Sequence[Photo], count: int, seed: int) -> list[Tap]:
    """``count`` taps, uniform over each photo, on one photo after the other in turn.

    All photos are tapped at the same places, relative to their sizes, so that a photo at several
    sizes shows what the size costs.
    """
    places = np.random.default_rng(seed).random((-(-count // len(photos)), 2))
    taps = []
    for number in range(count):
        photo = photos[number % len(photos)]
        x, y = places[number // len(photos)]
        taps.append(Tap(number % len(photos), (int(x * photo.width), int(y * photo.height))))
    return taps


def resized(pixels: npt.NDArray[np.uint8], megapixels: float) -> npt.NDArray[np.uint8]:
    """A photo (uint8, H x W x 3) with about so many megapixels."""
    height, width = pixels.shape[:2]
    scale = math.sqrt(1e6 * megapixels / (height * width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _keep(pixels: npt.NDArray[np.uint8], source: str, number: int, folder: Path) -> DecodedPhoto:
    path = folder / f"photo{number}.npy"
    try:
        np.save(path, pixels)
    except OSError as error:
        raise OutputError(
            f"{source}, decoded, cannot be kept in {folder.parent} for a while: "
            f"{error.strerror or error}; make room, or name another folder by TMPDIR"
        ) from error
    return DecodedPhoto(Photo(source, *pixels.shape[:2]), path)
