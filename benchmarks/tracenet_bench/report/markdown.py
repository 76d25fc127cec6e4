"""A report as Markdown: compact tables for a README, each under its conditions."""

from __future__ import annotations

import re

from tracenet_bench.report.conditions import (
    conditions_sentence,
    constrained_sentence,
    projected_sentence,
)
from tracenet_bench.report.operations import clip_memory_table, clip_table, operation_table
from tracenet_bench.report.schema import Report
from tracenet_bench.report.tables import (
    Row,
    Table,
    failure_table,
    measured_table,
    not_projected_table,
    not_scored_table,
    program_table,
    projection_table,
    ratio_table,
    stage_table,
)
from tracenet_bench.report.texts import printable

# What Markdown or the HTML in it would take for markup.
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~&])")


def markdown(report: Report) -> str:
    """The report's tables, in GitHub's Markdown. Projections come last, under their own heading."""
    device = report.device
    heading = "" if device is None else f", constrained to {escape(printable(device.profile))}"
    conditions = escape(conditions_sentence(report))
    if device is not None:
        conditions = f"{escape(constrained_sentence(device))} {conditions}"
    sections = [
        (f"Latency, memory and size{heading}", measured_table(report)),
        (f"Ratios{heading}", ratio_table(report)),
        (f"Shares of a tap{heading}", stage_table(report)),
        (f"Programs{heading}", program_table(report)),
        (f"Corrections{heading}", operation_table(report)),
        (f"Frames of clips{heading}", clip_table(report)),
        (f"Memory of a clip{heading}", clip_memory_table(report)),
        (f"Failures{heading}", failure_table(report)),
        (f"Not scored{heading}", not_scored_table(report)),
    ]
    texts = noise_warning(report) + [
        f"## {title}\n\n{conditions}\n\n{table_markdown(table)}"
        for title, table in sections
        if table.rows
    ]
    projected = [
        table_markdown(table)
        for table in (projection_table(report), not_projected_table(report))
        if table.rows
    ]
    if projected:
        texts.append(
            f"## Projected, not measured\n\n{escape(projected_sentence(report))} "
            f"{escape(conditions_sentence(report))}"
        )
        texts += projected
    return "\n\n".join(texts) + "\n"


def noise_warning(report: Report) -> list[str]:
    """A paragraph and the reasons as a list; nothing of a quiet machine."""
    if report.noise.quiet:
        return []
    reasons = "\n".join(f"- {escape(printable(reason))}" for reason in report.noise.reasons)
    return [
        "**The machine was too noisy to compare these figures.**",
        *([reasons] if reasons else []),
    ]


def table_markdown(table: Table) -> str:
    """A table, and below it its notes."""
    head = Row(table.columns[0], table.columns[1:])
    lines = [_line(head), "|" + " --- |" * len(table.columns)]
    lines += [_line(row) for row in table.rows]
    return "\n".join(lines) + "".join(f"\n\n{escape(note)}" for note in table.notes)


def escape(text: str) -> str:
    """So that a text shows as it is: names come from bundles, which anyone may have made."""
    return _MARKUP.sub(r"\\\1", text)


def _line(row: Row) -> str:
    return "| " + " | ".join(escape(cell) for cell in (row.name, *row.cells)) + " |"
