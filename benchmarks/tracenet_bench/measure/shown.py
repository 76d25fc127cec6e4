"""What is timed of an answer: it, and its mask as a phone shows it, whatever size the photo has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.result import TapResult

Photo = npt.NDArray[np.uint8]

SHOWN_SIDE = 1280
"""Pixels of the longer side, at most."""


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the picture that stands for a photo on the screen, in pixels.

    Never more than the photo has, and no side without a pixel.
    """
    scale = min(1.0, SHOWN_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class Shown:
    """An answer with its mask as a phone shows it: milliseconds in all, and those of the mask."""

    answer: TapResult
    mask: npt.NDArray[np.bool_]
    milliseconds: float
    paste: float


def show(ask: Callable[[], TapResult | None], photo: Photo) -> Shown:
    """Ask for an answer and write its mask in :func:`shown_size`, timed."""
    began = time.perf_counter()
    answer = ask()
    answered = time.perf_counter()
    assert answer is not None  # what is undone is not the first gesture
    mask = answer.mask_at(*shown_size(photo.shape[0], photo.shape[1]))
    ended = time.perf_counter()
    return Shown(answer, mask, 1000 * (ended - began), 1000 * (ended - answered))
