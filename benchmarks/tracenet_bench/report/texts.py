"""Figures and names as texts, for tables and plots. Units are decimal: 1 MB is 10^6 bytes."""

from __future__ import annotations

import math

from tracenet_bench.report.schema import Interval, Photo, Subject

NONE = "-"
"""Stands in a table where there is no figure."""

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MOST_DECIMALS = 3


def decimals(value: float) -> int:
    """How many decimals show three digits of a value, at most three."""
    if value == 0:
        return 0
    return min(max(2 - math.floor(math.log10(abs(value))), 0), _MOST_DECIMALS)


def number(value: float | None) -> str:
    """Three significant digits, more above 1000: ``0.123``, ``12.3``, ``1234``."""
    return NONE if value is None else f"{value:.{decimals(value)}f}"


def with_interval(value: float, interval: Interval) -> str:
    """``24.1 (23.9-24.4)``: the ends have as many decimals as the value."""
    places = decimals(value)
    return f"{value:.{places}f} ({interval[0]:.{places}f}-{interval[1]:.{places}f})"


def fraction_with_interval(value: float, interval: Interval | None) -> str:
    """``0.388 (0.309-0.474)``: a metric between 0 and 1; ``0.388`` where no interval is known."""
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({interval[0]:.3f}-{interval[1]:.3f})"


def percent(share: float | None) -> str:
    """``34 %``, below ten with a decimal: ``3.4 %``."""
    if share is None:
        return NONE
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 else f"{100 * share:.1f} %"


def megabytes(size: float | None) -> str:
    """Bytes in MB, without the unit: for a column that has it in its head."""
    return NONE if size is None else number(size / 1e6)


def amount(value: float | None, unit: str = "") -> str:
    """With a prefix: ``3.35 G``, ``512 MB``."""
    if value is None:
        return NONE
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{number(value / size)} {prefix}{unit}"
    return f"{number(value)} {unit}".rstrip()


def counted(count: int, thing: str) -> str:
    """``1 tap``, ``2 taps``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def printable(text: str) -> str:
    """The text on one line: what cannot be shown (line breaks, half characters) is replaced."""
    spaced = " ".join(text.split())
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in spaced
    )


def size(photo: Photo) -> str:
    """``4032 x 3024``: width first, as photos are spoken of."""
    return f"{photo.width} x {photo.height}"


def label(subject: Subject) -> str:
    """A configuration's name; a network with random weights is labelled."""
    suffix = " (cost only)" if subject.kind == "cost-only" else ""
    return f"{printable(subject.name)}{suffix}"
