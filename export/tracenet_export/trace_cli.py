"""tracenet-trace."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tracenet_runtime.tool import run_tool

EXAMPLE = """examples:
  tracenet-trace --model r50-fpn --canvas 640x640 --levels P3,P4,P5 --window 256 --json
  tracenet-trace --canvas 1536x2048 --photo cat.jpg --at 700,500 --picture trace.png"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracenet-trace",
        description="Count a tap's multiply-adds: FullNet, exact regions, planned windows.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="mobilenetv2-fpn", help="configuration, such as r50-fpn")
    parser.add_argument("--canvas", default="640x640", help="height x width, or one side")
    parser.add_argument("--levels", default="P3-P7", help="levels to ask, as P3,P4,P5 or P3-P5")
    parser.add_argument(
        "--window", default="256", help="canvas pixels from the tap to each side, or `all`"
    )
    parser.add_argument("--at", help="X,Y of the tap for --picture, pixels of the photo, or of "
                        "the canvas without one (default: the centre)")  # fmt: skip
    parser.add_argument("--photo", type=Path, help="what --picture shows")
    parser.add_argument("--picture", type=Path, help="PNG with the regions of each stage")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the figures go to stdout. Returns the exit code."""
    arguments = build_parser().parse_args(argv)

    def work() -> None:
        report = _trace(arguments)
        print(json.dumps(report) if arguments.json else _readable(report))

    return run_tool("tracenet-trace", "export", work)


def _trace(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    import torch

    from tracenet.model import build_network
    from tracenet.rft import capture
    from tracenet_export.cli import parse_canvas, parse_windows
    from tracenet_export.errors import ExportError
    from tracenet_export.schedule import parse_levels, plan_taps
    from tracenet_export.trace_picture import save_trace_picture
    from tracenet_export.trace_report import input_tile, report_costs, stage_rects

    canvas, levels = parse_canvas(arguments.canvas), parse_levels(arguments.levels)
    windows = parse_windows(arguments.window)
    if len(windows) != 1:
        raise ExportError("--window takes one window, as in 256")
    picture, photo = arguments.picture, arguments.photo
    if picture and photo and picture.resolve() == photo.resolve():
        raise ExportError(f"{picture} is the photo itself; give another --picture")
    network = build_network(arguments.model).eval()
    pixels, tap = _scene_and_tap(arguments, canvas, network.pad_value)
    graph = capture(network, (torch.zeros(1, 3, *canvas),))
    tap_plan = plan_taps(graph, canvas, levels, windows)
    window = next(iter(tap_plan.reaches))
    costs = report_costs(tap_plan, window)
    report = {
        "model": arguments.model,
        "canvas": {"height": canvas[0], "width": canvas[1]},
        "levels": [level.name for level in levels],
        "window": window,
    } | costs.to_dict()
    if arguments.picture:
        tile = input_tile(tap_plan, window, tap)
        title = (
            f"{arguments.model}, {canvas[0]} x {canvas[1]}, {tap_plan.name}, mask window {window}: "
            f"{costs.window_macs / costs.full_macs:.1%} of FullNet"
        )
        stages = stage_rects(tap_plan, window, tap)
        try:
            save_trace_picture(arguments.picture, pixels, tap, tile, stages, title)
        except OSError as error:
            reason = error.strerror or error
            raise ExportError(f"{arguments.picture} cannot be written: {reason}") from error
        report["picture"] = str(arguments.picture)
    return report


def _scene_and_tap(
    arguments: argparse.Namespace, canvas: tuple[int, int], pad_value: tuple[int, int, int]
) -> tuple[Any, tuple[int, int]]:
    from tracenet.scene import generate_scene
    from tracenet_export.errors import ExportError
    from tracenet_runtime.canvas import Canvas
    from tracenet_runtime.photo import load_photo

    photo = load_photo(arguments.photo) if arguments.photo else generate_scene(*canvas)
    at = (photo.shape[1] // 2, photo.shape[0] // 2)
    if arguments.at:
        try:
            x, y = (int(part) for part in arguments.at.split(","))
        except ValueError:
            raise ExportError(f"--at {arguments.at!r} is no tap; give X,Y in pixels") from None
        at = (x, y)
    pixels, placement = Canvas(*canvas, pad_value).fit(photo)
    return pixels, placement.to_canvas(*at)


def _readable(report: dict[str, Any]) -> str:
    def row(name: str, full: float, region: float, window: float) -> str:
        return (
            f"{name:14}{full / 1e9:10.2f}{region / 1e9:10.2f}{region / full:8.1%}"
            f"{window / 1e9:10.2f}{window / full:8.1%}"
        )

    tile, starts = report["input_window"], report["input_starts"]
    lines = [
        f"{report['model']}, canvas {report['canvas']['height']} x {report['canvas']['width']}, "
        f"{','.join(report['levels'])}, mask window {report['window']}",
        "G multiply-adds    FullNet   regions   share   windows   share",
        *(
            row(s["stage"], s["full_macs"], s["region_macs_mean"], s["window_macs"])
            for s in report["stages"]
        ),
        row("all", report["full_macs"], report["region_macs_mean"], report["window_macs"]),
        f"input tile {tile['height']} x {tile['width']}, starts at y {starts['y'][0]}-"
        f"{starts['y'][1]}, x {starts['x'][0]}-{starts['x'][1]}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
