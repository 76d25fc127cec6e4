"""Photos held back from training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import Scenes, make_scene

from tracenet.data import AnnotatedPhoto, DataError, HeldOut, Problem

SCENE = make_scene(8, 8)


class Numbered(Scenes):
    """As many photos as wanted, told apart by their names and weights."""

    def __init__(self, count: int) -> None:
        super().__init__([SCENE] * count)
        self.weights = np.arange(count) + 0.5

    def __getitem__(self, index: int) -> AnnotatedPhoto:
        return AnnotatedPhoto(
            SCENE.photo, SCENE.masks, SCENE.ignore, True, str(index), SCENE.instances
        )


def names(photos: HeldOut) -> list[int]:
    return [int(photos[index].name) for index in range(len(photos))]


@given(st.integers(2, 30).flatmap(lambda every: st.tuples(st.just(every), st.integers(every, 100))))
@settings(max_examples=60)
def test_the_parts_share_out_the_photos(sizes: tuple[int, int]) -> None:
    every, count = sizes
    photos = Numbered(count)
    trained = HeldOut(photos, every, training=True)
    held_out = HeldOut(photos, every, training=False)
    assert sorted(names(trained) + names(held_out)) == list(range(count))
    assert len(held_out) == count // every
    assert all(number % every == every - 1 for number in names(held_out))
    for part in (trained, held_out):
        assert names(part) == sorted(names(part))
        assert part.weights.tolist() == [number + 0.5 for number in names(part)]


@given(
    st.integers(2, 30).flatmap(lambda every: st.tuples(st.just(every), st.integers(0, every - 1)))
)
@settings(max_examples=30)
def test_too_few_photos(sizes: tuple[int, int]) -> None:
    every, count = sizes
    for training in (True, False):
        with pytest.raises(DataError, match=f"cannot be held out of {count}; give a smaller"):
            HeldOut(Numbered(count), every, training=training)


def test_problems_are_those_of_the_whole() -> None:
    photos = Numbered(4)
    photos.problems.add(Problem.MISSING_PHOTO, "a.jpg")
    assert HeldOut(photos, 2, training=True).problems is photos.problems
