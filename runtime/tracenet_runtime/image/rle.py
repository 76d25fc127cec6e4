"""Masks as COCO run-length encodings: {"size": [height, width], "counts": text}."""

from typing import Any

import numpy as np
import numpy.typing as npt


def encode_rle(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The compressed RLE of a mask (bool, H x W) as pycocotools writes it, counts as ``str``."""
    from pycocotools import mask as coco  # lazily: most taps are never encoded

    encoded = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def decode_rle(height: int, width: int, counts: str) -> npt.NDArray[np.bool_]:
    """The mask (bool, height x width) of compressed RLE counts.

    Raises ``ValueError`` when the counts are malformed or do not fill the mask. Written out here
    because golden.json is not trusted and pycocotools decodes in C.
    """
    runs = _run_lengths(counts)
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"the runs do not fill {height} x {width} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _run_lengths(counts: str) -> list[int]:
    """Each character holds 5 bits and whether more follow; from the third run on, a difference."""
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
