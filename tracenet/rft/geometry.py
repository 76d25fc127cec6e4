"""Half-open rectangles and, per axis, half-open intervals for many taps at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Rect:
    """Rows ``[y0, y1)`` and columns ``[x0, x1)`` of one node of the graph."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0

    @property
    def area(self) -> int:
        """Number of cells."""
        return self.height * self.width

    def union(self, other: Rect) -> Rect:
        """The smallest rectangle that covers both."""
        return Rect(
            min(self.y0, other.y0),
            max(self.y1, other.y1),
            min(self.x0, other.x0),
            max(self.x1, other.x1),
        )

    def contains(self, other: Rect) -> bool:
        """Whether every cell of ``other`` is a cell of this one."""
        return self.union(other) == self


@dataclass(frozen=True)
class Span:
    """Intervals ``[lo, hi)`` along one axis, one per tap; ``lo`` and ``hi`` broadcast."""

    lo: IntArray
    hi: IntArray

    @staticmethod
    def of(lo: ArrayLike, hi: ArrayLike) -> Span:
        """A span from plain integers or anything numpy takes for an integer array."""
        return Span(np.asarray(lo, dtype=np.int64), np.asarray(hi, dtype=np.int64))

    @property
    def size(self) -> IntArray:
        """Cells per interval."""
        return np.asarray(self.hi - self.lo)

    def union(self, other: Span) -> Span:
        """The smallest intervals that cover both, tap by tap."""
        return Span(np.minimum(self.lo, other.lo), np.maximum(self.hi, other.hi))

    def clip(self, extent: int) -> Span:
        """The part inside ``[0, extent)``; an interval wholly outside becomes the nearest cell.

        A border cell too much is a sound over-approximation, and no interval is ever empty.
        """
        return Span(np.clip(self.lo, 0, extent - 1), np.clip(self.hi, 1, extent))

    def within(self, limits: Span) -> Span:
        """The part inside ``limits``, tap by tap; one wholly outside becomes the nearest cell."""
        return Span(
            np.clip(self.lo, limits.lo, limits.hi - 1), np.clip(self.hi, limits.lo + 1, limits.hi)
        )


def rect_of(y: Span, x: Span) -> Rect:
    """The rectangle of a pair of spans that hold one tap each."""
    return Rect(y.lo.item(), y.hi.item(), x.lo.item(), x.hi.item())
