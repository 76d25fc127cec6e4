"""What runs for a tap, as frozen dataclasses; docs/bundle.md explains every field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Axis = Literal["y", "x"]


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
class Call:
    """Cut the inputs, run the program, keep the outputs.

    ``origin_y`` and ``origin_x`` are indices into the rows of the schedule.
    """

    program: str
    origin_y: int
    origin_x: int
    inputs: tuple[Window, ...]
    outputs: tuple[Window, ...]


@dataclass(frozen=True)
class MaskSchedule:
    """One alternative for the mask; ``reach`` in canvas pixels, None for the whole canvas."""

    name: str
    reach: int | None
    calls: tuple[Call, ...]
    head: Call


@dataclass(frozen=True)
class Macs:
    """Multiply-adds: of FullNet, of what runs once per photo, of the query, of each mask by name.

    ``full`` is for the schedule's own canvas; the others are the same on every canvas.
    """

    full: int
    encode: int
    query: int
    masks: Mapping[str, int]


@dataclass(frozen=True)
class FullNetIou:
    """How far masks agree with FullNet's, by IoU: the mean over taps and their 5th percentile."""

    mean: float
    p5: float


@dataclass(frozen=True)
class Accuracy:
    """mIoU-T on annotated photos: with exact windows, and with those that a halo leaves."""

    exact: float
    halo: float
    photos: int
    taps: int


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
    """What to run for a tap, and how to choose the mask alternative.

    ``levels`` are names, finest first. ``key_stride``, in canvas pixels, is that of ``key_level``.
    ``table_offset`` is where the rows for the schedule's own canvas begin in the bundle's table.
    ``halo`` is the share of the receptive fields' halo that its windows keep; below 1 its answers
    are not exactly FullNet's, and ``fullnet_iou`` and ``miou_t`` say how they differ, if measured.
    """

    name: str
    canvas_height: int
    canvas_width: int
    serves: Served
    halo: float
    fullnet_iou: FullNetIou | None
    miou_t: Accuracy | None
    levels: tuple[str, ...]
    key_level: str
    key_stride: int
    rows: tuple[Row, ...]
    table_offset: int
    encode: tuple[Call, ...]
    query: tuple[Call, ...]
    masks: tuple[MaskSchedule, ...]
    reach_slack: float
    macs: Macs

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width, in pixels, of the canvas that the schedule was planned for."""
        return self.canvas_height, self.canvas_width

    @property
    def exact(self) -> bool:
        """Whether its answers are FullNet's, up to rounding."""
        return self.halo == 1

    def feature_stride(self, mask: MaskSchedule) -> int:
        """Canvas pixels per cell of the mask features that the head of ``mask`` reads."""
        return self.rows[mask.head.origin_y].unit // mask.head.inputs[0].step

    def serves_canvas(self, height: int, width: int) -> bool:
        """Whether its programs serve a canvas of this size."""
        return height in self.serves.height and width in self.serves.width

    def tap_calls(self) -> Iterator[Call]:
        """Every call that a tap can run: the query's, and each mask alternative's with its head."""
        yield from self.query
        for mask in self.masks:
            yield from (*mask.calls, mask.head)

    def programs(self) -> frozenset[str]:
        """The names of all programs that it runs."""
        return frozenset(call.program for call in (*self.encode, *self.tap_calls()))
