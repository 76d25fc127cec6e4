"""Run-length encodings of masks: those of pycocotools, and text that is none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from tracenet_runtime.image.rle import decode_rle, encode_rle


@st.composite
def masks(draw: st.DrawFn) -> npt.NDArray[np.bool_]:
    """Noise in blocks of up to 90 x 90 pixels, so that runs have one digit or several."""
    height, width, block = (draw(st.integers(1, most)) for most in (12, 12, 90))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    coarse = random.random((height, width)) < draw(st.floats(0, 1))
    return coarse.repeat(block, axis=0).repeat(block, axis=1)[draw(st.integers(0, block - 1)) :]


@given(masks())
def test_masks_are_written_and_read_as_by_pycocotools(mask: npt.NDArray[np.bool_]) -> None:
    written = encode_rle(mask)
    expected = coco.encode(np.asfortranarray(mask, np.uint8))
    assert written == {"size": expected["size"], "counts": expected["counts"].decode("ascii")}
    np.testing.assert_array_equal(decode_rle(*mask.shape, written["counts"]), mask)


def test_however_the_mask_lies_in_memory() -> None:
    mask = np.random.default_rng(0).random((30, 40)) < 0.5
    for same in (np.asfortranarray(mask), mask.repeat(2, axis=1)[:, ::2], mask[::-1].copy()[::-1]):
        assert encode_rle(same) == encode_rle(mask)


@given(st.text(max_size=20) | st.text("0123456789PQRSTUVWXYZabcdefghijklmno", max_size=8))
def test_any_text_is_a_mask_or_refused(counts: str) -> None:
    try:
        assert decode_rle(3, 4, counts).shape == (3, 4)
    except ValueError:
        return
