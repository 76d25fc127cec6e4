"""A clip of moving squares and a network for it, which the web runtime's tests have, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracenet_runtime.tracking.contract import KEY_CHANNELS, VALUE_CHANNELS
from tracenet_runtime.tracking.tracker import FloatArray, Frame, Mask

HEIGHT, WIDTH, LENGTH = 120, 200, 12
COLOURS = ((220, 40, 30), (30, 60, 210))
SIDE = 26
AWAY = 5, 6
"""Frames in which the second thing is not seen."""


def corner(thing: int, number: int) -> tuple[int, int] | None:
    """Of a square in a frame of the clip, as (x, y); None where it is not seen."""
    if thing == 0:
        return 20 + 9 * number, 15 + 4 * number
    return None if number in AWAY else (150 - 7 * number, 70 - 2 * number)


def truth(thing: int, number: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    found = corner(thing, number)
    if found is not None:
        x, y = found
        mask[y : y + SIDE, x : x + SIDE] = True
    return mask


def frame(number: int) -> Frame:
    """Of the clip; the first thing passes in front of the second."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shade = 60 + (5 * x + 3 * y + 2 * number) % 97
    picture = np.stack([shade, 200 - shade, 90 + shade // 3], -1).astype(np.uint8)
    for thing in (1, 0):
        picture[truth(thing, number)] = COLOURS[thing]
    return picture


def frames() -> Sequence[Frame]:
    return [frame(number) for number in range(LENGTH)]


def _coarser(cells: np.ndarray, factor: int) -> np.ndarray:
    side = cells.shape[0] // factor
    shape = side, factor, side, factor, *cells.shape[2:]
    coarse: np.ndarray = cells.reshape(shape).mean((1, 3))
    return coarse


class ColourNetwork:
    """Finds what has that of the things' colours that is nearest to what the memory says; no two
    cells of a key are alike.
    """

    pad_value = (124, 116, 104)

    def encode(self, tile: Frame) -> tuple[np.ndarray, FloatArray]:
        features = _coarser(tile.astype(np.float64), 2)
        colours = _coarser(features, 8).reshape(256, 3)
        cell, channel = np.mgrid[:256, :KEY_CHANNELS]
        place = (29 * cell + 17 * channel + cell * channel) % 101 / 400
        return features, (colours[:, channel[0] % 3] / 32 + place).astype(np.float32)

    def value(self, features: np.ndarray, mask: FloatArray, others: FloatArray) -> FloatArray:
        """The mask, the others, and the colour of what is in the mask, again and again."""
        area = mask.astype(np.float64).sum() + 1e-3
        seen = _coarser(features, 2)
        colour = (seen * mask[..., None].astype(np.float64)).sum((0, 1)) / area
        planes = np.stack([mask, others], -1).astype(np.float64)
        cells = _coarser(planes, 4).reshape(256, 2)
        said = np.concatenate([cells, np.tile(colour, (256, 1))], 1)
        value: FloatArray = np.tile(said, (1, 26))[:, :VALUE_CHANNELS].astype(np.float32)
        return value

    def decode(
        self, features: np.ndarray, read: FloatArray, prior: FloatArray
    ) -> tuple[FloatArray, float]:
        said = read.astype(np.float64).reshape(16, 16, -1).repeat(8, 0).repeat(8, 1)
        away = [np.abs(said[..., 2:5] - colour).sum(-1, keepdims=True) for colour in COLOURS]
        wanted = np.where(away[0] <= away[1], *COLOURS)
        near = (1.6 - np.abs(features - wanted).sum(-1) / 90).clip(0, 1)
        before = prior.repeat(2, 0).repeat(2, 1)
        mask = (0.8 * near + 0.15 * before + 0.1 * said[..., 0] - 0.1 * said[..., 1]).clip(0, 1)
        return mask.astype(np.float32), float(np.float32(mask.max()))

    def fuse(self, features: np.ndarray, planes: FloatArray) -> FloatArray:
        old, new, added, removed, near, far = planes.astype(np.float64)
        share = 0.2 + 1.5 * added + 0.8 * removed + 0.4 * far - 0.3 * near + 0.1 * (new - old)
        taken: FloatArray = share.clip(0, 1).astype(np.float32)
        return taken.repeat(2, 0).repeat(2, 1)
