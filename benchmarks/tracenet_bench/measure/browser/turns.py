"""All ways to tap in turn, and what each took, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tracenet_bench.measure.browser.taps import Tap, TapAll, Timeable, Timed
from tracenet_bench.measure.statistics import median_interval, paired_ratio
from tracenet_bench.report.markdown import table_markdown
from tracenet_bench.report.tables import Row, Table, stage_names, sum_by_stage
from tracenet_bench.report.texts import NONE, percent, with_interval

BLOCKS = 20
"""Native and browser take turns after all taps: seldom enough that caches are warm, often enough
that a machine whose speed drifts slows both."""

IN_BROWSER, OPEN, COLD = "Chromium", "native, photo open", "native, photo new to each tap"
STREAM = "native, in a stream"

SEED = 0
_WARM_UP = 2


@dataclass
class Taken:
    """Milliseconds of one kind in turn, in all and by stage."""

    milliseconds: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, timed: Timed) -> None:
        """Another one's; what no stage took is ``other``."""
        self.milliseconds.append(timed.milliseconds)
        if not timed.stages:
            return
        parts = sum_by_stage({name: ms for name, ms in timed.stages.items() if name != "total"})
        for name, ms in {**parts, "other": timed.milliseconds - sum(parts.values())}.items():
            self.stages[name] = self.stages.get(name, 0.0) + ms


Ways = Mapping[str, Mapping[Timeable, Taken]]
"""By name of the way, then of what it took."""


def in_turn(ways: Mapping[str, TapAll], taps: Sequence[Tap]) -> Ways:
    """All taps by every way, again and again, after a warm-up."""
    taken: dict[str, dict[Timeable, Taken]] = {name: {} for name in ways}
    for block in range(-_WARM_UP, BLOCKS):
        for name, tap_all in ways.items():
            for timed in tap_all(taps):
                if block >= 0:
                    taken[name].setdefault(timed.name, Taken()).add(timed)
    return taken


def table_of(ways: Ways, what: Timeable, taps: int) -> str:
    """Of what so many of the taps have."""
    taken = {name: way[what] for name, way in ways.items() if what in way}
    names = stage_names([way.stages for way in taken.values()])
    in_browser = taken[IN_BROWSER].milliseconds
    rows = []
    for name, way in taken.items():
        times = way.milliseconds
        median = with_interval(statistics.median(times), median_interval(times, taps, SEED))
        ratio = with_interval(*paired_ratio(in_browser, times, taps, SEED))
        shares = [percent(way.stages.get(stage, 0.0) / sum(times)) for stage in names]
        rows.append(Row(name, (median, NONE if name == IN_BROWSER else ratio, *shares)))
    note = f"{BLOCKS} times {taps} taps in turn, in Chromium on an open photo."
    if what == "frame":
        note = f"{BLOCKS} times {taps} frames in turn, of a stream at 480p with one thing."
    headings = ("", f"median {what}, ms", "Chromium takes times that", *names)
    return table_markdown(Table(headings, tuple(rows), (note,)))
