"""A photo that is opened once and tapped many times, and what becomes of its memory."""

import gc
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_fixtures import (
    MACS,
    NumpyEngine,
    folded,
    random_photo,
    segmenter_of,
    write_tiny_bundle,
)

from tracenet_runtime import (
    BundleError,
    PhotoError,
    SessionClosed,
    TapOutsidePhoto,
    TapResult,
    TapSegmenter,
    TraceNetError,
    UnknownLevel,
)
from tracenet_runtime.answer.look import EncodedView
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.strategies.rules import ZoomRule
from tracenet_runtime.strategies.zoom import Zoom

PHOTO = random_photo(4, 90, 150)
TAPS = [(0, 0), (75, 45), (149, 89), (20, 70)]
# p3 is 3 x 8 x 12 and p4 3 x 4 x 6, of four bytes each.
NBYTES = 4 * 3 * (8 * 12 + 4 * 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("warm") / "bundle")


@pytest.fixture
def engine() -> NumpyEngine:
    return NumpyEngine()


@pytest.fixture
def warm(folder: Path, engine: NumpyEngine) -> TapSegmenter:
    bundle = Bundle.open(folder)
    return segmenter_of(
        bundle, [v for v in bundle.manifest.schedules if v.graph.photo], engine=engine
    )


def same(one: TapResult, other: TapResult) -> bool:
    return (one.level, one.score, one.box) == (other.level, other.score, other.box) and bool(
        np.array_equal(one.mask, other.mask)
    )


def test_taps_on_an_open_photo_equal_taps_on_the_photo(folder: Path) -> None:
    segmenter = TapSegmenter.load(folder, threads=1, schedule="warm")
    cold = TapSegmenter.load(folder, threads=1, schedule="all", canvas=(64, 96))
    session = segmenter.open(PHOTO)
    for at in TAPS:
        result = session.tap(at)
        assert (result.schedule, result.canvas) == ("warm", (64, 96))
        other = cold.tap(PHOTO, at)
        assert result.level == other.level
        assert result.score == pytest.approx(other.score, abs=1e-5)
        assert np.count_nonzero(result.mask != other.mask) <= 0.01 * result.mask.size
    taps = [session.tap(at) for at in TAPS]
    for at, result in zip(TAPS, taps, strict=True):
        assert same(segmenter.tap(PHOTO, at), result)


def test_the_photo_phase_runs_once(warm: TapSegmenter, engine: NumpyEngine) -> None:
    session = warm.open(PHOTO)
    assert engine.calls == ["trunk_whole"]
    assert set(session.timings_ms) == {"canvas", "engine/trunk_whole", "total"}
    result = session.tap((75, 45))
    assert "trunk_whole" not in engine.calls[1:]
    assert {"engine/query_3", "engine/query_4", "cut", "mask", "total"} <= set(result.timings_ms)
    assert "engine/trunk_whole" not in result.timings_ms
    assert "engine/trunk_whole" in warm.tap(PHOTO, (75, 45)).timings_ms


def test_closing_frees_the_memory(warm: TapSegmenter) -> None:
    session = warm.open(PHOTO)
    assert session.nbytes == NBYTES
    session.tap((75, 45))
    assert isinstance(session._view, EncodedView)
    arrays = [weakref.ref(v.values) for v in session._view.encoded.arrays.values()]  # type: ignore[attr-defined]
    assert all(array() is not None for array in arrays)
    session.close()
    session.close()
    gc.collect()
    assert all(array() is None for array in arrays)
    assert session.nbytes == 0
    with pytest.raises(SessionClosed, match="open the photo again") as caught:
        session.tap((75, 45))
    assert isinstance(caught.value, TraceNetError)


def test_the_end_of_the_block_closes(warm: TapSegmenter) -> None:
    with warm.open(PHOTO) as session:
        session.tap((75, 45))
    with pytest.raises(SessionClosed):
        session.tap((75, 45))
    with pytest.raises(TapOutsidePhoto), warm.open(PHOTO) as session:
        session.tap((150, 0))
    assert session.nbytes == 0


def test_several_photos_are_open_at_once(warm: TapSegmenter) -> None:
    first, other = warm.open(PHOTO), random_photo(5, 40, 40)
    expected = first.tap((75, 45))
    with warm.open(other) as second:
        assert second.tap((39, 39)).mask.shape == (40, 40)
        assert same(first.tap((75, 45)), expected)
        warm.tap(other, (3, 3))
    assert same(first.tap((75, 45)), expected)
    with pytest.raises(PhotoError):
        warm.open(np.zeros((2, 2), np.uint8))


def test_another_level_of_the_same_tap_costs_a_mask(
    warm: TapSegmenter, engine: NumpyEngine
) -> None:
    session = warm.open(PHOTO)
    levels = [v.level for v in session.tap((75, 45)).candidates]
    engine.calls.clear()
    for level in levels:
        assert same(session.tap((75, 45), level), warm.tap(PHOTO, (75, 45), level))
    engine.calls = [name for name in engine.calls if name != "trunk_whole"]
    assert engine.calls.count("query_3") == len(levels)  # of the taps without a session
    session.tap((76, 45))
    assert engine.calls.count("query_3") == len(levels) + 1


def test_the_photo_itself_is_not_kept(warm: TapSegmenter) -> None:
    photo = PHOTO.copy()
    alive = weakref.ref(photo)
    session = warm.open(photo)
    del photo
    gc.collect()
    assert alive() is None
    session.tap((75, 45))


def test_a_session_that_nobody_holds_is_forgotten(warm: TapSegmenter) -> None:
    alive = weakref.ref(warm.open(PHOTO))
    gc.collect()
    assert alive() is None


def test_a_session_answers_by_the_strategy_of_a_tap(folder: Path, engine: NumpyEngine) -> None:
    segmenter = TapSegmenter(Bundle.open(folder), engine)
    session = segmenter.open(PHOTO)
    assert session.tap((75, 45)).schedule == segmenter.tap(PHOTO, (75, 45)).schedule == "P3"


def sharing(folder: Path, engine: NumpyEngine, **changes: float) -> TapSegmenter:
    """A zoom whose first look is ``folded``, and its closer one ``all``."""
    bundle = Bundle.open(folder)
    manifest = bundle.manifest
    rule = ZoomRule(
        0, 1, **({"extent": 40, "enlarge": 4, "gain": 0.01, "inside": 0.8, "trust": 0.7} | changes)
    )
    return TapSegmenter(bundle, engine, Zoom(folded(manifest), manifest.schedules[0], rule))


def of_schedule(folder: Path, engine: NumpyEngine, name: str, **of: Any) -> TapSegmenter:
    bundle = Bundle.open(folder)
    manifest = bundle.manifest
    schedules = (*manifest.schedules, folded(manifest))
    return segmenter_of(bundle, [v for v in schedules if v.name == name], engine=engine, **of)


# How to load a segmenter, and the programs that all its taps share.
SHARED: dict[str, tuple[Callable[[Path, NumpyEngine], TapSegmenter], list[str]]] = {
    "all": (partial(of_schedule, name="all"), []),
    "folded": (partial(of_schedule, name="folded"), ["trunk_whole"]),
    "warm": (partial(of_schedule, name="warm"), ["trunk_whole"]),
    "P3": (partial(of_schedule, name="P3"), []),
    "P3 on a canvas of one window": (partial(of_schedule, name="P3", canvas=(48, 48)), ["trunk"]),
    "closer look": (partial(sharing, trust=0), ["trunk_whole"]),
    "first look after a closer one": (partial(sharing, trust=1e9), ["trunk_whole"]),
    "first look": (partial(sharing, gain=1e9), ["trunk_whole"]),
}


@pytest.mark.parametrize("way", SHARED)
def test_what_taps_share_runs_once_and_changes_nothing(
    folder: Path, engine: NumpyEngine, way: str
) -> None:
    load, shared = SHARED[way]
    segmenter = load(folder, engine)
    session = segmenter.open(PHOTO)
    assert engine.calls == shared
    for at in TAPS:
        for level in (None, *(v.level for v in session.tap(at).candidates)):
            engine.calls.clear()
            cold = segmenter.tap(PHOTO, at, level)
            ran = list(engine.calls)
            session.tap((5, 5))  # so that the look at this tap is not there yet
            engine.calls.clear()
            result = session.tap(at, level)
            assert same(result, cold)
            assert result.candidates == cold.candidates
            assert np.array_equal(result.probability.probability, cold.probability.probability)
            assert (result.schedule, result.mask_window) == (cold.schedule, cold.mask_window)
            assert (result.canvas, result.tile) == (cold.canvas, cold.tile)
            assert ran == [*shared, *engine.calls]
            assert result.macs == cold.macs - MACS * len(shared)
    assert (result.tile is None) == (way not in ("closer look", "first look after a closer one"))
    with pytest.raises(UnknownLevel, match="does not ask the level 'P9'"):
        session.tap((0, 0), level="P9")
    with pytest.raises(TapOutsidePhoto):
        session.tap((150, 0))


@given(st.integers(3, 8), st.integers(3, 12), st.integers(1, 200), st.integers(1, 200), st.data())
def test_any_photo_on_any_canvas(
    folder: Path, rows: int, columns: int, height: int, width: int, data: st.DataObject
) -> None:
    engine, photo = NumpyEngine(), random_photo(6, height, width)
    segmenter = of_schedule(folder, engine, "P3", canvas=(16 * rows, 16 * columns))
    session = segmenter.open(photo)
    assert engine.calls == (["trunk"] if (rows, columns) == (3, 3) else [])
    at = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    result, cold = session.tap(at), segmenter.tap(photo, at)
    assert same(result, cold)
    assert result.macs == cold.macs - (MACS if (rows, columns) == (3, 3) else 0)


def test_a_session_of_a_zoom(folder: Path, engine: NumpyEngine) -> None:
    photo = PHOTO.copy()
    segmenter = sharing(folder, engine, trust=0)
    session = segmenter.open(photo)
    assert session.nbytes == NBYTES
    assert set(session.timings_ms) == {"canvas", "engine/trunk_whole", "total"}
    assert "engine/trunk" in session.tap((75, 45)).timings_ms
    # Another tap disturbs neither, for it keeps nothing.
    segmenter.tap(photo, (3, 3))
    alive = weakref.ref(photo)
    del photo
    gc.collect()
    assert session.tap((75, 45)).tile is not None
    session.close()
    gc.collect()
    assert alive() is None
    assert session.nbytes == 0
    with pytest.raises(SessionClosed):
        session.tap((75, 45))


def test_a_canvas_that_taps_still_read_counts(folder: Path, engine: NumpyEngine) -> None:
    session = of_schedule(folder, engine, "all").open(PHOTO)
    assert session.nbytes == 64 * 96 * 3
    canvas = session._view.encoded.arrays["image"].image  # type: ignore[union-attr]
    alive = weakref.ref(canvas)
    del canvas
    session.close()
    assert alive() is None


def test_answers_that_are_no_numbers_are_refused(folder: Path) -> None:
    class Broken(NumpyEngine):
        def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = super().run(program, inputs)
            if "box" in outputs:
                outputs["box"] = outputs["box"] * np.float32("nan")
            return outputs

    for segmenter in (sharing(folder, Broken(), trust=0), of_schedule(folder, Broken(), "warm")):
        with pytest.raises(BundleError, match="not finite"):
            segmenter.open(PHOTO).tap((75, 45))


def test_threads_that_tap_do_not_disturb_each_other(warm: TapSegmenter) -> None:
    expected = {at: warm.tap(PHOTO, at) for at in TAPS}
    failures: list[object] = []

    def tap(at: tuple[int, int]) -> None:
        try:
            for _ in range(20):
                if not same(warm.tap(PHOTO, at), expected[at]):
                    failures.append(at)
        except TraceNetError as error:
            failures.append(error)

    threads = [threading.Thread(target=tap, args=(at,)) for at in TAPS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_threads_that_tap_one_session_of_a_zoom(folder: Path, engine: NumpyEngine) -> None:
    session = sharing(folder, engine, trust=0).open(PHOTO)
    expected = [session.tap(at) for at in TAPS]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(session.tap, 10 * TAPS))
    assert all(same(a, b) for a, b in zip(results, 10 * expected, strict=True))
