"""A picture of an answer: the mask tinted and outlined on the photo, the gestures, the box."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

TINTS = ((30, 110, 255), (255, 120, 20), (40, 190, 80), (200, 60, 220), (240, 200, 30))
"""Of things, in turn."""

_CONTOUR = (255, 255, 255)
_BOX = (255, 200, 0)
_POSITIVE = (255, 40, 60)
_NEGATIVE = (20, 20, 20)

Place = tuple[tuple[float, float], bool]
"""Where a gesture is, (x, y), and whether it is positive."""


def overlay_bands(
    photo: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.bool_],
    places: Sequence[Place],
    box: tuple[float, float, float, float] | None,
    rows: int,
    tint: tuple[int, int, int] = TINTS[0],
) -> Iterator[npt.NDArray[np.uint8]]:
    """A picture (uint8, RGB) of a mask on its photo, so many rows at a time.

    ``photo`` is uint8, H x W x 3; ``mask`` bool, H x W; ``places`` of gestures and ``box``
    (x0, y0, x1, y1), if any, are in photo pixels. Lines grow with the photo, so that they stay
    visible when it is shown small.
    """
    height, width = mask.shape
    line = max(1, min(height, width) // 300)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # The contour depends on the mask this far away.
        start, stop = max(0, top - line), min(bottom + line, height)
        eroded = _eroded(mask[start:stop], line, (start > 0, stop < height))
        band = photo[top:bottom].copy()
        inside = mask[top:bottom]
        band[inside] = (band[inside].astype(np.uint16) + np.array(tint, np.uint16)) // 2
        band[inside & ~eroded[top - start : bottom - start]] = _CONTOUR
        yield _with_marks(band, top, places, box, line)


def _with_marks(
    band: npt.NDArray[np.uint8],
    top: int,
    places: Sequence[Place],
    box: tuple[float, float, float, float] | None,
    line: int,
) -> npt.NDArray[np.uint8]:
    """A band with its part of the box and the places; whole numbers, so that bands fit together."""
    image = Image.fromarray(band)
    draw = ImageDraw.Draw(image)
    if box is not None:
        x0, y0, x1, y1 = map(math.floor, box)
        # Pillow includes the last pixel of a rectangle; our boxes end before it.
        corners = x0, y0 - top, max(x0, x1 - 1), max(y0, y1 - 1) - top
        draw.rectangle(corners, outline=_BOX, width=line)
    radius = 4 * line
    for at, positive in places:
        x, y = map(math.floor, at)
        draw.ellipse(
            (x - radius, y - top - radius, x + radius, y - top + radius),
            fill=_POSITIVE if positive else _NEGATIVE,
            outline=_CONTOUR,
            width=line,
        )
    return np.array(image)


def _eroded(
    mask: npt.NDArray[np.bool_], pixels: int, goes_on: tuple[bool, bool]
) -> npt.NDArray[np.bool_]:
    """The mask without a rim of ``pixels``; what is outside the photo counts as outside.

    Where the photo ``goes_on`` above or below, what is there is not known, and so many rows of the
    result mean nothing.
    """
    above, below = goes_on
    eroded = mask
    for _ in range(pixels):
        inside = np.pad(eroded, 1)
        inside[0], inside[-1] = above, below
        eroded = (
            eroded & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        )
    return eroded
