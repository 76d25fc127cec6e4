"""tracenet-export: what it asks for, what it says, and what it refuses."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from export_fixtures import CANVAS, SmallExport
from hypothesis import given
from hypothesis import strategies as st
from tool_checks import assert_one_sentence

import tracenet_export
from tracenet.model import DEFAULT_CANVAS, LEVELS, CanvasError, Level, untrained_network
from tracenet_export import check, cli
from tracenet_export.errors import ExportError
from tracenet_export.recipes.levels import LADDER, Levels
from tracenet_export.requests import (
    ScheduleRequest,
    parse_canvas,
    parse_levels,
    parse_requests,
    parse_schedule,
    parse_windows,
)
from tracenet_export.schedule import WORTHWHILE, captured, plan_schedule, tap_macs
from tracenet_export.targets import TARGETS, open_target
from tracenet_runtime.engines import ENGINES
from tracenet_runtime.strategies.rules import SingleRule, StrategyRule, ZoomRule

# Targets


def test_targets() -> None:
    target, precision, converter = open_target("onnx", None)
    assert [name for name, v in target.precisions.items() if v.calibrated] == ["int8"]
    assert precision == "fp32"
    assert callable(converter.convert)


@pytest.mark.parametrize(
    ("name", "precision", "said"),
    [
        ("tflite", None, "no target 'tflite'; the targets are onnx, coreml, litert"),
        ("onnx", "int4", "no precision 'int4'; it has fp32, fp16, int8"),
        ("coreml", "bf16", "no precision 'bf16'; it has fp16, fp32, int8"),
    ],
)
def test_unknown_targets(name: str, precision: str | None, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        open_target(name, precision)


@pytest.mark.parametrize(
    ("target", "package", "extra"),
    [
        ("onnx", "onnxscript>=0.5", "export"),
        ("coreml", "coremltools>=9.0", "coreml"),
        ("litert", "litert-torch>=0.10", "litert-export"),
    ],
)
def test_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    target: str, package: str, extra: str,
) -> None:  # fmt: skip
    find_spec = importlib.util.find_spec
    module = package.partition(">")[0].replace("-", "_")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find_spec(name)
    )
    out = tmp_path / "bundle"
    arguments = ["--untrained", "--target", target, "--out", str(out)]
    said = f"needs {package}; run: pip install 'tracenet[{extra}]'"
    assert_one_sentence(cli.main, arguments, said, capsys)
    assert not out.exists()


def test_an_old_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "8.3" if name == "coremltools" else version(name),
    )
    arguments = ["--untrained", "--target", "coreml", "--out", str(tmp_path / "bundle")]
    said = "needs coremltools>=9.0; run: pip install 'tracenet[coreml]'"
    assert_one_sentence(cli.main, arguments, said, capsys)


def test_least_versions_are_those_that_are_installed() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for target in TARGETS.values():
        needed = {f"{name}>={least}" for name, least in target.packages.items()}
        assert needed <= set(extras[target.extra])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--precision", "int8"], "onnx in int8 is calibrated on photos; give --calibration DIR"),
        (
            ["--target", "coreml", "--precision", "int8", "--calibration", "photos"],
            "coreml in int8 is not calibrated; leave --calibration out",
        ),
        (
            ["--target", "litert", "--precision", "int8", "--calibration", "no/such/folder"],
            "folder no/such/folder cannot be read: No such file",
        ),
    ],
)
def test_calibration_is_for_what_is_calibrated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], said: str
) -> None:
    out = tmp_path / "bundle"
    assert_one_sentence(cli.main, ["--untrained", "--out", str(out), *arguments], said, capsys)
    assert not out.exists()


def test_list_targets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("ai_edge_litert", "litert_torch") else find_spec(name),
    )
    monkeypatch.setattr(sys, "platform", "linux")
    assert cli.main(["targets", "--json"]) == 0
    targets = {target["target"]: target for target in json.loads(capsys.readouterr().out)}
    assert list(targets) == ["onnx", "coreml", "litert"]
    assert targets["onnx"]["missing"] is None
    assert targets["onnx"]["precisions"] == ["fp32", "fp16", "int8"]
    assert targets["onnx"]["engines"] == [{"engine": "onnxruntime", "own": True, "missing": None}]
    assert targets["litert"]["missing"] == (
        "it needs litert-torch>=0.10, ai-edge-litert>=2.3; run: pip install "
        "'tracenet[litert-export]'"
    )
    (engine,) = targets["litert"]["engines"]
    assert "run: pip install 'tracenet[litert]'" in engine["missing"]
    own, reference = targets["coreml"]["engines"]
    assert (own["engine"], own["own"]) == ("coreml", True)
    assert "does not run on this system" in own["missing"]
    assert reference == {"engine": "coreml-reference", "own": False, "missing": None}
    assert cli.main(["targets"]) == 0
    shown = capsys.readouterr().out
    for name, target in targets.items():
        assert f"{name}: " in shown
        assert target["missing"] is None or target["missing"] in shown


def test_a_target_that_cannot_be_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "engines_for", lambda target: {target: ENGINES[target]})
    monkeypatch.setattr(sys, "platform", "linux")
    arguments = ["--untrained", "--target", "coreml", "--out", str(tmp_path / "bundle")]
    said = "an export for coreml cannot be checked here: The engine coreml does not run"
    assert_one_sentence(cli.main, arguments, said, capsys)


# From Python


def test_an_export_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is what the command does, and says the same of what is wrong."""
    with pytest.raises(ExportError, match="no target 'tflite'"):
        tracenet_export.export(tmp_path / "bundle", target="tflite")
    parameters = inspect.signature(tracenet_export.export).parameters
    given: list[dict[str, Any]] = []

    def export(**options: Any) -> dict[str, Any]:
        given.append(options)
        return {}

    monkeypatch.setattr("tracenet_export.exporting.export", export)
    monkeypatch.setattr(cli, "_readable", lambda _: "")
    assert cli.main(["--schedule", "P4@256", "--out", "there", "--threads", "1"]) == 0
    (options,) = given
    assert options.keys() == parameters.keys()
    assert (options["schedules"], options["out"]) == (["P4@256"], Path("there"))


# The command line


@pytest.mark.parametrize(
    ("text", "canvas"),
    [
        ("640", (640, 640)),
        ("640x640", (640, 640)),
        ("1536x2048", (1536, 2048)),
        ("16384", (16384, 16384)),
    ],
)
def test_canvas(text: str, canvas: tuple[int, int]) -> None:
    assert parse_canvas(text) == canvas


@pytest.mark.parametrize("text", ["", "x", "640x", "0", "00x640", "640x0", "-1", "6.4", "16385"])
def test_no_canvas(text: str) -> None:
    with pytest.raises(ExportError, match=r"is no canvas; give a side or HEIGHTxWIDTH"):
        parse_canvas(text)


@pytest.mark.parametrize(
    ("text", "fitting"), [("1x129", "128x256"), ("250", "256x256"), ("16383", "16384x16384")]
)
def test_a_canvas_that_does_not_fit_is_refused(text: str, fitting: str) -> None:
    with pytest.raises(CanvasError, match=f"give multiples of 128, such as {fitting}"):
        parse_canvas(text)


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("all", (None,)),
        ("64,128,all", (64, 128, None)),
        ("all,128,64,128", (64, 128, None)),
        ("8", (8,)),
    ],
)
def test_windows(text: str, reaches: tuple[int | None, ...]) -> None:
    assert parse_windows(text) == reaches


@pytest.mark.parametrize("text", ["", "64,", "60", "0", "-8", "64px", "all64", "²"])
def test_no_windows(text: str) -> None:
    with pytest.raises(ExportError, match="is no mask window; give multiples of 8"):
        parse_windows(text)


def test_windows_must_fit_the_finest_level() -> None:
    with pytest.raises(ExportError, match=r"a mask window of 8 px .* P5 .* multiples of 32 px"):
        parse_schedule("P5-P7", (256, 256), (8, None))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("P3-P7", "P3 P4 P5 P6 P7"),
        ("P3,P4,P5", "P3 P4 P5"),
        ("p5, p3", "P3 P5"),
        ("P4", "P4"),
        ("P3-P4,P6-P7", "P3 P4 P6 P7"),
    ],
)
def test_levels(text: str, names: str) -> None:
    assert [level.name for level in parse_levels(text)] == names.split()


@pytest.mark.parametrize("text", ["", "P2", "P8", "P3-", "-P3", "P3,,P4", "P3-P4-P5", "fine"])
def test_no_levels(text: str) -> None:
    with pytest.raises(ExportError, match="is no level; give some of P3,P4,P5,P6,P7"):
        parse_levels(text)


@pytest.mark.parametrize("text", ["P5-P3", "P4,P7-P6"])
def test_levels_in_the_wrong_order(text: str) -> None:
    with pytest.raises(ExportError, match="the coarser one comes last, as in P3-P5"):
        parse_levels(text)


# Schedules


@given(chosen=st.sets(st.sampled_from(LEVELS), min_size=1))
def test_a_schedule_is_named_after_its_levels(chosen: set[Level]) -> None:
    text = ",".join(sorted((level.name for level in chosen), reverse=True))
    request = parse_schedule(text, (1024, 1024), (None,))
    assert set(request.levels) == chosen
    assert list(request.levels) == sorted(request.levels, key=lambda level: level.stride)
    # The name says it all, and is what a user would write.
    assert parse_schedule(request.name, (1024, 1024), (None,)) == request


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("all", "all"), (" ALL ", "all"), ("P3-P7", "all"), ("p3,p4,p5,p6,p7", "all"),
        ("warm", "warm"), ("Full", "full"),
        ("all/input", "all/input"), ("p3-p5/Input", "P3-P5/input"), ("P3-P7/input", "all/input"),
        ("P4", "P4"), ("P3,P4,P5", "P3-P5"), ("P3, P4", "P3-P4"), ("P5,P3", "P3,P5"),
    ],
)  # fmt: skip
def test_names_of_schedules(text: str, name: str) -> None:
    assert parse_schedule(text, CANVAS).name == name


@pytest.mark.parametrize(
    ("text", "ladder"),
    [
        ("P3", (64,)),
        ("P4", (64, 128)),
        ("P3-P4", (64, 128)),
        ("P3-P5", (64, 128, 256)),
        ("P5", (64, 128, 256)),
        ("P3,P5", (64, 128, 256)),
        ("P3-P6", LADDER),
        ("P6", LADDER),
        ("all", LADDER),
        ("warm", (None,)),
        ("full", (None,)),
        ("P3-P5/input", (256,)),
        ("all/input", (None,)),
    ],
)
def test_windows_that_the_levels_can_need(text: str, ladder: tuple[int | None, ...]) -> None:
    assert parse_schedule(text, CANVAS).ladder == ladder
    assert LADDER == (64, 128, 256, None)


def test_the_coarsest_level_alone_has_windows_that_fit_it() -> None:
    assert parse_schedule("P7", CANVAS).ladder == (128, 256, None)


def requests_and_zoom(*arguments: str) -> tuple[list[ScheduleRequest], StrategyRule]:
    asked = cli.build_parser().parse_args(arguments)
    return parse_requests(asked.schedules, asked.canvas, asked.windows, asked.halo)


def requests_of(*arguments: str) -> list[ScheduleRequest]:
    requests, zoom = requests_and_zoom(*arguments)
    assert zoom == SingleRule(tuple(range(len(requests))))
    return requests


def test_without_a_schedule_a_bundle_zooms_or_has_the_canvas_that_is_named() -> None:
    assert requests_and_zoom() == requests_and_zoom("--schedule", "zoom")
    assert requests_of("--canvas", "512") == [
        ScheduleRequest(Levels(LEVELS), DEFAULT_CANVAS, LADDER)
    ]
    assert requests_of("--canvas", "512") == requests_of("--schedule", "all")


def test_each_schedule_has_its_canvas() -> None:
    requests = requests_of(
        "--canvas", "128x384", "--schedule", "all", "warm@640", "P3-P5@1536x2048", "warm",
    )  # fmt: skip
    assert [(request.name, request.canvas) for request in requests] == [
        ("all", (128, 384)),
        ("warm", (640, 640)),
        ("P3-P5", (1536, 2048)),
        ("warm", (128, 384)),
    ]


@pytest.mark.parametrize(
    ("schedules", "canvases", "looks"),
    [
        (["zoom"], [("all", 256)], (0, 0)),
        (["zoom@384"], [("all", 384), ("all", 256)], (0, 1)),
        (["warm", "zoom@384"], [("warm", 512), ("all", 384), ("all", 256)], (1, 2)),
        (["all@256", "P4", "zoom@512"], [("all", 256), ("P4", 512), ("all", 512)], (2, 0)),
        (["zoom@384", "all@384"], [("all", 384), ("all", 256)], (0, 1)),
    ],
)
def test_a_zoom_brings_the_schedules_of_its_looks(
    schedules: list[str], canvases: list[tuple[str, int]], looks: tuple[int, int]
) -> None:
    requests, zoom = requests_and_zoom("--schedule", *schedules)
    assert [(v.name, v.canvas) for v in requests] == [(name, (s, s)) for name, s in canvases]
    assert isinstance(zoom, ZoomRule)
    assert (zoom.first, zoom.tile) == looks
    assert zoom.extent <= 256


def test_a_bundle_has_one_zoom(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--schedule", "zoom", "zoom@384"]
    assert_one_sentence(cli.main, arguments, "one `zoom` or `guided`", capsys)


def test_windows_that_were_asked_for_are_taken() -> None:
    arguments = ["--windows", "all,96", "--schedule", "all", "P4", "warm", "full"]
    assert [r.chosen for r in requests_of(*arguments)] == [True, True, True, True]
    ladders = [request.ladder for request in requests_of(*arguments)]
    assert ladders == [(96, None), (96, None), (None,), (None,)]


def test_windows_that_save_little_are_left_out() -> None:
    graphs = captured(untrained_network("mobilenetv2-fpn"))
    asked, default = (
        tap_macs(plan_schedule(graphs, parse_schedule("all", (256, 384), ladder)))
        for ladder in ((64, 128, None), ())
    )
    assert list(asked.masks) == ["64px", "128px", "all"]
    taps = {name: asked.query + macs for name, macs in asked.masks.items()}
    assert taps["128px"] > (1 - WORTHWHILE) * taps["all"]
    assert taps["64px"] < (1 - WORTHWHILE) * taps["all"]
    assert list(default.masks) == ["64px", "all"]


@pytest.mark.parametrize(
    ("schedules", "name"),
    [
        (["all", "all"], "all"),
        (["all", "P3-P7"], "all"),
        (["warm", "all@512x512", "warm@512"], "warm"),
        (["P3-P5@256", "P3,P4,P5@256x256"], "P3-P5"),
    ],
)
def test_a_schedule_given_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schedules: list[str], name: str
) -> None:
    arguments = ["--untrained", "--out", str(tmp_path / "bundle"), "--schedule", *schedules]
    said = f"{schedules[-1]!r} asks a second time for {name}; leave one out"
    assert_one_sentence(cli.main, arguments, said, capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_window_as_large_as_the_canvas_is_the_whole_canvas(small: SmallExport) -> None:
    graphs = captured(small.source.network)
    request = parse_schedule("P3", (128, 256), (64, 256, 512, None))
    plan = plan_schedule(graphs, request)
    assert plan.windows == {"64px": 64, "all": None}
    assert plan.serves == ((128, 128), (256, 256))


# What the tool says


def test_a_readable_report(
    small: SmallExport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_export", lambda _: small.report)
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert f"{small.folder}: onnx" in said
    assert "all on 256x384, serves this canvas only" in said
    assert "P3 on 128x1024, serves canvases from 128x1024 to 128x16384" in said
    assert "warm on 256x256, serves this canvas only" in said
    encode_share = next(
        schedule["encode_share"]
        for schedule in small.report["schedules"] if schedule["schedule"] == "warm"
    )  # fmt: skip
    assert f"; once per photo {encode_share:.3f}" in said
    assert said.count("28 taps on photos against FullNet") == 4
    assert "checked by: onnxruntime" in said


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--untrained", "--model", "r18-fpn"], "there is no network 'r18-fpn'"),
        (["--model", "r101-fpn"], "no weights are shipped for 'r101-fpn'"),
        (
            ["--canvas", "600"],
            "600x600 does not fit the network; give multiples of 128",
        ),
        (["--schedule", "all@600"], "a canvas of 600x600 does not fit the network"),
        (["--windows", "some"], "'some' is no mask window"),
        (["--schedule", "P9"], "'P9' is no level"),
        (["--schedule", "all", "warm,P3"], "'WARM' is no level"),
        (["--schedule", "all@"], "'' is no canvas"),
        (["--schedule", "warm/input"], "'WARM/INPUT' is no level"),
        (["--schedule", "@640"], "'' is no level"),
        (["--schedule", "all@640@640"], "'640@640' is no canvas"),
        (["--schedule", "P3@wide"], "'wide' is no canvas; give a side or HEIGHTxWIDTH"),
        (["--schedule", "P5@0"], "'0' is no canvas"),
        (["--schedule", "P5", "--windows", "8"], "multiples of 32 px"),
        (["--target", "tflite"], "there is no target 'tflite'"),
        (["--precision", "fp8"], "no precision 'fp8'"),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    out = tmp_path / "bundle"
    assert_one_sentence(cli.main, [*arguments, "--out", str(out)], said, capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_model(
    small: SmallExport, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", str(small.checkpoint), "--model", "r50-fpn"]
    assert_one_sentence(cli.main, arguments, "holds mobilenetv2-fpn, not r50-fpn", capsys)


def test_a_wrong_place_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    monkeypatch.setattr("tracenet_export.exporting.open_source", lambda *_: pytest.fail("worked"))
    arguments = ["--untrained", "--out", str(tmp_path)]
    assert_one_sentence(cli.main, arguments, "exists and is no bundle", capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "0"],
        ["--canvas", "wide"],
        ["--untrained", "--checkpoint", "some.safetensors"],
    ],
)
def test_mistakes_that_argparse_finds(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
