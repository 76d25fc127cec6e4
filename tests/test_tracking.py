"""Following things: tiles, priors, presence, several things, passes in both directions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracenet_runtime.answer.mask_state import coarser
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import PlacedTile
from tracenet_runtime.tracking.aggregate import aggregated
from tracenet_runtime.tracking.contract import (
    FUSION_PLANES,
    KEY_CHANNELS,
    TILE_SIDE,
    VALUE_CHANNELS,
)
from tracenet_runtime.tracking.memory import CELLS
from tracenet_runtime.tracking.passes import ClipPasses
from tracenet_runtime.tracking.tile import FollowRule, carried
from tracenet_runtime.tracking.tracker import FloatArray, Frame, Tracker

HEIGHT, WIDTH = 240, 400
COLOURS = ((250, 0, 0), (0, 250, 0))


def square(x: float, y: float, side: int = 30) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[max(0, int(y)) : int(y) + side, max(0, int(x)) : int(x) + side] = True
    return mask


def painted(*masks: np.ndarray) -> Frame:
    frame = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    for mask, colour in zip(masks, COLOURS, strict=False):
        frame[mask] = colour
    return frame


class ByColour:
    """Sees what has a thing's colour: the first read finds red, the second green.

    A value holds the number of the object it is of, by the mask that it is given.
    """

    pad_value = (100, 100, 100)

    def __init__(self, share: float = 1.0) -> None:
        self.share = share
        self.priors: list[FloatArray] = []
        self.others: list[FloatArray] = []
        self.planes: list[FloatArray] = []

    def encode(self, tile: Frame) -> tuple[Frame, FloatArray]:
        assert tile.shape == (TILE_SIDE, TILE_SIDE, 3)
        cells = tile.reshape(16, 16, 16, 16, 3).mean((1, 3)).reshape(CELLS, 3)
        return tile, np.tile(cells / 20, (1, 22))[:, :KEY_CHANNELS].astype(np.float32)

    def value(self, features: Frame, mask: FloatArray, others: FloatArray) -> FloatArray:
        self.others.append(others)
        assert mask.shape == (64, 64)
        seen = (coarser(self._cells(features, colour), 2) for colour in COLOURS)
        scores = [(cells * mask).sum() for cells in seen]
        return np.full((CELLS, VALUE_CHANNELS), np.argmax(scores), np.float32)

    def decode(
        self, features: Frame, read: FloatArray, prior: FloatArray
    ) -> tuple[FloatArray, float]:
        self.priors.append(prior)
        mask = self._cells(features, COLOURS[round(float(read.mean()))])
        return mask, float(mask.max())

    def fuse(self, features: Frame, planes: FloatArray) -> FloatArray:
        assert planes.shape == (len(FUSION_PLANES), 64, 64)
        self.planes.append(planes)
        return np.full((128, 128), self.share, np.float32)

    @staticmethod
    def _cells(tile: Frame, colour: tuple[int, int, int]) -> FloatArray:
        near = np.abs(tile.astype(int) - colour).max(2) < 80
        return near.reshape(128, 2, 128, 2).mean((1, 3), dtype=np.float32)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


# Tiles


@given(
    x=st.floats(0, 350), y=st.floats(0, 200), width=st.floats(1, 300), height=st.floats(1, 200)
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_tile_holds_the_thing_with_room(x: float, y: float, width: float, height: float) -> None:
    rule = FollowRule()
    box = x, y, min(x + width, WIDTH), min(y + height, HEIGHT)
    view = rule.tile((HEIGHT, WIDTH), box)
    x0, y0, x1, y1 = view.tile
    assert 0 <= x0 < x1 <= WIDTH
    assert 0 <= y0 < y1 <= HEIGHT
    assert x0 <= box[0] + 1
    assert y0 <= box[1] + 1
    assert x1 >= box[2] - 1
    assert y1 >= box[3] - 1
    longest = max(box[2] - box[0], box[3] - box[1])
    wanted = min(max(longest / rule.fill, TILE_SIDE / rule.enlarge), WIDTH)
    assert max(x1 - x0, y1 - y0) == pytest.approx(min(wanted, WIDTH), abs=1)
    assert max(view.scale) <= rule.enlarge * 1.02
    assert rule.tile((HEIGHT, WIDTH), None).tile == (0, 0, WIDTH, HEIGHT)


@given(
    before=st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(40, 140)),
    now=st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(40, 140)),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_carried_by_plain_loops(
    before: tuple[int, int, int], now: tuple[int, int, int], seed: int
) -> None:
    def placed(x: int, y: int, side: int) -> PlacedTile:
        canvas = Canvas(TILE_SIDE, TILE_SIDE, (0, 0, 0))
        return PlacedTile((x, y, x + side, y + side), canvas.place(side, side), (256, 256))

    mask = np.random.default_rng(seed).random((64, 64), np.float32)
    moved = carried(mask, placed(*before), placed(*now))
    framed = np.pad(mask, 1)
    for row, column in np.random.default_rng(seed).integers(0, 64, (20, 2)):
        # The cell's centre on the frame, and from there in cells of the tile before.
        y = now[1] + (row + 0.5) * now[2] / 64
        x = now[0] + (column + 0.5) * now[2] / 64
        v, u = ((p - s) * 64 / before[2] - 0.5 for p, s in ((y, before[1]), (x, before[0])))
        if not (-1 < v < 64 and -1 < u < 64):
            assert moved[row, column] == 0
            continue
        i, j = int(np.floor(v)), int(np.floor(u))
        a, b = v - i, u - j
        four = framed[i + 1 : i + 3, j + 1 : j + 3]
        wanted = np.array([1 - a, a]) @ four @ np.array([1 - b, b])
        assert moved[row, column] == pytest.approx(wanted, abs=1e-5)


@given(
    probabilities=st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_things_share_a_cell(probabilities: list[float]) -> None:
    shared = aggregated(np.array(probabilities, np.float32).reshape(-1, 1, 1)).ravel()
    odds = [min(max(p, 1e-6), 1 - 1e-6) for p in probabilities]
    odds = [p / (1 - p) for p in odds]
    wanted = [o / (1 + sum(odds)) for o in odds]
    np.testing.assert_allclose(shared, wanted, rtol=1e-3, atol=1e-6)
    if len(probabilities) == 1:
        assert shared[0] == pytest.approx(probabilities[0], abs=1e-5)


# One direction


def test_a_thing_is_followed() -> None:
    network = ByColour()
    tracker = Tracker(network, 1)
    truths = [square(20 + 9 * t, 30 + 5 * t) for t in range(30)]
    tracker.touch(0, painted(truths[0]), [truths[0]])
    for number in range(1, 30):
        (thing,) = tracker.step(number, painted(truths[number]))
        assert iou(thing.mask(), truths[number]) > 0.85
        assert thing.present
        x0, _, x1, _ = thing.view.tile
        assert x1 - x0 < 100
        # What was known of it before lies where it was then.
        assert network.priors[-1].max() > 0.9
    assert tracker.memory.frames[0] == 0
    assert tracker.memory.frames[-1] == 29


def test_a_thing_that_leaves_and_comes_back() -> None:
    network = ByColour()
    tracker = Tracker(network, 1)
    away = np.zeros((HEIGHT, WIDTH), np.bool_)
    truths = [square(60, 60), square(65, 60), away, away, away, square(300, 150)]
    tracker.touch(0, painted(truths[0]), [truths[0]])
    things = [tracker.step(n, painted(truths[n]))[0] for n in range(1, 6)]
    assert [thing.present for thing in things] == [True, False, False, False, True]
    assert not things[1].mask().any()
    assert things[1].box is None
    assert things[2].view.tile == (0, 0, WIDTH, HEIGHT)
    assert network.priors[2].max() == 0
    assert iou(things[4].mask(), truths[5]) > 0.7
    # Nothing is remembered of frames in which it is not seen.
    assert tracker.memory.frames == (0, 5)


def test_two_things() -> None:
    network = ByColour()
    tracker = Tracker(network, 2)
    one = [square(40 + 4 * t, 40) for t in range(5)]
    two = [square(160, 60 + 6 * t) for t in range(5)]
    tracker.touch(0, painted(one[0], two[0]), [one[0], two[0]])
    # Each is told what the other's mask is.
    assert [round(float(o.sum())) for o in network.others] == [
        pytest.approx(network.others[1].sum(), rel=0.1)
    ] * 2
    for number in range(1, 5):
        things = tracker.step(number, painted(one[number], two[number]))
        assert iou(things[0].mask(), one[number]) > 0.8
        assert iou(things[1].mask(), two[number]) > 0.8
        assert things[0].view == things[1].view


# Both directions


def clip(frames: int = 9) -> tuple[list[np.ndarray], list[Frame]]:
    truths = [square(20 + 9 * t, 30 + 5 * t) for t in range(frames)]
    return truths, [painted(truth) for truth in truths]


def test_passes_go_both_ways_up_to_touched_frames() -> None:
    truths, frames = clip()
    passes = ClipPasses(ByColour(), frames, 1)
    assert list(passes.touch(3, [truths[3]])) == [3, 4, 5, 6, 7, 8, 2, 1, 0]
    assert all(iou(passes.things[n][0].mask(), truths[n]) > 0.85 for n in range(9))
    assert list(passes.touch(6, [truths[6]])) == [6, 7, 8, 5, 4]
    assert passes.touched == {3, 6}
    assert list(passes.touch(4, [truths[4]])) == [4, 5]
    kept = passes.things[3], passes.things[6]
    list(passes.touch(5, [square(0, 0)]))
    assert (passes.things[3], passes.things[6]) == kept


@pytest.mark.parametrize(("share", "taken"), [(0.0, "old"), (1.0, "new")])
def test_what_is_merged(share: float, taken: str) -> None:
    truths, frames = clip()
    network = ByColour(share)
    passes = ClipPasses(network, frames, 1)
    list(passes.touch(0, [truths[0]]))
    halves = {n: things[0] for n, things in passes.things.items()}
    # The thing's upper half is wrong to the user, who takes it away from the last frame.
    wanted = truths[8].copy()
    wanted[:82] = False
    list(passes.touch(8, [wanted]))
    assert len(network.planes) == 7
    for place, planes in zip(range(7, 0, -1), network.planes, strict=True):
        old, new, added, removed, distance, other = planes
        assert (distance == np.float32((8 - place) / 8)).all()
        assert (other == np.float32(place / 8)).all()
        assert added.max() < 0.2 < removed.max()
        found = passes.things[place][0].probability
        np.testing.assert_allclose(coarser(found, 2), old if taken == "old" else new, atol=1e-6)
        if taken == "old":
            assert iou(passes.things[place][0].mask(), halves[place].mask()) > 0.85
    # The frame itself is what the user said.
    assert iou(passes.things[8][0].mask(), wanted) > 0.85


def test_on_the_way_to_the_end_nothing_is_merged() -> None:
    truths, frames = clip()
    network = ByColour(0.0)
    passes = ClipPasses(network, frames, 1)
    list(passes.touch(4, [truths[4]]))
    list(passes.touch(6, [truths[6]]))
    assert len(network.planes) == 1  # frame 5
