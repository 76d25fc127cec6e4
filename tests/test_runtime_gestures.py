"""Gestures, the mask that they make, and how it goes from one tile to another."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label

from tracenet_runtime import GestureError, TapOutsidePhoto, TraceNetError
from tracenet_runtime.answer.marks import Area, Stroke, as_shown
from tracenet_runtime.answer.mask_state import Layer, MaskState, coarser
from tracenet_runtime.answer.promises import force, hold, obeys, spare
from tracenet_runtime.answer.prompt import (
    Bounds,
    Gesture,
    Scribble,
    Tap,
    check_gesture,
    check_mask,
    mark_of,
    tapped,
)
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import PlacedTile, Tile
from tracenet_runtime.image.mask import ProbabilityMap

CANVAS = (64, 96)
CELLS = (16, 24)
PAD = (124, 116, 104)


def view_of(tile: Tile, canvas: tuple[int, int] = CANVAS) -> PlacedTile:
    x0, y0, x1, y1 = tile
    return PlacedTile(tile, Canvas(*canvas, PAD).place(y1 - y0, x1 - x0), canvas)


def layer_of(
    cells: np.ndarray, view: PlacedTile, photo: tuple[int, int], strokes: tuple[Stroke, ...] = ()
) -> Layer:
    window = (0, 0, view.canvas[1], view.canvas[0])
    return Layer(
        ProbabilityMap(cells, window, view.placement, photo, view.tile, stride=4), view, strokes
    )


def smooth(seed: int, shape: tuple[int, int] = CELLS) -> np.ndarray:
    """Probabilities whose mask is regions and not noise."""
    rng = np.random.default_rng(seed)
    waves = sum(
        np.outer(
            np.cos(rng.uniform(0, 0.5) * np.arange(shape[0]) + rng.uniform(0, 6)),
            np.cos(rng.uniform(0, 0.5) * np.arange(shape[1]) + rng.uniform(0, 6)),
        )
        for _ in range(3)
    )
    return (1 / (1 + np.exp(-3 * np.asarray(waves)))).astype(np.float32)


@st.composite
def photos_with_tiles(draw: st.DrawFn) -> tuple[tuple[int, int], Tile]:
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    tile = x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    return (height, width), tile


@st.composite
def strokes_on(draw: st.DrawFn, view: PlacedTile) -> Stroke:
    """A tap's or a scribble's line on the content, in canvas pixels."""
    x0, y0, x1, y1 = view.tile
    if draw(st.booleans()):
        at = draw(st.integers(x0, x1 - 1)), draw(st.integers(y0, y1 - 1))
        mark = mark_of(Tap(at, draw(st.booleans())), view)
    else:
        point = st.tuples(st.floats(x0, x1), st.floats(y0, y1))
        points = tuple(draw(st.lists(point, min_size=1, max_size=4)))
        mark = mark_of(Scribble(points, draw(st.floats(0.1, 50)), draw(st.booleans())), view)
    assert isinstance(mark, Stroke)
    return mark


@pytest.mark.parametrize(
    ("gesture", "reason"),
    [
        (Tap((100, 0)), r"outside the photo; x must be from 0 to 99 and y from 0 to 49"),
        (Tap((0, math.nan)), "outside the photo"),
        (Scribble((), 5), "no points"),
        (Scribble(((1, 1),), 0), "above 0"),
        (Scribble(((1, 1),), math.inf), "above 0"),
        (Scribble(((1, 1), (101, 2)), 5), r"scribble reaches \(101, 2\)"),
        (Bounds((5, 5, 5, 9)), "empty"),
        (Bounds((9, 5, 5, 9)), "empty"),
        (Bounds((0, 0, 100, 51)), "box reaches"),
        (Bounds((0, math.nan, 100, 50)), "box reaches"),
    ],
)
def test_gestures_that_fit_no_photo_are_one_sentence(gesture: Gesture, reason: str) -> None:
    with pytest.raises(GestureError, match=reason) as caught:
        check_gesture(gesture, (50, 100))
    assert isinstance(caught.value, TraceNetError)
    assert isinstance(caught.value, TapOutsidePhoto) == isinstance(gesture, Tap)


@pytest.mark.parametrize(
    "gesture",
    [Tap((99.9, 49.9)), Scribble(((100, 50),), 0.1), Bounds((0, 0, 100, 50))],
)
def test_gestures_on_the_border_are_on_the_photo(gesture: Gesture) -> None:
    check_gesture(gesture, (50, 100))
    x, y = tapped(gesture, (50, 100))
    check_gesture(Tap((x, y)), (50, 100))


@pytest.mark.parametrize(
    "mask", [np.zeros((50, 99), bool), np.zeros((50, 100), np.uint8), [[True]], None]
)
def test_a_mask_that_is_none_of_the_photo_is_one_sentence(mask: Any) -> None:
    with pytest.raises(GestureError, match="give bool 50 x 100"):
        check_mask(mask, (50, 100))
    check_mask(np.zeros((50, 100), bool), (50, 100))


def test_marks_lie_where_the_photo_is_seen() -> None:
    view = view_of((10, 20, 58, 52))  # 48 x 32 on 96 x 64
    assert mark_of(Tap((10.9, 21.2)), view) == Stroke(((1.0, 3.0),), 0.0, True)
    assert mark_of(Bounds((10, 20, 34, 36)), view) == Area((0, 0, 48, 32))
    drawn = mark_of(Scribble(((10.5, 20), (20, 30)), 6, False), view)
    assert drawn == Stroke(((1.0, 0.0), (20.0, 20.0)), 6.0, False)


def test_a_line_has_the_points_that_count() -> None:
    view = view_of((0, 0, 96, 64))
    straight = tuple((0.1 * n, 0.05 * n) for n in range(600))
    mark = mark_of(Scribble(straight, 4), view)
    assert isinstance(mark, Stroke)
    assert mark.points == (straight[0], straight[-1])
    curve = tuple((48 + 30 * math.cos(n / 80), 32 + 30 * math.sin(n / 80)) for n in range(500))
    mark = mark_of(Scribble(curve, 4), view)
    assert isinstance(mark, Stroke)
    assert 20 < len(mark.points) < 80
    x, y = np.arange(96, dtype=np.float32), np.arange(64, dtype=np.float32)
    difference = mark.distance(x, y) - Stroke(curve, 2, True).distance(x, y)
    assert np.abs(difference).max() <= 0.051


@given(photos_with_tiles(), st.data())
def test_what_is_forced_hangs_together(
    of: tuple[tuple[int, int], Tile], data: st.DataObject
) -> None:
    view = view_of(of[1])
    stroke = replace(data.draw(strokes_on(view)), positive=True)
    forced = force(np.zeros(CELLS, np.float32), [stroke], view)
    assert label(forced > 0.5)[1] == 1


@given(photos_with_tiles(), st.integers(0, 1000))
def test_a_mask_carried_to_its_own_tile_is_the_same(
    of: tuple[tuple[int, int], Tile], seed: int
) -> None:
    photo, tile = of
    view = view_of(tile)
    cells = smooth(seed)
    state = MaskState(photo).put(layer_of(cells, view, photo))
    assert np.array_equal(state.carried(view), cells)


@given(photos_with_tiles(), st.integers(0, 1000), st.data())
def test_outside_the_tile_the_mask_is_what_it_was(
    of: tuple[tuple[int, int], Tile], seed: int, data: st.DataObject
) -> None:
    photo, tile = of
    base = np.random.default_rng(seed).random(photo) < 0.5
    before = MaskState(photo, base=base)
    if data.draw(st.booleans()):
        _, other = data.draw(photos_with_tiles())
        x1, y1 = min(other[2], photo[1]), min(other[3], photo[0])
        other = min(other[0], x1 - 1), min(other[1], y1 - 1), x1, y1
        before = before.put(layer_of(smooth(seed + 1), view_of(other), photo))
    view = view_of(tile)
    after = before.put(layer_of(smooth(seed), view, photo, (data.draw(strokes_on(view)),)))
    outside = np.ones(photo, bool)
    x0, y0, x1, y1 = tile
    outside[y0:y1, x0:x1] = False
    assert np.array_equal(after.mask_at(*photo)[outside], before.mask_at(*photo)[outside])
    alone = MaskState(photo).put(after.layers[-1]).mask_at(*photo)
    assert np.array_equal(after.mask_at(*photo)[~outside], alone[~outside])


def test_layers_that_are_covered_are_dropped() -> None:
    photo = (100, 100)

    def layer(*tile: int) -> Layer:
        return layer_of(smooth(1), view_of(tile), photo)  # type: ignore[arg-type]

    state = MaskState(photo, base=np.ones(photo, bool))
    state = state.put(layer(10, 10, 50, 50)).put(layer(40, 40, 90, 90))
    assert len(state.layers) == 2
    state = state.put(layer(10, 10, 60, 50))
    assert [v.view.tile for v in state.layers] == [(40, 40, 90, 90), (10, 10, 60, 50)]
    assert sum(array.nbytes for array in state.arrays) == 100 * 100 + 2 * 4 * 16 * 24
    whole = state.put(layer(0, 0, 100, 100))
    assert len(whole.layers) == 1
    assert whole.base is None


@given(photos_with_tiles(), st.integers(0, 1000))
def test_the_box_is_about_the_mask(of: tuple[tuple[int, int], Tile], seed: int) -> None:
    photo, tile = of
    base = np.random.default_rng(seed).random(photo) < 0.02
    state = MaskState(photo, base=base).put(layer_of(smooth(seed), view_of(tile), photo))
    mask, box = state.mask_at(*photo), state.box
    if not mask.any():
        return
    assert box is not None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cell = max(4 / min(view_of(tile).scale), 1)
    assert box[0] <= columns[0] + cell
    assert box[1] <= rows[0] + cell
    assert box[2] >= columns[-1] + 1 - cell
    assert box[3] >= rows[-1] + 1 - cell


def test_an_empty_mask_has_no_box() -> None:
    photo = (50, 50)
    assert MaskState(photo).box is None
    assert MaskState(photo, base=np.zeros(photo, bool)).box is None
    cells = np.zeros(CELLS, np.float32)
    assert MaskState(photo).put(layer_of(cells, view_of((0, 0, 9, 9)), photo)).box is None


def test_a_mask_is_carried_as_its_pixels_are() -> None:
    photo = (64, 96)
    base = np.random.default_rng(3).random(photo) < 0.5
    whole = view_of((0, 0, 96, 64))  # one canvas pixel per photo pixel
    carried = MaskState(photo, base=base).carried(whole)
    np.testing.assert_allclose(carried, coarser(base.astype(np.float32), 4), atol=1e-6)
    # A closer tile of a layer shows it enlarged.
    cells = smooth(4)
    state = MaskState(photo).put(layer_of(cells, whole, photo))
    closer = state.carried(view_of((24, 16, 72, 48)))
    expected = cells.repeat(2, 0).repeat(2, 1)[8:24, 12:36]
    assert np.abs(closer - expected).mean() < 0.05
    # Beside the photo there is nothing.
    beside = MaskState((30, 96), base=np.ones((30, 96), bool)).carried(view_of((0, 0, 96, 30)))
    assert beside[:7].min() == 1
    assert beside[8:].max() == 0


@given(photos_with_tiles(), st.integers(0, 1000), st.data())
def test_pixels_near_a_stroke_have_its_label(
    of: tuple[tuple[int, int], Tile], seed: int, data: st.DataObject
) -> None:
    photo, tile = of
    view = view_of(tile)
    strokes = tuple(data.draw(strokes_on(view)) for _ in range(data.draw(st.integers(1, 5))))
    cells = force(smooth(seed), strokes, view)
    layer = layer_of(cells, view, photo, strokes)
    mask = MaskState(photo).put(layer).mask_at(*photo)
    x0, y0, x1, y1 = tile
    x, y = view.to_canvas(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)  # type: ignore[arg-type]
    said = np.zeros((y1 - y0, x1 - x0), np.int8)
    away = [stroke.distance(np.float32(x), np.float32(y)) for stroke in strokes]
    for stroke, distance in zip(strokes, away, strict=True):
        said[distance < 2.01] = 0  # too close to the end of it to tell
        said[distance < 1.99] = 1 if stroke.positive else -1
    part = mask[y0:y1, x0:x1]
    assert part[said == 1].all()
    assert not part[said == -1].any()
    # The newest is obeyed by the cells alone, too.
    bare = MaskState(photo).put(layer_of(cells, view, photo)).mask_at(*photo)[y0:y1, x0:x1]
    assert (bare[away[-1] < 2] == strokes[-1].positive).all()
    assert obeys(cells, strokes[-1])
    assert np.array_equal(force(cells, strokes, view), cells)


def test_what_obeys_is_left_alone() -> None:
    view, cells = view_of((0, 0, 96, 64)), np.full(CELLS, 0.9, np.float32)
    stroke = Stroke(((40, 30), (60, 50)), 0, True)
    assert obeys(cells, stroke)
    assert np.array_equal(force(cells, [stroke], view), cells)
    against = Stroke(stroke.points, 0, False)
    assert not obeys(cells, against)
    forced = force(cells, [against], view)
    assert set(np.unique(forced)) == {np.float32(0.25), np.float32(0.9)}
    # About the line, as far as pixels within 2 of it mix cells, and no farther.
    assert np.count_nonzero(forced < 0.5) < 60


@given(photos_with_tiles(), st.integers(0, 1000), st.data())
def test_far_from_a_negative_line_only_what_is_clear_is_taken_away(
    of: tuple[tuple[int, int], Tile], seed: int, data: st.DataObject
) -> None:
    view = view_of(of[1])
    stroke = data.draw(strokes_on(view))
    before, cells = smooth(seed), smooth(seed + 1)
    spared = spare(cells, before, stroke)
    root = 4 * math.sqrt(np.count_nonzero(before > 0.5))
    if stroke.positive or not 10 < stroke.length < 0.75 * root:
        assert spared is cells
        return
    x, y = (4 * np.arange(n, dtype=np.float32) + 2 for n in CELLS[::-1])
    away = stroke.distance(x, y)
    reach = max(stroke.length / 4, 8)
    assert np.array_equal(spared[away <= reach], cells[away <= reach])
    far = (away >= reach + 16) & (before > 0.5)
    assert np.array_equal(spared[far] > 0.5, cells[far] > 0.25)
    # In between it takes less to leave the mask the nearer the line is.
    between = (away > reach) & (away < reach + 16) & (before > 0.5)
    assert not ((spared <= 0.5) & (cells > 0.5))[between].any()
    assert not ((spared > 0.5) & (cells <= 0.25))[between].any()
    # Nothing is added.
    assert np.array_equal(spared[before <= 0.5], cells[before <= 0.5])


@given(photos_with_tiles(), st.data())
def test_of_a_negative_line_the_middle_half_is_shown(
    of: tuple[tuple[int, int], Tile], data: st.DataObject
) -> None:
    stroke = data.draw(strokes_on(view_of(of[1])))
    shown = as_shown(stroke)
    assert isinstance(shown, Stroke)
    if stroke.positive or stroke.length <= 10:
        assert shown is stroke
        return
    assert shown.length == pytest.approx(stroke.length / 2)
    assert shown.middle == pytest.approx(stroke.middle, abs=1e-6)
    assert (shown.radius, shown.positive) == (stroke.radius, False)
    for x, y in shown.points:
        assert stroke.distance(np.float32([x]), np.float32([y])) < 1e-3


def test_parts_of_a_line_that_bends() -> None:
    """The corner at a quarter is the part's end, and the one in the middle stays."""
    stroke = Stroke(((0, 0), (10, 0), (10, 10), (30, 10)), 2, False)
    assert as_shown(stroke) == Stroke(((10, 0), (10, 10), (20, 10)), 2, False)
    area = Area((1, 2, 3, 4))
    assert as_shown(area) is area


@given(photos_with_tiles(), st.integers(0, 1000), st.floats(16, 80), st.data())
def test_far_from_a_stroke_nothing_goes_against_it(
    of: tuple[tuple[int, int], Tile], seed: int, near: float, data: st.DataObject
) -> None:
    photo, tile = of
    view = view_of(tile)
    stroke = data.draw(strokes_on(view))
    before = smooth(seed)
    cells = hold(smooth(seed + 1), before, stroke, near, view)
    old, new = (
        MaskState(photo).put(layer_of(v, view, photo)).mask_at(*photo) for v in (before, cells)
    )
    x0, y0, x1, y1 = tile
    x, y = view.to_canvas(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)  # type: ignore[arg-type]
    far = stroke.distance(np.float32(x), np.float32(y)) > near
    old, new = old[y0:y1, x0:x1][far], new[y0:y1, x0:x1][far]
    assert not ((old & ~new) if stroke.positive else (new & ~old)).any()
