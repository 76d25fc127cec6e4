"""A picture of an answer: the mask tinted and outlined on the photo, the tap, the box."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

_TINT = (30, 110, 255)
_CONTOUR = (255, 255, 255)
_BOX = (255, 200, 0)
_TAP = (255, 40, 60)


def draw_overlay(
    photo: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.bool_],
    tap: tuple[float, float],
    box: tuple[float, float, float, float],
) -> npt.NDArray[np.uint8]:
    """A picture (uint8, H x W x 3, RGB) of a mask on its photo.

    ``photo`` is uint8, H x W x 3; ``mask`` bool, H x W; ``tap`` (x, y) and ``box``
    (x0, y0, x1, y1) are in photo pixels. Lines grow with the photo, so that they stay visible when
    it is shown small.
    """
    line = max(1, min(photo.shape[:2]) // 300)
    picture = photo.copy()
    picture[mask] = (photo[mask].astype(np.uint16) + np.array(_TINT, np.uint16)) // 2
    picture[mask & ~_eroded(mask, line)] = _CONTOUR

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    x0, y0, x1, y1 = box
    # Pillow includes the last pixel of a rectangle; our boxes end before it.
    draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=_BOX, width=line)
    x, y = tap
    radius = 4 * line
    draw.ellipse(
        (x - radius, y - radius, x + radius, y + radius),
        fill=_TAP,
        outline=_CONTOUR,
        width=line,
    )
    return np.array(image)


def _eroded(mask: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    """The mask without a rim of ``pixels``; what is outside the photo counts as outside."""
    eroded = mask
    for _ in range(pixels):
        inside = np.pad(eroded, 1)
        eroded = (
            eroded & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        )
    return eroded
