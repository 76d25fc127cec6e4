"""The page's masks are those of the Python runtime, on a phone, for every schedule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import browser as browser
from demo_fixtures import serving
from oriented_photos import write_oriented
from page_fixtures import Open, Opened, iou, loading
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from page_fixtures import photos as photos
from page_fixtures import server as server
from PIL import Image

from tracenet_demo.cli import DEFAULT_BUNDLE
from tracenet_demo.server import DemoServer
from tracenet_runtime import TapSegmenter, load_photo
from tracenet_runtime.strategies.step import GUIDED
from tracenet_runtime.strategies.zoom import ZOOM

TAPS_PER_PHOTO = 4


@pytest.fixture(scope="session")
def every_schedule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the shipped weights with schedules of every kind."""
    from tracenet_export.cli import main

    folder = tmp_path_factory.mktemp("every_schedule") / "bundle"
    schedules = ["zoom", "all@256", "warm@256", "P3-P5@384"]
    options = ["--precision", "fp16", "--threads", "1", "--out", str(folder)]
    assert main(["--schedule", *schedules, *options]) == 0
    return folder


def taps_of(photo: np.ndarray, seed: int) -> list[tuple[int, int]]:
    """A corner, the middle, and random ones."""
    height, width = photo.shape[:2]
    random = np.random.default_rng(seed)
    others = [
        (int(random.integers(width)), int(random.integers(height)))
        for _ in range(TAPS_PER_PHOTO - 2)
    ]
    return [(0, height - 1), (width // 2, height // 2), *others]


@pytest.mark.parametrize(
    "schedule",
    # The zoom's two looks are the guided look's first ones.
    [GUIDED, *(pytest.param(name, marks=pytest.mark.slow) for name in (ZOOM, "all"))],
)
def test_masks_of_the_default_bundle_are_those_of_the_python_runtime(
    open_page: Open, photos: dict[str, Path], schedule: str
) -> None:
    compare_masks(open_page(), photos, DEFAULT_BUNDLE, schedule)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [ZOOM, "all", "warm", "P3-P5"])
def test_masks_of_every_schedule_are_those_of_the_python_runtime(
    open_page: Open,
    photos: dict[str, Path],
    built_page: Path,
    every_schedule: Path,
    schedule: str,
) -> None:
    with serving(built_page, every_schedule) as serving_all:
        compare_masks(open_page(serving_all), photos, every_schedule, schedule)


def compare_masks(phone: Opened, photos: dict[str, Path], bundle: Path, schedule: str) -> None:
    segmenter = TapSegmenter.load(bundle, threads=1, schedule=schedule)
    phone.load(f"?schedule={schedule}")
    found: dict[tuple[str, tuple[int, int]], float] = {}
    inside = 0
    for number, (name, file) in enumerate(photos.items()):
        photo = load_photo(file)
        phone.open_photo(file)
        session = segmenter.open(photo)
        for tap in taps_of(photo, number):
            point = phone.point_at(photo.shape[:2], tap)
            phone.tap(point)
            expected = session.tap(point.pixel)
            answer: Any = phone.page.evaluate(
                "() => { const { level, score, schedule } = window.tracenet.lastResult;"
                " return { level, score, schedule }; }"
            )
            assert answer["schedule"] == expected.schedule
            assert answer["score"] == pytest.approx(expected.score, abs=2e-3)
            found[name, tap] = iou(phone.mask(), expected.mask)
            inside += expected.area > 0
    assert {at: value for at, value in found.items() if value < 0.995} == {}
    assert len(found) == TAPS_PER_PHOTO * len(photos)
    assert inside > 10, "masks of nothing always agree"
    phone.assert_sound()


@pytest.fixture(scope="module")
def loaded(browser: Any, server: DemoServer) -> Iterator[Opened]:
    """One page for photos of every kind, one after the other."""
    with loading(browser, server) as phone:
        yield phone


@pytest.fixture(scope="module")
def of_python() -> TapSegmenter:
    return TapSegmenter.load(DEFAULT_BUNDLE, threads=1)


@pytest.mark.parametrize(
    ("suffix", "exif", "xmp"),
    [
        (
            "jpg",
            6,
            None,
        ),  # as a phone's camera writes it: the sensor's pixels, and how to turn them
        ("jpg", 6, 3),
        ("jpg", 3, 1),
        ("jpg", None, 6),
        ("png", 6, None),
        ("png", None, 6),
        ("webp", None, 6),
    ],
)
def test_a_photo_is_turned_as_exif_says_and_not_as_xmp_does(
    loaded: Opened,
    of_python: TapSegmenter,
    photos: dict[str, Path],
    tmp_path: Path,
    suffix: str,
    exif: int | None,
    xmp: int | None,
) -> None:
    with Image.open(photos["coffee"]) as upright:
        file = write_oriented(tmp_path / f"turned.{suffix}", upright, exif, xmp)
        assert load_photo(file).shape[:2] == (upright.height, upright.width)
    photo = load_photo(file)
    loaded.open_photo(file)
    session = of_python.open(photo)
    for tap in ((300, 200), (420, 290)):
        point = loaded.point_at(photo.shape[:2], tap)
        loaded.tap(point)
        expected = session.tap(point.pixel)
        assert expected.area > 500
        # Decoders of JPEG may differ by a shade.
        assert iou(loaded.mask(), expected.mask) >= 0.99
    loaded.assert_sound()
