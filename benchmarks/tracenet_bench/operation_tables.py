"""What corrections take, as a table of texts."""

from __future__ import annotations

from tracenet_bench.schema import Report
from tracenet_bench.tables import Row, Table, stage_names, sum_by_stage
from tracenet_bench.texts import amount, label, percent, with_interval

_WORDS = {"encode": "a tile's encoding", "correction": "a correction", "undo": "an undo"}


def operation_table(report: Report) -> Table:
    """A row per configuration with a guided look and operation."""
    by_stage = [
        (it, operation, sum_by_stage(operation.shares or {}))
        for it in report.measured
        for operation in it.operations
    ]
    stages = stage_names([shares for *_, shares in by_stage])
    return Table(
        ("configuration", "what", "median, ms", "times its tap", "taps", "multiply-adds", *stages),
        tuple(
            Row(
                label(it.subject),
                (
                    _WORDS[operation.name],
                    with_interval(operation.p50, operation.interval),
                    with_interval(operation.of_tap, operation.of_tap_interval),
                    str(operation.taps),
                    amount(operation.macs),
                    *(percent(shares.get(stage)) for stage in stages),
                ),
            )
            for it, operation, shares in by_stage
        ),
    )
