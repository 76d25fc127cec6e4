"""tracenet-trace."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracenet.options import DEFAULT_NETWORK
from tracenet_runtime.arguments import CANVAS, canvas_size, point, tap_count
from tracenet_runtime.tool import ToolParser, print_results, run_tool

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tracenet_export.schedule import SchedulePlan

EXAMPLE = """examples:
  tracenet-trace --model r50-fpn --canvas 640x640 --levels P3,P4,P5 --window 256 --json
  tracenet-trace --model r50-fpn --canvas 1536x2048 --levels P3-P5 --calls
  tracenet-trace --model r50-fpn --levels all --data photos/val
  tracenet-trace --canvas 1536x2048 --photo cat.jpg --at 700,500 --picture trace.png"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="tracenet-trace",
        description="Count a tap's multiply-adds: FullNet, exact regions, planned windows.",
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "--model",
        default=DEFAULT_NETWORK,
        help="configuration, such as r50-fpn (default: %(default)s)",
    )
    parser.add_argument(
        "--canvas",
        type=canvas_size,
        help=f"what the network sees: a {CANVAS} in multiples of 128 pixels (default: 512)",
    )
    parser.add_argument(
        "--levels",
        default="all",
        help="`all`, levels to ask as P3,P4,P5 or P3-P5, `warm` or `full` (default: all)",
    )
    parser.add_argument(
        "--window", default="256", help="canvas pixels from the tap to each side, or `all`"
    )
    parser.add_argument(
        "--calls", action="store_true", help="also list every call and what its crop points buy"
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="annotated photos (a folder with index.jsonl); also report the mean cost with the "
        "mask window, of 64,128,256,all, that holds the true box",
    )
    parser.add_argument(
        "--taps",
        type=tap_count,
        default=25,
        help="per instance of --data (default: 25)",
    )
    parser.add_argument(
        "--at",
        type=point,
        metavar="X,Y",
        help="the tap for --picture, in pixels of the photo, or of the canvas without one "
        "(default: the centre)",
    )
    parser.add_argument("--photo", type=Path, help="what --picture shows")
    parser.add_argument("--picture", type=Path, help="PNG with the regions of each stage")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the figures go to stdout. Returns the exit code."""
    arguments = build_parser().parse_args(argv)

    def work() -> None:
        report = _trace(arguments)
        print_results(json.dumps(report) if arguments.json else _readable(report, arguments.calls))

    return run_tool("tracenet-trace", "export", work)


def _trace(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    from tracenet.data import FolderDataset
    from tracenet.model import DEFAULT_CANVAS, build_network, check_canvas
    from tracenet_export.errors import ExportError
    from tracenet_export.plan_report import report_plan
    from tracenet_export.requests import parse_schedule, parse_windows
    from tracenet_export.schedule import captured, plan_schedule
    from tracenet_export.trace_boxes import report_by_true_box
    from tracenet_export.trace_report import report_costs
    from tracenet_runtime.files import is_same_file

    canvas = arguments.canvas or DEFAULT_CANVAS
    check_canvas(*canvas)
    windows = parse_windows(arguments.window)
    if len(windows) != 1:
        raise ExportError("--window takes one window, as in 256")
    request = parse_schedule(arguments.levels, canvas, windows)
    picture, photo = arguments.picture, arguments.photo
    if picture and photo and is_same_file(picture, photo):
        raise ExportError(f"{picture} is the photo itself; give another --picture")
    photos = FolderDataset(arguments.data) if arguments.data else None
    network = build_network(arguments.model).eval()
    pixels, tap = _scene_and_tap(arguments, canvas, network.pad_value)
    graphs = captured(network, request.recipe.corrects)
    tap_plan = plan_schedule(graphs, request)
    window = next(iter(tap_plan.windows))
    costs = report_costs(tap_plan, window)
    report = {
        "model": arguments.model,
        "canvas": {"height": canvas[0], "width": canvas[1]},
        "schedule": tap_plan.name,
        "levels": [level.name for level in tap_plan.levels],
        "window": window,
        "serves": {"height": list(tap_plan.serves[0]), "width": list(tap_plan.serves[1])},
        **costs.to_dict(),
        **report_plan(tap_plan, window).to_dict(),
    }
    if photos is not None:
        ladder = plan_schedule(graphs, parse_schedule(arguments.levels, canvas))
        report["by_true_box"] = report_by_true_box(ladder, photos, arguments.taps).to_dict()
    if picture:
        _save_picture(picture, tap_plan, window, pixels, tap, report)
        report["picture"] = str(picture)
    return report


def _save_picture(
    picture: Path,
    tap_plan: SchedulePlan,
    window: str,
    pixels: npt.NDArray[np.uint8],
    tap: tuple[int, int],
    report: dict[str, Any],
) -> None:
    from tracenet_export.errors import ExportError
    from tracenet_export.trace_picture import save_trace_picture
    from tracenet_export.trace_report import input_tile, stage_rects

    height, width = tap_plan.canvas
    title = (
        f"{report['model']}, {height} x {width}, {tap_plan.name}, mask window {window}: "
        f"{report['window_share']:.1%} of FullNet"
    )
    tile, stages = input_tile(tap_plan, window, tap), stage_rects(tap_plan, window, tap)
    try:
        save_trace_picture(picture, pixels, tap, tile, stages, title)
    except OSError as error:
        raise ExportError(f"{picture} cannot be written: {error.strerror or error}") from error


def _scene_and_tap(
    arguments: argparse.Namespace, canvas: tuple[int, int], pad_value: tuple[int, int, int]
) -> tuple[Any, tuple[int, int]]:
    from tracenet.scene import generate_scene
    from tracenet_runtime.image.canvas import Canvas
    from tracenet_runtime.image.photo import load_photo

    photo = load_photo(arguments.photo) if arguments.photo else generate_scene(*canvas)
    at = arguments.at or (photo.shape[1] // 2, photo.shape[0] // 2)
    pixels, placement = Canvas(*canvas, pad_value).fit(photo)
    return pixels, placement.to_canvas(*at)


def _readable(report: dict[str, Any], calls: bool) -> str:
    def row(name: str, full: float, region: float, window: float) -> str:
        return (
            f"{name:14}{full / 1e9:10.2f}{region / 1e9:10.2f}{region / full:8.1%}"
            f"{window / 1e9:10.2f}{window / full:8.1%}"
        )

    tile, starts = report["input_window"], report["input_starts"]
    lines = [
        f"{report['model']}, canvas {report['canvas']['height']} x {report['canvas']['width']}, "
        f"{report['schedule']}, mask window {report['window']}",
        "G multiply-adds    FullNet   regions   share   windows   share",
        *(
            row(s["stage"], s["full_macs"], s["region_macs_mean"], s["window_macs"])
            for s in report["stages"]
        ),
        row("a tap", report["full_macs"], report["region_macs_mean"], report["window_macs"]),
        f"input tile {tile['height']} x {tile['width']}, starts at y {starts['y'][0]}-"
        f"{starts['y'][1]}, x {starts['x'][0]}-{starts['x'][1]}",
    ]
    if report["encode_macs"]:
        share = report["encode_macs"] / report["full_macs"]
        lines.append(f"once per photo {report['encode_macs'] / 1e9:.2f} G, {share:.1%} of FullNet")
    if "by_true_box" in report:
        boxes = report["by_true_box"]
        counts = ", ".join(f"{name} {count}" for name, count in boxes["windows"].items())
        lines.append(
            f"mask window by the true box: {boxes['share_mean']:.1%} of FullNet, mean over "
            f"{boxes['instances']} instances (taps: {counts})"
        )
    if calls:
        lines += ["", *_call_table(report["calls"]), "", *_crop_table(report["crop_points"])]
    return "\n".join(lines)


def _call_table(calls: list[dict[str, Any]]) -> list[str]:
    lines = ["call          stage           window px   halo px   M mult-adds      MB   share"]
    for call in calls:
        name = f"{call['phase']} {call['call']}"
        window = f"{call['window'][0]} x {call['window'][1]}"
        lines.append(
            f"{name:14}{call['stage']:13}{window:>12}{call['halo']:10.1f}"
            f"{call['macs'] / 1e6:14.1f}{call['bytes'] / 1e6:8.2f}{call['share']:8.2%}"
        )
    return lines


def _crop_table(crops: list[dict[str, Any]]) -> list[str]:
    lines = ["crop point    array                            window      MB   M mult-adds saved"]
    for crop in crops:
        name = f"{crop['phase']} {crop['call']}"
        window = f"{crop['window'][0]} x {crop['window'][1]}"
        saved = crop["macs_saved"]
        buys = "cannot be joined" if saved is None else f"{saved / 1e6:.1f}"
        lines.append(
            f"{name:14}{crop['array'][:28]:28}{window:>12}{crop['bytes'] / 1e6:8.2f}{buys:>20}"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
