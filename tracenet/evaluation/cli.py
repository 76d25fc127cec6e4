"""tracenet-eval."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tracenet.options import DEFAULT_NETWORK, add_held_out, add_photo_sources
from tracenet_runtime.arguments import (
    CANVAS,
    canvas_side,
    canvas_size,
    number,
    seed,
    tap_count,
    thread_count,
    whole_number,
)
from tracenet_runtime.cores import default_threads
from tracenet_runtime.image.photo import MAX_PIXELS
from tracenet_runtime.tool import ToolParser, print_results, run_tool

EXAMPLE = """examples:
  tracenet-eval --data photos/val
  tracenet-eval --checkpoint runs/first/network.safetensors --protocol bands \\
      --coco instances_val2017.json val2017 --out runs/first/eval
  tracenet-eval --bundle out/bundle --schedule warm --data photos/val
  tracenet-eval --protocol clicks --data photos/val
  tracenet-eval --checkpoint runs/video/network.safetensors --clips DAVIS --held-back
  tracenet-eval --model my_model.py:segment --taps-from runs/first/eval/taps.jsonl \\
      --data photos/val
  accelerate launch --multi_gpu --num_processes 8 -m tracenet.evaluation.cli \\
      --lvis lvis_v1_val.json coco --out runs/first/lvis --resume

--model runs the code that it names. docs/evaluation.md has the definitions."""


PHOTO_PROTOCOLS = ("uniform", "bands", "clicks")
CLIP_PROTOCOLS = ("first-mask", "tap", "presence", "interactive")

_OF_PHOTOS = (
    "model", "replay", "schedule", "canvas", "held_out", "enlarge", "taps",
    "max_clicks", "taps_from", "scored_canvas",
)  # fmt: skip
"""Options that clips cannot be scored with."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="tracenet-eval",
        description="Score one-tap masks by mIoU-T and mTA (arXiv 2406.14874), how many clicks "
        "correct them, or by J and F how well they are carried through clips.",
        epilog=EXAMPLE,
    )
    what = parser.add_argument_group("what is scored")
    what.add_argument(
        "--checkpoint",
        type=Path,
        help="a network with these weights (.safetensors), as FullNet; default: the shipped "
        f"{DEFAULT_NETWORK}",
    )
    what.add_argument(
        "--bundle",
        type=Path,
        help="the replay of this bundle, or its tracking of clips; with --protocol interactive, "
        "what corrects frames, while --checkpoint carries their masks",
    )
    what.add_argument(
        "--model",
        metavar="FILE.py:NAME",
        help="an outside model: a callable segment(image, (x, y)) -> mask, for clicks "
        "segment(image, clicks, previous_mask) -> mask; module:name works too",
    )
    how = parser.add_argument_group("how it computes")
    how.add_argument(
        "--replay",
        action="store_true",
        help="of a checkpoint: every layer on the tap's region only, the paper's reference form; "
        "slow",
    )
    how.add_argument(
        "--schedule",
        help="of --bundle, or zoom (default: its zoom if it has one, else chosen by each photo)",
    )
    how.add_argument("--engine", help="of --bundle (default: that of its target)")
    how.add_argument(
        "--canvas",
        type=canvas_size,
        help=f"what it computes on, without a zoom: a {CANVAS} in multiples of 128 pixels, of "
        "--bundle one that it serves (default: 512; of --bundle: chosen by each photo)",
    )
    how.add_argument(
        "--threads",
        type=thread_count,
        default=default_threads(),
        help="not of --model (default: %(default)s)",
    )
    photos = parser.add_argument_group("photos")
    add_held_out(photos, "only every Nth, which tracenet-train --held-out N does not train on")
    photos.add_argument(
        "--enlarge",
        type=number(above=0, most=MAX_PIXELS / 1e6),
        metavar="MEGAPIXELS",
        help="photos that have fewer are enlarged to so many, with their masks, before they are "
        "tapped",
    )
    sources = photos.add_mutually_exclusive_group(required=True)
    add_photo_sources(sources)
    sources.add_argument(
        "--clips",
        type=Path,
        help="folder with index.jsonl, NAME/00000.jpg and NAME/00000.png, or DAVIS's",
    )
    photos.add_argument(
        "--held-back",
        action="store_true",
        help="only those of --clips that tracenet-train never trains on: every fifth of a set, "
        "without a number to name",
    )
    taps = parser.add_argument_group("taps and clicks")
    taps.add_argument(
        "--protocol",
        choices=[*PHOTO_PROTOCOLS, *CLIP_PROTOCOLS],
        help="taps over the instance's pixels; the paper's: a fifth of them in each of five bands "
        "around the centre of mass; or clicks that correct the mask, each in the middle of what is "
        "wrong (default: uniform); of clips: the first frame's masks are given, or a tap on each "
        "of its things, or they are painted over for some frames, or scribbles on the worst frame "
        "in eight rounds (default: first-mask)",
    )
    taps.add_argument("--taps", type=tap_count, help="per instance (default: 25)")
    taps.add_argument(
        "--max-clicks",
        type=whole_number(1, 1000),
        help="per instance, of --protocol clicks (default: 20)",
    )
    taps.add_argument("--seed", type=seed, default=0, help="of taps and intervals (default: 0)")
    taps.add_argument(
        "--taps-from", type=Path, metavar="TAPS.jsonl", help="the taps of another evaluation"
    )
    taps.add_argument(
        "--scored-canvas",
        type=canvas_side,
        metavar="SIDE",
        help="an instance is scored if it covers at least 200 pixels of a square canvas of this "
        "side, whatever canvas the answer is computed on (default: 640)",
    )
    results = parser.add_argument_group("results")
    results.add_argument(
        "--out",
        type=Path,
        help="folder for results.json, table.md, taps.jsonl (or clicks.jsonl, frames.jsonl) and "
        "pictures",
    )
    results.add_argument("--resume", action="store_true", help="go on with what --out holds")
    results.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the results go to stdout. Returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    mistake = _mistake(arguments)
    if mistake:
        parser.error(mistake)

    def work() -> None:
        # Imported here so that --help and mistakes on the command line need not wait for torch.
        from tracenet.evaluation.run import run

        evaluation = run(arguments)
        if evaluation is not None:
            print_results(
                json.dumps(evaluation.results) if arguments.json else evaluation.table.rstrip()
            )

    def stopped() -> str:
        if arguments.out and (arguments.out / "settings.json").exists():
            return "stopped; --resume goes on from here"
        return "stopped; nothing is saved" + ("" if arguments.out else " without --out")

    return run_tool("tracenet-eval", "train", work, stopped)


def _mistake(arguments: argparse.Namespace) -> str | None:
    """What is wrong with options that do not go together."""
    named = [o for o in ("checkpoint", "bundle", "model") if getattr(arguments, o)]
    if len(named) > 1 and arguments.protocol != "interactive":
        return f"--{named[0]} and --{named[1]} exclude each other"
    if arguments.clips:
        if arguments.protocol == "interactive" and not arguments.bundle:
            return "--protocol interactive takes --bundle, what corrects frames"
        if arguments.protocol in PHOTO_PROTOCOLS:
            return (
                f"--protocol {arguments.protocol} is for photos; of --clips take "
                f"{', '.join(CLIP_PROTOCOLS[:-1])} or {CLIP_PROTOCOLS[-1]}"
            )
        strange = [f"--{o.replace('_', '-')}" for o in _OF_PHOTOS if getattr(arguments, o)]
        if strange:
            return f"{strange[0]} is for photos, not for --clips"
    elif arguments.held_back:
        return "--held-back is for --clips; of photos take --held-out"
    elif arguments.protocol in CLIP_PROTOCOLS:
        return (
            f"--protocol {arguments.protocol} is for --clips; of photos take "
            f"{', '.join(PHOTO_PROTOCOLS[:-1])} or {PHOTO_PROTOCOLS[-1]}"
        )
    if (arguments.schedule or arguments.engine) and not arguments.bundle:
        return "--schedule and --engine are for --bundle"
    if arguments.replay and (arguments.bundle or arguments.model):
        return "--replay is for a checkpoint; a bundle is always replayed"
    if arguments.canvas and arguments.model:
        return "--canvas is for our own networks; --model gets the photo as it is"
    if arguments.taps_from and (arguments.protocol or arguments.taps or arguments.scored_canvas):
        return (
            "--taps-from brings its own taps and instances; leave --protocol, --taps and "
            "--scored-canvas out"
        )
    if arguments.protocol == "clicks" and arguments.taps:
        return "--taps is for --protocol uniform and bands; clicks are limited by --max-clicks"
    if arguments.max_clicks and arguments.protocol != "clicks":
        return "--max-clicks is for --protocol clicks"
    if arguments.protocol == "bands" and (arguments.taps or 5) % 5:
        return "--protocol bands taps each of five bands equally: --taps is a multiple of 5"
    if arguments.resume and not arguments.out:
        return "--resume needs --out"
    return None


if __name__ == "__main__":
    sys.exit(main())
