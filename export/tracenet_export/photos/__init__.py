"""The photos that every export is checked on (see README.md beside them)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracenet_runtime.image.photo import load_photo


def parity_photos() -> list[npt.NDArray[np.uint8]]:
    """Each uint8 RGB H x W x 3."""
    return [load_photo(path) for path in sorted(Path(__file__).parent.glob("*.jpg"))]
