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

    @property
    def applied_per_input_cell(self) -> bool:
        """Whether the operator's work grows with its input's cells instead of its output's."""

    def needs(self, output: Span) -> Span:
        """The input intervals that the output intervals read, not clipped to the input.

        Never empty: where nothing is read, a cell nearby stands in.
        """

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
    applied_per_input_cell = False

    def needs(self, output: Span) -> Span:
        """See `AxisMap`."""
        return output

    def output_size(self, input_size: int) -> int:
        """See `AxisMap`."""
        return input_size


@dataclass(frozen=True)
class Sliding:
    """A convolution or a pooling: ``kernel`` taps, ``dilation`` apart, every ``stride`` cells.

    A slice is one with a single tap; negative padding cuts cells off.
    """

    kernel: int
    stride: int = 1
    pad_before: int = 0
    pad_after: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    fixed_form = None
    applied_per_input_cell = False

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
class Transposed:
    """A transposed convolution of ``kernel`` taps, ``dilation`` apart.

    Input cell i adds to output cell ``i * stride - padding + dilation * j`` for every tap j;
    ``output_padding`` cells follow the last one.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    output_padding: int = 0

    fixed_form = None
    applied_per_input_cell = True

    @property
    def ratio(self) -> Fraction:
        """See `AxisMap`."""
        return Fraction(self.stride)

    @property
    def reach(self) -> int:
        """Cells from the first output cell that an input cell adds to, to the last."""
        return self.dilation * (self.kernel - 1)

    def needs(self, output: Span) -> Span:
        """See `AxisMap`; with fewer taps than ``stride`` some output cells read nothing."""
        limits = np.iinfo(np.int64)
        lo: IntArray = np.full_like(output.lo + output.hi, limits.max)
        hi: IntArray = np.full_like(lo, limits.min)
        for tap in range(self.kernel):
            shift = self.padding - self.dilation * tap
            first = -((-output.lo - shift) // self.stride)
            end = (output.hi - 1 + shift) // self.stride + 1
            reads = first < end
            lo = np.where(reads, np.minimum(lo, first), lo)
            hi = np.where(reads, np.maximum(hi, end), hi)
        nearby = (output.lo + self.padding) // self.stride
        return Span(np.where(lo < hi, lo, nearby), np.where(lo < hi, hi, nearby + 1))

    def output_size(self, input_size: int) -> int:
        """See `AxisMap`."""
        whole = (input_size - 1) * self.stride + self.reach + 1
        return whole - 2 * self.padding + self.output_padding


@dataclass(frozen=True)
class ConstantPad:
    """Cells of one value before and after the input; negative amounts cut cells off."""

    before: int
    after: int

    ratio = Fraction(1)
    fixed_form = None
    applied_per_input_cell = False

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

    applied_per_input_cell = False

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

    _exact_growths: ClassVar[tuple[int, ...]] = (1, 2)

    def _source_of(self, cells: IntArray, dtype: type[np.floating[Any]]) -> IntArray:
        position = cells.astype(dtype) * self._source_distance(dtype)
        source = np.floor(position).astype(np.int64)
        return np.asarray(np.minimum(source, self.input_extent - 1))

    @property
    def depends_on_rounding(self) -> bool:
        """Whether some j * distance is a whole number but for rounding.

        torch's kernels, which it chooses by shape, then differ in which side they fall to.
        """
        cells = np.arange(self.output_extent)
        single, double = (self._source_of(cells, dtype) for dtype in (np.float32, np.float64))
        return bool(np.any(single != double))

    def needs(self, output: Span) -> Span:
        """See `AxisMap`."""
        return Span(
            self._source_of(output.lo, np.float64), self._source_of(output.hi - 1, np.float64) + 1
        )

    def sources(self, lo: int, hi: int) -> IntArray:
        """See `IndexMap`."""
        return self._source_of(np.arange(lo, hi), np.float64)


@dataclass(frozen=True)
class NearestExactResize(NearestResize):
    """``_upsample_nearest_exact2d``: output cell j copies the input cell nearest to its centre."""

    _exact_growths: ClassVar[tuple[int, ...]] = (1,)

    def _source_of(self, cells: IntArray, dtype: type[np.floating[Any]]) -> IntArray:
        half = dtype(0.5)
        # Half a cell off and on again, as torch computes it, so that rounding is the same.
        position = self._source_distance(dtype) * (cells.astype(dtype) + half) - half
        source = np.floor(np.maximum(position, dtype(0)) + half).astype(np.int64)
        return np.asarray(np.minimum(source, self.input_extent - 1))


@dataclass(frozen=True)
class LinearResize(Resize):
    """One axis of ``upsample_bilinear2d``: a mean of two neighbouring input cells."""

    lowest_position: ClassVar[float] = 0.0

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
        return np.asarray(np.maximum(centred, dtype(self.lowest_position)))

    def first_taps(self, positions: NDArray[Any]) -> IntArray:
        """The cells in which those positions lie; the next ones are read too."""
        return np.asarray(np.minimum(np.floor(positions).astype(np.int64), self.input_extent - 1))

    def needs(self, output: Span) -> Span:
        """See `AxisMap`; in both precisions, which may fall to different sides of a cell."""
        single, double = (self._taps(output, dtype) for dtype in (np.float32, np.float64))
        return single.union(double)

    def _taps(self, output: Span, dtype: type[np.floating[Any]]) -> Span:
        """The cells that weigh something: at a whole position there is no second one."""
        last = self.positions(output.hi - 1, dtype)
        whole = last == np.floor(last)
        return Span(
            self.first_taps(self.positions(output.lo, dtype)),
            self.first_taps(last) + np.where(whole, 1, 2),
        )


@dataclass(frozen=True)
class CubicResize(LinearResize):
    """One axis of ``upsample_bicubic2d``: four neighbouring input cells, the border's repeated."""

    lowest_position: ClassVar[float] = -np.inf

    def _taps(self, output: Span, dtype: type[np.floating[Any]]) -> Span:
        """All four, though at a whole position only one of them weighs anything."""
        return Span(
            self.first_taps(self.positions(output.lo, dtype)) - 1,
            self.first_taps(self.positions(output.hi - 1, dtype)) + 3,
        )
