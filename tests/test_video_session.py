"""Clips that are open: touched frames, what is carried from them, and what is kept of it."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_fixtures import NumpyEngine, random_photo, write_tiny_bundle
from test_tracking import COLOURS, ByColour, iou

from tracenet_runtime import (
    FrameError,
    FrameResult,
    GestureError,
    SessionClosed,
    StreamSession,
    TapOutsidePhoto,
    TapSegmenter,
    TraceNetError,
    VideoSession,
)
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import PlacedTile
from tracenet_runtime.tracking.kept import keep, keep_mask, kept, kept_mask
from tracenet_runtime.tracking.memory import memory_nbytes
from tracenet_runtime.tracking.results import carried_thing
from tracenet_runtime.tracking.tracker import Mask, Tracked

HEIGHT, WIDTH, LENGTH = 90, 120, 9
NOWHERE = np.zeros((HEIGHT, WIDTH), np.bool_)


def square(x: int, y: int, side: int = 24) -> Mask:
    mask = NOWHERE.copy()
    mask[y : y + side, x : x + side] = True
    return mask


def things_in(number: int) -> list[Mask]:
    """Where a red and a green thing are, which move apart."""
    return [square(5 + 3 * number, 10), square(80 - 2 * number, 55)]


def frame_of(number: int) -> np.ndarray:
    frame = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    for mask, colour in zip(things_in(number), COLOURS, strict=True):
        frame[mask] = colour
    return frame


FRAMES = [frame_of(n) for n in range(LENGTH)]


class Marked(ByColour):
    """What is found has a share of what was before, so that it tells where it was carried from."""

    def decode(self, features: Any, read: Any, prior: Any) -> tuple[Any, float]:
        mask, presence = super().decode(features, read, prior)
        return mask * np.float32(0.9) + prior.repeat(2, 0).repeat(2, 1) * np.float32(0.1), presence


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> TapSegmenter:
    folder = write_tiny_bundle(tmp_path_factory.mktemp("clip") / "bundle", guided=True)
    return TapSegmenter(Bundle.open(folder), NumpyEngine())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TapSegmenter:
    """One without a guided look."""
    folder = write_tiny_bundle(tmp_path_factory.mktemp("clip") / "bundle")
    return TapSegmenter(Bundle.open(folder), NumpyEngine())


def opened(
    segmenter: TapSegmenter, frames: Sequence[np.ndarray] = FRAMES, network: Any = None
) -> VideoSession:
    view = partial(segmenter.strategy.open, segmenter.viewer)
    return VideoSession(view, network or Marked(0.5), frames)


def stream_of(segmenter: TapSegmenter) -> StreamSession:
    return StreamSession(partial(segmenter.strategy.open, segmenter.viewer), ByColour())


def known(video: VideoSession) -> list[list[tuple[Any, ...]]]:
    """All that is known of all frames, to compare."""
    results = (video.result(number) for number in range(len(video)))
    return [
        []
        if result is None
        else [
            (v.known, v.touched, v.present, v.presence, v.score, v.box, v.mask().tobytes())
            for v in result.things
        ]
        for result in results
    ]


def masks_of(video: VideoSession, thing: int = 0) -> list[Mask]:
    results = [video.result(number) for number in range(len(video))]
    return [result.things[thing].mask() for result in results if result is not None]


# Gestures, and what is carried


def test_a_thing_is_in_every_frame(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        assert video.result(3) is None
        assert video.frame(3).result is None
        video.frame(3).start_from(things_in(3)[0])
        assert video.touched == (3,)
        results = list(video.propagate())
        assert [result.number for result in results] == [3, 4, 5, 6, 7, 8, 2, 1, 0]
        for result in results:
            (thing,) = result.things
            assert thing.known
            assert thing.touched == (result.number == 3)
            assert thing.present
            assert iou(thing.mask(), things_in(result.number)[0]) > 0.8
        assert list(video.propagate()) == []


def test_a_touched_frame_has_what_the_session_gave(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video, segmenter.open(FRAMES[4]) as photo:
        frame = video.frame(4)
        for gesture in (
            lambda s: s.tap((50, 40)),
            lambda s: s.tap((70, 40), positive=False),
            lambda s: s.scribble([(20, 20), (40, 60)], 5),
            lambda s: s.box((10, 10, 90, 80)),
            lambda s: s.undo(),
            lambda s: s.redo(),
        ):
            wanted = gesture(photo).mask
            assert np.array_equal(gesture(frame).mask, wanted)
            result = video.result(4)
            assert result is not None
            assert np.array_equal(result.things[0].mask(), wanted)
        list(video.propagate())
        assert np.array_equal(masks_of(video)[4], wanted)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("touch"),
            st.integers(0, LENGTH - 1),
            st.integers(0, 1),
            st.tuples(st.integers(0, 90), st.integers(0, 60)),
        ),
        st.tuples(st.just("clear"), st.integers(0, LENGTH - 1), st.integers(0, 1)),
        st.tuples(st.just("propagate"), st.integers(0, 12)),
    ),
    max_size=10,
)


@given(OPERATIONS)
@settings(max_examples=20, deadline=None)
def test_touched_frames_never_change(segmenter: TapSegmenter, operations: Any) -> None:
    given_masks: dict[tuple[int, int], Mask] = {}
    with opened(segmenter) as video:
        for what, *arguments in operations:
            if what == "touch":
                number, thing, at = arguments
                thing = min(thing, video.things)
                mask = square(*at)
                video.frame(number, thing).start_from(mask)
                given_masks[number, thing] = mask
            elif what == "clear":
                number, thing = arguments
                if thing < video.things:
                    video.frame(number, thing).clear()
                    given_masks.pop((number, thing), None)
            elif video.touched:
                for _ in itertools.islice(video.propagate(), arguments[0]):
                    pass
            assert video.touched == tuple(sorted({number for number, _ in given_masks}))
            for (number, thing), mask in given_masks.items():
                result = video.result(number)
                assert result is not None
                assert result.things[thing].touched
                assert np.array_equal(result.things[thing].mask(), mask)
        if given_masks:
            list(video.propagate())
            touched_things = {thing for _, thing in given_masks}
            for number in range(LENGTH):
                result = video.result(number)
                assert result is not None
                for thing in range(video.things):
                    # Every thing is brought to every frame, whatever came before.
                    assert result.things[thing].known == (thing in touched_things)


TOUCHES = st.lists(
    st.tuples(st.integers(0, LENGTH - 1), st.integers(0, 90), st.integers(0, 60)),
    min_size=1,
    max_size=4,
    unique_by=lambda touch: touch[0],
)


@given(TOUCHES, st.lists(st.integers(0, 6), min_size=4, max_size=4))
@settings(max_examples=12, deadline=None)
def test_it_does_not_matter_whether_propagation_is_broken_off(
    segmenter: TapSegmenter, touches: Any, steps: list[int]
) -> None:
    with opened(segmenter) as at_once, opened(segmenter) as in_parts:
        for (number, *at), count in zip(touches, steps, strict=False):
            at_once.frame(number).start_from(square(*at))
            list(at_once.propagate())
            in_parts.frame(number).start_from(square(*at))
            for _ in itertools.islice(in_parts.propagate(), count):
                pass
            list(in_parts.propagate())
        assert known(in_parts) == known(at_once)


@given(TOUCHES.filter(lambda touches: len(touches) > 1))
@settings(max_examples=8, deadline=None)
def test_what_was_known_before_a_touch_comes_back(segmenter: TapSegmenter, touches: Any) -> None:
    with opened(segmenter) as video:
        before = known(video)
        for number, *at in touches:
            before = known(video)
            video.frame(number).start_from(square(*at))
            list(video.propagate())
        video.frame(number).clear()
        list(video.propagate())
        assert known(video) == before


def test_what_was_carried_stays_when_the_loop_is_left(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        video.frame(2).start_from(things_in(2)[0])
        first = list(itertools.islice(video.propagate(), 3))
        before = known(video)
        assert [n for n, things in enumerate(before) if things] == [2, 3, 4]
        rest = list(video.propagate())
        assert [result.number for result in (*first, *rest)] == [2, 3, 4, 5, 6, 7, 8, 1, 0]
        assert known(video)[2:5] == before[2:5]


def test_a_frame_that_cannot_be_read(segmenter: TapSegmenter) -> None:
    class Frames(list[np.ndarray]):
        broken = True

        def __getitem__(self, number: Any) -> Any:
            if number == 6 and self.broken:
                raise FrameError("Frame 6 cannot be read.")
            return super().__getitem__(number)

    frames = Frames(FRAMES)
    with opened(segmenter, frames) as video, opened(segmenter) as whole:
        for session in (video, whole):
            session.frame(1).start_from(things_in(1)[0])
            session.frame(8).start_from(square(40, 20))
        with pytest.raises(FrameError, match="Frame 6"):
            list(video.propagate())
        assert [bool(things) for things in known(video)] == [False, *[True] * 5, False, False, True]
        frames.broken = False
        list(video.propagate())
        list(whole.propagate())
        assert known(video) == known(whole)


def test_a_correction_begins_from_the_carried_mask(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video, segmenter.open(FRAMES[6]) as photo:
        video.frame(0).start_from(things_in(0)[0])
        list(video.propagate())
        carried = masks_of(video)[6]
        photo.start_from(carried)
        wanted = photo.scribble([(70, 60), (80, 70)], 6).mask
        frame = video.frame(6)
        assert np.array_equal(frame.scribble([(70, 60), (80, 70)], 6).mask, wanted)
        assert video.touched == (0, 6)
        assert frame.can_undo


@pytest.mark.parametrize("how", ["undo", "clear"])
@pytest.mark.parametrize("propagated", [False, True])
def test_taking_a_correction_back(segmenter: TapSegmenter, how: str, propagated: bool) -> None:
    with opened(segmenter) as video:
        video.frame(0).start_from(things_in(0)[0])
        list(video.propagate())
        before, carried = known(video), masks_of(video)[6]
        frame = video.frame(6)
        frame.tap((70, 60))
        if propagated:
            list(video.propagate())
            assert known(video) != before
        back = getattr(frame, how)()
        assert video.touched == (0,)
        assert known(video)[6] == before[6]
        assert np.array_equal(masks_of(video)[6], carried)
        assert (frame.result is None) == (how == "clear")
        assert frame.result is back
        again = list(video.propagate())
        assert bool(again) == propagated  # all is carried anew, or nothing needs to be
        assert known(video) == before
        assert not (frame.can_redo and propagated)  # as it begins from another mask then
        if how == "undo" and not propagated:
            frame.redo()
            assert video.touched == (0, 6)


def test_a_frame_that_is_opened_again_begins_from_its_mask(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        frame = video.frame(4)
        given_mask = frame.tap((50, 40)).mask
        video.frame(5).tap((50, 40))
        assert not frame.can_undo
        assert frame.result is None
        assert np.array_equal(masks_of(video)[0], given_mask)
        with pytest.raises(GestureError, match="nothing to undo"):
            frame.undo()
        assert video.touched == (4, 5)
        frame.tap((20, 20))
        result = frame.undo()
        assert result is not None
        assert np.array_equal(result.mask, given_mask)
        assert video.touched == (4, 5)
        frame.clear()
        assert video.touched == (5,)


def test_reading_a_result_opens_nothing(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        tapped = video.frame(2).tap((50, 40))
        list(video.propagate())
        open_frame = video._frame
        assert video.frame(6).result is None
        assert video._frame is open_frame
        assert video.frame(2).result is tapped
        assert video.frame(2).can_undo


@pytest.mark.parametrize("order", ["the other first", "the other last"])
def test_a_thing_without_a_touched_frame_is_gone_everywhere(
    segmenter: TapSegmenter, order: str
) -> None:
    with opened(segmenter) as video:
        video.frame(2).start_from(things_in(2)[0])
        list(video.propagate())
        video.frame(8).tap((50, 40))
        if order == "the other first":
            video.frame(2).clear()
            assert video.frame(8).undo() is None
        else:
            assert video.frame(8).undo() is not None
            video.frame(2).clear()
        assert (video.things, video.touched, video.result(8)) == (0, (), None)
        assert video.frame(8).result is None
        assert not video.frame(8).can_redo
        with pytest.raises(GestureError, match="begin with a positive gesture"):
            video.frame(8).tap((50, 40), positive=False)


def test_the_first_tap_of_all_can_be_made_again(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        frame = video.frame(2)
        mask = frame.tap((50, 40)).mask
        assert frame.undo() is None
        assert video.things == 0
        again = frame.redo()
        assert again is not None
        assert np.array_equal(again.mask, mask)
        assert video.things == 1


def test_a_mask_that_is_as_it_was_carried_is_not_carried_again(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        frame = video.frame(2)
        frame.start_from(things_in(2)[0])
        first = list(itertools.islice(video.propagate(), 3))
        frame.tap((100, 80))
        frame.undo()
        assert np.array_equal(masks_of(video)[0], things_in(2)[0])
        rest = list(video.propagate())
        assert [result.number for result in (*first, *rest)] == [2, 3, 4, 5, 6, 7, 8, 1, 0]
        before = known(video)
        frame.tap((100, 80))
        frame.undo()
        frame.start_from(things_in(2)[0])
        assert list(video.propagate()) == []
        assert known(video) == before
        frame.tap((100, 80))
        frame.undo()
        frame.redo()
        assert len(list(video.propagate())) == LENGTH


def test_a_refused_gesture_touches_nothing(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        with pytest.raises(TapOutsidePhoto):
            video.frame(0).tap((WIDTH, 0))
        with pytest.raises(GestureError, match="positive"):
            video.frame(0).tap((1, 1), positive=False)
        assert video.touched == ()
        assert video.things == 0


# Several things


def test_a_thing_that_is_added_later(segmenter: TapSegmenter) -> None:
    with opened(segmenter, network=ByColour()) as video:
        video.frame(2).start_from(things_in(2)[0])
        list(video.propagate())
        before = [things[0] for things in known(video)]
        video.frame(5, thing=1).start_from(things_in(5)[1])
        result = video.result(3)
        assert result is not None
        assert not result.things[1].known
        assert not result.things[1].mask().any()
        assert sorted(result.number for result in video.propagate()) == list(range(LENGTH))
        assert [things[0] for things in known(video)] == before
        for number, mask in enumerate(masks_of(video, 1)):
            assert iou(mask, things_in(number)[1]) > 0.6
        with pytest.raises(GestureError, match="next new one is thing 2, not 3"):
            video.frame(1, thing=3)


def test_things_of_one_frame_are_carried_together(segmenter: TapSegmenter) -> None:
    network = ByColour()
    encoded = 0

    def encode(tile: Any) -> Any:
        nonlocal encoded
        encoded += 1
        return ByColour.encode(network, tile)

    network.encode = encode  # type: ignore[method-assign]
    with opened(segmenter, network=network) as video:
        for thing in (0, 1):
            video.frame(4, thing).start_from(things_in(4)[thing])
        results = list(video.propagate())
        assert len(results) == LENGTH
        assert encoded == LENGTH + 1  # the touched frame once for each direction
        for result in results:
            for thing, truth in zip(result.things, things_in(result.number), strict=True):
                assert iou(thing.mask(), truth) > 0.6


def test_a_correction_of_one_thing_leaves_the_others(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        for thing in (0, 1):
            video.frame(0, thing).start_from(things_in(0)[thing])
        list(video.propagate())
        before = known(video)
        video.frame(7, thing=1).start_from(square(0, 60))
        list(video.propagate())
        after = known(video)
        assert [things[0] for things in after] == [things[0] for things in before]
        assert after[5][1] != before[5][1]


# What is kept


@given(
    st.integers(0, 9999), st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 30)),
    st.floats(0, 1), st.booleans(),
)  # fmt: skip
def test_kept_things(seed: int, tile: tuple[int, int, int], presence: float, present: bool) -> None:
    rng = np.random.default_rng(seed)
    probability = np.zeros((128, 128), np.float32)
    top, left = rng.integers(0, 124, 2)
    height, width = rng.integers(1, 124, 2)
    probability[top : top + height, left : left + width] = rng.random()
    x, y, side = tile
    view = PlacedTile((x, y, x + side, y + side), Canvas(256, 256, (0, 0, 0)).place(side, side),
                      (256, 256))  # fmt: skip
    thing = Tracked(probability, presence, present, view, (HEIGHT, WIDTH))
    again = kept(keep(thing), (HEIGHT, WIDTH))
    assert np.abs(again.probability - thing.shown).max() <= 6.5 / 31 + 1e-6
    assert (again.presence, again.present, again.view) == (presence, present, view)
    assert again.frame == thing.frame
    assert keep(again) == keep(thing)
    mask = rng.random((HEIGHT, WIDTH)) < 0.3 if seed % 3 else NOWHERE
    assert np.array_equal(kept_mask(keep_mask(mask), (HEIGHT, WIDTH)), mask)


def test_the_score_is_the_mean_probability_of_the_mask() -> None:
    probability = np.zeros((128, 128), np.float32)
    probability[20:40, 20:40], probability[30:40, 20:40], probability[0] = 0.9, 0.7, 0.4
    view = PlacedTile((0, 0, 64, 64), Canvas(256, 256, (0, 0, 0)).place(64, 64), (256, 256))
    seen = Tracked(probability, 0.75, True, view, (64, 64))
    result = carried_thing(seen, seen.mask)
    assert (result.score, result.presence) == (pytest.approx(0.8), 0.75)
    assert result.box == (10, 10, 20, 20)
    lost = Tracked(probability, 0.25, False, view, (64, 64))
    gone = carried_thing(lost, lost.mask)
    assert (gone.score, gone.presence, gone.box) == (0, 0.25, None)
    assert not gone.mask().any()


class Synthetic(Sequence[np.ndarray]):
    """Frames that are made when they are asked for."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: Any) -> Any:
        return frame_of(number % LENGTH)


def test_bytes_of_a_long_clip(segmenter: TapSegmenter) -> None:
    """The bound per frame is harder to keep over fewer frames; tracing memory slows Python."""
    length, early_frames = 120, 30
    network = Marked()
    network.priors = network.others = network.planes = deque(maxlen=0)  # type: ignore[assignment]
    with opened(segmenter, Synthetic(length), network) as video:
        for thing in (0, 1):
            video.frame(0, thing).start_from(things_in(0)[thing])
        for number in (40, 80):
            video.frame(number).tap((50, 40))
            video.frame(number).clear()
        running = video.propagate()
        tracemalloc.start()
        for _ in itertools.islice(running, early_frames):
            pass
        gc.collect()
        early, _ = tracemalloc.get_traced_memory()
        assert sum(1 for _ in running) == length - early_frames
        gc.collect()
        late, _ = tracemalloc.get_traced_memory()
        # Of frames with two things.
        assert (late - early) / ((length - early_frames) * 2) < 600
        results = [video.result(number) for number in range(length)]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (held - late) / (len(results) * 2) < 2000
        assert video.nbytes < memory_nbytes(2) + length * 2 * 500 + 2_000_000
    assert video.nbytes == 0


def test_only_the_open_frame_keeps_arrays(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video:
        views = []
        for number in (1, 5):
            video.frame(number).tap((50, 40))
            assert video._frame is not None
            views.append(weakref.ref(video._frame.view))
            # Two things of a frame share them.
            video.frame(number, thing=1).tap((20, 20))
            assert views[-1]() is video._frame.view
        gc.collect()
        assert views[0]() is None
        assert views[1]() is not None
        video.close()
        gc.collect()
        assert views[1]() is None


# What is refused


@pytest.mark.parametrize(
    ("use", "error", "reason"),
    [
        (lambda v: v.frame(LENGTH), FrameError, "no frame 9; the clip has 9, numbered from 0"),
        (lambda v: v.frame(-1), FrameError, "no frame -1"),
        (lambda v: v.result(99), FrameError, "no frame 99"),
        (lambda v: v.frame(0, thing=1), GestureError, "next new one is thing 0, not 1"),
        (lambda v: v.frame(0, thing=-1), GestureError, "without gaps"),
        (lambda v: v.propagate(), GestureError, "tap on one of its frames first"),
    ],
)  # fmt: skip
def test_refusals(
    segmenter: TapSegmenter, use: Callable[[VideoSession], Any], error: type, reason: str
) -> None:
    with opened(segmenter) as video:
        with pytest.raises(error, match=reason) as caught:
            use(video)
        assert isinstance(caught.value, TraceNetError)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (FRAMES[0][:, :100], "one size, 120 x 90 pixels as the first, not 100 x 90"),
        (FRAMES[0].astype(np.float32), "not float32"),
        (FRAMES[0][..., 0], "uint8 array"),
        (FRAMES[0][..., :2], r"shape \(90, 120, 2\)"),
        (FRAMES[0][:0], "one pixel at least, not 120 x 0"),
        ("no array", "not str"),
    ],
)
def test_frames_that_are_none(segmenter: TapSegmenter, frame: Any, reason: str) -> None:
    with opened(segmenter, [FRAMES[0], FRAMES[1], frame]) as video:
        video.frame(0).start_from(things_in(0)[0])
        with pytest.raises(FrameError, match=reason):
            list(video.propagate())
        with pytest.raises(FrameError, match=reason):
            video.frame(2).tap((3, 3))
        assert [bool(things) for things in known(video)] == [True, True, False]
    with stream_of(segmenter) as stream:
        stream.push(FRAMES[0])
        with pytest.raises(FrameError, match=reason):
            stream.push(frame)


def test_an_empty_clip(segmenter: TapSegmenter) -> None:
    with pytest.raises(FrameError, match="no frames"):
        opened(segmenter, [])


def test_after_close(segmenter: TapSegmenter) -> None:
    video = opened(segmenter)
    frame = video.frame(3)
    frame.start_from(things_in(3)[0])
    running = video.propagate()
    next(running)
    video.close()
    video.close()
    for use in (
        lambda: video.frame(0),
        lambda: video.result(0),
        lambda: video.touched,
        lambda: video.propagate(),
        lambda: next(running),
        lambda: frame.tap((1, 1)),
        lambda: frame.undo(),
        lambda: frame.clear(),
        lambda: frame.result,
        lambda: frame.can_undo,
    ):
        with pytest.raises(SessionClosed, match="The clip is closed; open it again"):
            use()
    stream = stream_of(segmenter)
    stream.close()
    for use in (lambda: stream.push(FRAMES[0]), lambda: stream.tap((1, 1)), lambda: stream.result):
        with pytest.raises(SessionClosed, match="The stream is closed"):
            use()
    assert stream.nbytes == 0


def test_without_a_guided_look_each_tap_gives_the_mask(plain: TapSegmenter) -> None:
    with opened(plain) as video:
        frame = video.frame(2)
        frame.tap((50, 40))
        wanted = frame.tap((20, 20)).mask
        assert np.array_equal(wanted, plain.tap(FRAMES[2], (20, 20)).mask)
        assert np.array_equal(masks_of(video)[0], wanted)
        with pytest.raises(GestureError, match="no guided look"):
            frame.scribble([(1, 1)], 3)
        list(video.propagate())
        assert np.array_equal(masks_of(video)[2], wanted)
        frame.clear()
        assert video.touched == ()


# Threads


def test_threads_share_a_session(segmenter: TapSegmenter) -> None:
    with opened(segmenter) as video, opened(segmenter) as alone:

        def touch(number: int) -> None:
            video.frame(number).start_from(square(5 * number, 20))
            for _ in itertools.islice(video.propagate(), 3):
                pass

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(touch, range(LENGTH)))
        list(video.propagate())
        assert video.touched == tuple(range(LENGTH))
        for number in range(LENGTH):
            alone.frame(number).start_from(square(5 * number, 20))
        assert masks_of(video)[0].any()
        assert known(video) == known(alone)


# Streams


def frames_pushed(stream: StreamSession, numbers: range) -> Iterator[FrameResult | None]:
    buffer = np.empty_like(FRAMES[0])
    for number in numbers:
        buffer[:] = FRAMES[number]  # as a camera writes into the same memory
        yield stream.push(buffer)
        buffer[:] = 0


def test_a_stream(segmenter: TapSegmenter) -> None:
    with stream_of(segmenter) as stream:
        with pytest.raises(FrameError, match="push one, then tap"):
            stream.tap((5, 5))
        assert stream.result is None
        assert list(frames_pushed(stream, range(2))) == [None, None]
        stream.start_from(things_in(1)[0])
        for number, result in enumerate(frames_pushed(stream, range(2, 5)), 2):
            assert result is not None
            assert result.number == number
            assert iou(result.things[0].mask(), things_in(number)[0]) > 0.8
        # A correction begins from what was found, and may be taken back.
        assert stream.result is None
        stream.tap((60, 60))
        back = stream.undo()
        assert back is not None
        assert np.array_equal(back.mask, result.things[0].mask())
        stream.clear()
        with pytest.raises(GestureError, match="next new one is thing 1, not 2"):
            stream.thing(2).tap((5, 5))
        stream.thing(1).start_from(things_in(4)[1])
        for number, result in enumerate(frames_pushed(stream, range(5, LENGTH)), 5):
            assert result is not None
            for thing, truth in zip(result.things, things_in(number), strict=True):
                assert iou(thing.mask(), truth) > 0.6
        assert stream.nbytes == memory_nbytes(2) + FRAMES[0].nbytes


@pytest.mark.parametrize("marked", [False, True])
def test_a_stream_after_a_frame_that_fails(segmenter: TapSegmenter, marked: bool) -> None:
    network = ByColour()
    view = partial(segmenter.strategy.open, segmenter.viewer)
    with StreamSession(view, network) as stream, stream_of(segmenter) as whole:
        for session in (stream, whole):
            session.push(FRAMES[0])
            session.start_from(things_in(0)[0])
            session.push(FRAMES[1])
            if marked:
                session.start_from(square(40, 20))
        wanted = stream._newest.mask(None, 0)
        decode = network.decode

        def fails(*told: Any) -> Any:
            raise TraceNetError("The engine fails.")

        network.decode = fails  # type: ignore[method-assign]
        with pytest.raises(TraceNetError, match="engine fails"):
            stream.push(FRAMES[2])
        network.decode = decode  # type: ignore[method-assign]
        assert np.array_equal(stream._newest._photo, FRAMES[1])
        assert np.array_equal(stream._newest.mask(None, 0), wanted)
        assert (stream.result is not None) == marked
        results = [session.push(FRAMES[2]) for session in (stream, whole)]
        masks = [result.things[0].mask() for result in results if result is not None]
        assert np.array_equal(*masks)
        assert [result.number for result in results if result is not None] == [2, 2]


def test_a_stream_taps_as_a_photo(segmenter: TapSegmenter) -> None:
    photo = random_photo(4, HEIGHT, WIDTH)
    with stream_of(segmenter) as stream:
        stream.push(photo)
        assert np.array_equal(stream.tap((50, 40)).mask, segmenter.tap(photo, (50, 40)).mask)
