"""Looking twice: which tile, which look answers, and that each look is an ordinary tap."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from runtime_fixtures import (
    MACS,
    NumpyEngine,
    random_photo,
    read_manifest,
    segmenter_of,
    write_manifest,
    write_tiny_bundle,
)

from tracenet_runtime import BundleError, TapOutsidePhoto, TapResult, TapSegmenter
from tracenet_runtime.bundle.choice import choose_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.cli import main
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.strategies.rules import ZoomRule
from tracenet_runtime.strategies.zoom import Zoom

# The schedule `all` of the tiny bundle, 64 x 96, for both looks.
ZOOM: dict[str, Any] = {
    "kind": "zoom", "first": 0, "tile": 0, "extent": 40, "enlarge": 4, "gain": 0.01, "inside": 0.8,
    "trust": 0.7,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("zoom") / "bundle", ZOOM)


def zooming(folder: Path, engine: Any = None, **changes: float) -> TapSegmenter:
    """A segmenter whose zoom follows another rule."""
    bundle = Bundle.open(folder)
    zoom = choose_strategy(bundle.manifest, "zoom")
    assert isinstance(zoom, Zoom)
    zoom = replace(zoom, rule=replace(zoom.rule, **changes))
    return TapSegmenter(bundle, engine or NumpyEngine(), zoom)


def plain(folder: Path) -> TapSegmenter:
    """The schedule of both looks, by itself."""
    bundle = Bundle.open(folder)
    schedule = bundle.manifest.schedules[0]
    return segmenter_of(bundle, [schedule], schedule.canvas)


RULES = st.builds(
    ZoomRule,
    first=st.just(0),
    tile=st.just(0),
    extent=st.floats(16, 256),
    enlarge=st.floats(0.5, 8),
    gain=st.floats(0.5, 3),
    inside=st.floats(0.01, 0.95),
    trust=st.floats(0, 2),
)


@given(RULES, st.integers(1, 9000), st.integers(1, 9000), st.data())
def test_a_tile_holds_the_tap_and_lies_on_the_photo(
    rule: ZoomRule, height: int, width: int, data: st.DataObject
) -> None:
    x = data.draw(st.floats(0, width, exclude_max=True))
    y = data.draw(st.floats(0, height, exclude_max=True))
    xs = sorted(data.draw(st.floats(0, width)) for _ in range(2))
    ys = sorted(data.draw(st.floats(0, height)) for _ in range(2))
    first = Canvas(256, 384, (0, 0, 0)).place(height, width)
    box = xs[0], ys[0], xs[1], ys[1]
    tile = rule.choose_tile((256, 128), first, (x, y), box)
    scale = min(rule.extent / max(xs[1] - xs[0], ys[1] - ys[0], 1.0), rule.enlarge)
    first_scale = max(first.content_height / height, first.content_width / width)
    assert (tile is None) == (scale / first_scale < rule.gain)
    if tile is None:
        return
    x0, y0, x1, y1 = tile
    assert 0 <= x0 <= math.floor(x) < x1 <= width
    assert 0 <= y0 <= math.floor(y) < y1 <= height
    # As large as the canvas at that scale, or as the photo.
    assert abs((y1 - y0) - min(256 / scale, height)) <= 0.5
    assert abs((x1 - x0) - min(128 / scale, width)) <= 0.5


def test_a_tile_is_centred_on_the_box_as_far_as_tap_and_photo_allow() -> None:
    rule = ZoomRule(0, 0, extent=100, enlarge=4, gain=1, inside=0.8, trust=0.7)
    first = Canvas(256, 256, (0, 0, 0)).place(3000, 4000)

    def tile(at: tuple[float, float], box: tuple[float, float, float, float]) -> Any:
        return rule.choose_tile((256, 256), first, at, box)

    # 400 photo pixels become 100 of 256, so the tile has 1024.
    assert tile((2000, 1500), (1800, 1400, 2200, 1500)) == (1488, 938, 2512, 1962)
    # The tap is at most 0.8 of half a side, 409.6 pixels, from the middle.
    assert tile((1000, 1500), (1800, 1400, 2200, 1500)) == (898, 938, 1922, 1962)
    assert tile((0, 0), (0, 0, 400, 10)) == (0, 0, 1024, 1024)
    assert tile((3999, 2999), (3600, 2990, 4000, 3000)) == (2976, 1976, 4000, 3000)
    # The longer side decides; at most 4 canvas pixels per photo pixel.
    assert tile((2000, 1500), (2000, 1500, 2001, 1501)) == (1969, 1469, 2033, 1533)
    # Once is enough for what is as large as the photo.
    assert tile((2000, 1500), (0, 0, 4000, 3000)) is None


def difference(one: TapResult, other: TapResult) -> set[str]:
    names = {"score", "level", "box", "candidates", "mask_window", "canvas"}
    found = {name for name in names if getattr(one, name) != getattr(other, name)}
    return found | (set() if np.array_equal(one.mask, other.mask) else {"mask"})


PHOTO = random_photo(5, 700, 900)
TAPS = [(0, 0), (899, 699), (0, 350), (450, 350), (612, 80), (130, 560)]


@pytest.mark.parametrize("at", TAPS)
def test_the_closer_look_is_a_tap_on_the_tile(folder: Path, at: tuple[int, int]) -> None:
    result = zooming(folder, trust=0).tap(PHOTO, at)
    assert result.schedule == "zoom"
    assert result.tile is not None
    x0, y0, x1, y1 = result.tile
    near = plain(folder).tap(PHOTO[y0:y1, x0:x1].copy(), (at[0] - x0, at[1] - y0))
    mask = np.zeros(PHOTO.shape[:2], np.bool_)
    mask[y0:y1, x0:x1] = near.mask
    np.testing.assert_array_equal(result.mask, mask)
    assert (result.score, result.level) == (near.score, near.level)
    assert result.box == tuple(
        side + shift for side, shift in zip(near.box, (x0, y0, x0, y0), strict=True)
    )
    assert [v.score for v in result.candidates] == [v.score for v in near.candidates]
    first = plain(folder).tap(PHOTO, at)
    graph = Bundle.open(folder).manifest.schedules[0].graph
    (window,) = (v for v in graph.windows if v.name == first.mask_window)
    assert result.macs == near.macs + MACS * len(graph.tap)
    assert first.macs == MACS * (len(graph.tap) + len(window.program_calls))


@pytest.mark.parametrize("changes", [{"gain": 1e9}, {"trust": 1e9}])
@pytest.mark.parametrize("at", TAPS)
def test_the_first_look_answers(
    folder: Path, at: tuple[int, int], changes: dict[str, float]
) -> None:
    result = zooming(folder, **changes).tap(PHOTO, at)
    first = plain(folder).tap(PHOTO, at)
    assert difference(result, first) == set()
    assert (result.tile is None) == ("gain" in changes)
    assert result.schedule == "zoom"
    query = MACS * len(Bundle.open(folder).manifest.schedules[0].graph.tap)
    assert result.macs == first.macs + (0 if "gain" in changes else query)


def test_what_runs_does_not_depend_on_the_photo(folder: Path) -> None:
    ran = []
    for height, width in ((70, 90), (700, 900), (2100, 2700)):
        engine = NumpyEngine()
        photo = random_photo(5, height, width)
        zooming(folder, engine, gain=0.01, trust=0).tap(photo, (width // 2, height // 2))
        ran.append([name for name in engine.calls if not name.startswith(("features", "head"))])
    assert ran[0] == ran[1] == ran[2]


def test_bundles_zoom_by_default_and_on_demand(folder: Path) -> None:
    for schedule in (None, "zoom"):
        segmenter = TapSegmenter.load(folder, threads=1, schedule=schedule)
        assert segmenter.strategy.name == "zoom"
        assert segmenter.tap(PHOTO, (450, 350)).schedule == "zoom"
    named = TapSegmenter.load(folder, threads=1, schedule="all")
    assert named.strategy.name is None
    assert named.tap(PHOTO, (450, 350)).schedule == "all"
    with pytest.raises(TapOutsidePhoto):
        TapSegmenter.load(folder, threads=1).tap(PHOTO, (900, 0))
    assert TapSegmenter.load(folder, threads=1).open(PHOTO).tap((450, 350)).schedule == "zoom"


def test_golden_taps_of_the_zoom_are_replayed(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", ZOOM)
    TapSegmenter.load(folder, threads=1)
    golden = json.loads((folder / "golden.json").read_text())
    golden["strategy"][0]["score"] += 0.1
    (folder / "golden.json").write_text(json.dumps(golden))
    write_manifest(folder, read_manifest(folder))
    with pytest.raises(BundleError, match="the strategy gives"):
        TapSegmenter.load(folder, threads=1)
    TapSegmenter.load(folder, threads=1, schedule="all")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "guess"}, "'single' or 'zoom'"),
        ({"kind": "single", "schedules": [3]}, "schedule number 3, of 3"),
        ({"kind": "single", "schedules": []}, "at least 1"),
        ({"first": 99}, r"first"),
        ({"tile": 63}, "schedule number 63"),
        ({"tile": -1}, "tile"),
        ({"extent": 0}, "extent"),
        ({"extent": 0.5}, "at least 1"),
        ({"enlarge": 1e-300}, "at least 0.01"),
        ({"extent": 65}, "larger than the canvas"),
        ({"inside": 1}, "below 1"),
        ({"gain": "1"}, "gain"),
        ({"enlarge": None}, "enlarge"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", ZOOM)
    manifest = read_manifest(folder)
    manifest["strategy"] = {**ZOOM, **changes}
    write_manifest(folder, manifest)
    with pytest.raises(BundleError, match=reason):
        Bundle.open(folder)


def test_a_look_cannot_encode(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", ZOOM)
    manifest = read_manifest(folder)
    names = [schedule["name"] for schedule in manifest["schedules"]]
    manifest["strategy"] = {**ZOOM, "first": names.index("warm")}
    write_manifest(folder, manifest)
    with pytest.raises(BundleError, match="phase per photo"):
        Bundle.open(folder)


def test_the_tool_says_what_was_looked_at(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    command = [str(photo), "--at", "450,350", "--bundle", str(folder), "--threads", "1"]
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schedule"] == "zoom"
    assert len(answer["tile"]) == 4
    assert answer["macs"] > 0
    assert main(command) == 0
    x0, y0, x1, y1 = answer["tile"]
    assert f"again at the tile from ({x0}, {y0}) to ({x1}, {y1})" in capsys.readouterr().out


def test_an_answer_that_is_no_number_is_one_sentence(folder: Path) -> None:
    class Broken(NumpyEngine):
        def run(self, program: str, inputs: Any) -> dict[str, np.ndarray]:
            outputs = super().run(program, inputs)
            if "box" in outputs:
                outputs["box"] = outputs["box"] * np.float32("nan")
            return outputs

    with pytest.raises(BundleError, match="not finite"):
        zooming(folder, Broken()).tap(PHOTO, (450, 350))
