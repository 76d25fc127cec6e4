"""tracenet-bench."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from tracenet_runtime import TapSegmenter, load_photo
from tracenet_runtime.tool import run_tool

EXAMPLE = """example:
  tracenet-export --model r50-fpn --untrained --out out/r50
  tracenet-export --model r50-fpn --untrained --schedule full --out out/r50-full
  tracenet-bench --bundle out/r50 --baseline out/r50-full --threads 1"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracenet-bench",
        description="Time cold taps of a bundle, each next to the same tap of a baseline bundle.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument(
        "--baseline", type=Path, help="bundle to compare with, such as one of --schedule full"
    )
    parser.add_argument("--photo", type=Path, help="default: the bundle's golden photo")
    parser.add_argument("--taps", type=int, default=20, help="random taps on the photo")
    parser.add_argument("--warm-up", type=int, default=3, help="taps before the first counted one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the figures go to stdout. Returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if min(arguments.taps, arguments.threads) < 1 or min(arguments.warm_up, arguments.seed) < 0:
        parser.error("--taps and --threads are at least 1, --warm-up and --seed at least 0")
    if arguments.threads > 1024:
        parser.error("--threads is at most 1024")

    def work() -> None:
        report = _bench(arguments)
        print(json.dumps(report) if arguments.json else _readable(report))

    return run_tool("tracenet-bench", "bench", work)


def _bench(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that what is missing can be said in a sentence.
    from tracenet_bench.latency import median_ratio, random_taps, time_taps

    paths = {"bundle": arguments.bundle}
    if arguments.baseline:
        paths["baseline"] = arguments.baseline
    segmenters = {
        name: TapSegmenter.load(path, engine=arguments.engine, threads=arguments.threads)
        for name, path in paths.items()
    }
    photo = load_photo(arguments.photo or segmenters["bundle"].bundle.golden_photo)
    taps = random_taps(photo, arguments.taps, arguments.seed)
    latencies = time_taps(segmenters, photo, taps, arguments.warm_up)
    report: dict[str, Any] = {
        "threads": arguments.threads,
        "engine": arguments.engine,
        "machine": platform.machine(),
        "photo": {"height": photo.shape[0], "width": photo.shape[1]},
        "taps": arguments.taps,
    }
    for name, path in paths.items():
        manifest = segmenters[name].bundle.manifest
        report[name] = {
            "path": str(path),
            "network": manifest.name,
            "schedule": manifest.schedule.name,
            "precision": manifest.precision,
            "canvas": [manifest.canvas_height, manifest.canvas_width],
            **latencies[name].to_dict(),
        }
    if arguments.baseline:
        report["baseline_over_bundle"] = round(
            median_ratio(latencies["baseline"], latencies["bundle"]), 3
        )
    return report


def _readable(report: dict[str, Any]) -> str:
    lines = [
        f"{report['engine']}, {report['threads']} thread(s), photo {report['photo']['width']} x "
        f"{report['photo']['height']}, {report['taps']} taps"
    ]
    for name in ("bundle", "baseline"):
        if name not in report:
            continue
        part = report[name]
        stages = ", ".join(f"{stage} {ms:.1f}" for stage, ms in part["stages_ms"].items())
        lines.append(
            f"{name:9}{part['network']} {part['schedule']} "
            f"{part['canvas'][0]}x{part['canvas'][1]}: "
            f"median {part['median_ms']:.1f} ms (p10 {part['p10_ms']:.1f}, p90 "
            f"{part['p90_ms']:.1f}); ms by stage: {stages}"
        )
    if "baseline_over_bundle" in report:
        lines.append(f"a tap of the baseline takes {report['baseline_over_bundle']:.2f} x as long")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
