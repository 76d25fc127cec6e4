"""Masks as COCO run-length encodings: {"size": [height, width], "counts": text}, as pycocotools'.

Runs go down one column after the other, on pixels beside the mask and on it in turn, beside it
first. Of the first three the text has the lengths, then how much longer each is than the last but
one. A number is written as groups of 5 bits, the lowest first, each as a character from "0" on: 32
is added where more groups follow, and where 16 is set in the last one, the number is negative.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def encode_rle(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The compressed RLE of a mask (bool, H x W), its counts a ``str``."""
    return {"size": list(mask.shape), "counts": _text(_run_lengths(mask))}


def decode_rle(height: int, width: int, counts: str) -> npt.NDArray[np.bool_]:
    """The mask (bool, height x width) of compressed RLE counts.

    Raises ``ValueError`` when the counts are malformed or do not fill the mask: golden.json is not
    trusted.
    """
    runs = _parse(counts)
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"the runs do not fill {height} x {width} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _run_lengths(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    pixels = mask.T.ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    # Where the mask has the first pixel, no pixel is beside it before.
    starts = np.concatenate([[0, 0] if pixels[0] else [0], changes])
    runs: npt.NDArray[np.int64] = np.append(starts[1:], mask.size) - starts
    return runs


def _text(runs: npt.NDArray[np.int64]) -> str:
    rest = runs.copy()
    rest[3:] -= runs[1:-2]
    groups, unfinished = [], np.ones(len(runs), np.bool_)
    while unfinished.any():
        bits = rest & 0x1F
        rest >>= 5
        more = rest != np.where(bits & 0x10, -1, 0)
        groups.append(np.where(unfinished, 48 + bits + 0x20 * more, 0).astype(np.uint8))
        unfinished &= more
    characters = np.stack(groups, axis=1)
    return characters[characters > 0].tobytes().decode("ascii")


def _parse(counts: str) -> list[int]:
    runs: list[int] = []
    number, shift = 0, 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("the counts are not a compressed RLE")
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number, shift = 0, 0
    if shift:
        raise ValueError("the counts end inside a number")
    return runs
