"""tracenet-export."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from tracenet_runtime.tool import run_tool

EXAMPLE = """examples:
  tracenet-export --target onnx --out out/bundle
  tracenet-export --checkpoint runs/first/network.safetensors --canvas 1536x2048 --schedule P3-P5"""


MAX_SIDE = 1 << 14
"""Canvas pixels; no side of a bundle's canvas may be longer."""


DEFAULT_MODEL = "mobilenetv2-fpn"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracenet-export",
        description="Export TraceNet as fixed-size crop tiles with their receptive-field table.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_network_arguments(parser)
    parser.add_argument("--target", default="onnx", help="onnx or coreml (default: onnx)")
    parser.add_argument("--precision", help="fp32 or fp16 (default: the target's)")
    parser.add_argument(
        "--schedule",
        default="P3-P7",
        help="levels to ask, such as P3-P7, P3-P5 or P4, or `full` for FullNet, the baseline",
    )
    parser.add_argument(
        "--windows",
        default="64,128,256,all",
        help="mask windows: canvas pixels from the tap to each side, the smallest that holds the "
        "predicted box is used",
    )
    parser.add_argument("--out", type=Path, default=Path("out/bundle"), help="folder of the bundle")
    parser.add_argument("--threads", type=int, default=2, help="of the engine that checks it")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--checkpoint``, ``--untrained`` and ``--canvas``."""
    parser.add_argument(
        "--model",
        help="configuration, such as r50-fpn (default: the checkpoint's, mobilenetv2-fpn)",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--checkpoint", type=Path, help="weights (.safetensors); default: those shipped for --model"
    )
    weights.add_argument(
        "--untrained", action="store_true", help="random weights, to measure costs with"
    )
    parser.add_argument(
        "--canvas",
        default="640x640",
        help="height x width of what the network sees, or one side; padded to multiples of 128",
    )


def main(argv: list[str] | None = None) -> int:
    """Entry point; the report goes to stdout. Returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.threads <= 1024:
        parser.error("--threads is at least 1 and at most 1024")

    def work() -> None:
        report = _export(arguments)
        print(json.dumps(report) if arguments.json else _readable(report))

    return run_tool("tracenet-export", "export", work, lambda: "stopped; nothing was written")


def parse_canvas(text: str) -> tuple[int, int]:
    """``640`` or ``1536x2048`` -> height, width, padded to multiples of the coarsest stride.

    Raises:
        ExportError: it is neither, or larger than a bundle may say.
    """
    from tracenet.model import COARSEST_STRIDE
    from tracenet_export.errors import ExportError

    match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text)
    sides = [int(side) for side in (match[1], match[2] or match[1])] if match else [0]
    if not 0 < min(sides) <= max(sides) <= MAX_SIDE:
        raise ExportError(
            f"{text!r} is no canvas; give height x width, as in 640x640, at most {MAX_SIDE} each"
        )
    height, width = (-(-side // COARSEST_STRIDE) * COARSEST_STRIDE for side in sides)
    return height, width


def parse_windows(text: str) -> tuple[int | None, ...]:
    """``64,128,all`` -> reaches, smallest first; None is the whole canvas.

    Raises:
        ExportError: an entry is neither ``all`` nor a multiple of 8.
    """
    from tracenet_export.errors import ExportError

    reaches: set[int | None] = set()
    for part in text.split(","):
        if part == "all":
            reaches.add(None)
        elif re.fullmatch(r"\d{1,9}", part) and int(part) > 0 and int(part) % 8 == 0:
            reaches.add(int(part))
        else:
            raise ExportError(
                f"{part!r} is no mask window; give multiples of 8 pixels or `all`, as in 64,all"
            )
    return tuple(sorted(reaches, key=lambda reach: float("inf") if reach is None else reach))


def open_source(arguments: argparse.Namespace) -> Any:
    """The network that the arguments of :func:`add_network_arguments` name.

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
    from tracenet_export.bundle import Source

    if arguments.untrained:
        network = untrained_network(arguments.model or DEFAULT_MODEL)
        return Source(network, hashlib.sha256(b"untrained").hexdigest(), "untrained: no licence")
    path = arguments.checkpoint or shipped_checkpoint(arguments.model or DEFAULT_MODEL)
    network = load_checkpoint(path)
    if arguments.model not in (None, network.config.name):
        raise CheckpointError(
            f"{path} holds {network.config.name}, not {arguments.model}; leave --model out"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(network, digest, checkpoint_licence(path))


def _export(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    import torch

    from tracenet.rft import capture
    from tracenet_export.bundle import check_replaceable, export_bundle
    from tracenet_export.schedule import parse_levels, plan_full, plan_taps
    from tracenet_export.targets import open_target

    canvas, windows = parse_canvas(arguments.canvas), parse_windows(arguments.windows)
    open_target(arguments.target, arguments.precision)
    check_replaceable(arguments.out)
    levels = () if arguments.schedule == "full" else parse_levels(arguments.schedule)
    source = open_source(arguments)
    torch.set_num_threads(arguments.threads)
    graph = capture(source.network, (torch.zeros(1, 3, *canvas),))
    tap_plan = plan_taps(graph, canvas, levels, windows) if levels else plan_full(graph, canvas)
    parity = export_bundle(
        source,
        tap_plan,
        arguments.target,
        arguments.precision,
        arguments.out,
        threads=arguments.threads,
    )
    full = graph.full_macs
    return {
        "bundle": str(arguments.out),
        "target": arguments.target,
        "schedule": tap_plan.name,
        "input_window": list(tap_plan.plan.input_window),
        "macs_share": {
            name: (tap_plan.plan.query_macs + tap_plan.plan.alternative_macs(name)) / full
            for name in tap_plan.plan.alternatives
        },
        "parity": parity,
    }


def _readable(report: dict[str, Any]) -> str:
    replay = report["parity"]["replay"]
    worst = max(replay["relative_error"].items(), key=lambda item: item[1])
    height, width = report["input_window"]
    lines = [
        f"{report['bundle']}: {report['target']}, schedule {report['schedule']}",
        f"input window {height} x {width}",
        "multiply-adds of a tap, share of FullNet's: "
        + ", ".join(f"{name} {share:.3f}" for name, share in report["macs_share"].items()),
        f"programs: {report['parity']['programs_checked_by']}",
        f"replay of {replay['taps']} taps against FullNet: largest relative error {worst[1]:.1e} "
        f"({worst[0]}), {replay['level_flips']} level flips, mean IoU "
        f"{replay['mask_iou_mean']:.4f} with whole masks "
        f"({replay['truncated']} reach beyond their window)",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
