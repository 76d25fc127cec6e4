"""tracenet-trace: what a tap costs, the picture of it, and what it refuses."""

from __future__ import annotations

import errno
import json
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from export_fixtures import CANVAS, SmallExport
from matplotlib.figure import Figure
from PIL import Image
from scenes import Scenes, annotated, scene_map, write_folder
from tool_checks import assert_one_sentence, run_json
from torch.utils.flop_counter import FlopCounterMode

from tracenet.data import AnnotatedPhoto
from tracenet.model import LEVELS, build_network
from tracenet.options import DEFAULT_NETWORK
from tracenet.rft import Rect, Span
from tracenet.scene import generate_scene
from tracenet_export import trace_cli, trace_report
from tracenet_export.plan_report import report_plan
from tracenet_export.schedule import mask_spans, tap_macs
from tracenet_export.trace_boxes import report_by_true_box
from tracenet_export.trace_picture import save_trace_picture
from tracenet_export.trace_report import input_tile, report_costs, stage_rects

SHARED_PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "val"


def counted_macs(name: str, canvas: tuple[int, int]) -> int:
    """Multiply-adds of FullNet as torch counts them."""
    with torch.device("meta"):
        network = build_network(name).eval()
        picture = torch.empty(1, 3, *canvas)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(picture)
    flops: int = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def assert_stages_add_up(report: dict[str, Any]) -> None:
    stages = report["stages"]
    assert len({stage["stage"] for stage in stages}) == len(stages)
    for key in ("full_macs", "window_macs"):
        assert sum(stage[key] for stage in stages) == report[key]
    regions = sum(stage["region_macs_mean"] for stage in stages)
    assert regions == pytest.approx(report["region_macs_mean"], abs=len(stages))
    for part in (report, *stages):
        assert 0 <= part["region_macs_mean"] <= part["window_macs"] + 1 <= part["full_macs"] + 1


CALL_KEYS = {"phase", "call", "stage", "window", "halo", "macs", "bytes", "share"}
CROP_KEYS = {"phase", "call", "array", "window", "bytes", "macs_saved"}


def assert_calls_add_up(report: dict[str, Any]) -> None:
    calls = report["calls"]
    encoded = [call for call in calls if call["phase"] == "encode"]
    of_tap = [call for call in calls if call["phase"] != "encode"]
    assert sum(call["macs"] for call in of_tap) == report["window_macs"]
    assert sum(call["macs"] for call in encoded) == report["encode_macs"]
    canvas = report["canvas"]["height"], report["canvas"]["width"]
    for call in calls:
        assert set(call) == CALL_KEYS
        assert call["phase"] in ("encode", "query", report["window"])
        assert call["halo"] >= 0
        assert call["bytes"] > 0
        assert call["share"] == pytest.approx(call["macs"] / report["full_macs"])
        assert all(0 < side <= whole for side, whole in zip(call["window"], canvas, strict=True))
        assert call["stage"] in {stage["stage"] for stage in report["stages"]}
    numbers: dict[str, list[int]] = {}
    for call in calls:
        numbers.setdefault(call["phase"], []).append(call["call"])
    assert all(found == list(range(len(found))) for found in numbers.values())
    # What is cut for a call is the sum over its crop points.
    cut: Counter[tuple[str, int]] = Counter()
    for crop in report["crop_points"]:
        assert set(crop) == CROP_KEYS
        assert crop["macs_saved"] is None or isinstance(crop["macs_saved"], int)
        cut[crop["phase"], crop["call"]] += crop["bytes"]
    assert cut == {(call["phase"], call["call"]): call["bytes"] for call in of_tap}


# What the paper's networks cost


@pytest.mark.parametrize(
    ("name", "canvas", "schedule", "window", "region_share", "window_share"),
    [
        ("r50-fpn", (640, 640), "P3-P5", "256", 0.43, 0.52),
        pytest.param("r101-fpn", (640, 640), "P3-P5", "256", 0.58, 0.65, marks=pytest.mark.slow),
        ("r50-fpn", (1536, 2048), "P3-P5", "256", 0.11, 0.155),
        pytest.param("r50-fpn", (1536, 2048), "P4", "128", 0.065, 0.085, marks=pytest.mark.slow),
    ],
)
def test_shares(
    capsys: pytest.CaptureFixture[str],
    name: str,
    canvas: tuple[int, int],
    schedule: str,
    window: str,
    region_share: float,
    window_share: float,
) -> None:
    arguments = ["--model", name, "--canvas", "x".join(map(str, canvas))]
    arguments += ["--levels", schedule, "--window", window]
    report = run_json(trace_cli.main, arguments, capsys)
    assert report["model"] == name
    assert report["canvas"] == {"height": canvas[0], "width": canvas[1]}
    assert report["schedule"] == schedule
    assert report["levels"] == (["P4"] if schedule == "P4" else ["P3", "P4", "P5"])
    assert report["window"] == f"{window}px"
    assert report["encode_macs"] == 0
    assert report["full_macs"] == counted_macs(name, canvas)
    assert 0.3 * region_share < report["region_macs_mean"] / report["full_macs"] <= region_share
    assert report["window_macs"] / report["full_macs"] <= window_share
    for kind in ("region", "window"):
        macs = report["region_macs_mean" if kind == "region" else "window_macs"]
        assert report[f"{kind}_share"] == pytest.approx(macs / report["full_macs"], abs=1e-4)
    assert_stages_add_up(report)
    assert_calls_add_up(report)
    assert {"backbone /4", "backbone /32", "pyramid", "heads", "mask_branch"} <= {
        stage["stage"] for stage in report["stages"]
    }
    tile = report["input_window"]["height"], report["input_window"]["width"]
    starts = report["input_starts"]["y"], report["input_starts"]["x"]
    for side, size, (first, last) in zip(canvas, tile, starts, strict=True):
        assert first == 0
        assert last == side - size  # clamped at the far border
        if canvas == (1536, 2048):
            assert size < side
            assert last > first


def test_a_tap_on_an_encoded_photo(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(trace_cli.main, ["--levels", "warm"], capsys)
    assert (report["model"], report["schedule"]) == (DEFAULT_NETWORK, "warm")
    assert report["canvas"] == {"height": 512, "width": 512}
    assert report["window"] == "all"
    assert 0 < report["window_share"] <= 0.05
    assert report["window_macs"] < report["encode_macs"] < report["full_macs"]
    assert_stages_add_up(report)
    assert_calls_add_up(report)
    (encode,) = (call for call in report["calls"] if call["phase"] == "encode")
    assert encode["window"] == [512, 512]
    assert {stage["stage"] for stage in report["stages"] if stage["window_macs"]} == {"heads"}


@pytest.mark.slow
@pytest.mark.skipif(
    not (SHARED_PHOTOS / "index.jsonl").is_file(),
    reason="the photos of ../shared/data are not here",
)
def test_the_mean_share_with_the_window_of_the_true_box(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--model", "r50-fpn", "--canvas", "640x640", "--levels", "all"]
    arguments += ["--data", str(SHARED_PHOTOS), "--taps", "5"]
    report = run_json(trace_cli.main, arguments, capsys)["by_true_box"]
    assert 0.3 < report["share_mean"] <= 0.48
    assert list(report["windows"]) == ["64px", "128px", "256px", "all"]
    assert report["instances"] > 300
    assert sum(report["windows"].values()) == 5 * report["instances"]


# Small canvas


def test_full_macs(small: SmallExport) -> None:
    assert small.plans["all"].plan.graph.full_macs == counted_macs("mobilenetv2-fpn", CANVAS)


def rect_wanted(tap: tuple[int, int], reach: int) -> dict[str, Rect]:
    x, y = tap
    wanted = {}
    for level in LEVELS:
        row, column = y // level.stride, x // level.stride
        for kind in ("score", "box", "filter"):
            wanted[level.output(kind)] = Rect(row, row + 1, column, column + 1)
    rows, columns = mask_spans(CANVAS, 8, reach, stride=8)
    wanted["mask_features"] = Rect(
        int(rows.lo[y // 8]), int(rows.hi[y // 8]), int(columns.lo[x // 8]), int(columns.hi[x // 8])
    )
    return wanted


def test_costs_of_the_small_bundle(small: SmallExport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_report, "GRID", 80)
    tap_plan = small.plans["all"]
    plan, graph = tap_plan.plan, tap_plan.plan.graph
    report = report_costs(tap_plan, "64px").to_dict()
    assert_stages_add_up(report)
    assert report["window_macs"] == plan.query_macs + plan.alternative_macs("64px")
    # Tap by tap, with the regions that the tracer finds for it alone.
    macs = []
    for y in range(0, CANVAS[0], 80):
        for x in range(0, CANVAS[1], 80):
            wanted = {
                name: (Span.of(r.y0, r.y1), Span.of(r.x0, r.x1))
                for name, r in rect_wanted((x, y), 64).items()
            }
            macs.append(
                sum(
                    graph.nodes[name].macs_per_cell * int(rows.size * columns.size)
                    for name, (rows, columns) in graph.regions(wanted).items()
                )
            )
    assert len(macs) == 4 * 5
    assert report["region_macs_mean"] == pytest.approx(np.mean(macs), abs=1)
    # More of the mask costs more.
    costs = [report_costs(tap_plan, name) for name in ("64px", "128px", "all")]
    assert sorted(c.window_macs for c in costs) == [c.window_macs for c in costs]
    assert costs[0].region_macs_mean < costs[1].region_macs_mean < costs[2].region_macs_mean


def test_regions_lie_in_the_tile(small: SmallExport) -> None:
    tap_plan = small.plans["all"]
    for tap in ((0, 0), (CANVAS[1] - 1, CANVAS[0] - 1), (200, 77)):
        tile = input_tile(tap_plan, "64px", tap)
        assert Rect(0, CANVAS[0], 0, CANVAS[1]).contains(tile)
        rects = stage_rects(tap_plan, "64px", tap)
        assert {"backbone /2", "heads", "mask_branch"} <= set(rects)
        for stage, rect in rects.items():
            assert tile.contains(rect), stage
            assert rect.contains(Rect(tap[1], tap[1] + 1, tap[0], tap[0] + 1)), stage


@pytest.mark.parametrize(
    ("schedule", "window"), [("all", "64px"), ("all", "all"), ("P3", "64px"), ("warm", "all")]
)
def test_calls_of_the_small_bundle(small: SmallExport, schedule: str, window: str) -> None:
    tap_plan = small.plans[schedule]
    height, width = tap_plan.canvas
    report = json.loads(
        json.dumps(
            {"canvas": {"height": height, "width": width}, "window": window}
            | report_costs(tap_plan, window).to_dict()
            | report_plan(tap_plan, window).to_dict()
        )
    )
    assert_calls_add_up(report)
    assert_stages_add_up(report)
    plan = tap_plan.plan
    assert report["encode_macs"] == plan.encode_macs
    assert report["window_macs"] == plan.query_macs + plan.alternative_macs(window)


def test_the_whole_canvas_has_no_halo(small: SmallExport) -> None:
    (call,) = report_plan(small.plans["full"], "all").calls
    assert (call.phase, call.halo, call.share) == ("encode", 0, 1)
    assert call.window == small.plans["full"].canvas


def test_the_halo_is_what_a_window_has_beyond_what_is_used_of_it(small: SmallExport) -> None:
    """A tap's cell of P3 at the end of towers whose convolutions have kernels of 3."""
    calls = report_plan(small.plans["warm"], "all").calls
    halos = {}
    for call, placed in zip(calls[1:], small.plans["warm"].plan.query, strict=True):
        if placed.size(placed.piece.nodes[-1]) == placed.size(placed.piece.sources[0]) != (1, 1):
            (cells, _), stride = placed.size(placed.piece.sources[0]), call.window[0]
            halos[stride // cells] = (call.window[0] - stride // cells) / 2, call.halo
    assert 8 in halos
    for expected, found in halos.values():
        assert found == expected


# By the true box


def square_at(x: int, y: int, side: int) -> AnnotatedPhoto:
    instances = np.zeros((256, 384), np.uint8)
    instances[y : y + side, x : x + side] = 1
    return annotated(instances)


@pytest.mark.parametrize(
    ("side", "windows"), [(28, {"64px"}), (76, {"64px", "128px"}), (160, {"128px", "all"})]
)
def test_the_true_box_chooses_the_window(small: SmallExport, side: int, windows: set[str]) -> None:
    """Wherever a thing is tapped, its far side is between half its side and its side away."""
    tap_plan = small.plans["all"]
    photos = Scenes([square_at(40, 20, side), square_at(100, 30, side)])
    report = report_by_true_box(tap_plan, photos, taps=20)
    assert report.instances == 2
    assert {name for name, count in report.windows.items() if count} == windows
    assert sum(report.windows.values()) == 40
    macs = tap_macs(tap_plan)
    mean = sum(
        count * (macs.query + macs.masks[name]) / macs.full / 40
        for name, count in report.windows.items()
    )
    assert report.share_mean == pytest.approx(mean)
    assert report.to_dict()["share_mean"] == pytest.approx(mean, abs=1e-4)


# The picture

QUICK = ["--model", "r50-fpn", "--canvas", "128x256", "--levels", "P4", "--window", "16"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(generate_scene(90, 200)).save(path)
    return path


def test_what_is_said_and_drawn(
    capsys: pytest.CaptureFixture[str], photo: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "trace.png"
    arguments = [*QUICK, "--photo", str(photo), "--at", "199,0", "--picture", str(path)]
    report = run_json(trace_cli.main, arguments, capsys)
    assert report["canvas"] == {"height": 128, "width": 256}
    assert report["picture"] == str(path)
    assert_stages_add_up(report)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > image.height > 300
        colours = image.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 1000

    assert trace_cli.main([*QUICK, "--calls"]) == 0
    said, calls, crops = capsys.readouterr().out.split("\n\n")
    assert "r50-fpn, canvas 128 x 256, P4, mask window 16px" in said
    assert "mask_branch" in said
    assert "input tile" in said
    header, *rows = calls.splitlines()
    assert [word for word in ("window px", "halo px", "MB", "share") if word not in header] == []
    assert len(rows) == len(report["calls"])
    for row, call in zip(rows, report["calls"], strict=True):
        assert row.startswith(f"{call['phase']} {call['call']} ")
        assert f"{call['window'][0]} x {call['window'][1]}" in row
        assert row.endswith(f"{call['share']:.2%}")
    header, *rows = crops.splitlines()
    assert "M mult-adds saved" in header
    assert len(rows) == len(report["crop_points"])
    for row, crop in zip(rows, report["crop_points"], strict=True):
        saved = crop["macs_saved"]
        assert row.endswith("cannot be joined" if saved is None else f" {saved / 1e6:.1f}")


def test_readable_extras(
    small: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "photos", [scene_map(72, 100, seed=1, things=2)])
    arguments = ["--canvas", "128x256", "--levels", "warm", "--data", str(data), "--taps", "3"]
    assert trace_cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "once per photo" in said
    assert "mean over 2 instances (taps: all 6)" in said


def test_photos_without_anything_to_tap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_folder(tmp_path / "photos", [np.zeros((64, 64), np.uint8)])
    arguments = ["--canvas", "128", "--levels", "warm", "--data", str(data)]
    assert_one_sentence(
        trace_cli.main, arguments, "no instance of at least 200 pixels to tap", capsys
    )


def test_unwritable_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("notes")
    path = tmp_path / "file" / "trace.png"
    arguments = [*QUICK, "--picture", str(path)]
    assert_one_sentence(trace_cli.main, arguments, f"{path} cannot be written", capsys)
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_a_picture_is_written_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def half(self: Figure, file: BinaryIO, **options: Any) -> None:
        file.write(b"\x89PNG")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "trace.png"
    path.write_bytes(b"an earlier one")
    monkeypatch.setattr(Figure, "savefig", half)
    canvas, tile = generate_scene(64, 64), Rect(0, 64, 0, 64)
    with pytest.raises(OSError, match="No space left"):
        save_trace_picture(path, canvas, (3, 4), tile, {"heads": tile}, "title")
    assert [left.name for left in tmp_path.iterdir()] == ["trace.png"]
    assert path.read_bytes() == b"an earlier one"


def test_the_picture_is_not_the_photo(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = photo.read_bytes()
    arguments = ["--photo", str(photo), "--picture", str(photo)]
    assert_one_sentence(trace_cli.main, arguments, "is the photo itself", capsys)
    assert photo.read_bytes() == before


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--levels", "P2"], "'P2' is no level; give some of P3,P4,P5,P6,P7"),
        (["--model", "vgg"], "there is no network 'vgg'; choose one of r50-fpn"),
        (["--canvas", "640x480"], "multiples of 128, such as 640x512"),
        (["--window", "12"], "'12' is no mask window"),
        (["--window", "64,128"], "--window takes one window"),
        (["--levels", "cold"], "'COLD' is no level"),
        (["--data", "nowhere"], "index.jsonl does not exist"),
        (["--levels", "P5", "--window", "8"], "multiples of 32 px"),
        (["--canvas", "128", "--at", "128,5"], "The tap (128.0, 5.0) is outside the photo"),
        (["--canvas", "128", "--at", "5,-1"], "The tap (5.0, -1.0) is outside the photo"),
        (["--photo", "nowhere.jpg"], "no photo at nowhere.jpg"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert_one_sentence(trace_cli.main, arguments, said, capsys)


@pytest.mark.parametrize(
    "arguments", [["--taps", "0"], ["--at", "5"], ["--canvas", "640by480"], ["--canvas", "0"]]
)
def test_mistakes_that_argparse_finds(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        trace_cli.main(arguments)
    assert caught.value.code == 2


def test_a_tap_outside_the_photo(capsys: pytest.CaptureFixture[str], photo: Path) -> None:
    arguments = ["--photo", str(photo), "--at", "200,0"]
    said = "x must be from 0 to 199 and y from 0 to 89"
    assert_one_sentence(trace_cli.main, arguments, said, capsys)
