"""What corrections take, and frames of clips, as tables of texts."""

from __future__ import annotations

from collections.abc import Mapping

from tracenet_bench.report.schema import OperationName, Report
from tracenet_bench.report.tables import Row, Table, stage_names, sum_by_stage
from tracenet_bench.report.texts import amount, label, megabytes, percent, with_interval

_CORRECTIONS: Mapping[OperationName, str] = {
    "encode": "a tile's encoding",
    "correction": "a correction",
    "undo": "an undo",
}
_CLIPS: Mapping[OperationName, str] = {
    "frame": "a frame with one thing",
    "frame_of_three": "a frame with three",
    "fusion": "a thing fused",
}


def operation_table(report: Report) -> Table:
    """A row per configuration with a guided look and operation."""
    return _table(report, _CORRECTIONS)


def clip_table(report: Report) -> Table:
    """A row per configuration that tracks and operation."""
    return _table(report, _CLIPS)


def clip_memory_table(report: Report) -> Table:
    """How memory grows while a clip goes on."""
    return Table(
        ("configuration", "frames", "at first, MB", "at last", "growth"),
        tuple(
            Row(
                label(it.subject),
                (
                    f"{found.first} to {found.last}",
                    megabytes(found.at_first),
                    megabytes(found.at_last),
                    f"{(found.at_last - found.at_first) / 1e6:+.1f}",
                ),
            )
            for it in report.measured
            if (found := it.clip_memory) is not None
        ),
    )


def _table(report: Report, words: Mapping[OperationName, str]) -> Table:
    by_stage = [
        (it, operation, sum_by_stage(operation.shares or {}))
        for it in report.measured
        for operation in it.operations
        if operation.name in words
    ]
    stages = stage_names([shares for *_, shares in by_stage])
    return Table(
        ("configuration", "what", "median, ms", "times its tap", "taps", "multiply-adds", *stages),
        tuple(
            Row(
                label(it.subject),
                (
                    words[operation.name],
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
