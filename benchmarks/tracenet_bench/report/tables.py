"""A report as tables of texts, which Markdown and HTML then set in their own ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tracenet_bench.report.schema import Measured, Report
from tracenet_bench.report.texts import (
    NONE,
    amount,
    fraction_with_interval,
    label,
    megabytes,
    number,
    percent,
    printable,
    size,
    with_interval,
)

STAGES = (
    "canvas",
    "cut",
    "engine",
    "tap",
    "encode",
    "correction",
    "frame",
    "read",
    "decode",
    "value",
    "fuse",
    "mask",
    "paste",
    "other",
)


@dataclass(frozen=True)
class Row:
    """The name in the first column, and the other cells."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """``columns`` has the head of the first column too; ``notes`` stand below."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def measured_table(report: Report) -> Table:
    """One row per configuration, failed ones with what they got to."""
    columns: dict[str, Callable[[Measured], str]] = {
        "median, ms": _median,
        "min": lambda it: NONE if it.steady is None else number(it.steady.minimum),
        "p90": lambda it: NONE if it.steady is None else number(it.steady.p90),
        "p99": lambda it: NONE if it.steady is None else number(it.steady.p99),
        "taps": lambda it: NONE if it.steady is None else str(len(it.steady.samples)),
        "first tap, ms": lambda it: number(it.first_tap),
        "load, ms": lambda it: number(it.load),
        "taps/s": lambda it: number(it.taps_per_second),
        "memory, MB": lambda it: NONE if it.memory is None else megabytes(it.memory.above_baseline),
        "size, MB": lambda it: megabytes(it.bundle_size),
        "multiply-adds": lambda it: amount(it.macs),
        "of fp32 peak": lambda it: percent(it.share_of_peak),
        "mIoU-T": _miou_t,
        "mTA": _mta,
    }
    notes = []
    if any(it.steady is not None and not it.steady.converged for it in report.measured):
        notes.append(
            "* A limit ended the timing before the median's interval was narrower than "
            f"{percent(report.conditions.target_interval)} of the median."
        )
    return _drop_empty(
        Table(
            ("configuration", *columns),
            tuple(
                Row(label(it.subject), tuple(cell(it) for cell in columns.values()))
                for it in report.measured
            ),
            tuple(notes),
        )
    )


def ratio_table(report: Report) -> Table:
    """How many times as long one configuration takes as another."""
    labels = {it.subject.name: label(it.subject) for it in report.measured}
    return Table(
        ("a tap of", "compared with", "times as long", "times the multiply-adds"),
        tuple(
            Row(
                labels.get(ratio.of, printable(ratio.of)),
                (
                    labels.get(ratio.to, printable(ratio.to)),
                    with_interval(ratio.ratio, ratio.interval),
                    number(ratio.macs),
                ),
            )
            for ratio in report.ratios
        ),
    )


def stage_table(report: Report) -> Table:
    """Shares of a steady tap; the engine's are summed over its programs."""
    by_stage = [(it, sum_by_stage(it.shares)) for it in report.measured if it.shares is not None]
    stages = stage_names([shares for _, shares in by_stage])
    return Table(
        ("configuration", *(printable(stage) for stage in stages)),
        tuple(
            Row(label(it.subject), tuple(percent(shares.get(stage)) for stage in stages))
            for it, shares in by_stage
        ),
    )


def program_table(report: Report) -> Table:
    """Shares of a steady tap, program by program, the largest first."""
    rows = []
    for it in report.measured:
        programs = [
            (name.partition("/")[2], share)
            for name, share in (it.shares or {}).items()
            if name.startswith("engine/")
        ]
        programs.sort(key=lambda program: -program[1])
        if programs:
            texts = ", ".join(f"{printable(name)} {percent(share)}" for name, share in programs)
            rows.append(Row(label(it.subject), (texts,)))
    return Table(("configuration", "share of a tap by the engine's programs"), tuple(rows))


def memory_table(report: Report) -> Table:
    """Peak memory and what it is made of."""
    return Table(
        ("configuration", "above baseline, MB", "peak", "interpreter", "photo", "engine's arena"),
        tuple(
            Row(
                label(it.subject),
                tuple(
                    megabytes(size)
                    for size in (
                        it.memory.above_baseline,
                        it.memory.peak,
                        it.memory.interpreter,
                        it.memory.photo,
                        it.memory.arena,
                    )
                ),
            )
            for it in report.measured
            if it.memory is not None
        ),
    )


def photo_table(report: Report) -> Table:
    """Median latency on each photo."""
    photos = report.conditions.photos
    return Table(
        ("median in ms, by photo", *(f"{printable(it.source)}, {size(it)}" for it in photos)),
        tuple(
            Row(label(it.subject), tuple(number(median) for median in it.steady.by_photo))
            for it in report.measured
            if it.steady is not None
        ),
    )


def failure_table(report: Report) -> Table:
    """What did not run, where it stopped and why."""
    return Table(
        ("configuration", "failed at", "because"),
        tuple(
            Row(label(it.subject), (printable(it.failure.stage), printable(it.failure.message)))
            for it in report.measured
            if it.failure is not None
        ),
    )


def not_scored_table(report: Report) -> Table:
    """What has no accuracy though the photos are annotated."""
    return Table(
        ("not scored", "because"),
        tuple(
            Row(label(it.subject), (printable(it.no_accuracy),))
            for it in report.measured
            if it.no_accuracy is not None
        ),
    )


def projection_table(report: Report) -> Table:
    """What the engine's part of a tap would take elsewhere."""
    labels = {it.subject.name: label(it.subject) for it in report.measured}
    return Table(
        ("configuration", "device", "projected, ms", "bound by arithmetic", "fits its memory"),
        tuple(
            Row(
                labels.get(it.subject, printable(it.subject)),
                (
                    printable(it.device),
                    number(it.milliseconds),
                    percent(it.compute_bound),
                    "yes" if it.fits else "no",
                ),
            )
            for it in report.projections
        ),
    )


def not_projected_table(report: Report) -> Table:
    """What has no projection though there is a device."""
    labels = {it.subject.name: label(it.subject) for it in report.measured}
    return Table(
        ("not projected", "because"),
        tuple(
            Row(labels.get(it.subject, printable(it.subject)), (printable(it.reason),))
            for it in report.not_projected
        ),
    )


def sum_by_stage(shares: Mapping[str, float]) -> dict[str, float]:
    """``engine/a`` and ``engine/b`` are both part of ``engine``."""
    sums: dict[str, float] = {}
    for name, share in shares.items():
        stage = name.partition("/")[0]
        sums[stage] = sums.get(stage, 0.0) + share
    return sums


def stage_names(configurations: Sequence[Mapping[str, float]]) -> list[str]:
    """The stages that occur, in the order in which a tap goes through them."""
    there = {stage for shares in configurations for stage in shares}
    return [stage for stage in STAGES if stage in there] + sorted(there - set(STAGES))


def _median(measured: Measured) -> str:
    steady = measured.steady
    if steady is None:
        return NONE if measured.failure is None else "failed"
    return with_interval(steady.p50, steady.interval) + ("" if steady.converged else " *")


def _miou_t(measured: Measured) -> str:
    accuracy = measured.accuracy
    if accuracy is None:
        return NONE
    return fraction_with_interval(accuracy.miou_t, accuracy.miou_t_interval)


def _mta(measured: Measured) -> str:
    accuracy = measured.accuracy
    return NONE if accuracy is None else fraction_with_interval(accuracy.mta, accuracy.mta_interval)


def _drop_empty(table: Table) -> Table:
    """Without the columns that nobody has a figure for."""
    kept = [
        index
        for index in range(len(table.columns) - 1)
        if any(row.cells[index] != NONE for row in table.rows)
    ]
    return Table(
        (table.columns[0], *(table.columns[1 + index] for index in kept)),
        tuple(Row(row.name, tuple(row.cells[index] for index in kept)) for row in table.rows),
        table.notes,
    )
