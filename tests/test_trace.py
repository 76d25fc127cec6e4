"""tracenet-trace: what a tap costs, the picture of it, and what it refuses."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_fixtures import CANVAS, SmallExport
from matplotlib.figure import Figure
from PIL import Image
from tool_checks import assert_one_sentence, run_json
from torch.utils.flop_counter import FlopCounterMode

from tracenet.model import LEVELS, build_network
from tracenet.rft import Rect, Span
from tracenet.scene import generate_scene
from tracenet_export import trace_cli, trace_report
from tracenet_export.schedule import mask_spans
from tracenet_export.trace_picture import save_trace_picture
from tracenet_export.trace_report import input_tile, report_costs, stage_rects

PAPER_SCHEDULE = ["--levels", "P3,P4,P5", "--window", "256"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def counted_macs(name: str, canvas: tuple[int, int]) -> int:
    """Multiply-adds of FullNet as torch counts them."""
    with torch.device("meta"):
        network = build_network(name).eval()
        picture = torch.empty(1, 3, *canvas)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(picture)
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def assert_stages_add_up(report: dict[str, Any]) -> None:
    stages = report["stages"]
    assert len({stage["stage"] for stage in stages}) == len(stages)
    for key in ("full_macs", "window_macs"):
        assert sum(stage[key] for stage in stages) == report[key]
    regions = sum(stage["region_macs_mean"] for stage in stages)
    assert regions == pytest.approx(report["region_macs_mean"], abs=len(stages))
    for part in (report, *stages):
        assert 0 <= part["region_macs_mean"] <= part["window_macs"] + 1 <= part["full_macs"] + 1


# What the paper's networks cost


@pytest.mark.parametrize(
    ("name", "canvas", "region_share", "window_share"),
    [
        ("r50-fpn", (640, 640), 0.43, 0.55),
        ("r101-fpn", (640, 640), 0.58, 0.68),
        ("r50-fpn", (1536, 2048), 0.11, 0.17),
    ],
)
def test_shares(
    capsys: pytest.CaptureFixture[str],
    name: str,
    canvas: tuple[int, int],
    region_share: float,
    window_share: float,
) -> None:
    arguments = ["--model", name, "--canvas", "x".join(map(str, canvas)), *PAPER_SCHEDULE]
    report = run_json(trace_cli.main, arguments, capsys)
    assert report["model"] == name
    assert report["canvas"] == {"height": canvas[0], "width": canvas[1]}
    assert report["levels"] == ["P3", "P4", "P5"]
    assert report["window"] == "256px"
    assert report["full_macs"] == counted_macs(name, canvas)
    assert 0.3 * region_share < report["region_macs_mean"] / report["full_macs"] <= region_share
    assert report["window_macs"] / report["full_macs"] <= window_share
    for kind in ("region", "window"):
        macs = report["region_macs_mean" if kind == "region" else "window_macs"]
        assert report[f"{kind}_share"] == pytest.approx(macs / report["full_macs"], abs=1e-4)
    assert_stages_add_up(report)
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


# Small canvas


def test_full_macs(small: SmallExport) -> None:
    assert small.tap_plan.plan.graph.full_macs == counted_macs("mobilenetv2-fpn", CANVAS)


def rect_wanted(tap: tuple[int, int], reach: int) -> dict[str, Rect]:
    x, y = tap
    wanted = {}
    for level in LEVELS:
        row, column = y // level.stride, x // level.stride
        for kind in ("score", "box", "filter"):
            wanted[level.output(kind)] = Rect(row, row + 1, column, column + 1)
    rows, columns = mask_spans(CANVAS, 8, reach)
    wanted["mask_features"] = Rect(
        int(rows.lo[y // 8]), int(rows.hi[y // 8]), int(columns.lo[x // 8]), int(columns.hi[x // 8])
    )
    return wanted


def test_costs_of_the_small_bundle(small: SmallExport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_report, "GRID", 80)
    plan, graph = small.tap_plan.plan, small.tap_plan.plan.graph
    report = report_costs(small.tap_plan, "64px").to_dict()
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
    costs = [report_costs(small.tap_plan, name) for name in ("64px", "128px", "all")]
    assert sorted(c.window_macs for c in costs) == [c.window_macs for c in costs]
    assert costs[0].region_macs_mean < costs[1].region_macs_mean < costs[2].region_macs_mean


def test_regions_lie_in_the_tile(small: SmallExport) -> None:
    for tap in ((0, 0), (CANVAS[1] - 1, CANVAS[0] - 1), (200, 77)):
        tile = input_tile(small.tap_plan, "64px", tap)
        assert Rect(0, CANVAS[0], 0, CANVAS[1]).contains(tile)
        rects = stage_rects(small.tap_plan, "64px", tap)
        assert {"backbone /2", "heads", "mask_branch"} <= set(rects)
        for stage, rect in rects.items():
            assert tile.contains(rect), stage
            assert rect.contains(Rect(tap[1], tap[1] + 1, tap[0], tap[0] + 1)), stage


# The picture

QUICK = ["--model", "r50-fpn", "--canvas", "100x130", "--levels", "P4", "--window", "16"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(generate_scene(90, 200)).save(path)
    return path


def test_picture(capsys: pytest.CaptureFixture[str], photo: Path, tmp_path: Path) -> None:
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


def test_readable(capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_cli.main(QUICK) == 0
    said = capsys.readouterr().out
    assert "r50-fpn, canvas 128 x 256, P4, mask window 16px" in said
    assert "mask_branch" in said
    assert "input tile" in said


def test_unwritable_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("notes")
    path = tmp_path / "file" / "trace.png"
    arguments = [*QUICK, "--picture", str(path)]
    assert_one_sentence(trace_cli.main, arguments, f"{path} cannot be written", capsys)
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_a_picture_is_written_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def half(self: Figure, path: Path, **options: Any) -> None:
        Path(path).write_bytes(b"\x89PNG")
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
        (["--canvas", "640by480"], "'640by480' is no canvas"),
        (["--canvas", "0"], "'0' is no canvas"),
        (["--window", "12"], "'12' is no mask window"),
        (["--window", "64,128"], "--window takes one window"),
        (["--levels", "P5", "--window", "8"], "multiples of 32 px"),
        (["--canvas", "128", "--at", "128,5"], "The tap (128, 5) is outside the photo"),
        (["--canvas", "128", "--at", "5,-1"], "The tap (5, -1) is outside the photo"),
        (["--canvas", "128", "--at", "5"], "--at '5' is no tap"),
        (["--photo", "nowhere.jpg"], "no photo at nowhere.jpg"),
    ],
)
def test_mistakes(
    small: SmallExport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("tracenet.rft.capture", lambda *_: small.tap_plan.plan.graph)
    assert_one_sentence(trace_cli.main, arguments, said, capsys)


def test_a_tap_outside_the_photo(capsys: pytest.CaptureFixture[str], photo: Path) -> None:
    arguments = ["--photo", str(photo), "--at", "200,0"]
    said = "x must be from 0 to 199 and y from 0 to 89"
    assert_one_sentence(trace_cli.main, arguments, said, capsys)
