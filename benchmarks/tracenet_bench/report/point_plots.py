"""Plots over two axes: latency against photo size, accuracy against latency.

Positions along x are per cent of the plot's width, those along y CSS pixels from its upper end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracenet_bench.report.axes import Axis, axis_around, axis_from_zero, time_axis
from tracenet_bench.report.schema import Interval, Report
from tracenet_bench.report.texts import fraction_with_interval, label, number, with_interval

Place = tuple[float, float]

PLOT_HEIGHT = 240
"""CSS pixels, without the axis' labels."""

_NARROW = 270.0
"""CSS pixels: the width on a phone, where badges must not cover each other."""

BADGE_RADIUS = 8
"""CSS pixels."""

# Offsets of badges, the best first: to the right of a line's end, anywhere around a point.
_BESIDE = [(18.0, dy * 1.0) for dy in (0, -18, 18, -36, 36, -54, 54, -72, 72)]
_AROUND = [
    (dx * reach, dy * reach)
    for reach in (1.0, 2.0, 3.0)
    for dx, dy in ((13.0, -11.0), (13.0, 11.0), (-13.0, -11.0), (-13.0, 11.0))
]


@dataclass(frozen=True)
class Point:
    """A point, and its error bars' ends where it has any."""

    x: float
    y: float
    text: str
    x_error: Interval | None = None
    y_error: Interval | None = None


@dataclass(frozen=True)
class Badge:
    """The configuration's number, ``dx`` pixels to the right of (``x`` per cent, ``y`` pixels)."""

    x: float
    dx: float
    y: float


@dataclass(frozen=True)
class Series:
    """One configuration: its ``number`` in the report, its points, and what a line joins."""

    name: str
    number: int
    points: tuple[Point, ...]
    joined: tuple[Place, ...]
    badge: Badge

    @property
    def segments(self) -> tuple[tuple[Place, Place], ...]:
        """The line, piece by piece."""
        return tuple(itertools.pairwise(self.joined))


@dataclass(frozen=True)
class PointPlot:
    """Points over two axes."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]

    @property
    def height(self) -> int:
        """CSS pixels."""
        return PLOT_HEIGHT


def numbers(report: Report) -> dict[str, int]:
    """Each configuration's number, from 1, by its label; it stands next to the name everywhere."""
    return {label(it.subject): number for number, it in enumerate(report.measured, 1)}


def size_plot(report: Report) -> PointPlot | None:
    """Median latency against the photo's size; None unless there are two sizes."""
    megapixels = [photo.height * photo.width / 1e6 for photo in report.conditions.photos]
    timed = [(it, it.steady) for it in report.measured if it.steady is not None]
    if not timed or len(set(megapixels)) < 2:
        return None
    x = axis_from_zero("photo, megapixels", megapixels)
    y = time_axis([median for _, steady in timed for median in steady.by_photo])
    number_of = numbers(report)
    series = []
    for it, steady in timed:
        by_size: dict[float, list[float]] = {}
        for size, median in zip(megapixels, steady.by_photo, strict=True):
            by_size.setdefault(size, []).append(median)
        joined = [
            (x.position(size), _down(y, sum(medians) / len(medians)))
            for size, medians in sorted(by_size.items())
        ]
        points = tuple(
            Point(x.position(size), _down(y, median), f"{size:.2g} megapixels: {number(median)} ms")
            for size, median in zip(megapixels, steady.by_photo, strict=True)
        )
        name = label(it.subject)
        series.append(Series(name, number_of[name], points, tuple(joined), _badge_at(joined[-1])))
    return PointPlot("Latency against photo size", x, y, _apart(series, _BESIDE))


def accuracy_plot(report: Report) -> PointPlot | None:
    """mIoU-T against median latency, with 95 % intervals: up and to the left is better."""
    known = [
        (it, it.steady, it.accuracy)
        for it in report.measured
        if it.steady is not None and it.accuracy is not None
    ]
    if not known:
        return None
    x = time_axis([end for _, steady, _ in known for end in (*steady.interval, steady.p50)])
    y = axis_around(
        "mIoU-T, higher is better",
        [e for _, _, it in known for e in (*(it.miou_t_interval or ()), it.miou_t)],
    )
    number_of = numbers(report)
    series = []
    for it, steady, accuracy in known:
        interval = with_interval(steady.p50, steady.interval)
        metric = fraction_with_interval(accuracy.miou_t, accuracy.miou_t_interval)
        ends = accuracy.miou_t_interval
        vertical = None if ends is None else (_down(y, ends[0]), _down(y, ends[1]))
        point = Point(
            x.position(steady.p50),
            _down(y, accuracy.miou_t),
            f"mIoU-T {metric} at {interval} ms",
            (x.position(steady.interval[0]), x.position(steady.interval[1])),
            vertical,
        )
        name = label(it.subject)
        series.append(Series(name, number_of[name], (point,), (), _badge_at((point.x, point.y))))
    return PointPlot("Accuracy against latency", x, y, _apart(series, _AROUND))


def _down(axis: Axis, value: float) -> float:
    """Pixels from the upper end."""
    return PLOT_HEIGHT * (1 - axis.position(value) / 100)


def _badge_at(point: Place) -> Badge:
    return Badge(point[0], 0.0, point[1])


def _apart(series: Sequence[Series], offsets: Sequence[Place]) -> tuple[Series, ...]:
    """Each badge at the first offset, in pixels, where it covers no other badge and no point."""
    ends = [(_NARROW * one.badge.x / 100, one.badge.y) for one in series]
    taken: list[Place] = []
    placed = []
    for one, (x, y) in zip(series, ends, strict=True):
        free = [
            (dx, dy)
            for dx, dy in offsets
            if not _near((x + dx, y + dy), taken, 2 * BADGE_RADIUS + 1)
            and not _near((x + dx, y + dy), ends, BADGE_RADIUS + 4)
        ]
        dx, dy = (free or offsets)[0]
        taken.append((x + dx, y + dy))
        placed.append(replace(one, badge=Badge(one.badge.x, dx, y + dy)))
    return tuple(placed)


def _near(point: Place, others: Sequence[Place], distance: float) -> bool:
    return any((point[0] - x) ** 2 + (point[1] - y) ** 2 < distance**2 for x, y in others)
