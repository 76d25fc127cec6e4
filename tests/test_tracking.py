"""Following things: tiles, priors, presence, several things, passes in both directions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tracking_fakes
from hypothesis import given, settings
from hypothesis import strategies as st

from tracenet_runtime.answer.mask_state import coarser
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Box, PlacedTile, united
from tracenet_runtime.tracking.aggregate import aggregated
from tracenet_runtime.tracking.contract import (
    FUSION_PLANES,
    KEY_CHANNELS,
    TILE_SIDE,
    VALUE_CHANNELS,
)
from tracenet_runtime.tracking.groups import GroupTracker
from tracenet_runtime.tracking.memory import CELLS, memory_nbytes
from tracenet_runtime.tracking.passes import ClipPasses
from tracenet_runtime.tracking.tile import SHARED, FollowRule, carried
from tracenet_runtime.tracking.tracker import FloatArray, Frame, Tracked, Tracker

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
        red, green, blue = (
            np.abs(tile[..., channel].astype(np.int16) - value) < 80
            for channel, value in enumerate(colour)
        )
        return coarser((red & green & blue).astype(np.float32), 2)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


# Tiles


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(st.floats(0, 1900)), draw(st.floats(0, 900))
    return x, y, min(x + draw(st.floats(1, 900)), 2000), min(y + draw(st.floats(1, 900)), 1000)


@given(things=st.lists(st.none() | boxes(), max_size=5))
@settings(deadline=None)
def test_who_shares_a_tile(things: list[Box | None]) -> None:
    rule, frame = FollowRule(), (1000, 2000)

    def side(box: Box) -> int:
        x0, y0, x1, y1 = rule.tile(frame, box).tile
        return max(x1 - x0, y1 - y0)

    groups = rule.groups(frame, things)
    assert sorted(thing for group in groups for thing in group) == list(range(len(things)))
    for group in groups:
        known = [box for thing in group if (box := things[thing]) is not None]
        assert len(known) == len(group) or len(group) == 1
        if known:
            # The common tile is no longer than the rule allows to the smallest of them.
            assert side(united(known)) <= SHARED * min(map(side, known))
    # Each group begins with a thing that fits none of those before it, as they were then.
    for later, group in enumerate(groups):
        for earlier in groups[:later]:
            members = [things[thing] for thing in (*(m for m in earlier if m < group[0]), group[0])]
            known = [box for box in members if box is not None]
            if len(known) == len(members):
                assert side(united(known)) > SHARED * min(map(side, known))


@pytest.mark.parametrize(
    ("things", "groups"),
    [
        # Of about one size, one half in front of the other.
        ([(500, 400, 600, 500), (540, 410, 640, 500)], [(0, 1)]),
        # Side by side: together they are twice as long as each.
        ([(500, 400, 600, 500), (600, 400, 700, 500)], [(0,), (1,)]),
        # So small that they get the smallest tile anyway.
        ([(500, 400, 510, 410), (520, 410, 530, 420)], [(0, 1)]),
        # At either end of the frame.
        ([(0, 0, 100, 100), (1900, 900, 2000, 1000)], [(0,), (1,)]),
        # One inside the other, of a tenth of its size.
        ([(500, 100, 1300, 900), (800, 400, 880, 480)], [(0,), (1,)]),
        # Both fill the frame.
        ([(0, 0, 2000, 1000), (400, 0, 2000, 1000)], [(0, 1)]),
        # Two pairs, not next to each other in the list, and one that is not seen.
        (
            [
                (0, 0, 100, 100),
                (1500, 500, 1600, 600),
                None,
                (20, 30, 120, 130),
                (1520, 520, 1620, 600),
            ],
            [(0, 3), (1, 4), (2,)],
        ),
        ([None, None], [(0,), (1,)]),
    ],
)  # fmt: skip
def test_near_and_alike(things: list[Box | None], groups: list[tuple[int, ...]]) -> None:
    assert FollowRule().groups((1000, 2000), things) == groups


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


@given(box=boxes(), enlarge=st.floats(1, 8))
@settings(max_examples=60, deadline=None)
def test_where_a_missing_thing_is_searched_for(box: Box, enlarge: float) -> None:
    rule, frame = FollowRule(enlarge=enlarge), (1000, 2000)
    first, whole = rule.tile(frame, box).tile, (0, 0, 2000, 1000)
    tiles = [rule.tile(frame, box, searched).tile for searched in range(40)]
    assert {*tiles[::2]} == {first}
    larger = tiles[1::2]
    round_trip = larger[: larger.index(whole) + 1]
    assert larger == (round_trip * len(larger))[: len(larger)]
    for before, after in pairwise([first, *round_trip]):
        assert before[0] >= after[0]
        assert before[1] >= after[1]
        assert before[2] <= after[2]
        assert before[3] <= after[3]
        side, longer = (max(t[2] - t[0], t[3] - t[1]) for t in (before, after))
        assert longer == min(2 * side, 2000)


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
    truths = [square(60, 60), square(65, 60), away, away, away, away, away, square(300, 150)]
    tracker.touch(0, painted(truths[0]), [truths[0]])
    things = [tracker.step(n, painted(truths[n]))[0] for n in range(1, 8)]
    assert [thing.present for thing in things] == [True, *[False] * 5, True]
    assert not things[1].mask().any()
    assert things[1].box is None
    sides = [thing.view.tile[2] - thing.view.tile[0] for thing in things]
    assert sides == [85, 85, 170, 85, 340, 85, WIDTH]
    assert network.priors[2].max() == 0
    assert iou(things[6].mask(), truths[7]) > 0.7
    # Nothing is remembered of frames in which it is not seen.
    assert tracker.memory.frames == (0, 7)


def test_what_may_be_something_else_is_not_remembered() -> None:
    class Unsure(ByColour):
        def decode(self, *arguments: FloatArray) -> tuple[FloatArray, float]:
            return super().decode(*arguments)[0], 0.9

    truths = [square(60 + 5 * t, 60) for t in range(3)]
    for sure, remembered in ((0.91, (0,)), (0.9, (0, 2))):
        tracker = Tracker(Unsure(), 1, FollowRule(sure=sure))
        tracker.touch(0, painted(truths[0]), [truths[0]])
        for number in (1, 2):
            (thing,) = tracker.step(number, painted(truths[number]))
            assert iou(thing.mask(), truths[number]) > 0.8
        assert tracker.memory.frames == remembered


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


# In tiles of their own


def test_far_things_have_tiles_of_their_own() -> None:
    network = ByColour()
    tracker = GroupTracker(network, 2)
    one = [square(10 + 4 * t, 10 + 2 * t) for t in range(5)]
    two = [square(340 - 4 * t, 190 - 6 * t) for t in range(5)]
    tracker.touch(0, painted(one[0], two[0]), [one[0], two[0]])
    # Neither is told of the other.
    assert [float(others.max()) for others in network.others] == [0, 0]
    assert tracker.nbytes == 2 * memory_nbytes(1)
    for number in range(1, 5):
        things = tracker.step(number, painted(one[number], two[number]))
        for thing, truth in zip(things, (one[number], two[number]), strict=True):
            assert iou(thing.mask(), truth) > 0.85
            x0, y0, x1, y1 = thing.view.tile
            assert max(x1 - x0, y1 - y0) == round(TILE_SIDE / 3)


def test_near_things_share_a_tile() -> None:
    network = ByColour()
    tracker = GroupTracker(network, 2)
    masks = [square(100, 100), square(132, 100)]
    tracker.touch(0, painted(*masks), masks)
    assert all(others.max() > 0.9 for others in network.others)
    assert tracker.nbytes == memory_nbytes(2)
    # Who shares a tile goes on to share it.
    masks = [square(70, 100), square(164, 100)]
    things = tracker.step(1, painted(*masks))
    assert things[0].view == things[1].view
    assert all(iou(t.mask(), mask) > 0.8 for t, mask in zip(things, masks, strict=True))


def test_a_group_is_asked_for_its_own_thing() -> None:
    """Things 0 and 2 are the halves of one square, and thing 1 is far from them."""
    photos = tracking_fakes.frames()
    square, other = tracking_fakes.truth(0, 0), tracking_fakes.truth(1, 0)
    middle = int(np.flatnonzero(square.any(0)).mean())
    left, right = square.copy(), square.copy()
    left[:, middle:], right[:, :middle] = False, False

    def asked(
        tracker: GroupTracker[np.ndarray] | Tracker[np.ndarray], masks: list[np.ndarray]
    ) -> list[tuple[Tracked, Tracked, np.ndarray, Tracked]]:
        """Of each thing: touched, a step later, what a touch changed, and what is merged."""
        touched = tracker.touch(0, photos[0], masks)
        found = tracker.step(1, photos[1])
        tracker.touch(1, photos[1], masks)
        changes = [tracker.change(thing, found[thing]) for thing in range(len(masks))]
        tracker.step(0, photos[0])
        return [
            (*both, change.cells, tracker.fuse(thing, photos[0], both[0], change, (0.25, 0.75)))
            for thing, (both, change) in enumerate(
                zip(zip(touched, found, strict=True), changes, strict=True)
            )
        ]

    network = tracking_fakes.ColourNetwork()
    together = asked(GroupTracker(network, 3), [left, other, right])
    halves = asked(Tracker(network, 2), [left, right])
    alone = asked(Tracker(network, 1), [other])
    for told, wanted in zip(together, (halves[0], alone[0], halves[1]), strict=True):
        for one, its in zip(told, wanted, strict=True):
            if isinstance(one, Tracked):
                assert isinstance(its, Tracked)
                assert one.view == its.view
                one, its = one.probability, its.probability
            np.testing.assert_array_equal(one, its)
    # Each of these is of that thing alone.
    for one, two in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(together[one][2] - together[two][2]).max() > 0.1
        merged = [together[thing][3].probability for thing in (one, two)]
        assert np.abs(merged[0] - merged[1]).max() > 0.1


# Both directions


def clip(frames: int = 9) -> tuple[list[np.ndarray], list[Frame]]:
    truths = [square(20 + 9 * t, 30 + 5 * t) for t in range(frames)]
    return truths, [painted(truth) for truth in truths]


def carried_by(passes: ClipPasses[Frame], number: int, mask: np.ndarray) -> list[int]:
    passes.touch(number, {0: mask})
    return list(iter(passes.advance, None))


def mask_of(passes: ClipPasses[Frame], number: int) -> np.ndarray:
    result = passes.result(number)
    assert result is not None
    return result.things[0].mask()


def test_passes_go_both_ways_up_to_touched_frames() -> None:
    truths, frames = clip()
    passes = ClipPasses(ByColour(), frames)
    assert carried_by(passes, 3, truths[3]) == [3, 4, 5, 6, 7, 8, 2, 1, 0]
    assert all(iou(mask_of(passes, n), truths[n]) > 0.85 for n in range(9))
    assert carried_by(passes, 6, truths[6]) == [6, 7, 8, 5, 4]
    assert passes.touched == (3, 6)
    assert carried_by(passes, 4, truths[4]) == [4, 5]
    carried_by(passes, 5, square(0, 0))
    for number in (3, 4, 6):
        assert (mask_of(passes, number) == truths[number]).all()
    assert (mask_of(passes, 5) == square(0, 0)).all()


@pytest.mark.parametrize(("share", "taken"), [(0.0, "old"), (1.0, "new")])
def test_what_is_merged(share: float, taken: str) -> None:
    truths, frames = clip()
    network = ByColour(share)
    passes = ClipPasses(network, frames)
    carried_by(passes, 0, truths[0])
    before = {n: mask_of(passes, n) for n in range(9)}
    # The thing's upper half is wrong to the user, who takes it away from the last frame.
    wanted = truths[8].copy()
    wanted[:82] = False
    carried_by(passes, 8, wanted)
    assert len(network.planes) == 7
    for place, planes in zip(range(7, 0, -1), network.planes, strict=True):
        old, new, added, removed, distance, other = planes
        assert (distance == np.float32((8 - place) / 8)).all()
        assert (other == np.float32(place / 8)).all()
        assert added.max() < 0.2 < removed.max()
        found = mask_of(passes, place)
        assert taken == "new" or iou(found, before[place]) > 0.85
        cells = (new if taken == "new" else old) > 0.5
        assert found.any() == cells.any()
    assert (mask_of(passes, 8) == wanted).all()


class Seeing(ByColour):
    """Sees one colour, or nothing, whatever the memory says."""

    colour: tuple[int, int, int] | None = COLOURS[0]

    def decode(
        self, features: Frame, read: FloatArray, prior: FloatArray
    ) -> tuple[FloatArray, float]:
        if self.colour is None:
            return np.zeros((128, 128), np.float32), 0.0
        mask = self._cells(features, self.colour)
        return mask, float(mask.max())


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("colour", [None, COLOURS[1]])
def test_what_was_there_is_merged_where_it_was(
    share: float, colour: tuple[int, int, int] | None
) -> None:
    """A pass finds nothing, or something elsewhere: that alone takes nothing away."""
    truths, elsewhere = clip()[0], square(4, 200)
    frames = [painted(truth, elsewhere) for truth in truths]
    network = Seeing(share)
    passes = ClipPasses(network, frames)
    carried_by(passes, 0, truths[0])
    before = {n: mask_of(passes, n) for n in range(9)}
    network.colour = colour
    carried_by(passes, 8, np.zeros_like(elsewhere) if colour is None else elsewhere)
    for number in range(1, 8):
        found = mask_of(passes, number)
        if share == 0:
            assert iou(found, before[number]) > 0.97
        elif colour is None:
            assert not found.any()
        else:
            assert iou(found, elsewhere) > 0.8


def test_beyond_both_touched_frames_is_merged_too() -> None:
    truths, frames = clip()
    network = ByColour(0.0)
    passes = ClipPasses(network, frames)
    carried_by(passes, 4, truths[4])
    carried_by(passes, 6, truths[6])
    distances = [(planes[4].max(), planes[5].max()) for planes in network.planes]
    assert np.allclose(distances, [(1 / 4, 3 / 4), (2 / 6, 4 / 6), (1 / 2, 1 / 2)])  # 7, 8, 5


def test_a_frame_touched_again_is_not_merged_with_itself() -> None:
    truths, frames = clip()
    network = ByColour(0.0)
    passes = ClipPasses(network, frames)
    carried_by(passes, 4, square(0, 0))
    assert carried_by(passes, 4, truths[4]) == [4, 5, 6, 7, 8, 3, 2, 1, 0]
    assert not network.planes
    assert all(iou(mask_of(passes, n), truths[n]) > 0.85 for n in range(9))


def test_a_pass_ends_before_a_frame_that_is_touched_meanwhile() -> None:
    truths, frames = clip()
    network = ByColour(0.0)
    passes = ClipPasses(network, frames)
    passes.touch(2, {0: truths[2]})
    assert [passes.advance() for _ in range(3)] == [2, 3, 4]
    passes.touch(6, {0: truths[6]})
    rest = list(iter(passes.advance, None))
    assert rest == [5, 1, 0, 6, 7, 8, 5, 4, 3]
    assert len(network.planes) == 3  # nothing was known of 7 and 8
