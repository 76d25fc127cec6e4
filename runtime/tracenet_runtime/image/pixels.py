"""What a photo is as an array."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet_runtime.errors import PhotoError

Photo = npt.NDArray[np.uint8]
"""H x W x 3, RGB, upright."""


def check_photo(photo: npt.NDArray[Any]) -> None:
    """Raise ``PhotoError`` unless the array is uint8, H x W x 3, with at least one pixel."""
    if not isinstance(photo, np.ndarray):
        raise PhotoError(f"A photo must be a numpy array, not {type(photo).__name__}.")
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        raise PhotoError(
            "A photo must be a uint8 array of height x width x 3 (RGB) with at least one pixel, "
            f"not {photo.dtype} of shape {photo.shape}."
        )
