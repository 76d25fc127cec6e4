"""The replay gives what the same network gives on the whole canvas, in any dtype."""

import numpy as np
import pytest
from runtime_fixtures import (
    HEIGHT,
    SIZES_OF_INTEREST,
    STRIDES,
    WIDTH,
    NumpyEngine,
    head,
    mix,
    parsed_tiny,
    pool,
    random_photo,
    sigmoid,
)

from tracenet_runtime.errors import BundleError
from tracenet_runtime.replay import LevelAnswer, QueryAnswer, Replay

LEVELS = list(STRIDES)
EVERY_KEY_CELL = [
    (8 * column + 3, 8 * row + 5) for row in range(HEIGHT // 8) for column in range(WIDTH // 8)
]


@pytest.fixture
def replay() -> Replay:
    manifest, table = parsed_tiny()
    return Replay(manifest, table, NumpyEngine())


def float_canvas(dtype: type) -> np.ndarray:
    return random_photo(11, HEIGHT, WIDTH).transpose(2, 0, 1)[None].astype(dtype)


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


def test_query_equals_the_whole_canvas_for_every_key_cell(replay: Replay) -> None:
    canvas = float_canvas(np.float64)
    for tap in EVERY_KEY_CELL:
        query = replay.answer_query(canvas, tap)
        for name, answer in zip(LEVELS, query.levels, strict=True):
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


@pytest.mark.parametrize("mask_index", [0, 1])
def test_mask_equals_the_whole_canvas_for_every_key_cell(replay: Replay, mask_index: int) -> None:
    canvas = float_canvas(np.float64)
    for tap in EVERY_KEY_CELL:
        query = replay.answer_query(canvas, tap)
        for level_index, name in enumerate(LEVELS):
            answer = replay.compute_mask(query, level_index, mask_index)
            x0, y0, x1, y1 = answer.window
            whole = full_mask(canvas, name, tap)
            assert answer.probability.dtype == np.float64
            np.testing.assert_allclose(
                answer.probability, whole[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2], atol=1e-12
            )


def test_valid_windows(replay: Replay) -> None:
    canvas = float_canvas(np.float32)
    expected = {
        (0, 0): (0, 0, 16, 16),
        (7, 7): (0, 0, 16, 16),
        (8, 7): (0, 0, 24, 16),
        (50, 33): (40, 24, 64, 48),
        (95, 63): (80, 48, 96, 64),
    }
    for tap, window in expected.items():
        query = replay.answer_query(canvas, tap)
        assert replay.compute_mask(query, 0, 0).window == window
        assert replay.compute_mask(query, 0, 1).window == (0, 0, WIDTH, HEIGHT)


def test_uint8_canvas_is_cut_to_the_declared_dtype(replay: Replay) -> None:
    photo = random_photo(11, HEIGHT, WIDTH)
    from_bytes = replay.answer_query(photo, (40, 30))
    from_floats = replay.answer_query(float_canvas(np.float32), (40, 30))
    assert from_bytes.levels[0].filter.dtype == np.float32
    for a, b in zip(from_bytes.levels, from_floats.levels, strict=True):
        assert a.score == b.score
        np.testing.assert_array_equal(a.filter, b.filter)


def with_box(replay: Replay, tap: tuple[int, int], box: tuple[float, ...]) -> int:
    query = replay.answer_query(float_canvas(np.float32), tap)
    level = query.levels[0]
    x, y = level.cell_centre
    distances = (x - box[0], y - box[1], box[2] - x, box[3] - y)
    answer = LevelAnswer(level.level, level.score, distances, level.cell_centre, level.filter)
    return replay.choose_mask(QueryAnswer(query.tap, (answer,), query.arrays), 0)


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
    manifest, table = parsed_tiny()
    engine = NumpyEngine()
    replay = Replay(manifest, table, engine)
    timings: dict[str, float] = {}
    query = replay.answer_query(float_canvas(np.float32), (40, 30), timings)
    assert engine.calls == ["trunk", "query_3", "query_4"]
    replay.compute_mask(query, query.best_level, 0, timings)
    assert engine.calls[3:] == ["features_near", "head_near"]
    assert set(timings) == {"cut", "mask", *(f"engine/{name}" for name in engine.calls)}
    assert all(ms >= 0 for ms in timings.values())


def test_best_level_has_the_highest_score(replay: Replay) -> None:
    for tap in EVERY_KEY_CELL[::7]:
        query = replay.answer_query(float_canvas(np.float32), tap)
        scores = [v.score for v in query.levels]
        assert scores[query.best_level] == max(scores)


def test_wrong_canvas_and_tap(replay: Replay) -> None:
    with pytest.raises(ValueError, match="shape"):
        replay.answer_query(np.zeros((64, 64, 3), np.uint8), (0, 0))
    with pytest.raises(ValueError, match="not on the canvas"):
        replay.answer_query(float_canvas(np.float32), (WIDTH, 0))


def test_program_that_breaks_its_word() -> None:
    class Short(NumpyEngine):
        def run(self, program, inputs):  # type: ignore[no-untyped-def]
            return {k: v[:, :, :1] for k, v in super().run(program, inputs).items()}

    manifest, table = parsed_tiny()
    with pytest.raises(BundleError, match="trunk"):
        Replay(manifest, table, Short()).answer_query(float_canvas(np.float32), (0, 0))
