"""A graph of programs and a schedule of it, as frozen dataclasses; docs/bundle.md explains them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Axis = Literal["y", "x"]
When = Literal["photo", "tap", "window", "correction"]
Role = Literal["score", "box", "filter", "mask", "mask_state"]

_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """The closed form of a table row: where a call's windows start, for each key cell of an axis.

    ``unit`` is in canvas pixels; ``size``, ``phases`` and ``advance`` are in units.
    """

    axis: Axis
    unit: int
    size: int
    phases: tuple[int, ...]
    advance: int

    def starts(self, side: int, keys: int) -> _Integers:
        """The entries for ``keys`` key cells on a canvas of ``side`` pixels, in units."""
        turns, phase = np.divmod(np.arange(keys), len(self.phases))
        starts: _Integers = np.array(self.phases)[phase] + self.advance * turns
        return starts.clip(0, side // self.unit - self.size)


@dataclass(frozen=True)
class Window:
    """A tensor ``name`` of a program, cut from or kept as ``array``: starts at step * origin.

    ``height``, ``width`` and the start are in cells of the array's own feature map.
    """

    name: str
    array: str
    step: int
    height: int
    width: int


@dataclass(frozen=True)
class ProgramCall:
    """Cut the inputs, run the program, keep the outputs.

    ``origin_y`` and ``origin_x`` are indices into the rows of the schedule. ``vectors`` are names
    of external inputs, by the program's tensor that takes them.
    """

    program: str
    origin_y: int
    origin_x: int
    inputs: tuple[Window, ...]
    vectors: Mapping[str, str]
    outputs: tuple[Window, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The arrays that it cuts windows from."""
        return tuple(window.array for window in self.inputs)

    @property
    def makes(self) -> tuple[str, ...]:
        """The arrays that it leaves."""
        return tuple(window.array for window in self.outputs)


@dataclass(frozen=True)
class PlaceMask:
    """Keep of the array ``input`` what is valid for the tap, as the array ``output``.

    That is what lies within ``reach`` canvas pixels of the key cell; None for all of it.
    """

    input: str
    output: str
    reach: int | None

    @property
    def reads(self) -> tuple[str, ...]:
        """The arrays that it cuts windows from."""
        return (self.input,)

    @property
    def makes(self) -> tuple[str, ...]:
        """The arrays that it leaves."""
        return (self.output,)


Call = ProgramCall | PlaceMask
"""What runs on arrays: a program, or one of the operations that the runtime does itself."""


@dataclass(frozen=True)
class Phase:
    """The calls of one time in a photo's life."""

    name: str
    when: When
    calls: tuple[Call, ...]

    @property
    def program_calls(self) -> tuple[ProgramCall, ...]:
        """Those that run programs."""
        return tuple(call for call in self.calls if isinstance(call, ProgramCall))

    @property
    def reach(self) -> int | None:
        """How far from the key cell its mask is valid, canvas pixels; None for everywhere."""
        (reach,) = (call.reach for call in self.calls if isinstance(call, PlaceMask))
        return reach


@dataclass(frozen=True)
class ImageInput:
    """The canvas, as an array of three channels."""


@dataclass(frozen=True)
class VectorInput:
    """Numbers that are computed when a phase begins: 1 x ``channels`` x 1 x 1."""

    channels: int


@dataclass(frozen=True)
class PlaneInput:
    """An array over the whole canvas that is filled when a phase begins.

    It has ``channels``, starts at (0, 0), and a cell is ``stride`` canvas pixels.
    """

    channels: int
    stride: int


ExternalInput = ImageInput | VectorInput | PlaneInput


@dataclass(frozen=True)
class Graph:
    """What comes in, by name; what runs, in order; which arrays come out, by role."""

    inputs: Mapping[str, ExternalInput]
    phases: tuple[Phase, ...]
    outputs: Mapping[Role, tuple[str, ...]]

    @property
    def photo(self) -> tuple[Call, ...]:
        """The calls that run once per photo."""
        return tuple(call for phase in self._of("photo") for call in phase.calls)

    @property
    def tap(self) -> tuple[Call, ...]:
        """The calls that run once per tap, before a window is chosen."""
        return tuple(call for phase in self._of("tap") for call in phase.calls)

    @property
    def windows(self) -> tuple[Phase, ...]:
        """The alternatives of which a tap runs one, the smallest reach first."""
        return tuple(self._of("window"))

    @property
    def correction(self) -> tuple[Call, ...]:
        """The calls that run once per correction."""
        return tuple(call for phase in self._of("correction") for call in phase.calls)

    @property
    def planes(self) -> dict[str, PlaneInput]:
        """The planes among the inputs."""
        return {name: v for name, v in self.inputs.items() if isinstance(v, PlaneInput)}

    def programs(self) -> frozenset[str]:
        """The names of all programs that it runs."""
        return frozenset(call.program for phase in self.phases for call in phase.program_calls)

    def _of(self, when: When) -> Iterator[Phase]:
        return (phase for phase in self.phases if phase.when == when)


@dataclass(frozen=True)
class SideRange:
    """The canvas sides from ``least`` to ``most`` pixels, both included, in steps of ``multiple``.

    >>> 96 in SideRange(64, 128, multiple=32)
    True
    """

    least: int
    most: int
    multiple: int

    def __contains__(self, side: int) -> bool:
        return self.least <= side <= self.most and side % self.multiple == 0


@dataclass(frozen=True)
class Served:
    """The canvases that a schedule's programs serve, each with its own table."""

    height: SideRange
    width: SideRange


@dataclass(frozen=True)
class Schedule:
    """A graph on a canvas: what is cut where.

    ``rows`` have an entry for each key cell, which is ``key_stride`` canvas pixels large;
    ``table_offset`` is where those for the schedule's own canvas begin in the bundle's table.
    ``halo`` is the share of the receptive fields' halo that its windows keep; at 1 its answers are
    FullNet's, up to rounding. ``full_macs`` are the multiply-adds of FullNet on its own canvas.
    """

    name: str
    canvas_height: int
    canvas_width: int
    serves: Served
    halo: float
    key_stride: int
    rows: tuple[Row, ...]
    table_offset: int
    graph: Graph
    full_macs: int

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width, in pixels, of the canvas that the schedule was planned for."""
        return self.canvas_height, self.canvas_width

    def serves_canvas(self, height: int, width: int) -> bool:
        """Whether its programs serve a canvas of this size."""
        return height in self.serves.height and width in self.serves.width

    def starts(self, height: int, width: int) -> list[_Integers]:
        """The entries of every row on a canvas of this size."""
        sides = {"y": height, "x": width}
        return [
            row.starts(sides[row.axis], sides[row.axis] // self.key_stride) for row in self.rows
        ]

    def cell(self, call: ProgramCall, window: Window) -> tuple[float, float]:
        """Canvas pixels, along y and x, that a cell of one of a call's windows has."""
        y, x = (self.rows[row].unit / window.step for row in (call.origin_y, call.origin_x))
        return y, x


@dataclass(frozen=True)
class Choice:
    """A schedule, and the canvas to run it on: height and width in pixels."""

    schedule: Schedule
    height: int
    width: int

    @classmethod
    def own(cls, schedule: Schedule) -> "Choice":
        """A schedule on the canvas that it was planned for."""
        return cls(schedule, *schedule.canvas)
