"""Plots with a row per configuration: latency, ratios, stages, memory.

Here is what stands where; the template draws it as SVG that follows the page's width. Positions
along x are per cent of the plot: on a phone bars get shorter, and texts stay as large as they are.

No library draws it. A drawing by matplotlib is scaled as a whole, so that its texts are too small
on a phone; a second one for phones makes the page several times as large, and neither breaks a long
name into lines nor moves numbers apart that would cover each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracenet_bench.report.axes import Axis, axis_from_zero, axis_of_ratios, time_axis
from tracenet_bench.report.schema import Measured, Report, Steady
from tracenet_bench.report.tables import STAGES, stage_names, sum_by_stage
from tracenet_bench.report.texts import (
    amount,
    counted,
    label,
    number,
    percent,
    printable,
    with_interval,
)

_BINS = 100


@dataclass(frozen=True)
class Bar:
    """From ``x``, ``width`` long, in per cent; ``height`` is a share of the row's."""

    x: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class PlotRow:
    """One configuration: its name, its figures in words, and bars and marks (x, kind)."""

    name: str
    text: str
    bars: tuple[Bar, ...]
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class RowPlot:
    """One row per configuration on a common axis; ``legend`` has kinds and what they mean."""

    title: str
    axis: Axis
    rows: tuple[PlotRow, ...]
    legend: tuple[tuple[str, str], ...]


def latency_plot(report: Report) -> RowPlot | None:
    """Histograms of the counted taps; the axis ends at the largest p99, not at a stray tap."""
    timed = [(it, it.steady) for it in report.measured if it.steady is not None]
    if not timed:
        return None
    low = min(steady.minimum for _, steady in timed)
    high = max(max(steady.p99, steady.interval[1]) for _, steady in timed)
    axis = time_axis((low, high))
    rows = tuple(_latency_row(it, steady, axis) for it, steady in timed)
    legend = (
        ("taps", "how many taps took as long"),
        ("median", "median"),
        ("p90", "90 % of the taps are faster"),
        ("p99", "99 %"),
    )
    return RowPlot("Latency of a tap", axis, rows, legend)


def ratio_plot(report: Report) -> RowPlot | None:
    """Ratios of times with their intervals, around 1."""
    if not report.ratios:
        return None
    ends = [end for ratio in report.ratios for end in (*ratio.interval, ratio.ratio)]
    axis = axis_of_ratios("times as long, logarithmic", (1.0, *ends))
    rows = []
    for ratio in report.ratios:
        begin, end = (axis.position(value) for value in ratio.interval)
        rows.append(
            PlotRow(
                f"{printable(ratio.of)} over {printable(ratio.to)}",
                f"{with_interval(ratio.ratio, ratio.interval)} times as long",
                (Bar(begin, end - begin, 0.5, "interval"),),
                ((axis.position(1.0), "one"), (axis.position(ratio.ratio), "median")),
            )
        )
    legend = (("median", "ratio"), ("interval", "its 95 % interval"), ("one", "as fast"))
    return RowPlot("Ratios of times", axis, tuple(rows), legend)


def stage_plot(report: Report) -> RowPlot | None:
    """Where the time of a steady tap goes: stacked shares, the engine's split by program."""
    shared = [(it, it.shares) for it in report.measured if it.shares]
    if not shared:
        return None
    stages = stage_names([sum_by_stage(shares) for _, shares in shared])
    rows = []
    for it, shares in shared:
        bars: list[Bar] = []
        begin = 0.0
        for stage in stages:
            for name, share in shares.items():
                if name.partition("/")[0] == stage:
                    bars.append(Bar(begin, 100 * share, 1.0, _stage_kind(stage)))
                    begin += 100 * share
        sums = sum_by_stage(shares)
        text = ", ".join(f"{printable(it)} {percent(sums[it])}" for it in stages if it in sums)
        rows.append(PlotRow(label(it.subject), text, tuple(bars)))
    axis = axis_from_zero("% of a tap", (100.0,))
    legend = tuple((_stage_kind(stage), printable(stage)) for stage in stages)
    return RowPlot("Where the time goes", axis, tuple(rows), legend)


def memory_plot(report: Report) -> RowPlot | None:
    """Peak memory above what Python and the photo take, and of the engine's arena."""
    held = [(it, it.memory) for it in report.measured if it.memory is not None]
    if not held:
        return None
    sizes = [size for _, memory in held for size in (memory.above_baseline, memory.arena or 0)]
    axis = axis_from_zero("MB", (max(size, 0) / 1e6 for size in sizes))
    rows = []
    for it, memory in held:
        bars = [Bar(0.0, axis.position(memory.above_baseline / 1e6), 1.0, "memory")]
        text = f"{amount(memory.above_baseline, 'B')} at the peak"
        if memory.arena is not None:
            bars.append(Bar(0.0, axis.position(memory.arena / 1e6), 0.35, "arena"))
            text += f", the engine's arena {amount(memory.arena, 'B')}"
        rows.append(PlotRow(label(it.subject), text, tuple(bars)))
    legend = [("memory", "peak above baseline")]
    if any(memory.arena is not None for _, memory in held):
        legend.append(("arena", "what the engine's arena held"))
    return RowPlot("Memory", axis, tuple(rows), tuple(legend))


def _latency_row(measured: Measured, steady: Steady, axis: Axis) -> PlotRow:
    counts = [0] * _BINS
    shown = [sample for sample in steady.samples if axis.low <= sample <= axis.high]
    for sample in shown:
        counts[min(int(axis.position(sample) * _BINS / 100), _BINS - 1)] += 1
    fullest, width = max(counts, default=0), 100 / _BINS
    bars = [
        Bar(index * width, width, count / fullest, "taps")
        for index, count in enumerate(counts)
        if count
    ]
    marks = ((steady.p50, "median"), (steady.p90, "p90"), (steady.p99, "p99"))
    text = (
        f"median {with_interval(steady.p50, steady.interval)} ms, p90 {number(steady.p90)}, "
        f"p99 {number(steady.p99)}; {counted(len(steady.samples), 'tap')}"
    )
    hidden = len(steady.samples) - len(shown)
    if hidden:
        text += f", {hidden} slower than the axis is long"
    return PlotRow(
        label(measured.subject),
        text,
        tuple(bars),
        tuple((axis.position(value), kind) for value, kind in marks),
    )


def _stage_kind(stage: str) -> str:
    return f"stage-{stage}" if stage in STAGES else "stage-other"
