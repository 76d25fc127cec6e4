"""Which bundle runs on which engine: options of the command line, and what is said of it."""

import argparse
from pathlib import Path

from tracenet_runtime.arguments import thread_count
from tracenet_runtime.cores import default_threads
from tracenet_runtime.engines import COMPUTE_UNITS, ENGINES, EngineReport, all_engines


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add ``--bundle`` and ``--engine``."""
    parser.add_argument(
        "--bundle",
        type=Path,
        default=Path("out/bundle"),
        metavar="DIR",
        help="the exported network (default: %(default)s)",
    )
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help=f"what runs it: {', '.join(ENGINES)} (default: that of the bundle's target)",
    )


def add_engine_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads`` and ``--compute-units``."""
    parser.add_argument(
        "--threads",
        type=thread_count,
        default=default_threads(),
        metavar="N",
        help="threads of the engine (default: %(default)s)",
    )
    parser.add_argument(
        "--compute-units",
        choices=COMPUTE_UNITS,
        help=f"what Core ML may run on (default: {COMPUTE_UNITS[0]})",
    )


def extra_of(engine: str | None) -> str:
    """What installs an engine's packages."""
    row = all_engines().get(engine or "onnxruntime")
    return row.extra if row else "onnxruntime"


def said_of_engine(report: EngineReport | None) -> str:
    """What ran, what was asked of it, and what it says it took."""
    assert report is not None  # as of an engine that was loaded
    asked = {"threads": report.requested.threads, "compute units": report.requested.compute_units}
    actual = {name.replace("_", " "): value for name, value in report.actual.items()}
    settings = "; ".join(
        f"{name}: {value} asked for, {actual.get(name, 'not reported')}"
        for name, value in asked.items()
        if value is not None
    )
    return f"{report.name} {report.actual['version']} ({settings})"
