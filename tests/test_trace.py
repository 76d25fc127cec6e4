"""tracenet-trace: what a tap costs, and the picture of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tool_checks import assert_one_sentence, run_json

from tracenet_export import trace_cli


@pytest.mark.parametrize(
    ("model", "canvas", "regions", "windows"),
    [
        ("r50-fpn", "640x640", 0.43, 0.55),
        ("r101-fpn", "640x640", 0.58, 0.68),
        ("r50-fpn", "1536x2048", 0.11, 0.17),
    ],
)
def test_multiply_adds(
    model: str, canvas: str, regions: float, windows: float, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", model, "--canvas", canvas, "--levels", "P3,P4,P5", "--window", "256"]
    report = run_json(trace_cli.main, arguments, capsys)
    assert report["region_macs_mean"] / report["full_macs"] <= regions
    assert report["window_macs"] / report["full_macs"] <= windows
    for figure in ("full_macs", "region_macs_mean", "window_macs"):
        total = sum(stage[figure] for stage in report["stages"])
        assert total == pytest.approx(report[figure], rel=1e-6)
    if canvas == "1536x2048":
        assert report["input_window"]["height"] < 1536
        assert report["input_window"]["width"] < 2048
        for first, last in report["input_starts"].values():
            assert last > first


def test_trace_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "new" / "trace.png"
    run_json(
        trace_cli.main, ["--canvas", "256", "--at", "200,30", "--picture", str(picture)], capsys
    )
    assert Image.open(picture).format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "vit"], "vit"),
        (["--levels", "P5-P3"], "coarser one comes last"),
        (["--window", "64,128"], "takes one window"),
        (["--at", "700,1"], "outside"),
        (["--photo", "missing.jpg"], "missing.jpg"),
    ],
)
def test_trace_mistakes(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_sentence(trace_cli.main, ["--canvas", "256", *arguments], expected, capsys)
