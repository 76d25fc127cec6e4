"""tracenet-bench."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

from tracenet_runtime import TapSegmenter, load_photo
from tracenet_runtime.tool import canvas_size, run_tool, thread_count

EXAMPLE = """examples:
  tracenet-export --model r50-fpn --untrained --schedule all full --out out/r50
  tracenet-bench --bundle out/r50 --schedule all --baseline full --threads 1
  tracenet-bench --bundle out/r50 --schedule all --cuts --threads 1
  tracenet-bench --bundle out/int8 --baseline all --baseline-bundle out/fp32 --threads 2"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracenet-bench",
        description="Time taps of a schedule, each next to the same tap of a baseline; or what the "
        "cuts between its programs cost.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--schedule", help="of the bundle (default: chosen by the photo)")
    parser.add_argument("--canvas", type=canvas_size, metavar="HxW", help="for the schedule")
    parser.add_argument("--baseline", help="schedule to compare with, such as full")
    parser.add_argument(
        "--baseline-bundle",
        type=Path,
        help="bundle of the baseline, on the engine of its own target (default: the same bundle)",
    )
    parser.add_argument(
        "--baseline-canvas", type=canvas_size, metavar="HxW", help="for the baseline"
    )
    parser.add_argument(
        "--cuts",
        action="store_true",
        help="compare with one ONNX program that holds the same work as the schedule's",
    )
    parser.add_argument("--photo", type=Path, help="default: the bundle's golden photo")
    parser.add_argument("--taps", type=int, default=20, help="random taps on the photo")
    parser.add_argument("--warm-up", type=int, default=3, help="taps before the first counted one")
    parser.add_argument("--threads", type=thread_count, default=1)
    parser.add_argument("--engine", help="default: that of the bundle's target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the figures go to stdout. Returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.taps < 1 or min(arguments.warm_up, arguments.seed) < 0:
        parser.error("--taps is at least 1, --warm-up and --seed at least 0")
    if arguments.cuts and arguments.baseline:
        parser.error("--cuts has its own baseline; leave --baseline out")
    if arguments.cuts and arguments.engine not in (None, "onnxruntime"):
        parser.error("--cuts joins ONNX programs; it runs on onnxruntime only")
    if (arguments.baseline_canvas or arguments.baseline_bundle) and not arguments.baseline:
        parser.error("--baseline-canvas and --baseline-bundle are for --baseline; name that too")

    def work() -> None:
        if arguments.cuts:
            cuts = _bench_cuts(arguments)
            print(json.dumps(cuts) if arguments.json else _readable_cuts(cuts))
        else:
            report = _bench(arguments)
            print(json.dumps(report) if arguments.json else _readable(report))

    return run_tool("tracenet-bench", "bench", work)


def _bench(arguments: argparse.Namespace) -> dict[str, Any]:
    # Imported here so that what is missing can be said in a sentence.
    from tracenet_bench.latency import median_ratio, random_taps, time_taps

    def load(bundle: Path, engine: str | None, **asked: Any) -> TapSegmenter:
        return TapSegmenter.load(bundle, engine=engine, threads=arguments.threads, **asked)

    segmenters = {
        "tap": load(
            arguments.bundle,
            arguments.engine,
            schedule=arguments.schedule,
            canvas=arguments.canvas,
        )
    }
    if arguments.baseline:
        segmenters["baseline"] = load(
            arguments.baseline_bundle or arguments.bundle,
            None if arguments.baseline_bundle else arguments.engine,
            schedule=arguments.baseline,
            canvas=arguments.baseline_canvas,
        )
    bundle = segmenters["tap"].bundle
    photo = load_photo(arguments.photo or bundle.golden_photo)
    taps = random_taps(photo, arguments.taps, arguments.seed)
    latencies = time_taps(segmenters, photo, taps, arguments.warm_up)
    report: dict[str, Any] = {
        "bundle": str(arguments.bundle),
        "network": bundle.manifest.name,
        "threads": arguments.threads,
        "machine": platform.machine(),
        "photo": {"height": photo.shape[0], "width": photo.shape[1]},
        "taps": arguments.taps,
    }
    for name, segmenter in segmenters.items():
        assert segmenter.engine_report is not None
        report[name] = {
            "precision": segmenter.bundle.manifest.precision,
            "engine": dataclasses.asdict(segmenter.engine_report),
            **latencies[name].to_dict(),
        }
    if arguments.baseline:
        tap, baseline = latencies["tap"], latencies["baseline"]
        report["baseline_over_tap"] = round(median_ratio(baseline, tap), 3)
        report["macs_baseline_over_tap"] = round(
            statistics.mean(baseline.macs) / statistics.mean(tap.macs), 3
        )
    return report


def _bench_cuts(arguments: argparse.Namespace) -> dict[str, Any]:
    from tracenet_bench.cuts import measure_cuts
    from tracenet_bench.latency import random_taps
    from tracenet_runtime.bundle import Bundle
    from tracenet_runtime.canvas import Canvas
    from tracenet_runtime.choose import loadable_schedules

    bundle = Bundle.open(arguments.bundle)
    schedule = loadable_schedules(bundle.manifest.schedules, arguments.schedule, arguments.canvas)[
        0
    ]
    height, width = arguments.canvas or schedule.canvas
    photo = load_photo(arguments.photo or bundle.golden_photo)
    canvas, placement = Canvas(height, width, bundle.manifest.pad_value).fit(photo)
    taps = [placement.to_canvas(*tap) for tap in random_taps(photo, arguments.taps, arguments.seed)]
    costs = measure_cuts(bundle, schedule, canvas, taps, arguments.threads, arguments.warm_up)
    return {
        "bundle": str(arguments.bundle),
        "schedule": schedule.name,
        "canvas": [height, width],
        "threads": arguments.threads,
        "taps": arguments.taps,
        "cuts": [cost.to_dict() for cost in costs],
    }


def _readable_cuts(report: dict[str, Any]) -> str:
    height, width = report["canvas"]
    lines = [
        f"{report['bundle']}, {report['schedule']} on {height}x{width}, onnxruntime, "
        f"{report['threads']} thread(s), {report['taps']} taps"
    ]
    lines += [
        f"{cost['mask_window']:>6}: {cost['calls']} programs {cost['cut_ms']:.1f} ms, as one "
        f"program {cost['one_program_ms']:.1f} ms: the cuts cost {cost['cost_of_cuts']:.1%}"
        for cost in report["cuts"]
    ]
    return "\n".join(lines)


def _readable(report: dict[str, Any]) -> str:
    lines = [
        f"{report['bundle']}, {report['network']}, {report['threads']} thread(s), photo "
        f"{report['photo']['width']} x {report['photo']['height']}, {report['taps']} taps"
    ]
    for name in ("tap", "baseline"):
        if name not in report:
            continue
        part = report[name]
        stages = ", ".join(f"{stage} {ms:.1f}" for stage, ms in part["stages_ms"].items())
        lines.append(
            f"{name:9}{part['schedule']} {part['canvas'][0]}x{part['canvas'][1]}, "
            f"{part['engine']['name']} {part['precision']}: median {part['median_ms']:.1f} ms "
            f"(p10 {part['p10_ms']:.1f}, p90 {part['p90_ms']:.1f}), "
            f"{part['outside_engine']:.1%} outside the engine; ms by stage: {stages}"
        )
    if "baseline_over_tap" in report:
        lines.append(
            f"a tap of the baseline takes {report['baseline_over_tap']:.2f} x as long, with "
            f"{report['macs_baseline_over_tap']:.2f} x the multiply-adds"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
