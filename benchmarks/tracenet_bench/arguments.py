"""The command line of tracenet-bench."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tracenet_bench.device.profile import shipped_profiles
from tracenet_runtime.arguments import (
    CANVAS,
    canvas_size,
    comma_separated,
    number,
    positive_number,
    seed,
    tap_count,
    thread_count,
    whole_number,
)
from tracenet_runtime.files import is_same_file
from tracenet_runtime.image.photo import MAX_PIXELS
from tracenet_runtime.tool import ToolParser

EXAMPLE = """examples:
  tracenet-bench --bundle out/bundle
  tracenet-bench --bundle out/r50 --schedule all P3-P5 --baseline fullnet,cropped,edgetam \\
      --out out/r50.json --html out/r50.html
  tracenet-bench --bundle out/int8 --baseline all --baseline-bundle out/fp32 --threads 2
  tracenet-bench --bundle out/bundle --photos photos/val --compare out/before.json
  tracenet-bench --bundle out/bundle --device phone.toml
  tracenet-bench --bundle out/r50 --schedule all --cuts

A baseline FILE.py:NAME runs the code that it names."""

TOLERANCE = 0.05


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="tracenet-bench",
        description="Measure taps: time, memory and accuracy, each configuration in processes of\n"
        "its own, all of them in turn. The report goes to standard output as Markdown.",
        epilog=EXAMPLE,
    )
    what = parser.add_argument_group("what is measured; of what is given several times, each")

    def several(option: str, **more: Any) -> None:
        what.add_argument(option, action="extend", nargs="+", default=[], **more)

    several("--bundle", type=Path, required=True, metavar="DIR")
    several("--engine", help="default: that of the bundle's target")
    several("--schedule", help="default: chosen by the photo")
    several(
        "--canvas",
        type=canvas_size,
        metavar="CANVAS",
        help=f"a {CANVAS} that the bundle serves (default: chosen by the photo)",
    )
    several("--threads", type=thread_count, help="default: 1; with --device, its cores")
    against = parser.add_argument_group("what it is compared with")
    against.add_argument(
        "--baseline",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME[,NAME]",
        help="fullnet (the schedule `full`), cropped (`all/input` for `all`), a schedule, "
        "edgetam (a SAM for phones, the cost alone), or a model FILE.py:NAME",
    )
    against.add_argument(
        "--baseline-bundle",
        type=Path,
        metavar="DIR",
        help="has the baseline's schedule, on the engine of its own target (default: the bundles)",
    )
    against.add_argument(
        "--baseline-canvas", type=canvas_size, metavar="CANVAS", help=CANVAS + " of --baseline"
    )
    against.add_argument("--compare", type=Path, metavar="OLD.json", help="report of another run")
    against.add_argument(
        "--tolerance",
        type=positive_number,
        help=f"of --compare: share by which a median may grow (default: {TOLERANCE})",
    )
    against.add_argument(
        "--cuts",
        action="store_true",
        help="instead of all this: one ONNX program that holds the same work as a schedule's",
    )
    how = parser.add_argument_group("conditions")
    how.add_argument(
        "--photos",
        type=Path,
        metavar="PATH",
        help="a photo, or a folder, of which the first photos are tapped, at most as many as "
        "--taps; accuracy is measured where it has index.jsonl and instance maps (default: the "
        "bundle's golden photo)",
    )
    how.add_argument(
        "--megapixels",
        type=comma_separated(number(above=0, most=MAX_PIXELS / 1e6)),
        default=(),
        metavar="N[,N]",
        help="bring the first photo to these sizes",
    )

    def setting(option: str, kind: Any, default: float, meaning: str) -> None:
        how.add_argument(
            option,
            type=kind,
            default=default,
            metavar="N",
            help=f"{meaning} (default: {default:g})",
        )

    setting("--taps", tap_count, 20, "different ones, at random places")
    setting("--accuracy-taps", whole_number(1, 1000), 5, "on each annotated instance")
    setting("--warm-up", whole_number(0, 100_000), 3, "uncounted taps; at least one per photo")
    setting("--limit-taps", whole_number(1, 1_000_000), 1000, "counted taps, at most")
    setting("--limit-seconds", positive_number, 120.0, "of counted taps, at most")
    setting("--seed", seed, 0, "of taps and intervals")
    how.add_argument(
        "--device",
        metavar="PROFILE",
        help="limit every process to the cores and the memory of a device, and project what taps "
        f"take there: {', '.join(shipped_profiles())}, or the path of a .toml file",
    )
    results = parser.add_argument_group("results")
    results.add_argument("--out", type=Path, metavar="FILE.json", help="all of the report, as JSON")
    results.add_argument("--html", type=Path, metavar="FILE", help="one page with plots")
    results.add_argument(
        "--json",
        action="store_true",
        help="print all of the report as JSON; what --compare says goes to standard error",
    )
    return parser


def find_mistake(arguments: argparse.Namespace) -> str | None:
    """What is wrong with options that do not go together, in a sentence."""
    if arguments.out and arguments.html and is_same_file(arguments.out, arguments.html):
        return "--out and --html name the same file; name two"
    if (arguments.baseline_canvas or arguments.baseline_bundle) and not arguments.baseline:
        return "--baseline-canvas and --baseline-bundle are for --baseline; name that too"
    if arguments.tolerance and not arguments.compare:
        return "--tolerance is for --compare; name the old report too"
    if not arguments.cuts:
        return None
    if arguments.engine not in ([], ["onnxruntime"]):
        return "--cuts joins ONNX programs; it runs on onnxruntime only"
    for option in ("baseline", "compare", "megapixels", "device", "html"):
        if getattr(arguments, option):
            return f"--cuts has its own comparison and report; leave --{option} out"
    for option in ("bundle", "schedule", "canvas", "threads"):
        if len(getattr(arguments, option)) > 1:
            return f"--cuts takes one --{option}"
    return None
