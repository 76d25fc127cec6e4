"""Boundary IoU, against the definition written out (arXiv 2103.16562)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracenet.evaluation.boundaries import boundary, boundary_width
from tracenet.evaluation.metrics import Mask, Truth


def written_out(mask: Mask, width: int) -> Mask:
    """A ring of what is not of the mask around it, and ``width`` erosions by a 3 x 3 square."""
    inside = np.pad(mask, 1)
    for _ in range(width):
        wide = np.pad(inside, 1, constant_values=True)
        height, across = inside.shape
        inside = np.logical_and.reduce(
            [wide[dy : dy + height, dx : dx + across] for dy in range(3) for dx in range(3)]
        )
    return mask & ~inside[1:-1, 1:-1]


@st.composite
def masks(draw: st.DrawFn, count: int) -> list[Mask]:
    """Rectangles, and pixels here and there that are not as they say."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = np.zeros((count, *shape), np.bool_)
    for mask in found:
        for _ in range(random.integers(4)):
            (y0, y1), (x0, x1) = (np.sort(random.integers(0, side + 1, 2)) for side in shape)
            mask[y0:y1, x0:x1] = True
        mask ^= random.random(shape) < random.choice([0, 0.01, 0.3])
    return list(found)


@settings(max_examples=200)
@given(some=masks(1), width=st.integers(1, 12))
def test_boundaries(some: list[Mask], width: int) -> None:
    before = some[0].copy()
    assert np.array_equal(boundary(some[0], width), written_out(some[0], width))
    assert np.array_equal(some[0], before)


def test_widths() -> None:
    assert boundary_width(480, 640) == 16
    assert boundary_width(640, 640) == 18
    assert boundary_width(3, 4) == 1


@settings(max_examples=200)
@given(some=masks(3))
def test_boundary_iou(some: list[Mask]) -> None:
    mask, truth, ignore = some
    width = boundary_width(*mask.shape)
    prepared = Truth(truth, ignore)
    given_, true = (written_out(m, width) for m in (mask & ~(ignore & ~truth), truth))
    union = np.count_nonzero(given_ | true)
    expected = np.count_nonzero(given_ & true) / union if union else 0.0
    before = mask.copy()
    assert prepared.boundary_iou(mask) == expected
    assert np.array_equal(mask, before)
    # What a mask says at ignored pixels changes nothing.
    assert prepared.boundary_iou(mask ^ (ignore & ~truth)) == expected
    assert prepared.boundary_iou(truth) == (1.0 if truth.any() else 0.0)


def test_a_known_boundary_iou() -> None:
    mask, truth, ignore = np.zeros((3, 300, 400), np.bool_)  # boundaries of 10 pixels
    truth[100:200, 100:200] = True
    mask[100:200, 105:205] = True
    # Each is a frame of 100^2 - 80^2; they share 10 x 95 above and below, and 5 x 80 on each side.
    common = 2 * 10 * 95 + 2 * 5 * 80
    prepared = Truth(truth, ignore)
    assert prepared.boundary_iou(mask) == common / (2 * 3600 - common)
    assert prepared.iou(mask) == 9500 / 10500
    assert prepared.boundary_iou(np.zeros_like(mask)) == 0.0
    elsewhere = np.zeros_like(mask)
    elsewhere[:20, 350:] = True
    assert prepared.boundary_iou(elsewhere) == 0.0


@pytest.mark.parametrize("side", [1, 2])
def test_the_edge_of_the_picture_is_a_boundary(side: int) -> None:
    whole = np.ones((50 * side, 50 * side), np.bool_)
    width = boundary_width(*whole.shape)
    inner = 50 * side - 2 * width
    assert boundary(whole, width).sum() == whole.size - inner**2
    assert width == max(1, round(math.sqrt(2) * side))
