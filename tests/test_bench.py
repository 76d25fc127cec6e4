"""tracenet-bench: what is timed and reported; never how long it takes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_fixtures import SmallExport
from PIL import Image
from tool_checks import assert_one_sentence, run_json

from tracenet.scene import generate_scene
from tracenet_bench import cli, latency
from tracenet_bench.latency import Latencies, median_ratio, random_taps, time_taps
from tracenet_runtime import TapSegmenter
from tracenet_runtime.segmenter import TapResult


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class FakeSegmenter:
    """Takes as long as it is told, and notes its taps."""

    def __init__(self, clock: Clock, seconds: list[float]) -> None:
        self.clock, self.seconds = clock, seconds
        self.began: list[float] = []
        self.taps: list[tuple[int, int]] = []

    def tap(self, photo: np.ndarray, at: tuple[int, int]) -> TapResult:
        second = self.seconds[len(self.taps)]
        self.taps.append(at)
        self.began.append(self.clock.now)
        self.clock.now += second
        timings = {
            "canvas": 1.0, "engine/one": 400 * second, "engine/two": 500 * second,
            "total": 1000 * second,
        }  # fmt: skip
        mask = np.zeros((1, 1), np.bool_)
        name = "64px" if at[0] < 3 else "all"
        return TapResult(mask, 0.5, "P3", (0, 0, 1, 1), (), name, timings)


class Clock:
    """A clock that only stands still or is moved."""

    def __init__(self) -> None:
        self.now = 5.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency.time, "perf_counter", clock.perf_counter)
    return clock


def timed(
    segmenters: Mapping[str, FakeSegmenter], taps: list[tuple[int, int]], warm_up: int
) -> dict[str, Latencies]:
    photo = np.zeros((4, 4, 3), np.uint8)
    return time_taps(segmenters, photo, taps, warm_up)  # type: ignore[arg-type]


def test_every_tap_is_timed_once_on_each(clock: Clock) -> None:
    taps = [(1, 1), (2, 2), (3, 3)]
    bundle = FakeSegmenter(clock, [9, 0.1, 0.2, 0.4])
    baseline = FakeSegmenter(clock, [9, 0.3, 0.2, 0.8])
    latencies = timed({"bundle": bundle, "baseline": baseline}, taps, warm_up=1)
    assert bundle.taps == baseline.taps == [(1, 1), *taps]
    assert latencies["bundle"].milliseconds == pytest.approx((100, 200, 400))
    assert latencies["baseline"].milliseconds == pytest.approx((300, 200, 800))
    assert latencies["bundle"].masks == {"64px": 2, "all": 1}
    # Programs are summed tap by tap; what covers everything is no stage.
    assert latencies["bundle"].stages == pytest.approx({"canvas": 1.0, "engine": 180.0})
    assert median_ratio(latencies["baseline"], latencies["bundle"]) == pytest.approx(2.0)


def test_neither_always_comes_first(clock: Clock) -> None:
    taps = [(i, i) for i in range(4)]
    one, other = (FakeSegmenter(clock, [1.0] * 4) for _ in range(2))
    timed({"bundle": one, "baseline": other}, taps, warm_up=0)
    first = [a < b for a, b in zip(one.began, other.began, strict=True)]
    assert sum(first) == 2


@pytest.mark.parametrize("warm_up", [0, 1, 5])
def test_warm_up_takes_nothing_from_what_is_counted(clock: Clock, warm_up: int) -> None:
    taps = [(1, 1), (2, 2)]
    segmenter = FakeSegmenter(clock, [7.0] * warm_up + [0.1, 0.3])
    latencies = timed({"bundle": segmenter}, taps, warm_up)
    assert latencies["bundle"].milliseconds == pytest.approx((100, 300))
    assert segmenter.taps[warm_up:] == taps
    assert len(segmenter.taps) == warm_up + 2


def test_latencies_as_json() -> None:
    milliseconds = (1.0, 2.0, 3.0, 4.0, 10.0)
    report = Latencies(milliseconds, {"engine": 2.34567}, {"all": 5}).to_dict()
    assert report == {
        "median_ms": 3.0,
        "p10_ms": 1.4,
        "p90_ms": 7.6,
        "stages_ms": {"engine": 2.346},
        "mask_windows": {"all": 5},
    }


def test_the_ratio_is_of_pairs() -> None:
    """A machine that becomes ten times as slow half-way changes nothing."""
    bundle = Latencies((1.0, 1.0, 10.0, 10.0), {}, {})
    baseline = Latencies((2.0, 2.2, 20.0, 19.0), {}, {})
    ratio = median_ratio(baseline, bundle)
    assert ratio == pytest.approx(statistics.median([2.0, 2.2, 2.0, 1.9]))
    with pytest.raises(ValueError, match="shorter"):
        median_ratio(baseline, Latencies((1.0,), {}, {}))


def test_random_taps() -> None:
    photo = np.zeros((3, 5, 3), np.uint8)
    taps = random_taps(photo, 2000, seed=1)
    assert taps == random_taps(photo, 2000, seed=1) != random_taps(photo, 2000, seed=2)
    assert set(taps) == {(x, y) for x in range(5) for y in range(3)}
    counts = [taps.count((x, y)) for x in range(5) for y in range(3)]
    assert min(counts) > 2000 / 15 / 2


# With bundles


def test_a_bundle_and_fullnet(small: SmallExport, full: tuple[Path, Any]) -> None:
    segmenters = {
        "bundle": TapSegmenter.load(small.folder, threads=1),
        "baseline": TapSegmenter.load(full[0], threads=1),
    }
    photo = generate_scene(100, 130)
    latencies = time_taps(segmenters, photo, random_taps(photo, 2, 0), warm_up=1)
    for result in latencies.values():
        assert len(result.milliseconds) == 2
        assert min(result.milliseconds) > 0
        assert set(result.stages) == {"canvas", "cut", "engine", "mask", "paste"}
        assert sum(result.masks.values()) == 2
    assert set(latencies["bundle"].masks) <= {"64px", "128px", "all"}
    assert latencies["baseline"].masks == {"all": 2}


def arguments_for(small: SmallExport) -> list[str]:
    return ["--bundle", str(small.folder), "--taps", "2", "--warm-up", "0"]


def test_json(
    small: SmallExport, full: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(generate_scene(60, 80)).save(photo)
    arguments = [*arguments_for(small), "--baseline", str(full[0]), "--photo", str(photo)]
    report = run_json(cli.main, arguments, capsys)
    assert report["engine"] == "onnxruntime"
    assert report["threads"] == 1
    assert report["taps"] == 2
    assert report["photo"] == {"height": 60, "width": 80}
    for name, path, schedule in (
        ("bundle", small.folder, "P3-P7"),
        ("baseline", full[0], "full"),
    ):
        part = report[name]
        assert part["path"] == str(path)
        assert (part["network"], part["schedule"]) == ("mobilenetv2-fpn", schedule)
        assert (part["precision"], part["canvas"]) == ("fp32", [256, 384])
        assert 0 < part["p10_ms"] <= part["median_ms"] <= part["p90_ms"]
        assert set(part["stages_ms"]) == {"canvas", "cut", "engine", "mask", "paste"}
        assert sum(part["mask_windows"].values()) == 2
    assert report["baseline_over_bundle"] > 0


def test_without_a_baseline(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(cli.main, arguments_for(small), capsys)
    assert report["photo"] == {"height": 240, "width": 320}  # the golden photo
    assert not {"baseline", "baseline_over_bundle"} & set(report)


def test_readable(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*arguments_for(small), "--baseline", str(small.folder)]) == 0
    said = capsys.readouterr().out
    assert "mobilenetv2-fpn P3-P7 256x384: median" in said
    assert "a tap of the baseline takes" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bundle", "nowhere"], "no bundle folder at nowhere"),
        (["--baseline", "nowhere"], "no bundle folder at nowhere"),
        (["--photo", "nowhere.jpg"], "no photo at nowhere.jpg"),
        (["--engine", "warp"], "no engine 'warp'"),
    ],
)
def test_mistakes(
    small: SmallExport, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert_one_sentence(cli.main, [*arguments_for(small), *arguments], said, capsys)


@pytest.mark.parametrize(
    "arguments", [["--taps", "0"], ["--threads", "0"], ["--warm-up", "-1"], ["--seed", "-1"], []]
)
def test_mistakes_that_argparse_finds(arguments: list[str]) -> None:
    bundle = ["--bundle", "some"] if arguments else []
    with pytest.raises(SystemExit) as caught:
        cli.main([*bundle, *arguments])
    assert caught.value.code == 2
