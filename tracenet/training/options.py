"""The options of tracenet-train, from the command line and a configuration file."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from tracenet.options import DEFAULT_NETWORK, PHOTO_SOURCES, SEED, add_photo_sources
from tracenet.training.config_file import ConfigError, FileParser, read_config
from tracenet_runtime.tool import ToolParser, whole_number

EXAMPLE = """example:
  tracenet-train --config phone --trunk nanodet_plus_m_1.5x_416.safetensors \\
      --data photos/train --out runs/first
  accelerate launch -m tracenet.training.cli --config paper-coco \\
      --coco instances.json images --trunk resnet50.safetensors --out runs/coco"""

STARTS = ("trunk", "init")

STARTING = {
    "clicks": "the network whose masks are corrected",
    "video": "the network whose features are read",
    "fusion": "the network with propagation, whose masks are merged",
}
"""Tasks that add to a network, and what that is to them."""

OF_CLIPS = ("video", "fusion")
"""Tasks that learn from clips."""


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options by name: those of the command line, else of ``--config``, else the defaults.

    Ends the program where argparse does. ``set_weight`` is a dict.

    Raises:
        ConfigError: the configuration file is not usable.
    """
    parser, file_parser = build_parser(), build_parser(FileParser)
    defaults = vars(parser.parse_args([]))
    unset = argparse.Namespace(**dict.fromkeys(defaults))
    given = {
        name: value
        for name, value in vars(parser.parse_args(argv, unset)).items()
        if value is not None
    }
    config = {}
    if "config" in given:
        names = {name.replace("_", "-") for name in defaults.keys() - {"config"}}
        config = read_config(given["config"], file_parser, names)
    for rivals in (PHOTO_SOURCES, STARTS):
        if any(name in given for name in rivals):
            config = {name: value for name, value in config.items() if name not in rivals}
        both = [f"--{name}" for name in rivals if name in config]
        if len(both) > 1:
            raise ConfigError(
                f"{given['config']} sets {' and '.join(both)}, which exclude each other"
            )
    options = defaults | config | given
    options["set_weight"] = dict(config.get("set_weight", []) + given.get("set_weight", []))

    if not any(options[name] for name in PHOTO_SOURCES):
        parser.error(f"one of {', '.join(f'--{name}' for name in PHOTO_SOURCES)} is needed")
    if not options["out"]:
        parser.error("--out is needed")
    strange = sorted(options["tiles"].keys() - set(options["canvas"]))
    if strange:
        parser.error(
            f"--tiles names {', '.join(map(str, strange))}, which --canvas does not; name sizes of "
            "--canvas"
        )
    if options["score_every"] and options["task"] in OF_CLIPS and not options["clips"]:
        parser.error("--score-every needs --clips, of which some are kept to be scored")
    if options["score_every"] and options["task"] not in OF_CLIPS and not options["hold_out"]:
        parser.error("--score-every needs --hold-out, which keeps photos to be scored")
    if options["task"] in STARTING and not options["init"]:
        parser.error(f"--task {options['task']} needs --init, {STARTING[options['task']]}")
    if options["clips"] and options["task"] not in OF_CLIPS:
        parser.error(f"--clips is for --task {' and '.join(OF_CLIPS)}")
    if "lengths" in config | given and options["task"] not in OF_CLIPS:
        parser.error(f"--lengths is for --task {' and '.join(OF_CLIPS)}")
    if options["task"] == "fusion" and min(options["lengths"]) < 3:
        parser.error(
            "--task fusion needs --lengths of 3 at least: what lies between a clip's first and "
            "last frame is merged"
        )
    if options["clip_share"] and not options["clips"]:
        parser.error("--clip-share needs --clips, where the clips are")
    if options["set_weight"] and not options["data"]:
        parser.error("--set-weight needs --data: a COCO or LVIS JSON has no sets")
    return argparse.Namespace(**options)


def build_parser(kind: type[argparse.ArgumentParser] = ToolParser) -> argparse.ArgumentParser:
    """The command line. What must be given is not marked as such: a file may give it."""
    parser = kind(
        prog="tracenet-train",
        description="Train TraceNet on taps, its guided look on corrections, or propagation on "
        "clips.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
        type=_probability,
        default=0.0,
        metavar="P",
        help="share of the clips of a step that are those of --clips; the others are deformed "
        "photos (default: none)",
    )
    parser.add_argument(
        "--lengths",
        type=_lengths,
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
    parser.add_argument("--learning-rate", type=_positive, default=1e-3)
    parser.add_argument(
        "--trunk-factor",
        type=_positive,
        default=0.2,
        help="the trunk's learning rate as a share of --learning-rate (default: 0.2)",
    )
    parser.add_argument("--weight-decay", type=_not_negative, default=0.02, help="default: 0.02")
    parser.add_argument(
        "--milestones",
        type=_milestones,
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
        type=_canvas_sizes,
        default=(320,),
        help="square canvas sizes, comma-separated; a step draws one",
    )
    parser.add_argument(
        "--pixels",
        type=_positive,
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
    parser.add_argument(
        "--hold-out",
        type=whole_number(2),
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
        help="score some of the photos of --hold-out, or the clips that are kept, every K steps "
        "(default: never)",
    )
    parser.add_argument("--seed", type=SEED, default=0)
    return parser


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _not_negative(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or a positive number")
    return value


def _probability(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _milestones(text: str) -> tuple[int, ...]:
    return tuple(map(whole_number(1), text.split(",")))


def _lengths(text: str) -> tuple[int, ...]:
    return tuple(map(whole_number(2), text.split(",")))


def _canvas_sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(map(whole_number(0), text.split(",")))
    # Up to 128, P7 is one cell, no statistics for BatchNorm if the canvas is alone; up to 64, so is
    # P6, and oneDNN then leaves bf16 gradients of P7's weights unset.
    if any(size <= 128 or size % 32 for size in sizes):
        raise argparse.ArgumentTypeError(f"{text}: sizes are multiples of 32 above 128")
    return sizes


def _tile_shares(text: str) -> dict[int, float]:
    shares: dict[int, float] = {}
    for part in text.split(","):
        side, separator, share = part.partition(":")
        if not separator:
            raise argparse.ArgumentTypeError(f"{text!r} is not SIDE:SHARE,SIDE:SHARE, and so on")
        (size,) = _canvas_sizes(side)
        if size in shares:
            raise argparse.ArgumentTypeError(f"{text!r} names {size} twice")
        shares[size] = _probability(share)
    # To name a size for none is to leave it out, also for --resume.
    return {size: share for size, share in shares.items() if share}


def _set_weight(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER")
    return name, _number(weight)
