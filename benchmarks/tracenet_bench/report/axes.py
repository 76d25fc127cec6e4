"""Axes of plots: where a value stands, in per cent of the axis, and which values are named."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_MOST_TICKS = 5
_MOST_LOG_TICKS = 7
_STEPS = (1.0, 2.0, 5.0)
_LOG_FROM = 10.0
"""The largest over the smallest value; beyond it a linear axis would squash the small ones."""


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``; with ``log``, equal ratios are equally long."""

    title: str
    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def position(self, value: float) -> float:
        """Per cent of the axis from its low end; what lies beyond an end stands at that end."""
        low, high, value = (
            (math.log(max(v, self.low)) for v in (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return min(max(100 * (value - low) / (high - low), 0.0), 100.0)


def axis_from_zero(title: str, values: Iterable[float]) -> Axis:
    """Linear, from 0 to the first tick at or above the largest value."""
    high = max(values, default=0.0)
    step = _step((high or 1.0) / (_MOST_TICKS - 1))
    count = max(math.ceil(high / step - 1e-9), 1)
    return _linear(title, 0.0, step, count)


def axis_around(title: str, values: Iterable[float]) -> Axis:
    """Linear, over no more than the values need, so that small differences show."""
    low, high = _ends(values)
    step = _step((high - low or abs(high) or 1.0) / (_MOST_TICKS - 2))
    first = math.floor(low / step + 1e-9)
    return _linear(title, first * step, step, max(math.ceil(high / step - 1e-9) - first, 1))


def time_axis(milliseconds: Iterable[float]) -> Axis:
    """From zero, so that bars compare; over a wide range logarithmic, or the fast ones vanish."""
    low, high = _ends(milliseconds)
    if low > 0 and high / low > _LOG_FROM:
        return axis_of_ratios("milliseconds per tap, logarithmic", (low, high))
    return axis_from_zero("milliseconds per tap", (high,))


def axis_of_ratios(title: str, values: Iterable[float]) -> Axis:
    """Logarithmic, with as fine ticks as there is room for; values above 0."""
    low, high = _ends(values)
    ticks = _log_ticks(low, high)
    return Axis(title, ticks[0], ticks[-1], True, tuple((tick, tick_label(tick)) for tick in ticks))


def tick_label(value: float) -> str:
    """Short: ``0.2``, ``20``, ``20k``, ``2M``."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if prefix == 'k' else size):g}{prefix}"
    return f"{value:.6g}"


def _linear(title: str, low: float, step: float, count: int) -> Axis:
    ticks = [low + index * step for index in range(count + 1)]
    # Sums of decimal steps are not decimal: 3 * 0.1 is a label too long.
    ticks = [float(f"{tick:.12g}") for tick in ticks]
    named = tuple((tick, tick_label(tick)) for tick in ticks)
    return Axis(title, ticks[0], ticks[-1], False, named)


def _ends(values: Iterable[float]) -> tuple[float, float]:
    there = list(values)
    return (min(there), max(there)) if there else (1.0, 2.0)


def _step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least so much."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (*_STEPS, 10.0) if step * power >= least * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    for steps, powers in (((1, 1.2, 1.5, 2, 3, 5, 7), 1), (_STEPS, 1), ((1.0,), 1), ((1.0,), 3)):
        first, last = math.floor(math.log10(low)) - powers, math.ceil(math.log10(high)) + powers
        all_ticks = [
            float(f"{step}e{power}") for power in range(first, last + 1, powers) for step in steps
        ]
        below = max(tick for tick in all_ticks if tick <= low * (1 + 1e-9))
        above = min(tick for tick in all_ticks if tick >= high * (1 - 1e-9) and tick > below)
        ticks = [tick for tick in all_ticks if below <= tick <= above]
        if len(ticks) <= _MOST_LOG_TICKS:
            break
    return ticks
