"""How large the mask of a timed tap is: as a phone shows it, whatever the photo has."""

SHOWN_SIDE = 1280
"""Pixels of the longer side, at most."""


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the picture that stands for a photo on the screen, in pixels.

    Never more than the photo has, and no side without a pixel.
    """
    scale = min(1.0, SHOWN_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
