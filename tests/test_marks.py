"""Gestures on a canvas, and the planes that show them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracenet_runtime.answer.marks import LEAST_RADIUS, Area, Mark, Stroke, guide_planes
from tracenet_runtime.contract import GUIDE_PLANES, GUIDE_STRIDE

coordinates = st.floats(-60, 316, width=32)
points = st.tuples(coordinates, coordinates)
strokes = st.builds(
    Stroke, st.lists(points, min_size=1, max_size=6).map(tuple), st.floats(0, 40), st.booleans()
)
boxes = st.tuples(coordinates, coordinates, coordinates, coordinates).map(
    lambda v: Area((min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3])))
)
EMPTY = np.zeros((64, 64), np.float32)


def planes_of(*marks: Mark, prior: np.ndarray = EMPTY) -> dict[str, np.ndarray]:
    planes = guide_planes(marks, prior, EMPTY, EMPTY)
    return dict(zip(GUIDE_PLANES, planes, strict=True))


def nearest(stroke: Stroke, x: float, y: float) -> float:
    """By walking along the line in small steps."""
    steps = np.linspace(0, 1, 400)
    pairs = list(zip(stroke.points, stroke.points[1:], strict=False)) or [(stroke.points[0],) * 2]
    return min(
        float(np.min(np.hypot(x0 + steps * (x1 - x0) - x, y0 + steps * (y1 - y0) - y)))
        for (x0, y0), (x1, y1) in pairs
    )


@given(stroke=strokes, row=st.integers(0, 63), column=st.integers(0, 63))
@settings(max_examples=200, deadline=None)
def test_a_stroke_covers_what_is_within_its_radius(stroke: Stroke, row: int, column: int) -> None:
    x, y = (GUIDE_STRIDE * (v + 0.5) for v in (column, row))
    away = nearest(stroke, x, y)
    planes = planes_of(stroke)
    said, other = ("positive", "negative") if stroke.positive else ("negative", "positive")
    inside = max(stroke.radius, LEAST_RADIUS) - away
    assert planes[said][row, column] == pytest.approx(
        min(max(inside / GUIDE_STRIDE + 0.5, 0), 1), abs=0.3
    )
    assert not planes[other].any()
    near = math.exp(-away / 48) * (1 if stroke.positive else -1)
    assert planes["newest"][row, column] == pytest.approx(near, abs=0.02)


@given(first=strokes, second=strokes)
@settings(max_examples=100, deadline=None)
def test_the_later_of_two_strokes_is_right(first: Stroke, second: Stroke) -> None:
    planes = planes_of(first, second)
    said = planes["positive" if second.positive else "negative"]
    opposite = planes["negative" if second.positive else "positive"]
    assert (opposite <= 1 - planes_of(second)["positive" if second.positive else "negative"]).all()
    assert (said >= planes_of(second)["positive" if second.positive else "negative"]).all()
    assert ((said == 0) | (said + opposite <= 1 + 1e-6) | (first.positive == second.positive)).all()


@given(box=boxes)
@settings(max_examples=100, deadline=None)
def test_a_box_covers_its_cells(box: Area) -> None:
    covered = planes_of(box)["box"]
    centre = GUIDE_STRIDE * (np.arange(64) + 0.5)
    x0, y0, x1, y1 = box.box
    within = (centre - 2 >= x0) & (centre + 2 <= x1), (centre - 2 >= y0) & (centre + 2 <= y1)
    beyond = (centre + 2 <= x0) | (centre - 2 >= x1), (centre + 2 <= y0) | (centre - 2 >= y1)
    assert np.allclose(covered[within[1][:, None] & within[0][None]], 1)
    assert not covered[beyond[1][:, None] | beyond[0][None]].any()
    inside = (x0 <= centre) & (centre <= x1), (y0 <= centre) & (centre <= y1)
    assert (planes_of(box)["newest"][inside[1][:, None] & inside[0][None]] == 1).all()


@given(stroke=strokes.filter(lambda stroke: len(stroke.points) > 1), parts=st.integers(2, 20))
@settings(max_examples=30, deadline=None)
def test_more_points_on_the_same_line_change_nothing(stroke: Stroke, parts: int) -> None:
    finer = [stroke.points[0]]
    for (x0, y0), (x1, y1) in zip(stroke.points, stroke.points[1:], strict=False):
        shares = np.arange(1, parts + 1) / parts
        finer += [(x0 + s * (x1 - x0), y0 + s * (y1 - y0)) for s in shares]
    other = Stroke(tuple(finer), stroke.radius, stroke.positive)
    assert math.dist(stroke.middle, other.middle) < 1e-2
    for name, plane in planes_of(stroke).items():
        assert np.allclose(plane, planes_of(other)[name], atol=1e-3), name


def test_distances_are_from_the_first_positive_mark() -> None:
    negative = Stroke(((10.0, 20.0),), 0, False)
    box, tap = Area((100, 60, 140, 80)), Stroke(((30.5, 40.5),), 0, True)
    for marks, (x, y) in (
        ([negative], (10, 20)),
        ([negative, box, tap], (120, 70)),
        ([tap, box], (30.5, 40.5)),
    ):
        planes = planes_of(*marks)
        assert planes["right"][5, 7] == pytest.approx((30 - x) / 128)
        assert planes["down"][5, 7] == pytest.approx((22 - y) / 128)


def test_masks_are_handed_on() -> None:
    prior, own, against = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)
    planes = guide_planes([Stroke(((1.0, 1.0),), 0, True)], prior, own, against)
    assert (planes[3:6] == np.stack([prior, own, against])).all()
    assert planes.dtype == np.float32


def test_a_stroke_has_a_point() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        Stroke((), 3, True)
