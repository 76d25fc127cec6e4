"""What a comparison of two reports found, and how it is told.

A time regressed if the whole 95 % interval of the ratio of medians, new over old, lies above 1 +
tolerance. What is measured once, or exactly, has a bound of its own. What cannot be compared is
said, and is no regression.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tracenet_bench.report.markdown import escape, table_markdown
from tracenet_bench.report.schema import Interval
from tracenet_bench.report.tables import Row, Table
from tracenet_bench.report.texts import NONE, amount, counted, percent

MEMORY_BOUND = 0.10
"""Growth of the peak above baseline, as a share; allocators alone move it by some per cent."""

MEMORY_FLOOR = 4_000_000
"""Bytes; a smaller growth of the peak is the allocator's, whatever its share."""

SIZE_BOUND = 0.01
"""Growth of the bundle on disk, as a share; a longer name in the manifest is no regression."""

ACCURACY_BOUND = 0.005
"""Drop of mIoU-T or mTA. Both runs tapped the same things, so the taps' own error cancels."""

Verdict = Literal["regression", "improvement", "same", "not comparable"]
Figure = Literal["outcome", "median", "memory", "size", "mIoU-T", "mTA"]
FIGURES: tuple[Figure, ...] = ("outcome", "median", "memory", "size", "mIoU-T", "mTA")
RATIOS: tuple[Figure, ...] = ("median", "memory", "size")
"""Figures that are compared by new over old; the rest is not, or by the difference."""


@dataclass(frozen=True)
class Change:
    """One figure of a configuration in both runs.

    Attributes:
        figure: which; ``outcome`` is whether it ran at all.
        old, new: as texts; times in ms, memory and size in MB.
        change: new over old as a text, with its interval for times; ``-`` where there is none.
        verdict: ``not comparable`` for the reasons of the configuration.
        ratio, interval: new over old, of times alone.
    """

    figure: Figure
    old: str
    new: str
    change: str
    verdict: Verdict
    ratio: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Pair:
    """A configuration that both runs have, and why its times and memory cannot be compared."""

    label: str
    changes: tuple[Change, ...]
    obstacles: tuple[str, ...]

    def verdicts(self) -> str:
        """``regression: median, memory; improvement: size``, or ``same`` if that is all."""
        parts = []
        for verdict in ("regression", "improvement", "not comparable"):
            figures = [change.figure for change in self.changes if change.verdict == verdict]
            if figures:
                parts.append(f"{verdict}: {', '.join(figures)}")
        return "; ".join(parts) or "same"

    def cells(self, figure: Figure) -> tuple[str, ...]:
        """What the columns of a figure hold."""
        for change in self.changes:
            if change.figure == figure:
                values = f"{change.old} to {change.new}"
                return (values, change.change) if figure in RATIOS else (values,)
        return (NONE,) * len(_columns(figure))


@dataclass(frozen=True)
class Comparison:
    """Two runs, configuration by configuration.

    Attributes:
        tolerance: of times, as a share.
        pairs: configurations of both runs, in the new one's order.
        missing, added: names of those that only the old run has, and only the new one.
        remarks: what a reader must know first, in sentences: noise, what else is different.
    """

    tolerance: float
    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def regressions(self) -> tuple[str, ...]:
        """A sentence for each, empty if there is none."""
        return tuple(
            f"{pair.label}: {change.figure} went from {change.old} to {change.new}"
            for pair in self.pairs
            for change in pair.changes
            if change.verdict == "regression"
        )

    @property
    def comparable(self) -> bool:
        """Whether there is a configuration whose times and memory can be compared."""
        return any(not pair.obstacles for pair in self.pairs)

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        changes = [change for pair in self.pairs for change in pair.changes]
        judged = sum(change.verdict != "not comparable" for change in changes)
        rest = len(changes) - judged
        outcome = (
            f"{counted(len(self.regressions), 'regression')} in {counted(judged, 'figure')}"
            if judged
            else "Nothing could be compared"
        )
        return f"{outcome}; {rest} not comparable." if judged and rest else f"{outcome}."

    @property
    def rule(self) -> str:
        """What counts as a regression, in one sentence."""
        return (
            "A time regressed if the whole 95 % interval of the ratio of medians, new over old, "
            f"lies above {1 + self.tolerance:.3g}; memory if its peak above baseline grew by more "
            f"than {percent(MEMORY_BOUND)} and {amount(MEMORY_FLOOR, 'B')}; a bundle if it grew by "
            f"more than {percent(SIZE_BOUND)}; a metric if it dropped by more than "
            f"{ACCURACY_BOUND}; and what ran before and now fails."
        )

    def table(self) -> Table:
        """One row per configuration: verdicts, then each figure before and now."""
        figures = [
            figure
            for figure in FIGURES
            if any(change.figure == figure for pair in self.pairs for change in pair.changes)
        ]
        columns = [name for figure in figures for name in _columns(figure)]
        return Table(
            ("configuration, old to new", "verdict", *columns),
            tuple(
                Row(
                    pair.label,
                    (pair.verdicts(), *(cell for figure in figures for cell in pair.cells(figure))),
                )
                for pair in self.pairs
            ),
        )

    def sentences(self) -> tuple[str, ...]:
        """Remarks, obstacles, and what only one of the runs has."""
        return (*self.remarks, *self._obstacles(), *self._unpaired())

    def markdown(self) -> str:
        """The verdict, the rule, what stands in the way, and the table."""
        parts = ["## Compared with the run before", escape(f"{self.verdict} {self.rule}")]
        if self.sentences():
            parts.append("\n".join(f"- {escape(sentence)}" for sentence in self.sentences()))
        if self.pairs:
            parts.append(table_markdown(self.table()))
        return "\n\n".join(parts) + "\n"

    def _obstacles(self) -> Iterator[str]:
        by_reason: dict[str, list[str]] = {}
        for pair in self.pairs:
            for obstacle in pair.obstacles:
                by_reason.setdefault(obstacle, []).append(pair.label)
        for obstacle, labels in by_reason.items():
            which = "all configurations" if len(labels) == len(self.pairs) else ", ".join(labels)
            yield f"Not comparable ({which}): {obstacle}."

    def _unpaired(self) -> Iterator[str]:
        if self.missing:
            yield f"Only in the old run: {', '.join(self.missing)}."
        if self.added:
            yield f"Only in the new run: {', '.join(self.added)}."


def _columns(figure: Figure) -> tuple[str, ...]:
    unit = {"median": ", ms", "memory": ", MB", "size": ", MB"}.get(figure, "")
    return (f"{figure}{unit}", "new / old") if figure in RATIOS else (f"{figure}{unit}",)
