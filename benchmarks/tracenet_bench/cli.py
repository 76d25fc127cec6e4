"""tracenet-bench."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tracenet_bench.arguments import TOLERANCE, build_parser, find_mistake
from tracenet_runtime.cores import warn_of_threads
from tracenet_runtime.tool import print_results, run_tool

if TYPE_CHECKING:
    from tracenet_bench.measure.benchmark import Options


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit code: 1 for a regression against ``--compare``, 2 for a mistake
    or where no time can be compared."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    mistake = find_mistake(arguments)
    if mistake:
        parser.error(mistake)

    def work() -> int:
        from tracenet_bench.report.file import check_writable

        for path in filter(None, (arguments.out, arguments.html)):
            check_writable(path)
        if arguments.cuts:
            return _bench_cuts(arguments)
        return _bench(arguments, tuple(sys.argv[1:] if argv is None else argv))

    return run_tool("tracenet-bench", "bench", work, lambda: "stopped; nothing was written")


def _bench(arguments: argparse.Namespace, command: tuple[str, ...]) -> int:
    # Imported here so that --help and mistakes on the command line need not wait, and so that what
    # is missing can be said in a sentence.
    from tracenet_bench.compare.figures import ComparisonError, compare
    from tracenet_bench.measure.benchmark import measure
    from tracenet_bench.report.file import read_report, report_to_dict, write_report, write_text
    from tracenet_bench.report.html import html
    from tracenet_bench.report.markdown import markdown

    before = read_report(arguments.compare) if arguments.compare else None
    report = measure(_options(arguments, command))
    # What was measured must not be lost: each file is written whatever becomes of the other, and
    # of what is printed, which nobody may be reading any more.
    with ExitStack() as kept:
        if arguments.out:
            kept.callback(write_report, arguments.out, report)
        compared = compare(before, report, arguments.tolerance or TOLERANCE) if before else None
        if arguments.html:
            kept.callback(lambda: write_text(arguments.html, html(report, compared)))
        print_results(json.dumps(report_to_dict(report)) if arguments.json else markdown(report))
        if compared is not None and arguments.json:
            print(compared.markdown(), file=sys.stderr)
        elif compared is not None:
            print_results(compared.markdown())
    if compared is None:
        return 0
    if not compared.regressions and not compared.comparable:
        raise ComparisonError(
            f"no time could be compared with {arguments.compare}, for the reasons above; measure "
            "the old state again under these conditions"
        )
    return 1 if compared.regressions else 0


def _options(arguments: argparse.Namespace, command: tuple[str, ...]) -> Options:
    from tracenet_bench.device.constraint import Launcher
    from tracenet_bench.measure.benchmark import TARGET_INTERVAL, Options
    from tracenet_bench.measure.configurations import Wanted
    from tracenet_bench.measure.sampling import Rules

    launcher = Launcher.of(arguments.device)
    threads = arguments.threads or [launcher.threads]
    warn_of_threads(
        max(threads), None if launcher.constraint is None else launcher.constraint.cores
    )
    return Options(
        wanted=Wanted(
            bundles=tuple(arguments.bundle),
            engines=tuple(arguments.engine),
            schedules=tuple(arguments.schedule),
            canvases=tuple(arguments.canvas),
            threads=tuple(dict.fromkeys(threads)),
            baselines=tuple(arguments.baseline),
            baseline_bundle=arguments.baseline_bundle,
            baseline_canvas=arguments.baseline_canvas,
        ),
        photos=arguments.photos,
        megapixels=tuple(arguments.megapixels),
        taps=arguments.taps,
        accuracy_taps=arguments.accuracy_taps,
        rules=Rules(
            warm_up=arguments.warm_up,
            target_interval=TARGET_INTERVAL,
            limit_taps=arguments.limit_taps,
            limit_seconds=arguments.limit_seconds,
            seed=arguments.seed,
        ),
        launcher=launcher,
        command=("tracenet-bench", *command),
    )


def _bench_cuts(arguments: argparse.Namespace) -> int:
    from tracenet_bench.measure.cuts import measure_bundle_cuts, readable
    from tracenet_bench.report.file import write_text

    threads = next(iter(arguments.threads), 1)
    warn_of_threads(threads)
    report = measure_bundle_cuts(
        arguments.bundle[0],
        next(iter(arguments.schedule), None),
        next(iter(arguments.canvas), None),
        arguments.photos,
        threads,
        arguments.taps,
        arguments.warm_up,
        arguments.seed,
    )
    try:
        print_results(json.dumps(report) if arguments.json else readable(report))
    finally:
        if arguments.out:
            write_text(arguments.out, f"{json.dumps(report, indent=2)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
