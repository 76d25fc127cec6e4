"""tracenet-export."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracenet.options import DEFAULT_NETWORK
from tracenet_runtime.cores import default_threads, warn_of_threads
from tracenet_runtime.manifest import MAX_SIDE
from tracenet_runtime.tool import ToolParser, print_results, run_tool, thread_count

if TYPE_CHECKING:
    from tracenet.data import PhotoDataset
    from tracenet_export.halo_curve import HaloCurve
    from tracenet_export.schedule import SchedulePlan, ScheduleRequest
    from tracenet_export.targets import Target
    from tracenet_runtime.zoom_rule import ZoomRule

EXAMPLE = """examples:
  tracenet-export --target onnx --out out/bundle
  tracenet-export --target litert --precision int8 --calibration photos --out out/litert-int8
  tracenet-export --schedule zoom all warm P3-P5@1536x2048 --out out/bundle
  tracenet-export --schedule P3-P5 --halo-curve 0.5 0.25 0.1 --accuracy photos/val
  tracenet-export --checkpoint runs/first/network.safetensors --schedule full --out out/full"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="tracenet-export",
        description="Export TraceNet as fixed-size crop tiles with their receptive-field table.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        help=f"configuration, such as r50-fpn (default: the checkpoint's, {DEFAULT_NETWORK})",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--checkpoint",
        type=Path,
        help="weights (.safetensors); default: those shipped for --model",
    )
    weights.add_argument(
        "--untrained", action="store_true", help="random weights, to measure costs with"
    )
    parser.add_argument(
        "--canvas",
        help="height x width of what the network sees, or one side; padded to multiples of 128 "
        "(default: 512x512; a `zoom` has canvases of its own)",
    )
    parser.add_argument(
        "--target", default="onnx", help="onnx, coreml or litert (default: %(default)s)"
    )
    parser.add_argument("--precision", help="fp32, fp16 or int8 (default: the target's)")
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="photos of the kind that users tap, to choose the scales of int8 for onnx and litert",
    )
    parser.add_argument(
        "--list-targets",
        action="store_true",
        help="say what can be converted and checked on this machine, and what is missing",
    )
    parser.add_argument(
        "--schedule",
        nargs="+",
        metavar="NAME[@CANVAS]",
        help="what a tap runs: `zoom` (the whole photo on 256x256 or a canvas of its own, then a "
        "tile about the thing), `all` levels, some (P4, P3-P5), `warm` (the photo is encoded once, "
        "taps run the heads); to compare with, `full` (FullNet) and `P3-P5/input` (FullNet on a "
        "crop of the photo, with no cut inside); each on --canvas or its own (default: zoom, or "
        "with --canvas all)",
    )
    parser.add_argument(
        "--windows",
        help="mask windows: canvas pixels from the tap to each side, the smallest that holds the "
        "predicted box is used (default: those of 64,128,256,all that the levels can need; `warm` "
        "and `full` have all)",
    )
    parser.add_argument(
        "--halo",
        type=halo_share,
        default=1.0,
        metavar="F",
        help="share of the halo that windows keep of what the answers depend on, above 0; below 1 "
        "a tap costs less and its answer is not exactly FullNet's (default: 1, exact; `full` has "
        "no windows and is always exact)",
    )
    parser.add_argument(
        "--halo-curve",
        nargs="+",
        type=halo_share,
        metavar="F",
        help="write no bundle; say for each F what a tap costs and how it compares with FullNet",
    )
    parser.add_argument(
        "--accuracy",
        type=Path,
        metavar="DIR",
        help="annotated photos, as tracenet-eval's --data: say also what F costs in mIoU-T, "
        "computed in fp32",
    )
    parser.add_argument("--out", type=Path, default=Path("out/bundle"), help="folder of the bundle")
    parser.add_argument(
        "--threads",
        type=thread_count,
        default=default_threads(),
        help="of PyTorch and of the engine that checks (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the report goes to stdout. Returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    mistake = _mistake(arguments)
    if mistake:
        parser.error(mistake)

    def work() -> None:
        if arguments.list_targets:
            from tracenet_export.targets_report import list_targets, targets_table

            targets = list_targets()
            print_results(json.dumps(targets) if arguments.json else targets_table(targets))
            return
        if arguments.halo_curve:
            from tracenet_export.halo_curve import curve_table

            curves = _halo_curves(arguments)
            found = [curve.to_dict() for curve in curves]
            print_results(
                json.dumps(found) if arguments.json else "\n".join(map(curve_table, curves))
            )
            return
        report = _export(arguments)
        print_results(json.dumps(report) if arguments.json else _readable(report))

    return run_tool("tracenet-export", "export", work, lambda: "stopped; nothing was written")


def halo_share(text: str) -> float:
    """An argparse type: a share above 0 and at most 1."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and at most 1")
    return share


def _mistake(arguments: argparse.Namespace) -> str | None:
    """What is wrong with options that do not go together."""
    if arguments.halo_curve and arguments.halo < 1:
        return "--halo-curve measures the shares that it names; leave --halo out"
    if arguments.accuracy and not arguments.halo_curve and arguments.halo == 1:
        return "--accuracy measures what a halo below 1 costs; give --halo or --halo-curve"
    return None


def parse_canvas(text: str | None) -> tuple[int, int]:
    """``640`` or ``1536x2048`` -> height, width, padded to multiples of the coarsest stride.

    Nothing gives the shipped weights' canvas.

    Raises:
        ExportError: it is neither, or larger than a bundle may say.
    """
    from tracenet.model import COARSEST_STRIDE, DEFAULT_CANVAS
    from tracenet_export.errors import ExportError

    if text is None:
        return DEFAULT_CANVAS
    match = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text)
    sides = [int(side) for side in (match[1], match[2] or match[1])] if match else [0]
    if not 0 < min(sides) <= max(sides) <= MAX_SIDE:
        raise ExportError(
            f"{text!r} is no canvas; give height x width, as in 640x640, at most {MAX_SIDE} each"
        )
    height, width = (-(-side // COARSEST_STRIDE) * COARSEST_STRIDE for side in sides)
    return height, width


def parse_windows(text: str | None) -> tuple[int | None, ...]:
    """``64,128,all`` -> mask windows, smallest first; None among them is the whole canvas.

    Raises:
        ExportError: an entry is neither ``all`` nor a multiple of 8.
    """
    from tracenet_export.errors import ExportError

    if text is None:
        return ()

    reaches: set[int | None] = set()
    for part in text.split(","):
        if part == "all":
            reaches.add(None)
        elif re.fullmatch(r"[0-9]{1,9}", part) and int(part) > 0 and int(part) % 8 == 0:
            reaches.add(int(part))
        else:
            raise ExportError(
                f"{part!r} is no mask window; give multiples of 8 pixels or `all`, as in 64,all"
            )
    return tuple(sorted(reaches, key=lambda reach: float("inf") if reach is None else reach))


def open_source(arguments: argparse.Namespace) -> Any:
    """The network that the arguments name.

    Raises:
        TraceNetError: there is no such network or checkpoint.
    """
    import hashlib

    from tracenet.model import (
        CheckpointError,
        checkpoint_licence,
        load_checkpoint,
        shipped_checkpoint,
        untrained_network,
    )
    from tracenet_export.manifest import Source

    if arguments.untrained:
        network = untrained_network(arguments.model or DEFAULT_NETWORK)
        digest = hashlib.sha256(b"untrained").hexdigest()
        return Source(network, digest, "untrained: no licence", trained=False)
    path = arguments.checkpoint or shipped_checkpoint(arguments.model or DEFAULT_NETWORK)
    network = load_checkpoint(path)
    if arguments.checkpoint and arguments.model not in (None, network.config.name):
        raise CheckpointError(
            f"{path} holds {network.config.name}, not {arguments.model}; leave --model out"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(network, digest, checkpoint_licence(path))


def parse_requests(
    arguments: argparse.Namespace,
) -> tuple[list[ScheduleRequest], ZoomRule | None]:
    """The schedules that the arguments ask for, and the zoom between two of them.

    Raises:
        ExportError: a schedule, canvas or window is none, or a schedule is given twice.
    """
    from tracenet_export.errors import ExportError
    from tracenet_export.schedule import parse_schedule
    from tracenet_export.zoom import FIRST_CANVAS, looks, zoom_rule
    from tracenet_runtime.zoom import ZOOM

    windows = parse_windows(arguments.windows)
    requests: list[ScheduleRequest] = []
    zooms: list[tuple[ScheduleRequest, ScheduleRequest]] = []
    for text in arguments.schedule or (["all"] if arguments.canvas else [ZOOM]):
        name, at, canvas = text.partition("@")
        if name == ZOOM:
            size = parse_canvas(canvas) if at else FIRST_CANVAS
            zooms.append(looks(size, windows, arguments.halo))
            continue
        size = parse_canvas(canvas if at else arguments.canvas)
        request = parse_schedule(name, size, windows, arguments.halo)
        if any((r.name, r.canvas) == (request.name, request.canvas) for r in requests):
            raise ExportError(f"{text!r} asks a second time for {request.name}; leave one out")
        requests.append(request)
    if len(zooms) > 1:
        raise ExportError("a bundle has one zoom; leave the others out")
    if zooms and not requests and arguments.canvas:
        raise ExportError(
            f"a zoom has canvases of its own; leave --canvas out, or give zoom@{arguments.canvas} "
            "for its first look"
        )
    if not zooms:
        return requests, None
    first, tile = zooms[0]
    requests += [look for look in dict.fromkeys((first, tile)) if look not in requests]
    return requests, zoom_rule(requests.index(first), requests.index(tile))


def _export(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    import torch

    from tracenet.model.equalize import equalize_channels
    from tracenet_export.bundle import export_bundle
    from tracenet_export.calibration import canvas_images
    from tracenet_export.check import checking_engine
    from tracenet_export.halo_curve import cost_of_halo
    from tracenet_export.replacing import check_replaceable
    from tracenet_export.schedule import captured, plan_schedule
    from tracenet_export.targets import open_target

    requests, zoom = parse_requests(arguments)
    target, precision, _ = open_target(arguments.target, arguments.precision)
    checking_engine(arguments.target)
    photos = _calibration(arguments, target, precision)
    check_replaceable(arguments.out)
    annotated = _annotated(arguments)
    source = open_source(arguments)
    if photos:
        images = canvas_images(photos, requests[0].canvas, source.network.pad_value)
        equalize_channels(source.network, images)
    warn_of_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    graphs = captured(source.network)
    plans = [plan_schedule(graphs, request) for request in requests]
    accuracy = [
        None if annotated is None else cost_of_halo(source, graphs, request, plan, annotated)
        for request, plan in zip(requests, plans, strict=True)
    ]
    parity = export_bundle(
        source,
        plans,
        arguments.target,
        precision,
        arguments.out,
        zoom=zoom,
        calibration=photos,
        accuracy=accuracy,
        threads=arguments.threads,
    )
    return {
        "bundle": str(arguments.out),
        "target": arguments.target,
        "precision": precision,
        "schedules": [
            _described(plan) | {"miou_t": found}
            for plan, found in zip(plans, accuracy, strict=True)
        ],
        "zoom": zoom and dataclasses.asdict(zoom),
        "parity": parity,
    }


def _halo_curves(arguments: argparse.Namespace) -> list[HaloCurve]:
    import torch

    from tracenet_export.halo_curve import halo_curve
    from tracenet_export.schedule import captured

    requests, _ = parse_requests(arguments)
    annotated = _annotated(arguments)
    source = open_source(arguments)
    warn_of_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    graphs = captured(source.network)
    return [
        halo_curve(source, graphs, request, arguments.halo_curve, annotated) for request in requests
    ]


def _annotated(arguments: argparse.Namespace) -> PhotoDataset | None:
    from tracenet.data import open_dataset

    return open_dataset(arguments.accuracy, None, None) if arguments.accuracy else None


def _calibration(arguments: argparse.Namespace, target: Target, precision: str) -> list[Path]:
    from tracenet_export.calibration import calibration_photos
    from tracenet_export.errors import ExportError

    described = f"{arguments.target} in {precision}"
    if precision not in target.calibrated:
        if arguments.calibration:
            raise ExportError(f"{described} is not calibrated; leave --calibration out")
        return []
    if not arguments.calibration:
        raise ExportError(
            f"{described} is calibrated on photos; give --calibration DIR, a folder with some of "
            "the kind that users will tap"
        )
    return calibration_photos(arguments.calibration)


def _described(tap_plan: SchedulePlan) -> dict[str, Any]:
    from tracenet_export.schedule import tap_macs

    macs = tap_macs(tap_plan)
    return {
        "schedule": tap_plan.name,
        "canvas": list(tap_plan.canvas),
        "serves": {"height": list(tap_plan.serves[0]), "width": list(tap_plan.serves[1])},
        "halo": tap_plan.plan.halo,
        "exact": tap_plan.plan.halo == 1,
        "macs_share": macs.tap_shares(),
        "encode_share": macs.encode / macs.full,
    }


def _readable(report: dict[str, Any]) -> str:
    parity = report["parity"]
    size, weights = parity["program_bytes"], parity["checkpoint_bytes"]
    lines = [
        f"{report['bundle']}: {report['target']} {report['precision']}, programs of "
        f"{size / 1e6:.1f} MB, {size / weights:.2f} of the weights in fp16"
    ]
    for schedule, checked in zip(report["schedules"], parity["schedules"], strict=True):
        replay = checked["replay"]
        name, worst = max(replay["relative_error"].items(), key=lambda item: item[1])
        shares = ", ".join(f"{key} {share:.3f}" for key, share in schedule["macs_share"].items())
        encode = schedule["encode_share"]
        lines += [
            f"{schedule['schedule']} on {_size(schedule['canvas'])}, serves {_range(schedule)}, "
            + _exactness(schedule),
            "  multiply-adds of a tap, share of FullNet's, by mask window: "
            + shares
            + (f"; once per photo {encode:.3f}" if encode else ""),
            f"  {replay['taps']} taps on photos against FullNet: mean IoU "
            f"{replay['iou_mean']:.4f}, 5th percentile {replay['iou_p5']:.4f}, "
            f"{replay['level_flips']} level flips, {replay['truncated']} masks reach beyond their "
            f"window; largest relative error {worst:.1e} ({name})",
        ]
    errors = {
        error["described"]: error["max"]
        for found in parity["programs"].values()
        for error in found["outputs"].values()
    }
    name, worst = max(errors.items(), key=lambda item: item[1])
    return "\n".join(
        [
            *lines,
            f"programs against PyTorch: largest relative error {worst:.1e} ({name})",
            f"checked by: {parity['checked_by']}; see {report['bundle']}/parity.md",
        ]
    )


def _size(canvas: list[int]) -> str:
    return f"{canvas[0]}x{canvas[1]}"


def _exactness(schedule: dict[str, Any]) -> str:
    if schedule["exact"]:
        return "exact"
    words, cost = f"not exact: {schedule['halo']:g} of the halo", schedule["miou_t"]
    if cost is None:
        return words
    return f"{words}, mIoU-T {cost['halo']:.4f} instead of {cost['exact']:.4f}"


def _range(schedule: dict[str, Any]) -> str:
    height, width = schedule["serves"]["height"], schedule["serves"]["width"]
    if height[0] == height[1] and width[0] == width[1]:
        return "this canvas only"
    return f"canvases from {height[0]}x{width[0]} to {height[1]}x{width[1]}"


if __name__ == "__main__":
    sys.exit(main())
