"""tracenet-train."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracenet_runtime.tool import run_tool

EXAMPLE = """example:
  tracenet-train --model mobilenetv2-fpn --trunk mobilenet_v2.safetensors \\
      --data photos/train --steps 4000 --out runs/first
  accelerate launch -m tracenet.training.cli --model r50-fpn --coco instances.json images ..."""


def _whole_number(minimum: int, maximum: int = sys.maxsize) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if not minimum <= value <= maximum:
            bound = f"less than {minimum}" if value < minimum else f"more than {maximum}"
            raise argparse.ArgumentTypeError(f"{value} is {bound}")
        return value

    return whole_number


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracenet-train",
        description="Train TraceNet on taps.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        help="configuration, such as r50-fpn (default: that of --init, else mobilenetv2-fpn)",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder with index.jsonl, ID.jpg and ID.png")
    source.add_argument(
        "--coco", type=Path, nargs=2, metavar=("JSON", "IMAGES"), help="COCO instances JSON"
    )
    source.add_argument(
        "--lvis",
        type=Path,
        nargs=2,
        metavar=("JSON", "IMAGES"),
        help="LVIS v1 JSON and COCO's images, in IMAGES or in IMAGES/train2017 and so on",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--trunk", type=Path, help="ImageNet trunk, torchvision names (.safetensors)"
    )
    start.add_argument("--init", type=Path, help="checkpoint to start from (.safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--steps", type=_whole_number(1), default=4000)
    parser.add_argument("--learning-rate", type=_positive, default=1e-3)
    parser.add_argument(
        "--canvas", default="320", help="square canvas sizes, comma-separated; a step draws one"
    )
    parser.add_argument(
        "--pixels",
        type=_positive,
        default=16 * 320 * 320 / 1e6,
        help="megapixels of canvas per step and process (default: sixteen of 320 x 320)",
    )
    parser.add_argument(
        "--set-weight",
        action="append",
        default=[],
        metavar="SET=W",
        help="draw photos of this set of --data W times as often; repeatable",
    )
    parser.add_argument(
        "--hold-out",
        type=_whole_number(2),
        metavar="N",
        help="keep every Nth photo out of training, for tracenet-eval --held-out N",
    )
    parser.add_argument(
        "--taps",
        choices=["anywhere", "centre"],
        default="anywhere",
        help="where on a thing training taps (default: anywhere on it)",
    )
    parser.add_argument(
        "--copy-paste",
        type=_probability,
        default=0.5,
        metavar="P",
        help="share of canvases with things of other photos pasted on (default: 0.5)",
    )
    parser.add_argument("--precision", choices=["no", "bf16", "fp16"], default="bf16")
    parser.add_argument(
        "--workers", type=_whole_number(0), default=1, help="processes that load photos"
    )
    parser.add_argument(
        "--save-every", type=_whole_number(1), default=250, help="steps between checkpoints"
    )
    parser.add_argument("--seed", type=_whole_number(0, 2**32 - 1), default=0)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints a JSON summary on stdout. Returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        sizes = tuple(int(size) for size in arguments.canvas.split(","))
        set_weights = {
            name: float(weight)
            for name, weight in (item.split("=") for item in arguments.set_weight)
        }
    except ValueError:
        parser.error("--canvas takes 320 or 320,448,640 and --set-weight takes NAME=NUMBER")
    # Up to 128, P7 is one cell, no statistics for BatchNorm if the canvas is alone; up to 64, so is
    # P6, and oneDNN then leaves bf16 gradients of P7's weights unset.
    if any(size <= 128 or size % 32 for size in sizes):
        parser.error("--canvas: sizes are multiples of 32 above 128")
    if set_weights and not arguments.data:
        parser.error("--set-weight needs --data: a COCO or LVIS JSON has no sets")

    def work() -> None:
        summary = _run(arguments, sizes, set_weights)
        if summary is not None:
            print(json.dumps(summary))

    def stopped() -> str:
        resumable = (arguments.out / "state").exists()
        return f"stopped; {'--resume goes on from here' if resumable else 'nothing is saved yet'}"

    return run_tool("tracenet-train", "train", work, stopped)


def _run(
    arguments: argparse.Namespace, sizes: tuple[int, ...], set_weights: dict[str, float]
) -> dict[str, Any] | None:
    """Train; gives the summary in the main process alone, so that it is printed once."""
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    from accelerate import PartialState
    from accelerate.utils import set_seed

    from tracenet.data import (
        CocoDataset,
        CopyPaste,
        FolderDataset,
        HeldOut,
        LvisDataset,
        PhotoDataset,
        Recipe,
    )
    from tracenet.model import CheckpointError, build_network, load_checkpoint, load_trunk
    from tracenet.training.loop import Schedule, freeze_early_layers, train

    photos: PhotoDataset
    if arguments.data:
        photos = FolderDataset(arguments.data, set_weights)
    elif arguments.coco:
        photos = CocoDataset(*arguments.coco)
    else:
        photos = LvisDataset(*arguments.lvis)
    if photos.problems and PartialState().is_main_process:
        print(photos.problems, file=sys.stderr)
    if arguments.hold_out:
        photos = HeldOut(photos, arguments.hold_out, training=True)
    set_seed(arguments.seed)  # of the weights that start at random
    if arguments.init:
        network = load_checkpoint(arguments.init)
        if arguments.model not in (None, network.config.name):
            raise CheckpointError(
                f"{arguments.init} is a {network.config.name}, not a {arguments.model}; leave "
                "--model out"
            )
    else:
        network = build_network(arguments.model or "mobilenetv2-fpn")
    if arguments.trunk:
        load_trunk(network.backbone, arguments.trunk)
    if arguments.trunk or arguments.init:
        freeze_early_layers(network)
    summary = train(
        network,
        photos,
        Recipe(
            pixels=round(arguments.pixels * 1e6),
            canvas_sizes=sizes,
            tap_region=arguments.taps,
            copy_paste=CopyPaste(probability=arguments.copy_paste),
        ),
        Schedule(
            steps=arguments.steps,
            learning_rate=arguments.learning_rate,
            save_every=arguments.save_every,
            seed=arguments.seed,
        ),
        arguments.out,
        resume=arguments.resume,
        precision=arguments.precision,
        workers=arguments.workers,
    )
    return summary if PartialState().is_main_process else None


if __name__ == "__main__":
    sys.exit(main())
