"""The size of a timed tap's mask."""

from hypothesis import given
from hypothesis import strategies as st

from tracenet_bench.measure.shown import SHOWN_SIDE, shown_size


def test_small_photos_are_shown_as_they_are() -> None:
    assert shown_size(480, 640) == (480, 640)
    assert shown_size(1280, 1) == (1280, 1)


def test_large_photos_are_reduced() -> None:
    assert shown_size(3000, 4000) == (960, 1280)
    assert shown_size(8000, 6000) == (1280, 960)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_shown_photo_fits_and_keeps_its_shape(height: int, width: int) -> None:
    shown = shown_size(height, width)
    assert min(shown) >= 1
    assert max(shown) == min(SHOWN_SIDE, max(height, width))
    if min(shown) > 1:
        assert abs(shown[0] / shown[1] - height / width) <= height / width / min(shown)
