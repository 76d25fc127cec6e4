"""A photo that is encoded once and tapped many times, and what becomes of its memory."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from runtime_fixtures import NumpyEngine, random_photo, segmenter_of, write_tiny_bundle

from tracenet_runtime import (
    BundleError,
    EncodedPhotoDropped,
    PhotoError,
    TapOutsidePhoto,
    TapResult,
    TapSegmenter,
    TraceNetError,
)
from tracenet_runtime.bundle import Bundle

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
    return segmenter_of(bundle, [v for v in bundle.manifest.schedules if v.encode], engine=engine)


def same(one: TapResult, other: TapResult) -> bool:
    return (one.level, one.score, one.box) == (other.level, other.score, other.box) and bool(
        np.array_equal(one.mask, other.mask)
    )


def test_taps_on_an_encoded_photo_equal_taps_on_the_photo(folder: Path) -> None:
    segmenter = TapSegmenter.load(folder, threads=1, schedule="warm")
    cold = TapSegmenter.load(folder, threads=1, schedule="all", canvas=(64, 96))
    encoded = segmenter.encode(PHOTO)
    assert (encoded.schedule, encoded.canvas) == ("warm", (64, 96))
    for at in TAPS:
        result = encoded.tap(at)
        assert (result.schedule, result.canvas) == ("warm", (64, 96))
        other = cold.tap(PHOTO, at)
        assert result.level == other.level
        assert result.score == pytest.approx(other.score, abs=1e-5)
        assert np.count_nonzero(result.mask != other.mask) <= 0.01 * result.mask.size
    taps = [encoded.tap(at) for at in TAPS]
    for at, result in zip(TAPS, taps, strict=True):
        assert same(segmenter.tap(PHOTO, at), result)


def test_encoding_runs_once(warm: TapSegmenter, engine: NumpyEngine) -> None:
    encoded = warm.encode(PHOTO)
    assert engine.calls == ["trunk_whole"]
    assert set(encoded.timings_ms) == {"canvas", "engine/trunk_whole", "total"}
    result = encoded.tap((75, 45))
    assert "trunk_whole" not in engine.calls[1:]
    assert {"engine/query_3", "engine/query_4", "cut", "mask", "total"} <= set(result.timings_ms)
    assert "engine/trunk_whole" not in result.timings_ms
    assert "engine/trunk_whole" in warm.tap(PHOTO, (75, 45)).timings_ms


def test_drop_frees_the_memory(warm: TapSegmenter) -> None:
    encoded = warm.encode(PHOTO)
    assert encoded.nbytes == NBYTES
    arrays = [weakref.ref(v.values) for v in encoded._arrays.values()]
    assert all(array() is not None for array in arrays)
    encoded.drop()
    encoded.drop()
    gc.collect()
    assert all(array() is None for array in arrays)
    assert encoded.nbytes == 0
    with pytest.raises(EncodedPhotoDropped, match="encode it again") as caught:
        encoded.tap((75, 45))
    assert isinstance(caught.value, TraceNetError)


def test_the_end_of_the_block_drops(warm: TapSegmenter) -> None:
    with warm.encode(PHOTO) as encoded:
        encoded.tap((75, 45))
    with pytest.raises(EncodedPhotoDropped):
        encoded.tap((75, 45))
    with pytest.raises(TapOutsidePhoto), warm.encode(PHOTO) as encoded:
        encoded.tap((150, 0))
    assert encoded.nbytes == 0


def test_another_photo_takes_the_place_of_the_first(warm: TapSegmenter) -> None:
    first = warm.encode(PHOTO)
    second = warm.encode(random_photo(5, 40, 40))
    with pytest.raises(EncodedPhotoDropped):
        first.tap((75, 45))
    assert second.tap((39, 39)).mask.shape == (40, 40)
    third_failed = np.zeros((2, 2), np.uint8)
    with pytest.raises(PhotoError):
        warm.encode(third_failed)
    second.tap((39, 39))  # what is no photo drops nothing


def test_a_tap_on_a_photo_keeps_nothing(warm: TapSegmenter) -> None:
    encoded = warm.encode(PHOTO)
    warm.tap(random_photo(5, 40, 40), (3, 3))
    with pytest.raises(EncodedPhotoDropped):
        encoded.tap((75, 45))


def test_the_photo_itself_is_not_kept(warm: TapSegmenter) -> None:
    photo = PHOTO.copy()
    alive = weakref.ref(photo)
    encoded = warm.encode(photo)
    del photo
    gc.collect()
    assert alive() is None
    encoded.tap((75, 45))


def test_a_photo_that_nobody_holds_is_forgotten(warm: TapSegmenter) -> None:
    alive = weakref.ref(warm.encode(PHOTO))
    gc.collect()
    assert alive() is None


def test_schedules_that_encode_nothing(folder: Path, engine: NumpyEngine) -> None:
    cold = TapSegmenter.load(folder, threads=1, schedule="all")
    with pytest.raises(BundleError, match="schedule 'all', which encodes no photos; load it with"):
        cold.encode(PHOTO)
    bundle = Bundle.open(folder)
    schedules = [v for v in bundle.manifest.schedules if not v.encode]
    cold = segmenter_of(bundle, schedules, engine=engine)
    with pytest.raises(BundleError, match="'all' and 'P3', which encodes no photos"):
        cold.encode(PHOTO)
    with pytest.raises(BundleError, match="encodes no photos"):
        TapSegmenter(bundle, engine, canvas=(96, 144)).encode(PHOTO)
    # Of several schedules that may answer, one that encodes is taken.
    assert TapSegmenter(bundle, engine).encode(PHOTO).schedule == "warm"


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
