"""How the cells of an operator's output depend on the cells of its input, along one axis.

Receptive fields of everything the tracer supports are separable in y and x, so an operator is
described by one map per axis. Intervals are half-open; sizes are in cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tracenet.rft.geometry import IntArray, Span


class AxisMap(Protocol):
    """One operator along one axis."""

    @property
    def ratio(self) -> Fraction:
        """Output cells per input cell."""

    @property
    def fixed_form(self) -> str | None:
        """None if the operator may run on a window with its ordinary padding, else why not."""

    def needs(self, output: Span) -> Span:
        """The input intervals that the output intervals read, not clipped to the input."""

    def output_size(self, input_size: int) -> int:
        """The size of the output for an input of that size."""


class IndexMap(AxisMap, Protocol):
    """An axis map whose every output cell is a copy of one input cell."""

    def sources(self, lo: int, hi: int) -> IntArray:
        """The input cells that the output cells ``[lo, hi)`` copy."""


@dataclass(frozen=True)
class Unchanged:
    """Every output cell reads the input cell at its own place."""

    ratio = Fraction(1)
    fixed_form = None

    def needs(self, output: Span) -> Span:
        """See `AxisMap`."""
        return output

    def output_size(self, input_size: int) -> int:
        """See `AxisMap`."""
        return input_size


@dataclass(frozen=True)
class Sliding:
    """A convolution or a pooling: ``kernel`` taps, ``dilation`` apart, every ``stride`` cells."""

    kernel: int
    stride: int = 1
    pad_before: int = 0
    pad_after: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    fixed_form = None

    @property
    def ratio(self) -> Fraction:
        """See `AxisMap`."""
        return Fraction(1, self.stride)

    @property
    def reach(self) -> int:
        """Cells from a window's first tap to its last."""
        return self.dilation * (self.kernel - 1)

    def needs(self, output: Span) -> Span:
        """See `AxisMap`."""
        return Span(
            output.lo * self.stride - self.pad_before,
            (output.hi - 1) * self.stride - self.pad_before + self.reach + 1,
        )

    def output_size(self, input_size: int) -> int:
        """See `AxisMap`."""
        room = input_size + self.pad_before + self.pad_after - self.reach - 1
        if not self.ceil_mode:
            return room // self.stride + 1
        size = -(-room // self.stride) + 1
        starts_in_trailing_padding = (size - 1) * self.stride >= input_size + self.pad_before
        return size - 1 if starts_in_trailing_padding else size


@dataclass(frozen=True)
class ConstantPad:
    """Cells of one value before and after the input; negative amounts cut cells off."""

    before: int
    after: int

    ratio = Fraction(1)
    fixed_form = None

    def needs(self, output: Span) -> Span:
        """See `AxisMap`."""
        return Span(output.lo - self.before, output.hi - self.before)

    def output_size(self, input_size: int) -> int:
        """See `AxisMap`."""
        return input_size + self.before + self.after


@dataclass(frozen=True)
class ReplicatePad(ConstantPad):
    """Copies of the border cell before and after an input of ``extent`` cells."""

    extent: int

    def sources(self, lo: int, hi: int) -> IntArray:
        """See `IndexMap`."""
        return np.clip(np.arange(lo, hi) - self.before, 0, self.extent - 1)


@dataclass(frozen=True)
class ReflectPad(ConstantPad):
    """An input of ``extent`` cells mirrored at the middle of its border cells."""

    extent: int

    def needs(self, output: Span) -> Span:
        """See `AxisMap`; what lies between a mirrored cell and the border is included."""
        lo, hi = output.lo - self.before, output.hi - self.before
        last = self.extent - 1
        mirrored_at_end = np.where(hi > self.extent, 2 * last - (hi - 1), lo)
        mirrored_at_start = np.where(lo < 0, -lo + 1, hi)
        return Span(np.minimum(lo, mirrored_at_end), np.maximum(hi, mirrored_at_start))

    def sources(self, lo: int, hi: int) -> IntArray:
        """See `IndexMap`."""
        last = self.extent - 1
        distance_from_first = np.abs(np.arange(lo, hi) - self.before)
        return np.asarray(last - np.abs(last - distance_from_first))


@dataclass(frozen=True)
class Resize:
    """What the resizes share: ``factor`` is what the operator was called with, or None.

    torch derives the distance between source positions from the factor where it has one, else
    from the two sizes, so the map keeps all three.
    """

    # With these growths of the extent torch ignores a factor such as 2.05.
    _exact_growths: ClassVar[tuple[int, ...]] = (1,)

    input_extent: int
    output_extent: int
    factor: float | None

    @property
    def _integer_factor(self) -> Fraction | None:
        if self.factor is None:
            return None
        if self.factor.is_integer():
            return Fraction(int(self.factor))
        if (1 / self.factor).is_integer():
            return Fraction(1, int(1 / self.factor))
        return None

    @property
    def ratio(self) -> Fraction:
        """See `AxisMap`."""
        return self._integer_factor or Fraction(self.output_extent, self.input_extent)

    @property
    def fixed_form(self) -> str | None:
        """See `AxisMap`."""
        if self._integer_factor is not None:
            return None
        return (
            f"it resizes {self.input_extent} cells to {self.output_extent}, which is neither "
            "an integer scale nor one over an integer"
        )

    def output_size(self, input_size: int) -> int:
        """See `AxisMap`."""
        return self.output_extent if self.factor is None else int(input_size * self.factor)

    def _source_distance(self, dtype: type[np.floating[Any]]) -> Any:
        growth = Fraction(self.output_extent, self.input_extent)
        if self.factor is not None and growth not in self._exact_growths:
            return dtype(1.0 / self.factor)
        return dtype(self.input_extent) / dtype(self.output_extent)


@dataclass(frozen=True)
class NearestResize(Resize):
    """``upsample_nearest2d``: output cell j copies input cell ``floor(j * distance)``."""

    _exact_growths = (1, 2)

    def _source_of(self, cells: IntArray, dtype: type[np.floating[Any]]) -> IntArray:
        position = cells.astype(dtype) * self._source_distance(dtype)
        source = np.floor(position).astype(np.int64)
        return np.asarray(np.minimum(source, self.input_extent - 1))

    def needs(self, output: Span) -> Span:
        """See `AxisMap`.

        Where j * distance is a whole number but for rounding, torch's kernels differ among
        themselves in which side they fall to; the interval covers both.
        """
        last = output.hi - 1
        single = Span(self._source_of(output.lo, np.float32), self._source_of(last, np.float32) + 1)
        double = Span(self._source_of(output.lo, np.float64), self._source_of(last, np.float64) + 1)
        return single.union(double)

    def sources(self, lo: int, hi: int) -> IntArray:
        """See `IndexMap`; in single precision, as most of torch's kernels compute it."""
        return self._source_of(np.arange(lo, hi), np.float32)


@dataclass(frozen=True)
class LinearResize(Resize):
    """One axis of ``upsample_bilinear2d``: a mean of two neighbouring input cells."""

    align_corners: bool

    @property
    def fixed_form(self) -> str | None:
        """See `AxisMap`."""
        if self.align_corners:
            return "it resizes with align_corners, which depends on the whole extent"
        return super().fixed_form

    def positions(self, cells: IntArray, dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Where the output cells lie in the input, computed in ``dtype`` as torch does."""
        if self.align_corners:
            last_output = self.output_extent - 1
            distance = dtype(self.input_extent - 1) / dtype(last_output) if last_output else 0
            return np.asarray(cells.astype(dtype) * dtype(distance))
        half = dtype(0.5)
        centred = self._source_distance(dtype) * (cells.astype(dtype) + half) - half
        return np.asarray(np.maximum(centred, dtype(0)))

    def first_taps(self, positions: NDArray[Any]) -> IntArray:
        """The first of the two input cells read at those positions; the next is the second."""
        return np.asarray(np.minimum(np.floor(positions).astype(np.int64), self.input_extent - 1))

    def needs(self, output: Span) -> Span:
        """See `AxisMap`."""
        first = self.first_taps(self.positions(output.lo, np.float64))
        last = self.first_taps(self.positions(output.hi - 1, np.float64)) + 1
        return Span(first, last + 1)
