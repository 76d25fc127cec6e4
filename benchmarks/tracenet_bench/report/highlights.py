"""What stands out in a report, for a first glance."""

from __future__ import annotations

from dataclasses import dataclass

from tracenet_bench.report.schema import Report
from tracenet_bench.report.texts import amount, label, number


@dataclass(frozen=True)
class Highlight:
    """The best configuration in one respect."""

    title: str
    value: str
    name: str


def highlights(report: Report) -> tuple[Highlight, ...]:
    """What stands out; what failed, and networks with random weights, do not compete."""
    able = [it for it in report.measured if it.failure is None and it.subject.kind != "cost-only"]
    best = (
        (
            "Fastest tap (median)",
            {
                label(it.subject): (it.steady.p50, f"{number(it.steady.p50)} ms")
                for it in able
                if it.steady
            },
        ),
        (
            "Least memory",
            {
                label(it.subject): (it.memory.above_baseline, amount(it.memory.above_baseline, "B"))
                for it in able
                if it.memory
            },
        ),
        (
            "Smallest bundle",
            {
                label(it.subject): (it.bundle_size, amount(it.bundle_size, "B"))
                for it in able
                if it.bundle_size is not None
            },
        ),
        (
            "Best mIoU-T",
            {
                label(it.subject): (-it.accuracy.miou_t, f"{it.accuracy.miou_t:.3f}")
                for it in able
                if it.accuracy
            },
        ),
    )
    found = []
    for title, figures in best:
        if figures:
            name = min(figures, key=lambda it: figures[it][0])
            found.append(Highlight(title, figures[name][1], name))
    return tuple(found)
