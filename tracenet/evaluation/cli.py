"""tracenet-eval."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tracenet_runtime.manifest import MAX_SIDE
from tracenet_runtime.tool import run_tool, thread_count

EXAMPLE = """examples:
  tracenet-eval --data photos/val --canvas 640 --taps 10 --json
  tracenet-eval --bundle out/bundle --schedule warm --data photos/val"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracenet-eval",
        description="Score one-tap masks: IoU averaged over uniform taps, then over instances.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--checkpoint",
        type=Path,
        help="FullNet with these weights (.safetensors); default: the shipped mobilenetv2-fpn",
    )
    what.add_argument("--bundle", type=Path, help="the replay of this bundle, on its own canvas")
    parser.add_argument("--schedule", help="of --bundle (default: chosen by each photo)")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with index.jsonl, ID.jpg and ID.png"
    )
    parser.add_argument(
        "--canvas",
        type=int,
        default=640,
        help="side of the square canvas that FullNet sees, and on which instances must cover at "
        "least 200 pixels to be scored (default: 640)",
    )
    parser.add_argument("--taps", type=int, default=10, help="per instance (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the taps")
    parser.add_argument("--engine", help="for --bundle (default: that of its target)")
    parser.add_argument("--threads", type=thread_count, default=2)
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the scores go to stdout. Returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.taps < 1 or arguments.seed < 0:
        parser.error("--taps is at least 1, --seed at least 0")
    if arguments.schedule and not arguments.bundle:
        parser.error("--schedule is for --bundle; a checkpoint is evaluated as FullNet")

    def work() -> None:
        report = _evaluate(arguments)
        if arguments.json:
            print(json.dumps(report))
        else:
            print("\n".join(f"{name:22} {value}" for name, value in report.items()))

    return run_tool("tracenet-eval", "export", work)


def _evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    import torch

    from tracenet.data import DataError, FolderDataset
    from tracenet.evaluation.evaluate import MINIMUM_AREA, TapModel, evaluate
    from tracenet.evaluation.metrics import summarise
    from tracenet.evaluation.models import BundleReplay, FullNet
    from tracenet.model import COARSEST_STRIDE, load_checkpoint, shipped_checkpoint
    from tracenet_runtime.canvas import Canvas
    from tracenet_runtime.errors import TraceNetError
    from tracenet_runtime.segmenter import TapSegmenter

    size = arguments.canvas
    if not COARSEST_STRIDE <= size <= MAX_SIDE or size % COARSEST_STRIDE:
        raise TraceNetError(
            f"--canvas {size} does not fit; give a multiple of {COARSEST_STRIDE} up to {MAX_SIDE}"
        )
    photos = FolderDataset(arguments.data)
    model: TapModel
    if arguments.bundle:
        segmenter = TapSegmenter.load(
            arguments.bundle, arguments.engine, arguments.threads, schedule=arguments.schedule
        )
        model = BundleReplay(segmenter)
        name = str(arguments.bundle)
    else:
        path = arguments.checkpoint or shipped_checkpoint("mobilenetv2-fpn")
        network = load_checkpoint(path)
        torch.set_num_threads(arguments.threads)
        model, name = FullNet(network, Canvas(size, size, network.pad_value)), str(path)
    began = time.perf_counter()
    scores = evaluate(model, photos, size, arguments.taps, arguments.seed)
    if not scores:
        raise DataError(
            f"{arguments.data} has no instance of at least {MINIMUM_AREA} pixels to score"
        )
    return summarise(scores).to_dict() | {
        "evaluated": name,
        "scored_on_canvas": size,
        "seconds": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
