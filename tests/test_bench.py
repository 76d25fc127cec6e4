"""tracenet-bench: what is timed and reported; never how long it takes."""

from __future__ import annotations

import re
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from export_fixtures import CANVAS, WARM_CANVAS, SmallExport
from onnx import numpy_helper
from PIL import Image
from tool_checks import assert_one_sentence, run_json

from tracenet.scene import generate_scene
from tracenet_bench import cli, cuts
from tracenet_bench.cuts import BenchError, measure_cuts
from tracenet_bench.latency import Latencies, median_ratio, random_taps, time_taps
from tracenet_runtime import TapResult, TapSegmenter
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.schedule import Call, Macs, Window


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


MACS = Macs(full=10_000, encode=100, query=20, masks={"64px": 3, "all": 5})


class FakeSegmenter:
    """Takes as long as it is told, and notes its taps."""

    def __init__(self, clock: Clock, seconds: list[float]) -> None:
        self.clock, self.seconds = clock, seconds
        self.began: list[float] = []
        self.taps: list[tuple[int, int]] = []

    def choice(self, photo_height: int, photo_width: int) -> Any:
        return SimpleNamespace(schedule=SimpleNamespace(macs=MACS))

    def tap(self, photo: np.ndarray, at: tuple[int, int]) -> TapResult:
        second = self.seconds[len(self.taps)]
        self.taps.append(at)
        self.began.append(self.clock.now)
        self.clock.now += second
        timings = {
            "canvas": 1.0, "engine/one": 400 * second, "engine/two": 500 * second,
            "total": 1000 * second,
        }  # fmt: skip
        return TapResult(
            mask=np.zeros((1, 1), np.bool_),
            score=0.5,
            level="P3",
            box=(0, 0, 1, 1),
            candidates=(),
            schedule="P3-P4",
            mask_schedule="64px" if at[0] < 3 else "all",
            canvas=(128, 256),
            timings_ms=timings,
        )


class Clock:
    """A clock that only stands still or is moved."""

    def __init__(self) -> None:
        self.now = 5.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tracenet_bench.latency.time.perf_counter", clock.perf_counter)
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
    assert latencies["bundle"].macs == (123, 123, 125)
    assert (latencies["bundle"].schedule, latencies["bundle"].canvas) == ("P3-P4", (128, 256))
    assert latencies["bundle"].outside_engine == pytest.approx(0.1)
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


def latencies_of(*milliseconds: float) -> Latencies:
    count = len(milliseconds)
    return Latencies("warm", (128, 256), milliseconds, {"engine": 2.34567}, 0.123456,
                     tuple(range(10, 10 + count)), {"all": count})  # fmt: skip


def test_latencies_as_json() -> None:
    assert latencies_of(1.0, 2.0, 3.0, 4.0, 10.0).to_dict() == {
        "schedule": "warm",
        "canvas": [128, 256],
        "median_ms": 3.0,
        "p10_ms": 1.4,
        "p90_ms": 7.6,
        "stages_ms": {"engine": 2.346},
        "outside_engine": 0.1235,
        "macs_mean": 12,
        "mask_windows": {"all": 5},
    }


def test_the_ratio_is_of_pairs() -> None:
    """A machine that becomes ten times as slow half-way changes nothing."""
    ratio = median_ratio(latencies_of(2.0, 2.2, 20.0, 19.0), latencies_of(1.0, 1.0, 10.0, 10.0))
    assert ratio == pytest.approx(statistics.median([2.0, 2.2, 2.0, 1.9]))
    with pytest.raises(ValueError, match="shorter"):
        median_ratio(latencies_of(1.0, 1.0), latencies_of(1.0))


def test_random_taps() -> None:
    photo = np.zeros((3, 5, 3), np.uint8)
    taps = random_taps(photo, 2000, seed=1)
    assert taps == random_taps(photo, 2000, seed=1) != random_taps(photo, 2000, seed=2)
    assert set(taps) == {(x, y) for x in range(5) for y in range(3)}
    counts = [taps.count((x, y)) for x in range(5) for y in range(3)]
    assert min(counts) > 2000 / 15 / 2


# With a bundle


def test_two_schedules_of_one_bundle(small: SmallExport) -> None:
    segmenters = {
        name: TapSegmenter.load(small.folder, threads=1, schedule=name) for name in ("all", "full")
    }
    photo = generate_scene(100, 130)
    latencies = time_taps(segmenters, photo, random_taps(photo, 2, 0), warm_up=1)
    for name, result in latencies.items():
        assert (result.schedule, result.canvas) == (name, CANVAS)
        assert len(result.milliseconds) == 2
        assert min(result.milliseconds) > 0
        assert set(result.stages) == {"canvas", "cut", "engine", "mask", "paste"}
        assert 0 < result.outside_engine < 1
        assert sum(result.masks.values()) == 2
        macs = small.schedule(name)["macs"]
        possible = {macs["encode"] + macs["query"] + mask for mask in macs["masks"].values()}
        assert set(result.macs) <= possible
    assert set(latencies["all"].masks) <= {"64px", "128px", "all"}
    assert latencies["full"].masks == {"all": 2}


def test_of_two_schedules_with_one_name_the_photo_decides(small: SmallExport) -> None:
    """The multiply-adds are those of the schedule that answers."""
    bundle = Bundle.open(small.folder)
    schedule = bundle.manifest.schedules[0]
    costly = replace(schedule.macs, query=10**12)
    other = replace(schedule, canvas_height=16384, canvas_width=16384, macs=costly)
    engine, _ = load_engine("onnxruntime", bundle, EngineSettings(1))
    segmenter = TapSegmenter(bundle, engine, [other, schedule])
    photo = generate_scene(100, 130)
    (macs,) = time_taps({"tap": segmenter}, photo, [(5, 5)], warm_up=0)["tap"].macs
    assert macs < schedule.macs.full


def arguments_for(small: SmallExport, *schedule: str) -> list[str]:
    named = ["--schedule", schedule[0]] if schedule else []
    return ["--bundle", str(small.folder), *named, "--taps", "2", "--warm-up", "0"]


def test_json(small: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(generate_scene(60, 80)).save(photo)
    arguments = [*arguments_for(small, "warm"), "--baseline", "full", "--photo", str(photo)]
    report = run_json(cli.main, arguments, capsys)
    assert report["bundle"] == str(small.folder)
    assert report["network"] == "mobilenetv2-fpn"
    assert report["threads"] == 1
    assert report["taps"] == 2
    assert report["photo"] == {"height": 60, "width": 80}
    macs = {}
    for part, name, canvas in (("tap", "warm", WARM_CANVAS), ("baseline", "full", CANVAS)):
        timed = report[part]
        assert (timed["engine"]["name"], timed["precision"]) == ("onnxruntime", "fp32")
        assert timed["engine"]["requested"]["threads"] == timed["engine"]["actual"]["threads"] == 1
        assert (timed["schedule"], timed["canvas"]) == (name, list(canvas))
        assert 0 < timed["p10_ms"] <= timed["median_ms"] <= timed["p90_ms"]
        assert set(timed["stages_ms"]) == {"canvas", "cut", "engine", "mask", "paste"}
        assert 0 <= timed["outside_engine"] <= 1
        assert timed["mask_windows"] == {"all": 2}
        of_schedule = small.schedule(name)["macs"]
        macs[part] = of_schedule["encode"] + of_schedule["query"] + of_schedule["masks"]["all"]
        assert timed["macs_mean"] == macs[part]
    assert report["baseline_over_tap"] > 0
    ratio = macs["baseline"] / macs["tap"]
    assert report["macs_baseline_over_tap"] == pytest.approx(ratio, abs=1e-3)


def test_canvases_that_are_asked_for(
    small: SmallExport, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*arguments_for(small, "P3"), "--canvas", "128x1152", "--baseline", "P3"]
    arguments += ["--baseline-canvas", "128x1024"]
    report = run_json(cli.main, arguments, capsys)
    assert report["tap"]["canvas"] == [128, 1152]
    assert report["baseline"]["canvas"] == [128, 1024]
    # The same programs run on both.
    assert report["macs_baseline_over_tap"] == 1.0


def test_baseline_of_another_bundle(
    small: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(small.folder, other)
    arguments = [*arguments_for(small, "warm"), "--baseline", "full"]
    report = run_json(cli.main, [*arguments, "--baseline-bundle", str(other)], capsys)
    assert report["bundle"] == str(small.folder)
    assert report["baseline"]["schedule"] == "full"
    shutil.rmtree(other)
    arguments += ["--baseline-bundle", str(other)]
    assert_one_sentence(cli.main, arguments, "no bundle folder at", capsys)


def test_without_a_baseline(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(cli.main, arguments_for(small), capsys)
    assert report["photo"] == {"height": 240, "width": 320}  # the golden photo
    assert not {"baseline", "baseline_over_tap", "macs_baseline_over_tap"} & set(report)


def test_readable(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*arguments_for(small, "all"), "--baseline", "full"]) == 0
    said = capsys.readouterr().out
    assert "mobilenetv2-fpn, 1 thread(s), photo 320 x 240, 2 taps" in said
    assert "all 256x384, onnxruntime fp32: median" in said
    assert "full 256x384, onnxruntime fp32: median" in said
    assert said.count("outside the engine; ms by stage: ") == 2
    assert re.search(r"a tap of the baseline takes \S+ x as long, with \S+ x the multiply", said)


# What the cuts cost


@pytest.mark.parametrize("schedule", ["all", "P3", "warm"])
def test_one_program_gives_what_the_programs_give(small: SmallExport, schedule: str) -> None:
    """Compared in measure_cuts, at the first tap of every mask window."""
    bundle = Bundle.open(small.folder)
    (found,) = (v for v in bundle.manifest.schedules if v.name == schedule)
    height, width = found.canvas
    picture = generate_scene(height, width, seed=2)
    for tap in ((width // 2, height // 2), (width - 1, 0)):
        costs = measure_cuts(bundle, found, picture, [tap], threads=1, warm_up=0)
        assert [cost.mask for cost in costs] == [mask.name for mask in found.masks]
        for cost, mask in zip(costs, found.masks, strict=True):
            assert cost.calls == len(found.query) + len(mask.calls)
            assert min(cost.cut_ms, cost.one_ms) > 0
            assert cost.cost == pytest.approx(cost.cut_ms / cost.one_ms - 1)


@pytest.mark.parametrize("wrong", ["weights", "cut", "not a number"])
def test_one_program_that_differs_is_noticed(
    small: SmallExport, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    bundle = Bundle.open(small.folder)
    (schedule,) = (v for v in bundle.manifest.schedules if v.name == "warm")
    run, start, load = cuts._OneProgram.run, cuts._OneProgram._start, onnx.load_model

    def one_cell_off(self: Any, call: Call, window: Window, tap: Any) -> tuple[int, int]:
        y, x = start(self, call, window, tap)
        return y, x - (x > 0)

    def without_numbers(self: Any, *arguments: Any) -> dict[str, Any]:
        return {name: value * np.nan for name, value in run(self, *arguments).items()}

    def disturbed(path: Path) -> onnx.ModelProto:
        model = load(path)
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = numpy_helper.to_array(weights) * 1.01
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weights.name))
        return model

    if wrong == "weights":
        monkeypatch.setattr(onnx, "load_model", disturbed)
    elif wrong == "cut":
        monkeypatch.setattr(cuts._OneProgram, "_start", one_cell_off)
    else:
        monkeypatch.setattr(cuts._OneProgram, "run", without_numbers)
    picture = generate_scene(*WARM_CANVAS)
    with pytest.raises(BenchError, match="the one program gives another p"):
        measure_cuts(bundle, schedule, picture, [(128, 128)], threads=1, warm_up=0)


def test_cuts_as_json(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(cli.main, [*arguments_for(small, "all"), "--cuts"], capsys)
    assert report["bundle"] == str(small.folder)
    assert (report["schedule"], report["canvas"]) == ("all", list(CANVAS))
    assert (report["threads"], report["taps"]) == (1, 2)
    schedule = small.schedule("all")
    assert [cost["mask_window"] for cost in report["cuts"]] == ["64px", "128px", "all"]
    for cost, mask in zip(report["cuts"], schedule["masks"], strict=True):
        assert set(cost) == {"mask_window", "calls", "cut_ms", "one_program_ms", "cost_of_cuts"}
        assert cost["calls"] == len(schedule["query"]) + len(mask["calls"])
        assert min(cost["cut_ms"], cost["one_program_ms"]) > 0


def test_a_schedule_without_cuts(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*arguments_for(small, "full"), "--cuts"]
    assert_one_sentence(cli.main, arguments, "has no cuts; name another --schedule", capsys)


def test_cuts_on_another_canvas(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*arguments_for(small, "P3"), "--cuts", "--canvas", "128x1152"]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "P3 on 128x1152, onnxruntime, 1 thread(s), 2 taps" in said
    assert re.search(r"64px: \d+ programs \S+ ms, as one program \S+ ms: the cuts cost", said)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bundle", "nowhere"], "no bundle folder at nowhere"),
        (["--bundle", "nowhere", "--cuts"], "no bundle folder at nowhere"),
        (["--schedule", "cold"], "no schedule 'cold'; it has all, P3, warm, full"),
        (["--schedule", "cold", "--cuts"], "no schedule 'cold'"),
        (["--baseline", "cold"], "no schedule 'cold'"),
        (["--schedule", "all", "--canvas", "128x256"], "does not serve a canvas of 128 x 256"),
        (["--baseline", "all", "--baseline-canvas", "128x256"], "'all' does not serve a canvas"),
        (["--photo", "nowhere.jpg"], "no photo at nowhere.jpg"),
        (["--photo", "nowhere.jpg", "--cuts"], "no photo at nowhere.jpg"),
        (["--engine", "warp"], "no engine 'warp'"),
    ],
)
def test_mistakes(
    small: SmallExport, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert_one_sentence(cli.main, [*arguments_for(small), *arguments], said, capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--taps", "0"], ["--threads", "0"], ["--warm-up", "-1"], ["--seed", "-1"], [],
        ["--cuts", "--engine", "coreml"], ["--baseline-canvas", "640x640"],
        ["--cuts", "--baseline", "full"], ["--canvas", "640"], ["--baseline-canvas", "0x640"],
    ],
)  # fmt: skip
def test_mistakes_that_argparse_finds(arguments: list[str]) -> None:
    bundle = ["--bundle", "some"] if arguments else []
    with pytest.raises(SystemExit) as caught:
        cli.main([*bundle, *arguments])
    assert caught.value.code == 2
