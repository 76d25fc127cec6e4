"""Why a report has no accuracy, or no projection, of a configuration."""

from __future__ import annotations

from tracenet_bench.report.schema import Report
from tracenet_bench.report.tables import Row, Table
from tracenet_bench.report.texts import label, printable


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
