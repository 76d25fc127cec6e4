"""The command that writes the paper's table: counts, exports, times, and one page of all that."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracenet_runtime.arguments import tap_count, thread_count
from tracenet_runtime.cores import warn_of_threads
from tracenet_runtime.tool import ToolParser, run_tool

if TYPE_CHECKING:
    from paper_counts import PlannedNetwork, Size
    from paper_page import PaperTable
    from tracenet_bench.measure.sampling import Rules

EXAMPLE = """examples:
  python benchmarks/paper/paper_table.py
  python benchmarks/paper/paper_table.py --threads 2 --out out/paper_table.md"""

NETWORKS = ("r50-fpn", "r101-fpn")
CANVAS = (640, 640)
"""Height and width."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="python benchmarks/paper/paper_table.py",
        description="Reproduce Table 3 of the paper (arXiv 2406.14874) on this machine: "
        "multiply-adds, latency and throughput of TraceNet beside FullNet. Random weights.",
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("benchmarks/paper/paper_table.md"),
        metavar="FILE",
        help="the page, in Markdown (default: %(default)s)",
    )
    parser.add_argument("--threads", type=thread_count, default=1, help="default: %(default)s")
    parser.add_argument("--taps", type=tap_count, default=10, help="random ones (default: 10)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    arguments = build_parser().parse_args(argv)
    words = sys.argv[1:] if argv is None else argv
    command = ("python", "benchmarks/paper/paper_table.py", *words)

    def work() -> None:
        # Imported here so that --help and mistakes on the command line need not wait, and so that
        # what is missing can be said in a sentence.
        from paper_page import paper_page
        from tracenet_bench.measure.benchmark import TARGET_INTERVAL
        from tracenet_bench.measure.sampling import Rules
        from tracenet_bench.report.file import check_writable, write_text

        check_writable(arguments.out)
        rules = Rules(
            warm_up=3,
            target_interval=TARGET_INTERVAL,
            limit_taps=1000,
            limit_seconds=120.0,
            seed=0,
        )
        table = make_table(NETWORKS, CANVAS, arguments.threads, arguments.taps, rules, command)
        write_text(arguments.out, paper_page(table))

    return run_tool("paper_table", "bench,export", work, lambda: "stopped; nothing was written")


def make_table(
    networks: Sequence[str],
    canvas: Size,
    threads: int,
    taps: int,
    rules: Rules,
    command: Sequence[str],
) -> PaperTable:
    """Count, export and time networks, with progress on standard error.

    Args:
        networks: names of configurations.
        canvas: height and width.
        threads: of every engine.
        taps: different ones, uniform over the canvas.
        rules: when something has been timed long enough.
        command: the command line, for the page.

    Raises:
        TraceNetError: a network cannot be exported, or not be measured.
    """
    import torch
    from PIL import Image
    from tqdm.auto import tqdm

    from paper_counts import count_network, plan_network
    from paper_page import PaperTable
    from paper_regions import time_regions
    from paper_windows import measure_windows, window_forms
    from tracenet.scene import generate_scene
    from tracenet_bench.measure.noise import judge_noise
    from tracenet_bench.measure.photos import random_taps

    warn_of_threads(threads)
    torch.set_num_threads(threads)
    planned = [plan_network(name, canvas) for name in tqdm(networks, desc="plan")]
    counts = tuple(count_network(one) for one in planned)
    scene = generate_scene(*canvas)
    with tempfile.TemporaryDirectory(prefix="tracenet-paper-") as name:
        folder = Path(name)
        photo = folder / "scene.png"
        Image.fromarray(scene).save(photo)
        bundles = [_export(one, folder, threads) for one in tqdm(planned, desc="export")]
        report = measure_windows(bundles, canvas, photo, threads, taps, rules, command)
    drawn = random_taps(report.conditions.photos, taps, rules.seed)
    exact = [time_regions(one, scene, drawn, rules) for one in planned]
    steady = {one.subject.name: one.steady for one in report.measured if one.steady}
    for times in exact:
        steady |= times.steady
    noise = judge_noise(steady, taps, report.environment.busy_before)
    return PaperTable(
        canvas=canvas,
        counts=counts,
        windows=window_forms(report),
        regions=tuple(form for times in exact for form in times.forms),
        report=replace(report, noise=noise),
    )


def _export(planned: PlannedNetwork, folder: Path, threads: int) -> Path:
    """A bundle of all schedules, in fp32."""
    from tracenet_export.assemble import assemble
    from tracenet_export.bundle import export_bundle
    from tracenet_export.draft import Draft
    from tracenet_runtime.strategies.rules import SingleRule

    out = folder / planned.name
    plans = list(planned.plans.values())
    strategy = SingleRule(tuple(range(len(plans))))
    draft = Draft(planned.source, assemble(plans), strategy, "onnx", "fp32")
    export_bundle(draft, out, threads=threads)
    return out


if __name__ == "__main__":
    sys.exit(main())
