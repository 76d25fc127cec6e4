"""What the cuts of one schedule of a bundle cost, as figures and as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracenet_bench.measure.cuts import measure_cuts
from tracenet_bench.measure.photos import random_taps
from tracenet_bench.report.schema import Photo
from tracenet_runtime.bundle.choice import choose_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.photo import load_photo


def measure_bundle_cuts(
    folder: Path,
    schedule_name: str | None,
    canvas_size: tuple[int, int] | None,
    photo_path: Path | None,
    threads: int,
    count: int,
    warm_up: int,
    seed: int,
) -> dict[str, Any]:
    """The figures of :func:`~tracenet_bench.measure.cuts.measure_cuts`, with their conditions.

    JSON-ready. Without a schedule, the first that serves the canvas; without a photo, the golden
    one.
    """
    bundle = Bundle.open(folder)
    schedule = choose_strategy(bundle.manifest, schedule_name, canvas_size).schedules[0]
    height, width = canvas_size or schedule.canvas
    photo = load_photo(photo_path or bundle.golden_photo)
    canvas, placement = Canvas(height, width, bundle.manifest.pad_value).fit(photo)
    taps = random_taps([Photo("photo", *photo.shape[:2])], count, seed)
    on_canvas = [placement.to_canvas(*tap.at) for tap in taps]
    costs = measure_cuts(bundle, schedule, canvas, on_canvas, threads, warm_up)
    return {
        "bundle": str(folder),
        "schedule": schedule.name,
        "canvas": [height, width],
        "threads": threads,
        "taps": count,
        "cuts": [cost.to_dict() for cost in costs],
    }


def readable(report: dict[str, Any]) -> str:
    """The same in lines."""
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
