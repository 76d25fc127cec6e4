"""Photos and masks made larger, and taps with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import annotated, colour_of, make_scene

from tracenet.evaluation.answers import LevelMasks
from tracenet.evaluation.enlarge import Enlargement
from tracenet.evaluation.evaluate import score_photo
from tracenet.evaluation.protocol import Tap


@pytest.mark.parametrize(
    ("shape", "megapixels", "after"),
    [
        ((480, 640), 1.2288, (960, 1280)),
        ((480, 640), 12.0, (3000, 4000)),
        ((480, 640), 0.3, (480, 640)),
        ((480, 640), None, (480, 640)),
        ((1, 100), 0.01, (10, 1000)),
    ],
)
def test_sizes(shape: tuple[int, int], megapixels: float | None, after: tuple[int, int]) -> None:
    photo = np.zeros((*shape, 3), np.uint8)
    larger = Enlargement.of(photo, megapixels)
    assert larger.after == after
    assert larger.photo(photo).shape == (*after, 3)
    assert larger.mask(np.zeros(shape, np.bool_)).shape == after


def test_what_is_large_enough_is_not_copied() -> None:
    example = make_scene(60, 80)
    larger = Enlargement.of(example.photo, 0.001)
    assert larger.photo(example.photo) is example.photo
    assert larger.mask(example.ignore) is example.ignore
    assert larger.tap((7, 59)) == (7, 59)


@given(
    height=st.integers(20, 90), width=st.integers(20, 90), factor=st.floats(2, 5),
    seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=60)
def test_photo_mask_and_tap_stay_together(
    height: int, width: int, factor: float, seed: int
) -> None:
    instances = np.zeros((height, width), np.uint8)
    random = np.random.default_rng(seed)
    instances[random.random((height, width)) < 0.1] = 1  # single pixels too
    top, left = random.integers(0, height - 12), random.integers(0, width - 12)
    instances[top : top + 12, left : left + 12] = 1
    example = annotated(instances)
    mask = example.masks[0]
    larger = Enlargement.of(example.photo, height * width * factor**2 / 1e6)
    photo, grown = larger.photo(example.photo), larger.mask(mask)
    rows, columns = np.nonzero(mask)
    for x, y in zip(columns.tolist(), rows.tolist(), strict=True):
        at = larger.tap((x, y))
        assert grown[at[1], at[0]]
    # Well inside of the square its colour is all that the photo shows.
    x, y = larger.tap((left + 6, top + 6))
    assert np.abs(photo[y, x].astype(int) - colour_of(1)).max() <= 2


def test_outlines_are_smooth() -> None:
    rows, columns = np.mgrid[:100, :100] + 0.5
    disc = (rows - 50) ** 2 + (columns - 50) ** 2 < 40**2
    larger = Enlargement((100, 100), (800, 800))
    rows, columns = (np.mgrid[:800, :800] + 0.5) / 8
    true = (rows - 50) ** 2 + (columns - 50) ** 2 < 40**2
    stairs = np.kron(disc, np.ones((8, 8), np.bool_))
    assert np.mean(larger.mask(disc) != true) < 0.8 * np.mean(stairs != true)


class ByColour:
    """Answers with what has nearly the colour under the tap."""

    computed, many = "by colour", True

    def open(self, photo: Any, name: str) -> ByColour:
        self.photo = photo.astype(int)
        return self

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        for mask in self.chosen_level(taps):
            yield LevelMasks((), (mask,), 0)

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Any]:
        for x, y in taps:
            yield np.abs(self.photo - self.photo[y, x]).max(axis=-1) < 60


def test_scores_of_an_enlarged_photo() -> None:
    instances = np.zeros((60, 80), np.uint8)
    instances[20:40, 30:55] = 1
    model = ByColour()
    score = score_photo(model, 0, annotated(instances), {0: [(30, 20), (54, 39)]}, 0.12)
    assert model.photo.shape == (300, 400, 3)
    (instance,) = score.instances
    assert (instance.area, sum(instance.band_pixels)) == (500, 500)
    assert [(tap.x, tap.y) for tap in instance.taps] == [(30, 20), (54, 39)]
    assert min(tap.iou for tap in instance.taps) > 0.9
    assert instance.above == 500
