"""The command line of tracenet-train: its options, one by one."""

from __future__ import annotations

import argparse
from pathlib import Path

from tracenet.options import DEFAULT_NETWORK, add_held_out, add_photo_sources
from tracenet_runtime.arguments import (
    canvas_size,
    comma_separated,
    number,
    positive_number,
    seed,
    share,
    whole_number,
)
from tracenet_runtime.tool import ToolParser

EXAMPLE = """example:
  tracenet-train --config phone --trunk nanodet_plus_m_1.5x_416.safetensors \\
      --data photos/train --out runs/first
  accelerate launch -m tracenet.training.cli --config paper-coco \\
      --coco instances.json images --trunk resnet50.safetensors --out runs/coco"""


def build_parser(kind: type[ToolParser] = ToolParser) -> ToolParser:
    """The command line. What must be given is not marked as such: a file may give it."""
    parser = kind(
        prog="tracenet-train",
        description="Train TraceNet on taps, its guided look on corrections, or propagation on "
        "clips.",
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "--config",
        metavar="FILE.toml",
        help="options by their long names, or paper-coco, phone, phone-clicks or phone-video; the "
        "command line overrides it",
    )
    parser.add_argument(
        "--task",
        choices=["taps", "clicks", "video", "fusion"],
        default="taps",
        help="what is learnt: masks from one tap; the guided look, which corrects the masks of "
        "--init's network by clicks, scribbles and boxes; propagation, which carries masks through "
        "clips and reads that network's features; or the fusion of what two propagations say "
        "(default: taps)",
    )
    parser.add_argument(
        "--model",
        help=f"configuration, such as r50-fpn (default: that of --init, else {DEFAULT_NETWORK})",
    )
    add_photo_sources(parser.add_mutually_exclusive_group())
    parser.add_argument(
        "--clips",
        type=Path,
        help="folder of clips for --task video and fusion; every fifth of a set is kept to be "
        "scored",
    )
    parser.add_argument(
        "--clip-share",
        type=share,
        default=0.0,
        metavar="P",
        help="share of the clips of a step that are those of --clips; the others are deformed "
        "photos (default: none)",
    )
    parser.add_argument(
        "--lengths",
        type=comma_separated(whole_number(2)),
        default=(3,),
        help="frames of a clip, comma-separated; a step draws one (default: 3)",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--trunk", type=Path, help="pretrained trunk (.safetensors): docs/training.md, Trunks"
    )
    start.add_argument("--init", type=Path, help="checkpoint to start from (.safetensors)")
    parser.add_argument("--out", type=Path, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--steps", type=whole_number(1), default=4000)
    parser.add_argument("--optimizer", choices=["adamw", "sgd"], default="adamw")
    parser.add_argument("--learning-rate", type=positive_number, default=1e-3)
    parser.add_argument(
        "--trunk-factor",
        type=positive_number,
        default=0.2,
        help="the trunk's learning rate as a share of --learning-rate (default: 0.2)",
    )
    parser.add_argument("--weight-decay", type=number(0), default=0.02, help="default: 0.02")
    parser.add_argument(
        "--milestones",
        type=comma_separated(whole_number(1)),
        default=(),
        help="steps, comma-separated, at which the learning rate is divided by ten (default: it "
        "falls as a cosine over the last 30 %% of the steps)",
    )
    parser.add_argument(
        "--leaky-steps",
        type=whole_number(0),
        default=0,
        help="steps over which the LeakyReLU that ShuffleNetV2's --trunk knows becomes ReLU "
        "(default: none; it is ReLU from the start)",
    )
    parser.add_argument(
        "--rounded-steps",
        type=whole_number(0),
        default=0,
        help="steps, the last ones, in which activations are rounded as in int8 (default: none)",
    )
    parser.add_argument(
        "--canvas",
        type=comma_separated(_canvas_side),
        default=(320,),
        metavar="SIDE,...",
        help="sides of square canvases, multiples of 32 above 128; a step draws one (default: 320)",
    )
    parser.add_argument(
        "--pixels",
        type=positive_number,
        default=16 * 320 * 320 / 1e6,
        help="megapixels of canvas per step and process (default: sixteen of 320 x 320)",
    )
    parser.add_argument(
        "--set-weight",
        type=_set_weight,
        action="append",
        default=[],
        metavar="SET=W",
        help="draw photos of this set of --data W times as often; repeatable",
    )
    add_held_out(parser, "keep every Nth photo out of training, for tracenet-eval --held-out N")
    parser.add_argument(
        "--tap-at",
        choices=["anywhere", "centre"],
        default="anywhere",
        help="where on a thing training taps (default: anywhere on it)",
    )
    parser.add_argument(
        "--copy-paste",
        type=share,
        default=0.5,
        metavar="P",
        help="share of canvases with things of other photos pasted on (default: 0.5)",
    )
    parser.add_argument(
        "--tiles",
        type=_tile_shares,
        default={},
        metavar="SIDE:P,...",
        help="share of the canvases of a size that are tiles about a thing, as the zoom looks at "
        "one (default: none)",
    )
    parser.add_argument("--precision", choices=["no", "bf16", "fp16"], default="bf16")
    parser.add_argument(
        "--workers", type=whole_number(0), default=1, help="processes that load photos"
    )
    parser.add_argument(
        "--save-every", type=whole_number(1), default=250, help="steps between checkpoints"
    )
    parser.add_argument(
        "--score-every",
        type=whole_number(1),
        metavar="K",
        help="score some of the photos of --held-out, or the clips that are kept, every K steps "
        "(default: never)",
    )
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


def _canvas_side(text: str) -> int:
    height, width = canvas_size(text)
    # Up to 128, P7 is one cell, no statistics for BatchNorm if the canvas is alone; up to 64, so is
    # P6, and oneDNN then leaves bf16 gradients of P7's weights unset.
    if height != width or height <= 128 or height % 32:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no canvas to train on; give the side of a square, a multiple of 32 above "
            "128"
        )
    return height


def _tile_shares(text: str) -> dict[int, float]:
    shares: dict[int, float] = {}
    for part in text.split(","):
        side, separator, chosen = part.partition(":")
        if not separator:
            raise argparse.ArgumentTypeError(f"{text!r} is not SIDE:SHARE,SIDE:SHARE, and so on")
        size = _canvas_side(side)
        if size in shares:
            raise argparse.ArgumentTypeError(f"{text!r} names {size} twice")
        shares[size] = share(chosen)
    # To name a size for none is to leave it out, also for --resume.
    return {size: chosen for size, chosen in shares.items() if chosen}


def _set_weight(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER")
    return name, number()(weight)
