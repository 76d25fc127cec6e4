"""Simulated clicks, against distances that are found by looking at every pair of pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracenet.data.clicks import Click, next_click

Mask = npt.NDArray[np.bool_]
Points = list[tuple[int, int]]


@st.composite
def triples(draw: st.DrawFn) -> tuple[Mask, Mask, Mask]:
    """Mask, truth and known pixels; most pixels known, so that deep errors are among them."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    mask, truth = (draw(hnp.arrays(np.bool_, shape)) for _ in range(2))
    known = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 9))) > 0
    if draw(st.booleans()):  # large errors
        mask[:] = draw(st.booleans())
    return mask, truth, known


def depth_of(wrong: Mask, x: int, y: int) -> float:
    """By looking at every pixel of the map with a border of pixels that are not of it."""
    if not wrong[y, x]:
        return 0.0
    rows, columns = np.nonzero(~np.pad(wrong, 1))
    return min(math.hypot(c - 1 - x, r - 1 - y) for r, c in zip(rows, columns, strict=True))


def depths_of(wrong: Mask, clicked: Points) -> dict[tuple[int, int], float]:
    height, width = wrong.shape
    points = ((x, y) for y in range(height) for x in range(width))
    return {p: 0.0 if p in clicked else depth_of(wrong, *p) for p in points}


@given(triple=triples(), chosen=st.sets(st.integers(0, 80), max_size=6))
def test_it_is_the_first_of_the_deepest_pixels(
    triple: tuple[Mask, Mask, Mask], chosen: set[int]
) -> None:
    mask, truth, known = triple
    clicked = [(n % mask.shape[1], n // mask.shape[1]) for n in chosen]
    lacking = depths_of(truth & ~mask & known, clicked)
    excess = depths_of(mask & ~truth & known, clicked)
    positive = max(lacking.values()) > max(excess.values())
    depths = lacking if positive else excess
    click = next_click(mask, truth, known, clicked)
    if not max(depths.values()):
        assert click is None
        return
    # Dictionaries keep the rows' order, and max takes the first of equals.
    x, y = max(depths, key=lambda point: depths[point])
    assert click == Click(x, y, positive)


@given(triple=triples(), seed=st.integers(0, 9), depth=st.sampled_from([0.3, 0.6, 1.0]))
def test_drawn_ones_are_deep_enough(
    triple: tuple[Mask, Mask, Mask], seed: int, depth: float
) -> None:
    mask, truth, known = triple
    deepest = next_click(mask, truth, known)
    click = next_click(mask, truth, known, random=np.random.default_rng(seed), depth=depth)
    if deepest is None:
        assert click is None
        return
    assert click is not None
    assert click.positive == deepest.positive
    depths = depths_of((truth & ~mask if click.positive else mask & ~truth) & known, [])
    assert depths[click.x, click.y] >= depth * depths[deepest.x, deepest.y] > 0


@given(triple=triples(), seed=st.none() | st.integers(0, 9))
def test_every_wrong_pixel_is_clicked_once(
    triple: tuple[Mask, Mask, Mask], seed: int | None
) -> None:
    mask, truth, known = triple
    random = None if seed is None else np.random.default_rng(seed)
    clicked: Points = []
    while click := next_click(mask, truth, known, clicked, random=random, depth=0.5):
        assert (click.x, click.y) not in clicked
        assert truth[click.y, click.x] == click.positive != mask[click.y, click.x]
        clicked.append((click.x, click.y))
    assert len(clicked) == np.count_nonzero((mask != truth) & known)


@given(triple=triples(), margin=st.tuples(*[st.integers(1, 4)] * 4))
def test_where_the_errors_lie_makes_no_difference(
    triple: tuple[Mask, Mask, Mask], margin: tuple[int, int, int, int]
) -> None:
    """The picture's edge is as good as a pixel beside the errors."""
    top, bottom, left, right = margin
    wider = (np.pad(one, ((top, bottom), (left, right))) for one in triple)
    click, moved = next_click(*triple), next_click(*wider)
    assert (click is None) == (moved is None)
    if click and moved:
        assert moved == Click(click.x + left, click.y + top, click.positive)


def test_known_clicks() -> None:
    empty = np.zeros((5, 9), np.bool_)
    full, truth = ~empty, empty.copy()
    truth[:, 4:] = True  # 5 x 5 in the right corner
    assert next_click(empty, truth, full) == Click(6, 2, True)
    assert next_click(empty, truth, full, [(6, 2)]) == Click(5, 1, True)
    assert next_click(full, truth, full) == Click(1, 1, False)  # 4 x 5
    assert next_click(truth, truth, full) is None
    # Ignored pixels are not wrong: an error beside them is as deep as one beside the thing.
    known = full.copy()
    known[:, 6:] = False
    assert next_click(empty, truth, known) == Click(4, 0, True)
    # As much too many as lacking: what is too many goes first.
    mask = truth.copy()
    mask[0, 0], mask[4, 8] = True, False
    assert next_click(mask, truth, full) == Click(0, 0, False)
    assert next_click(mask, truth, full, [(0, 0)]) == Click(8, 4, True)


@pytest.mark.parametrize("depth", [0.6, 1.0])
def test_all_that_are_deep_enough_are_drawn_alike(depth: float) -> None:
    truth = np.ones((6, 7), np.bool_)
    random = np.random.default_rng(1)
    clicks = [next_click(~truth, truth, truth, random=random, depth=depth) for _ in range(300)]
    drawn = {(click.x, click.y) for click in clicks if click}
    depths = depths_of(truth, [])
    expected = {point for point, value in depths.items() if value >= depth * 3}
    assert drawn == expected
    counts = [clicks.count(Click(x, y, True)) for x, y in expected]
    mean = len(clicks) / len(expected)
    assert all(abs(count - mean) < 5 * math.sqrt(mean) for count in counts)
