"""tracenet-bench: what is measured and reported; never how long it takes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from export_fixtures import CANVAS, WARM_CANVAS, SmallExport, calls_of, macs_of, windows_of
from onnx import numpy_helper
from PIL import Image
from tool_checks import assert_one_sentence

from tracenet.scene import generate_scene
from tracenet_bench import cli
from tracenet_bench.device.projection import Projections, project_subjects
from tracenet_bench.measure import accuracy, benchmark, environment, timed
from tracenet_bench.measure.accuracy import measure_accuracy
from tracenet_bench.measure.cuts import BenchError, measure_cuts
from tracenet_bench.measure.one_program import OneProgram
from tracenet_bench.measure.statistics import paired_ratio
from tracenet_bench.report.file import read_report, write_report
from tracenet_bench.report.schema import Accuracy, Failure, Measured, Report
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.graph.schedule import ProgramCall, Window

SEGMENT = """
import os
import numpy as np

def segment(photo, at):
    return np.zeros(photo.shape[:2], bool)

def dies(photo, at):
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what takes long whatever is measured."""
    monkeypatch.setattr(environment, "WATCHED_SECONDS", 0.01)
    monkeypatch.setattr(timed, "STREAM_SECONDS", 0.0)
    monkeypatch.setattr(benchmark, "measure_ceilings", lambda *_: ({1: 1e9}, {1: 1e9}))


def arguments_for(small: SmallExport, *schedule: str) -> list[str]:
    named = ["--schedule", *schedule] if schedule else []
    return ["--bundle", str(small.folder), *named, "--taps", "2", "--warm-up", "0"]


@dataclass(frozen=True)
class Run:
    """A run of the tool: its report, and the files that it wrote."""

    report: Report
    arguments: tuple[str, ...]
    json: Path
    html: Path
    model: str

    def measured(self, kind: str, schedule: str | None = None) -> Measured:
        (found,) = (
            v
            for v in self.report.measured
            if (v.subject.kind, v.subject.schedule) == (kind, schedule)
        )
        return found


@pytest.fixture(scope="module")
def run(small: SmallExport, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A schedule on two photos, FullNet, and a model from outside."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "model.py").write_text(SEGMENT)
    photos = folder / "photos"
    photos.mkdir()
    Image.fromarray(generate_scene(60, 80)).save(photos / "one.png")
    Image.fromarray(generate_scene(50, 90)).save(photos / "two.png")
    model = f"{folder}/model.py:segment"
    arguments = (
        "--bundle", str(small.folder), "--schedule", "all", "--baseline", f"fullnet,{model}",
        "--photos", str(photos), "--taps", "3", "--warm-up", "1", "--limit-taps", "7",
        "--out", str(folder / "out.json"), "--html", str(folder / "out.html"),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timed, "STREAM_SECONDS", 0.0)
        assert cli.main(list(arguments)) == 0
    report = read_report(folder / "out.json")
    return Run(report, arguments, folder / "out.json", folder / "out.html", model)


# With a bundle


def test_conditions_and_environment(run: Run) -> None:
    conditions = run.report.conditions
    assert [(v.source, v.height, v.width) for v in conditions.photos] == [
        ("one.png", 60, 80), ("two.png", 50, 90),
    ]  # fmt: skip
    assert (conditions.taps, conditions.warm_up, conditions.limit_taps) == (3, 2, 7)
    assert conditions.target_interval == 0.03
    assert run.report.command == ("tracenet-bench", *run.arguments)
    environment = run.report.environment
    assert environment.peak_macs_per_second.keys() == environment.bandwidth.keys() == {1}
    assert min(*environment.peak_macs_per_second.values(), *environment.bandwidth.values()) > 0
    assert (run.report.device, run.report.projections, run.report.calibration) == (None, (), None)


def test_figures_of_a_bundle(run: Run, small: SmallExport) -> None:
    size = sum(path.stat().st_size for path in small.folder.rglob("*") if path.is_file())
    for schedule in ("all", "full"):
        found = run.measured("bundle", schedule)
        assert found.failure is None
        assert found.subject.engine_says["threads"] == 1
        assert found.load is not None
        assert found.first_tap is not None
        assert min(found.load, found.first_tap) > 0
        assert found.bundle_size == size
        assert found.taps_per_second is not None
        assert found.taps_per_second > 0
        assert found.accuracy is None
        steady = found.steady
        assert steady is not None
        assert len(steady.samples) == 7
        assert steady.minimum <= steady.interval[0] <= steady.p50 <= steady.interval[1]
        assert steady.p50 <= steady.p90 <= steady.p99
        assert len(steady.by_photo) == 2
        assert not steady.converged or steady.interval[1] - steady.interval[0] < 0.03 * steady.p50
        macs = macs_of(small, schedule)
        possible = [macs["encode"] + macs["query"] + mask for mask in macs["masks"].values()]
        assert found.macs is not None
        assert min(possible) <= found.macs <= max(possible)
        peak = run.report.environment.peak_macs_per_second[1]
        rates = [1000 * min(possible) / max(steady.samples), 1000 * max(possible) / steady.minimum]
        assert found.share_of_peak is not None
        assert rates[0] <= found.share_of_peak * peak <= rates[1]


def test_shares_sum_to_one(run: Run, small: SmallExport) -> None:
    shares = run.measured("bundle", "all").shares
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0
    programs = {name for name in shares if name.startswith("engine/")}
    assert shares.keys() - programs == {"canvas", "cut", "mask", "paste", "other"}
    assert {name.removeprefix("engine/") for name in programs} <= set(small.manifest["programs"])
    assert run.measured("outside").shares is None


def test_memory_is_above_the_interpreter_and_the_photo(run: Run) -> None:
    for schedule in ("all", "full"):
        memory = run.measured("bundle", schedule).memory
        assert memory is not None
        assert memory.photo == 3 * 60 * 80
        least = memory.peak - memory.interpreter - memory.photo
        assert 0 < least <= memory.above_baseline <= memory.peak - memory.interpreter
        assert memory.arena is not None
        assert memory.arena > 0
    memory = run.measured("outside").memory
    assert memory is not None
    assert memory.arena is None


def test_ratios_are_of_the_same_round(run: Run) -> None:
    tap, full = run.measured("bundle", "all"), run.measured("bundle", "full")
    outside = run.measured("outside")
    by_names = {(ratio.of, ratio.to): ratio for ratio in run.report.ratios}
    assert by_names.keys() == {
        (full.subject.name, tap.subject.name), (outside.subject.name, tap.subject.name),
    }  # fmt: skip
    ratio = by_names[full.subject.name, tap.subject.name]
    assert full.steady is not None
    assert tap.steady is not None
    pairs = paired_ratio(full.steady.samples, tap.steady.samples, 3, 0)
    assert (ratio.ratio, ratio.interval) == pairs
    assert full.macs is not None
    assert tap.macs is not None
    assert ratio.macs == full.macs / tap.macs > 1
    assert by_names[outside.subject.name, tap.subject.name].macs is None


def test_a_model_from_outside(run: Run) -> None:
    found = run.measured("outside")
    assert (found.subject.source, found.subject.name) == (run.model, f"{run.model} 1 thread")
    assert found.steady is not None
    assert (found.macs, found.share_of_peak, found.bundle_size) == (None, None, None)


def test_the_page_and_the_tables_are_of_this_report(
    run: Run,
    small: SmallExport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run.html.read_text().startswith("<!DOCTYPE html>")
    monkeypatch.setattr(benchmark, "measure", lambda options: run.report)
    assert cli.main(arguments_for(small)) == 0
    shown = capsys.readouterr()
    assert "mobilenetv2-fpn" in shown.out
    assert "|" in shown.out


@pytest.mark.parametrize(("faster", "code"), [(1000, 1), (1, 0), (0.001, 0)])
def test_a_regression_is_exit_code_1(
    run: Run,
    small: SmallExport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faster: float,
    code: int,
) -> None:
    """Against a report that was as fast, or so many times."""

    def before(found: Measured) -> Measured:
        assert found.steady is not None
        samples = tuple(sample / faster for sample in found.steady.samples)
        return replace(found, steady=replace(found.steady, samples=samples))

    old = tmp_path / "old.json"
    write_report(old, replace(run.report, measured=tuple(map(before, run.report.measured))))
    monkeypatch.setattr(benchmark, "measure", lambda options: run.report)
    assert cli.main([*arguments_for(small), "--compare", str(old)]) == code


@pytest.mark.usefixtures("_quick")
def test_sizes_of_a_photo_and_numbers_of_threads(small: SmallExport, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = [*arguments_for(small, "P3"), "--megapixels", "0.01,0.04", "--threads", "1", "2"]
    assert cli.main([*arguments, "--limit-taps", "1", "--out", str(out)]) == 0
    report = read_report(out)
    assert [v.height * v.width / 1e6 for v in report.conditions.photos] == pytest.approx(
        [0.01, 0.04], rel=0.05
    )
    assert [v.subject.threads for v in report.measured] == [1, 2]
    for found in report.measured:
        assert found.subject.engine_says["threads"] == found.subject.threads
        assert found.steady is not None
        assert len(found.steady.by_photo) == len(found.steady.samples) == 2
    assert not report.noise.quiet  # of so few samples nothing is believed
    assert report.measured[1].share_of_peak is None


def unloadable(small: SmallExport, folder: Path) -> Path:
    """A copy of the bundle in which every program is junk, and listed as such."""
    shutil.copytree(small.folder, folder)
    manifest = small.manifest
    for program in manifest["programs"].values():
        (folder / program["file"]).write_bytes(b"junk")
        digest = hashlib.sha256(b"junk").hexdigest()
        manifest["files"][program["file"]] = {"sha256": digest, "bytes": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.usefixtures("_quick")
def test_baselines_that_fail_are_reported_beside_what_does_not(
    small: SmallExport, tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text(SEGMENT)
    bundle = unloadable(small, tmp_path / "bundle")
    out = tmp_path / "out.json"
    arguments = [
        *arguments_for(small, "warm"), "--limit-taps", "2", "--out", str(out),
        "--baseline", f"full,{tmp_path}/model.py:dies", "--baseline-bundle", str(bundle),
    ]  # fmt: skip
    assert cli.main(arguments) == 0
    report = read_report(out)
    tap, full, dies = report.measured
    assert tap.failure is None
    assert tap.steady is not None
    assert full.failure is not None
    assert full.failure.stage == "load"
    assert "is not an ONNX model" in full.failure.message
    assert dies.failure == Failure(
        "tap", "the process was killed, as systems do that are out of memory"
    )
    for failed in (full, dies):
        assert (failed.load, failed.steady, failed.memory, failed.taps_per_second) == (None,) * 4
    assert report.ratios == ()


@pytest.mark.usefixtures("_quick")
def test_where_nothing_can_be_measured_there_is_no_report(
    small: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = unloadable(small, tmp_path / "bundle"), tmp_path / "out.json"
    arguments = ["--bundle", str(bundle), "--schedule", "full", "--out", str(out)]
    assert_one_sentence(cli.main, arguments, "fails (load): The program", capsys)
    assert not out.exists()


@pytest.mark.usefixtures("_quick")
def test_wrong_golden_answers_are_a_failure(
    small: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(small.folder, bundle)
    manifest = small.manifest
    (golden,) = (name for name in manifest["files"] if name == "golden.json")
    answers = json.loads((bundle / golden).read_text())
    text = re.sub(r'"score": [0-9.e-]+', '"score": 0.123', json.dumps(answers))
    (bundle / golden).write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    manifest["files"][golden] = {"sha256": digest, "bytes": len(text)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    arguments = ["--bundle", str(bundle), "--schedule", "warm", "--taps", "1"]
    assert_one_sentence(cli.main, arguments, "fails (check): The golden tap", capsys)


@pytest.mark.usefixtures("_quick")
def test_ctrl_c_leaves_no_process_and_no_file(
    small: SmallExport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*arguments: Any) -> Any:
        assert workers()
        raise KeyboardInterrupt

    def workers() -> list[int]:
        children = psutil.Process().children(recursive=True)
        return [v.pid for v in children if "tracenet_bench.measure.worker_process" in v.cmdline()]

    monkeypatch.setattr(benchmark, "take_samples", stopped)
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    arguments = [*arguments_for(small, "warm"), "--out", str(out), "--html", str(page)]
    assert cli.main(arguments) == 130
    assert workers() == []
    assert list(tmp_path.iterdir()) == []
    assert "tracenet-bench: stopped; nothing was written" in capsys.readouterr().err


# Limited to a device


def profile(folder: Path, megabytes: int) -> Path:
    """Of a phone with one core and so much memory, half of which an app may take."""
    path = folder / "phone.toml"
    text = (Path(__file__).parent.parent / "benchmarks/devices/helio-x10.toml").read_text()
    text = re.sub(r"(?m)^memory = .*$", f"memory = {2_000_000 * megabytes}", text)
    path.write_text(re.sub(r"(?m)^cores = .*$", "cores = 1", text))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits processes")
@pytest.mark.usefixtures("_quick")
# With half as much Python itself runs out of memory, and may then try the same for ever.
@pytest.mark.parametrize(("megabytes", "fits"), [(4000, True), (90, False)])
def test_a_tap_fits_a_device_or_fails_at_its_stage(
    small: SmallExport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    megabytes: int,
    fits: bool,
) -> None:
    monkeypatch.setattr(benchmark, "project_subjects", lambda subjects, profile: Projections())
    out = tmp_path / "out.json"
    arguments = [*arguments_for(small, "full"), "--limit-taps", "2", "--out", str(out)]
    assert cli.main([*arguments, "--device", str(profile(tmp_path, megabytes))]) == 0
    report = read_report(out)
    assert report.device is not None
    assert (report.device.profile, report.device.memory) == ("phone", megabytes * 1_000_000)
    (found,) = report.measured
    assert (found.failure is None) == (found.steady is not None) == fits
    if found.failure:
        assert found.failure.stage == "load" or found.failure.stage.startswith("engine/")


def test_projections_of_a_bundle(run: Run) -> None:
    """In a process of its own; of what is not projected it is said why."""
    tap, outside = run.measured("bundle", "all").subject, run.measured("outside").subject
    by_photo = replace(tap, name="by photo", schedule=None, canvas=None)
    lost = replace(tap, name="lost", source="nowhere")
    found = project_subjects([lost, tap, by_photo, outside], "snapdragon-888")
    assert [(v.subject, v.device) for v in found.projections] == [(tap.name, "snapdragon-888")]
    assert found.calibration is not None
    assert found.calibration.programs > 3
    reasons = {v.subject: v.reason for v in found.not_projected}
    assert list(reasons) == ["lost", "by photo", outside.name]
    assert "no bundle folder at nowhere" in reasons["lost"]
    assert "name one by --schedule and --canvas" in reasons["by photo"]
    assert reasons[outside.name] == "Only the programs of bundles are projected."


# Accuracy


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    folder = tmp_path / "annotated"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(generate_scene(120, 160, seed=number)).save(folder / f"{number}.jpg")
        things = np.zeros((120, 160), np.uint8)
        things[20:80, 30:100] = 1
        Image.fromarray(things).save(folder / f"{number}.png")
    lines = [json.dumps({"id": str(n), "set": "some", "complete": True}) for n in range(2)]
    (folder / "index.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.usefixtures("_quick")
def test_accuracy_on_annotated_photos(small: SmallExport, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = [*arguments_for(small, "warm"), "--photos", str(annotated), "--out", str(out)]
    assert cli.main([*arguments, "--accuracy-taps", "2", "--limit-taps", "1"]) == 0
    report = read_report(out)
    assert [photo.source for photo in report.conditions.photos] == ["0.jpg", "1.jpg"]
    found = report.measured[0].accuracy
    assert found is not None
    assert (found.instances, found.taps) == (2, 4)
    for value, interval in (
        (found.miou_t, found.miou_t_interval), (found.mta, found.mta_interval),
    ):  # fmt: skip
        assert interval is not None
        assert 0 <= interval[0] <= value <= interval[1] <= 1


@pytest.mark.usefixtures("_quick")
def test_what_cannot_be_scored_is_measured_all_the_same(
    small: SmallExport, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One model is timed but not scored; of one photo there is no interval."""

    def score(model: Mapping[str, Any], *arguments: Any) -> Accuracy:
        lost = {"where": "nowhere.py:segment"} if model["kind"] == "outside" else {}
        return measure_accuracy({**model, **lost}, *arguments)

    monkeypatch.setattr(benchmark, "measure_accuracy", score)
    (annotated / "index.jsonl").write_text('{"id": "0", "set": "some", "complete": true}')
    (tmp_path / "model.py").write_text(SEGMENT)
    out = tmp_path / "out.json"
    arguments = [
        *arguments_for(small, "warm"), "--photos", str(annotated), "--out", str(out),
        "--baseline", f"{tmp_path}/model.py:segment", "--accuracy-taps", "1", "--limit-taps", "1",
    ]  # fmt: skip
    assert cli.main(arguments) == 0
    scored, not_scored = read_report(out).measured
    assert scored.accuracy is not None
    assert (scored.accuracy.miou_t_interval, scored.accuracy.mta_interval) == (None, None)
    assert (not_scored.accuracy, not_scored.failure) == (None, None)
    assert not_scored.steady is not None
    assert not_scored.no_accuracy is not None
    assert not_scored.no_accuracy.startswith("nowhere.py does not exist")


@pytest.mark.usefixtures("_quick")
def test_accuracy_that_cannot_be_measured_at_all_is_said_before_anything_is(
    small: SmallExport,
    annotated: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(accuracy, "_MODULE", "tracenet_bench.no_evaluation")
    monkeypatch.setattr(benchmark._Bench, "_start", None)
    arguments = [*arguments_for(small, "warm"), "--photos", str(annotated)]
    said = "No module named 'tracenet_bench.no_evaluation'); run: pip install 'tracenet[train]'"
    assert_one_sentence(cli.main, arguments, said, capsys)


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
        windows = found.graph.windows
        assert [cost.mask for cost in costs] == [window.name for window in windows]
        for cost, window in zip(costs, windows, strict=True):
            # All but the mask head.
            assert cost.calls == len(found.graph.tap) + len(window.program_calls) - 1
            assert min(cost.cut_ms, cost.one_ms) > 0
            assert cost.cost == pytest.approx(cost.cut_ms / cost.one_ms - 1)


@pytest.mark.parametrize("wrong", ["weights", "cut", "not a number"])
def test_one_program_that_differs_is_noticed(
    small: SmallExport, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    bundle = Bundle.open(small.folder)
    (schedule,) = (v for v in bundle.manifest.schedules if v.name == "warm")
    run, start, load = OneProgram.run, OneProgram._start, onnx.load_model

    def one_cell_off(self: Any, call: ProgramCall, window: Window, tap: Any) -> tuple[int, int]:
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
        monkeypatch.setattr(OneProgram, "_start", one_cell_off)
    else:
        monkeypatch.setattr(OneProgram, "run", without_numbers)
    picture = generate_scene(*WARM_CANVAS)
    with pytest.raises(BenchError, match="the one program gives another p"):
        measure_cuts(bundle, schedule, picture, [(128, 128)], threads=1, warm_up=0)


def test_cuts_as_json(small: SmallExport, tmp_path: Path) -> None:
    out = tmp_path / "cuts.json"
    assert cli.main([*arguments_for(small, "all"), "--cuts", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["bundle"] == str(small.folder)
    assert (report["schedule"], report["canvas"]) == ("all", list(CANVAS))
    assert (report["threads"], report["taps"]) == (1, 2)
    schedule = small.schedule("all")
    assert [cost["mask_window"] for cost in report["cuts"]] == ["64px", "128px", "all"]
    query = calls_of(schedule, "tap")
    for cost, calls in zip(report["cuts"], windows_of(schedule).values(), strict=True):
        assert set(cost) == {"mask_window", "calls", "cut_ms", "one_program_ms", "cost_of_cuts"}
        assert cost["calls"] == len(query) + len(calls[:-2])  # without head and place_mask
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
        (["--baseline", "cold"], "no baseline 'cold'"),
        (["--baseline", "full", "--baseline-bundle", "nowhere"], "no bundle folder at nowhere"),
        (["--schedule", "all", "--canvas", "128x256"], "does not serve a canvas of 128 x 256"),
        (["--baseline", "all", "--baseline-canvas", "128x256"], "'all' does not serve a canvas"),
        (["--photos", "nowhere.jpg"], "no photo at nowhere.jpg"),
        (["--photos", "nowhere.jpg", "--cuts"], "no photo at nowhere.jpg"),
        (["--engine", "warp"], "no engine 'warp'"),
        (["--device", "nothing"], "no device profile 'nothing'; name one of "),
        (["--compare", "nowhere.json"], "nowhere.json cannot be read"),
        (["--out", "no/folder.json"], "no does not exist; make it, or name another file"),
        (["--html", "."], ". is a folder; name a file in it"),
    ],
)
def test_mistakes(
    small: SmallExport, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    mine = [] if arguments[0] == "--bundle" else arguments_for(small)
    assert_one_sentence(cli.main, [*mine, *arguments], said, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--taps", "0"], "'0' is not a whole number from 1"),
        (["--threads", "0"], "whole number"),
        (["--warm-up", "-1"], "whole number"),
        (["--seed", "-1"], "whole number"),
        (["--limit-taps", "0"], "whole number"),
        (["--limit-seconds", "0"], "'0' is not a number above 0"),
        (["--limit-seconds", "inf"], "'inf' is not a number above 0"),
        (["--accuracy-taps", "0"], "whole number"),
        (["--megapixels", "3,x"], "'x' is not a number above 0"),
        (["--megapixels", "3,201"], "'201' is not a number above 0 up to 200"),
        (["--tolerance", "nan", "--compare", "old.json"], "'nan' is not a number above 0"),
        (["--tolerance", "0.1"], "--tolerance is for --compare"),
        (["--canvas", "640x"], "is no canvas; give a side or HEIGHTxWIDTH"),
        (["--baseline-canvas", "0x640"], "is no canvas"),
        (["--baseline-canvas", "640x640"], "are for --baseline"),
        (["--baseline-bundle", "some"], "are for --baseline"),
        (["--cuts", "--engine", "coreml"], "it runs on onnxruntime only"),
        (["--cuts", "--baseline", "full"], "leave --baseline out"),
        (["--cuts", "--compare", "old.json"], "leave --compare out"),
        (["--cuts", "--megapixels", "3"], "leave --megapixels out"),
        (["--cuts", "--device", "phone"], "leave --device out"),
        (["--cuts", "--html", "out.html"], "leave --html out"),
        (["--cuts", "--schedule", "all", "full"], "--cuts takes one --schedule"),
        (["--cuts", "--bundle", "other"], "--cuts takes one --bundle"),
    ],
)
def test_mistakes_that_argparse_finds(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--bundle", "some", *arguments])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_bundle_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "--bundle" in capsys.readouterr().err
