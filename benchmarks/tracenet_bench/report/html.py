"""A report as one HTML page that needs nothing else: no script, no font, no file beside it."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tracenet_bench.compare.comparison import Comparison
from tracenet_bench.report import (
    conditions,
    operations,
    point_plots,
    row_plots,
    tables,
)
from tracenet_bench.report.highlights import highlights
from tracenet_bench.report.schema import Report
from tracenet_bench.report.texts import printable


def html(report: Report, comparison: Comparison | None = None) -> str:
    """The page, for phones and desktops, light and dark.

    Args:
        report: what is shown. Its texts are escaped: names come from bundles, which anyone may have
            made. The page's own policy forbids scripts and requests besides.
        comparison: with an earlier run, if there is one to show.
    """
    page: str = (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            comparison=comparison,
            numbers=point_plots.numbers(report),
            conditions=conditions,
            highlights=highlights,
            operations=operations,
            row_plots=row_plots,
            point_plots=point_plots,
            tables=tables,
        )
    )
    return page


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("tracenet_bench.report"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """A file's name may hold half a character, which no page can; markup is of type Markup."""
    return printable(value) if type(value) is str else value
