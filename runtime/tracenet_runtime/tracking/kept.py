"""A thing in a frame, in few bytes: masks of a clip are kept for all of its frames."""

import struct
import zlib

import numpy as np

from tracenet_runtime.image.geometry import Size, Tile
from tracenet_runtime.tracking.contract import MASK_STRIDE, TILE_SIDE
from tracenet_runtime.tracking.tile import placed
from tracenet_runtime.tracking.tracker import Mask, Tracked, bounds

SIDE = TILE_SIDE // MASK_STRIDE

_STEPS = 31
"""From 0 to 1: odd, so that no step is 0.5, which divides a mask from what is beside it."""

_SURE = 7
"""Steps from 0 and 1 that count as these: no network is quite sure anywhere, and cells of nearly
nothing would take most of the bytes."""

_HEAD = struct.Struct("<4i4Bd?")
"""Of a thing: its tile, the window of its cells, presence and whether it is present."""

_WINDOW = struct.Struct("<4i")
"""Of a mask: the box about it."""


def keep(thing: Tracked) -> bytes:
    """A thing with its probability in steps of 1/31, and that only in the window where it is not 0,
    deflated. What is not present has no mask.
    """
    cells = np.floor(thing.shown * np.float32(_STEPS) + np.float32(0.5)).astype(np.uint8)
    cells[cells < _SURE], cells[cells > _STEPS - _SURE] = 0, _STEPS
    left, top, right, bottom = window = _window(cells > 0)
    head = _HEAD.pack(*thing.view.tile, *window, thing.presence, thing.present)
    return head + zlib.compress(cells[top:bottom, left:right].tobytes())


def kept(data: bytes, frame: Size) -> Tracked:
    """What :func:`keep` made small, of a frame of this (height, width)."""
    x0, y0, x1, y1, left, top, right, bottom, presence, present = _HEAD.unpack_from(data)
    inside = np.frombuffer(zlib.decompress(data[_HEAD.size :]), np.uint8)
    probability = np.zeros((SIDE, SIDE), np.float32)
    shape = bottom - top, right - left
    probability[top:bottom, left:right] = inside.reshape(shape) / np.float32(_STEPS)
    tile: Tile = (x0, y0, x1, y1)
    return Tracked(probability, presence, present, placed(tile), frame)


def keep_mask(mask: Mask) -> bytes:
    """A mask of a frame, bool H x W: the bits of the box about it, deflated."""
    left, top, right, bottom = window = _window(mask)
    inside = np.packbits(mask[top:bottom, left:right])
    return _WINDOW.pack(*window) + zlib.compress(inside.tobytes())


def kept_mask(data: bytes, frame: Size) -> Mask:
    """What :func:`keep_mask` made small, of a frame of this (height, width), bit for bit."""
    left, top, right, bottom = _WINDOW.unpack_from(data)
    bits = np.frombuffer(zlib.decompress(data[_WINDOW.size :]), np.uint8)
    height, width = bottom - top, right - left
    mask = np.zeros(frame, np.bool_)
    inside = np.unpackbits(bits, count=height * width).reshape(height, width)
    mask[top:bottom, left:right] = inside
    return mask


def _window(mask: Mask) -> Tile:
    """The box about a mask; an empty one where that is empty."""
    left, top, right, bottom = map(int, bounds(mask) or (0, 0, 0, 0))
    return left, top, right, bottom
