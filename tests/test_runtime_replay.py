"""The replay gives what the same network gives on the whole canvas, in any dtype."""

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from runtime_fixtures import (
    HEIGHT,
    MACS,
    SIZES_OF_INTEREST,
    STRIDES,
    WIDTH,
    NumpyEngine,
    head,
    mix,
    parsed_tiny,
    pool,
    random_photo,
    replay_of,
    sigmoid,
    tiny_replay,
    tiny_schedule,
)

from tracenet_runtime.answer.levels import LevelAnswer
from tracenet_runtime.answer.replay import QueryAnswer, Replay
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.schedule import Call, Choice, Phase, PlaceMask
from tracenet_runtime.image.canvas import Canvas

LEVELS = list(STRIDES)
# Both ends of what P3 serves, two between, and the canvases of the others.
REPLAYED = [
    ("all", (HEIGHT, WIDTH)),
    ("folded", (HEIGHT, WIDTH)),
    ("warm", (HEIGHT, WIDTH)),
    ("P3", (48, 48)),
    ("P3", (128, 192)),
    ("P3", (96, 144)),
    ("P3", (64, 176)),
]


def every_key_cell(replay: Replay) -> list[tuple[int, int]]:
    return [
        (x + 3, y + 5)
        for y in range(0, replay.canvas_height, 8)
        for x in range(0, replay.canvas_width, 8)
    ]


def with_phases(name: str, *phases: Phase) -> Choice:
    """The schedule of this name with other phases."""
    schedule = tiny_schedule(name)
    masks = tuple(f"{phase.name}/mask" for phase in phases if phase.when == "window")
    outputs = {**schedule.graph.outputs, "mask": masks}
    graph = replace(schedule.graph, phases=phases, outputs=outputs)
    return Choice.own(replace(schedule, graph=graph))


@pytest.fixture
def replay() -> Replay:
    return tiny_replay("all")


def float_canvas(dtype: type, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return random_photo(11, height, width).transpose(2, 0, 1)[None].astype(dtype)


def full_query(canvas: np.ndarray, level: str, tap: tuple[int, int]) -> tuple[np.ndarray, ...]:
    stride = STRIDES[level]
    x, y = tap[0] // stride, tap[1] // stride
    cell = pool(canvas, stride)[:, :, y : y + 1, x : x + 1]
    return sigmoid(mix("score", cell)), np.maximum(0, mix("box", cell)), mix("filter", cell)


def full_mask(canvas: np.ndarray, level: str, tap: tuple[int, int]) -> np.ndarray:
    first_cell_to_tap = np.array([4 - (tap[0] + 0.5), 4 - (tap[1] + 0.5)], canvas.dtype)
    return head(
        mix("feature", pool(canvas, 8)),
        full_query(canvas, level, tap)[2],
        first_cell_to_tap.reshape(1, 2, 1, 1),
        np.array(1 / SIZES_OF_INTEREST[level], canvas.dtype).reshape(1, 1, 1, 1),
    )[0, 0]


@pytest.mark.parametrize(("name", "size"), REPLAYED)
def test_replay_equals_the_whole_canvas_for_every_key_cell(
    name: str, size: tuple[int, int]
) -> None:
    replay = tiny_replay(name, size)
    canvas = float_canvas(np.float64, *size)
    encoded = replay.encode(canvas)
    for tap in every_key_cell(replay):
        query = replay.answer_query(encoded, tap)
        assert [v.level.name for v in query.levels] == [v.name for v in replay.levels]
        for answer in query.levels:
            check_level(answer, canvas, tap)
        for level_index, answer in enumerate(query.levels):
            whole = full_mask(canvas, answer.level.name.lower(), tap)
            for mask_index in range(len(replay.schedule.graph.windows)):
                mask = replay.compute_mask(query, level_index, mask_index)
                x0, y0, x1, y1 = mask.window
                assert mask.probability.dtype == np.float64
                np.testing.assert_allclose(
                    mask.probability, whole[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2], atol=1e-12
                )


def check_level(answer: LevelAnswer, canvas: np.ndarray, tap: tuple[int, int]) -> None:
    name = answer.level.name.lower()
    score, box, controller = full_query(canvas, name, tap)
    assert answer.score == pytest.approx(score.item(), abs=1e-14)
    pixels = (box.ravel() * SIZES_OF_INTEREST[name]).tolist()
    assert answer.distances == pytest.approx(pixels, abs=1e-10)
    assert answer.filter.dtype == np.float64
    np.testing.assert_allclose(answer.filter, controller, atol=1e-12)
    stride = STRIDES[name]
    centre = tuple((v // stride + 0.5) * stride for v in tap)
    assert answer.cell_centre == centre
    assert answer.box[0] == centre[0] - answer.distances[0]
    assert answer.box[3] == centre[1] + answer.distances[3]


def test_valid_windows(replay: Replay) -> None:
    encoded = replay.encode(float_canvas(np.float32))
    expected = {
        (0, 0): (0, 0, 16, 16),
        (7, 7): (0, 0, 16, 16),
        (8, 7): (0, 0, 24, 16),
        (50, 33): (40, 24, 64, 48),
        (95, 63): (80, 48, 96, 64),
    }
    for tap, window in expected.items():
        query = replay.answer_query(encoded, tap)
        assert replay.compute_mask(query, 0, 0).window == window
        assert replay.compute_mask(query, 0, 1).window == (0, 0, WIDTH, HEIGHT)


def test_reach_needs_not_be_a_multiple_of_the_key_stride() -> None:
    manifest, _ = parsed_tiny()
    query, near, whole_canvas = tiny_schedule("all").graph.phases
    *calls, placed = near.calls
    assert isinstance(placed, PlaceMask)
    near = replace(near, calls=(*calls, replace(placed, reach=6)))
    replay = replay_of(manifest, with_phases("all", query, near, whole_canvas))
    answered = replay.answer_query(replay.encode(float_canvas(np.float64)), (50, 3))
    answer = replay.compute_mask(answered, 0, 0)
    assert answer.window == (42, 0, 62, 14)
    whole = full_mask(float_canvas(np.float64), "p3", (50, 3))
    np.testing.assert_allclose(answer.probability, whole[0:7, 21:31], atol=1e-12)


def test_canvases_are_cut_to_the_declared_dtype(replay: Replay) -> None:
    photo = random_photo(11, HEIGHT, WIDTH)
    lazy = Canvas(HEIGHT, WIDTH, (0, 0, 0)).open(photo)
    from_bytes, from_lazy, from_floats = (
        replay.answer_query(replay.encode(image), (40, 30))
        for image in (photo, lazy, float_canvas(np.float32))
    )
    assert from_bytes.levels[0].filter.dtype == np.float32
    for same in (from_lazy, from_floats):
        for a, b in zip(from_bytes.levels, same.levels, strict=True):
            assert a.score == b.score
            np.testing.assert_array_equal(a.filter, b.filter)


def test_encode_keeps_what_taps_read() -> None:
    cold = tiny_replay("all").encode(float_canvas(np.float32))
    assert set(cold.arrays) == {"image"}
    warm = tiny_replay("warm")
    encoded = warm.encode(float_canvas(np.float32))
    assert set(encoded.arrays) == {"p3", "p4"}
    warm.answer_query(encoded, (40, 30))
    assert set(encoded.arrays) == {"p3", "p4"}
    encode, query, *windows = warm.schedule.graph.phases
    choice = with_phases("warm", encode, replace(query, calls=query.calls[:1]), *windows)
    graph = choice.schedule.graph
    outputs = {
        role: tuple(v for v in names if "p4" not in v) for role, names in graph.outputs.items()
    }
    schedule = replace(choice.schedule, graph=replace(graph, outputs=outputs))
    replay = replay_of(parsed_tiny()[0], Choice.own(schedule))
    assert set(replay.encode(float_canvas(np.float32)).arrays) == {"p3"}
    folded = tiny_replay("folded")
    assert set(folded.encode(float_canvas(np.float32)).arrays) == {"p3", "p4"}
    assert set(folded.encode(float_canvas(np.float32), one_tap=True).arrays) == {"image"}


def with_box(replay: Replay, tap: tuple[int, int], box: tuple[float, ...]) -> int:
    query = replay.answer_query(replay.encode(float_canvas(np.float32)), tap)
    level = query.levels[0]
    x, y = level.cell_centre
    distances = (x - box[0], y - box[1], box[2] - x, box[3] - y)
    answer = LevelAnswer(level.level, level.score, distances, level.cell_centre, level.filter)
    return replay.choose_mask(replace(query, levels=(answer,)), 0)


@pytest.mark.parametrize(
    ("tap", "box", "expected"),
    [
        ((40, 30), (33, 23, 48, 38), 0),
        ((40, 30), (32.5, 22.5, 48.5, 38.5), 0),  # just within the reach of 8
        ((40, 30), (32.4, 23, 48, 38), 1),
        ((40, 30), (33, 23, 48, 38.6), 1),
        ((3, 3), (-50, -50, 9, 9), 0),  # clipped to the canvas
        ((93, 61), (90, 55, 500, 500), 0),
        ((40, 30), (float("nan"),) * 4, 1),
    ],
)
def test_choice_of_mask(
    replay: Replay, tap: tuple[int, int], box: tuple[float, ...], expected: int
) -> None:
    assert with_box(replay, tap, box) == expected


def test_each_program_runs_once_and_is_timed() -> None:
    engine = NumpyEngine()
    replay = tiny_replay("all", engine=engine)
    timings: dict[str, float] = {}
    encoded = replay.encode(float_canvas(np.float32), timings)
    assert not engine.calls
    query = replay.answer_query(encoded, (40, 30), timings)
    assert engine.calls == ["trunk", "query_3", "query_4"]
    replay.compute_mask(query, query.best_level, 0, timings)
    assert engine.calls[3:] == ["features_near", "head_near"]
    assert set(timings) == {"canvas", "cut", "mask", *(f"engine/{v}" for v in engine.calls)}
    assert all(ms >= 0 for ms in timings.values())


def test_encoding_runs_once_for_many_taps() -> None:
    engine = NumpyEngine()
    replay = tiny_replay("warm", engine=engine)
    encoded = replay.encode(float_canvas(np.float32))
    assert engine.calls == ["trunk_whole"]
    for tap in ((0, 0), (95, 63)):
        replay.answer_query(encoded, tap)
    assert engine.calls[1:] == ["query_3", "query_4"] * 2


@pytest.mark.parametrize(("name", "size"), REPLAYED)
def test_taps_on_an_encoded_canvas_equal_those_on_one_of_their_own(
    name: str, size: tuple[int, int]
) -> None:
    engine = NumpyEngine()
    replay = tiny_replay(name, size, engine)
    canvas = random_photo(11, *size)
    encoded = replay.encode(canvas)
    # P3's trunk reads 48 x 48 pixels, which are all there are only on the smallest canvas.
    small = ["trunk"] if size == (48, 48) else []
    shared = {"warm": ["trunk_whole"], "folded": ["trunk_whole"]}.get(name, small)
    assert engine.calls == shared
    graph = replay.schedule.graph
    for tap in every_key_cell(replay)[::5]:
        one = replay.answer_query(replay.encode(canvas, one_tap=True), tap)
        many = replay.answer_query(encoded, tap)
        assert same_query(one, many)
        assert one.macs == MACS * len((*graph.photo, *graph.tap))
        assert many.macs == one.macs - MACS * len(shared)
        for mask in range(len(replay.schedule.graph.windows)):
            np.testing.assert_array_equal(
                replay.compute_mask(one, 0, mask).probability,
                replay.compute_mask(many, 0, mask).probability,
            )


def same_query(one: QueryAnswer, other: QueryAnswer) -> bool:
    return all(
        (a.score, a.distances, a.cell_centre) == (b.score, b.distances, b.cell_centre)
        and np.array_equal(a.filter, b.filter)
        for a, b in zip(one.levels, other.levels, strict=True)
    )


def test_one_tap_runs_the_query_in_its_order() -> None:
    """A call that is the same for every tap, after one that is not, does not come before it."""
    manifest, _ = parsed_tiny()
    query, _, window = tiny_schedule("all").graph.phases
    features, *rest = window.calls
    tap = replace(query, calls=(*query.calls, features))
    choice = with_phases("all", tap, replace(window, calls=tuple(rest)))
    engine = NumpyEngine()
    replay = replay_of(manifest, choice, engine)
    canvas = random_photo(11, HEIGHT, WIDTH)
    one = replay.answer_query(replay.encode(canvas, one_tap=True), (40, 30))
    assert engine.calls == [call.program for call in tap.program_calls]
    engine.calls.clear()
    encoded = replay.encode(canvas)
    assert engine.calls == ["features_all"]
    assert set(encoded.arrays) == {"image", "features"}
    assert same_query(one, replay.answer_query(encoded, (40, 30)))
    assert engine.calls == ["features_all", "trunk", "query_3", "query_4"]


def test_one_tap_drops_the_canvas_once_it_is_cut() -> None:
    alive: list[bool] = []

    class Watching(NumpyEngine):
        def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            alive.append(images[0]() is not None)
            return super().run(program, inputs)

    replay = tiny_replay("P3", engine=Watching())
    opened = [Canvas(*replay.schedule.canvas, (0, 0, 0)).open(random_photo(11, 96, 144))]
    images = [weakref.ref(opened[0])]
    replay.answer_query(replay.encode(opened.pop(), one_tap=True), (40, 30))
    assert alive == [False, False]


def test_best_level_has_the_highest_score(replay: Replay) -> None:
    encoded = replay.encode(float_canvas(np.float32))
    for tap in every_key_cell(replay)[::7]:
        query = replay.answer_query(encoded, tap)
        scores = [v.score for v in query.levels]
        assert scores[query.best_level] == max(scores)


def test_wrong_canvas_and_tap(replay: Replay) -> None:
    for image in (
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((64, 96), np.uint8),
        np.zeros((1, 3, 96, 64), np.float32),
        Canvas(96, 64, (0, 0, 0)).open(random_photo(1, 5, 5)),
    ):
        with pytest.raises(ValueError, match="no canvas of 64 x 96"):
            replay.encode(image)
    encoded = replay.encode(float_canvas(np.float32))
    with pytest.raises(ValueError, match="not on the canvas"):
        replay.answer_query(encoded, (WIDTH, 0))


def test_program_that_breaks_its_word() -> None:
    class Short(NumpyEngine):
        def run(self, program, inputs):  # type: ignore[no-untyped-def]
            return {k: v[:, :, :1] for k, v in super().run(program, inputs).items()}

    for name in ("all", "warm"):
        replay = tiny_replay(name, engine=Short())
        with pytest.raises(BundleError, match="trunk"):
            replay.answer_query(replay.encode(float_canvas(np.float32)), (0, 0))


def read_by(calls: Iterable[Call]) -> set[str]:
    return {name for call in calls for name in call.reads}


@pytest.mark.parametrize("one_tap", [False, True])
@pytest.mark.parametrize("name", ["all", "P3", "warm", "folded"])
def test_arrays_live_no_longer_than_they_are_read(name: str, one_tap: bool) -> None:
    made: list[weakref.ref[np.ndarray]] = []

    class Watched(NumpyEngine):
        def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = {name: value.copy() for name, value in super().run(program, inputs).items()}
            made.extend(weakref.ref(value) for value in outputs.values())
            return outputs

    def alive() -> int:
        return sum(one() is not None for one in made)

    replay = tiny_replay(name, engine=Watched())
    graph = replay.schedule.graph
    answers = {array for v in replay.levels for array in (v.score, v.box, v.filter)}
    by_windows = read_by(call for phase in graph.windows for call in phase.calls)

    canvas = random_photo(3, replay.canvas_height, replay.canvas_width)
    encoded = replay.encode(canvas, one_tap=one_tap)
    arrays = set(encoded.arrays)
    if "image" not in arrays:
        assert arrays <= read_by(graph.tap) | by_windows
        assert alive() == len(arrays)
    made.clear()
    query = replay.answer_query(encoded, (20, 20))
    assert set(query.arrays) - arrays <= by_windows | answers
    assert alive() == len(set(query.arrays) - arrays)
    made.clear()
    mask = replay.compute_mask(query, 0, 0)
    assert mask.probability.size
    assert alive() == 1  # the mask itself
