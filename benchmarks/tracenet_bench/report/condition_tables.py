"""The conditions of a report as tables: the machine, and what each configuration is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from tracenet_bench.measure.shown import SHOWN_SIDE
from tracenet_bench.report.conditions import processor, timed_until
from tracenet_bench.report.schema import Report
from tracenet_bench.report.tables import Row, Table
from tracenet_bench.report.texts import NONE, amount, counted, label, printable


def subject_table(report: Report) -> Table:
    """What each configuration is."""
    rows = []
    for it in report.measured:
        subject = it.subject
        says = ", ".join(f"{key} {value}" for key, value in subject.engine_says.items())
        canvas = NONE if subject.canvas is None else f"{subject.canvas[0]} x {subject.canvas[1]}"
        cells = (
            subject.source,
            subject.network,
            subject.target,
            subject.precision,
            subject.engine,
            subject.schedule,
            canvas,
            str(subject.threads),
            says,
        )
        rows.append(Row(label(subject), tuple(printable(cell or NONE) for cell in cells)))
    return Table(
        (
            "configuration",
            "source",
            "network",
            "target",
            "precision",
            "engine",
            "schedule",
            "canvas, height x width",
            "threads",
            "the engine says",
        ),
        tuple(rows),
    )


def environment_table(report: Report) -> Table:
    """The machine, the software and how long was measured."""
    environment, conditions = report.environment, report.conditions
    physical = environment.physical_cores
    rows = {
        "measured at": printable(environment.measured_at),
        "processor": processor(environment),
        "cores": f"{environment.usable_cores} usable of {environment.logical_cores} logical"
        + ("" if physical is None else f", {physical} physical"),
        "frequency governor": printable(environment.governor or "unknown"),
        "memory": amount(environment.memory, "B"),
        "measured peak": _by_threads(environment.peak_macs_per_second, " multiply-adds/s"),
        "measured bandwidth": _by_threads(environment.bandwidth, "B/s"),
        "system": printable(environment.system),
        "a tap's mask": f"as large as the photo, its longer side at most {SHOWN_SIDE} pixels",
        "warm-up": counted(conditions.warm_up, "tap"),
        "timed until": timed_until(conditions),
        "throughput over": f"{conditions.stream_seconds:g} s",
        "seed": str(conditions.seed),
        "command": printable(shlex.join(report.command)),
    }
    return Table(("condition", "value"), tuple(Row(name, (text,)) for name, text in rows.items()))


def _by_threads(values: Mapping[int, float], unit: str) -> str:
    texts = (
        f"{amount(value, unit)} on {counted(threads, 'thread')}"
        for threads, value in sorted(values.items())
    )
    return ", ".join(texts) or "not measured"
