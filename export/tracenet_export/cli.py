"""tracenet-export."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tracenet.options import DEFAULT_NETWORK
from tracenet_runtime.arguments import CANVAS, canvas_size, positive_share, thread_count
from tracenet_runtime.cores import default_threads
from tracenet_runtime.tool import ToolParser, print_results, run_tool

EXAMPLE = """examples:
  tracenet-export --target onnx --out out/bundle
  tracenet-export --target litert --precision int8 --calibration photos --out out/litert-int8
  tracenet-export --schedule zoom all warm P3-P5@1536x2048 --out out/bundle
  tracenet-export --checkpoint runs/first/network.safetensors --schedule full --out out/full
  tracenet-export targets"""

TARGETS_EXAMPLE = """example:
  tracenet-export targets --json"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="tracenet-export",
        description="Export TraceNet as fixed-size crop tiles with their receptive-field table; "
        "`tracenet-export targets` lists what this machine can convert and check.",
        epilog=EXAMPLE,
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
        type=canvas_size,
        help=f"what the network sees: a {CANVAS} in multiples of 128 pixels (default: 512; `zoom` "
        "and `guided` have canvases of their own)",
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
        "--schedule",
        dest="schedules",
        default=(),
        nargs="+",
        metavar="NAME[@CANVAS]",
        help="what a tap runs: `zoom` (the whole photo on 256x256 or a canvas of its own, then a "
        "tile about the thing), `guided` (the same, and gestures correct the mask), `all` levels, "
        "some (P4, P3-P5), `warm` (the photo is encoded once, taps run the heads); to compare "
        "with, `full` (FullNet) and `P3-P5/input` (FullNet on a crop of the photo, with no cut "
        "inside); each on --canvas or its own (default: guided if the network has a guided look, "
        "else zoom, or with --canvas all)",
    )
    parser.add_argument(
        "--windows",
        help="mask windows: canvas pixels from the tap to each side, the smallest that holds the "
        "predicted box is used (default: those of 64,128,256,all that the levels can need; `warm` "
        "and `full` have all)",
    )
    parser.add_argument(
        "--halo",
        type=positive_share,
        default=1.0,
        metavar="F",
        help="share of the halo that windows keep of what the answers depend on, above 0; below 1 "
        "a tap costs less and its answer is not exactly FullNet's (default: 1, exact; `full` has "
        "no windows and is always exact)",
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
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["targets"]:
        return _list_targets(words[1:])
    arguments = build_parser().parse_args(words)

    def work() -> None:
        report = _export(arguments)
        print_results(json.dumps(report) if arguments.json else _readable(report))

    return run_tool("tracenet-export", "export", work, lambda: "stopped; nothing was written")


def targets_parser() -> argparse.ArgumentParser:
    """The command line of ``tracenet-export targets``."""
    parser = ToolParser(
        prog="tracenet-export targets",
        description="Say what can be converted and checked on this machine, and what is missing.",
        epilog=TARGETS_EXAMPLE,
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    return parser


def _list_targets(words: list[str]) -> int:
    arguments = targets_parser().parse_args(words)

    def work() -> None:
        from tracenet_export.targets_report import list_targets, targets_table

        targets = list_targets()
        print_results(json.dumps(targets) if arguments.json else targets_table(targets))

    return run_tool("tracenet-export", "export", work)


def _export(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    from tracenet_export.exporting import export

    options = vars(arguments)
    return export(**{name: options[name] for name in options.keys() - {"json"}})


def _readable(report: dict[str, Any]) -> str:
    from tracenet_export.guided_report import guided_text

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
    if report["guided"] is not None:
        sessions = parity["sessions"]
        lines += [
            guided_text(report["guided"]),
            f"  masks after {sessions['gestures']} random gestures against PyTorch: mean IoU "
            f"{sessions['iou_mean']:.4f}, 5th percentile {sessions['iou_p5']:.4f}",
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
    halo = schedule["halo"]
    return "exact" if halo == 1 else f"not exact: {halo:g} of the halo"


def _range(schedule: dict[str, Any]) -> str:
    height, width = schedule["serves"]["height"], schedule["serves"]["width"]
    if height[0] == height[1] and width[0] == width[1]:
        return "this canvas only"
    return f"canvases from {height[0]}x{width[0]} to {height[1]}x{width[1]}"


if __name__ == "__main__":
    sys.exit(main())
