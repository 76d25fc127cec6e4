"""What TraceNet wants at a tap: its levels' answers at one cell, and mask features around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracenet.model import LEVELS, MASK_STRIDE, Level
from tracenet.rft import ConvGraph, Span
from tracenet_export.errors import ExportError
from tracenet_export.plan import PlacedPiece, Plan, Spans, Wanted, check_plan, make_piece, make_plan
from tracenet_export.plan.piece import AxisPlacement

REACHES: tuple[int | None, ...] = (64, 128, 256, None)
"""Mask windows: canvas pixels from the tap to each side; None is the whole canvas."""


@dataclass(frozen=True)
class TapPlan:
    """A plan for taps.

    Attributes:
        name: of the schedule, such as ``P3-P7``, ``P4`` or ``full``.
        plan: query: score, box and filter of every level; one alternative per mask window.
        canvas: height and width.
        levels: which levels are asked, finest first.
        reaches: alternative name -> canvas pixels, None for the whole canvas.
        head_windows: alternative name -> the mask features that its mask head reads.
    """

    name: str
    plan: Plan
    canvas: tuple[int, int]
    levels: tuple[Level, ...]
    reaches: dict[str, int | None]
    head_windows: dict[str, Spans]

    @property
    def key(self) -> Level:
        """The level whose cell is the key of the table."""
        return self.levels[0]


def parse_levels(text: str) -> tuple[Level, ...]:
    """``P3,P4,P5`` or ``P3-P5`` -> levels, finest first.

    Raises:
        ExportError: a name is no level.
    """
    names = [level.name for level in LEVELS]
    chosen: set[str] = set()
    for part in text.upper().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in names or last not in names:
            raise ExportError(f"{part!r} is no level; give some of {','.join(names)}")
        if names.index(first) > names.index(last):
            raise ExportError(f"{part!r} names no level; the coarser one comes last, as in P3-P5")
        chosen.update(names[names.index(first) : names.index(last) + 1])
    return tuple(level for level in LEVELS if level.name in chosen)


def query_wanted(canvas: tuple[int, int], levels: Sequence[Level]) -> Wanted:
    """One cell of score, box and filter on each level, for every cell of the finest one."""
    stride = levels[0].stride
    wanted: dict[str, Spans] = {}
    for level in levels:
        y, x = (np.arange(extent // stride) * stride // level.stride for extent in canvas)
        spans = Span(y, y + 1), Span(x, x + 1)
        wanted |= {level.output(kind): spans for kind in ("score", "box", "filter")}
    return wanted


def mask_spans(canvas: tuple[int, int], key_stride: int, reach: int | None) -> Spans:
    """The mask features that a mask of this reach needs, for every key cell.

    One cell more to each side than the mask covers, because the upsampling to stride 2 mixes
    neighbouring cells.
    """
    y, x = (_mask_span(extent, key_stride, reach) for extent in canvas)
    return y, x


def _mask_span(extent: int, key_stride: int, reach: int | None) -> Span:
    cells = extent // MASK_STRIDE
    start = np.arange(extent // key_stride) * key_stride
    if reach is None:
        return Span(np.zeros_like(start), np.full_like(start, cells))
    return Span(
        (start - reach) // MASK_STRIDE - 1,
        -((-start - key_stride - reach) // MASK_STRIDE) + 1,
    ).clip(cells)


def windows_of(spans: Span, extent: int) -> Span:
    """The smallest windows of one size within the extent that contain the spans."""
    size = int(spans.size.max())
    start = np.clip(spans.lo, 0, extent - size)
    return Span(start, start + size)


def plan_taps(
    graph: ConvGraph,
    canvas: tuple[int, int],
    levels: Sequence[Level] = LEVELS,
    reaches: Sequence[int | None] = REACHES,
) -> TapPlan:
    """Plan the query and the mask windows of TraceNet on a canvas.

    A reach that needs all mask features for some tap takes the place of the whole canvas: it costs
    as much.

    Args:
        graph: the network.
        canvas: height and width.
        levels: which levels to ask, finest first.
        reaches: of the mask windows, smallest first.

    Raises:
        ExportError: a reach is no multiple of the finest level's stride.
        PlanError: the network cannot be served exactly.
    """
    stride = levels[0].stride
    misfit = [reach for reach in reaches if reach is not None and reach % stride]
    if misfit:
        raise ExportError(
            f"a mask window of {misfit[0]} px does not fit: with {levels[0].name} as the finest "
            f"level, windows are multiples of {stride} px, or `all`"
        )
    features = tuple(extent // MASK_STRIDE for extent in canvas)
    windows: dict[str, Spans] = {}
    named: dict[str, int | None] = {}
    for reach in reaches:
        y, x = map(windows_of, mask_spans(canvas, stride, reach), features)
        whole = (y.size[0], x.size[0]) == features
        name = "all" if whole else f"{reach}px"
        windows[name], named[name] = (y, x), None if whole else reach
        if whole:
            break
    query = query_wanted(canvas, levels)
    alternatives = {name: {"mask_features": spans} for name, spans in windows.items()}
    plan = make_plan(graph, query, alternatives)
    return TapPlan(_schedule_name(levels), plan, canvas, tuple(levels), named, windows)


def _schedule_name(levels: Sequence[Level]) -> str:
    """Such as ``P4``, ``P3-P7``, or ``P3,P5`` where levels are left out between."""
    names = [level.name for level in levels]
    span = LEVELS[LEVELS.index(levels[0]) : LEVELS.index(levels[-1]) + 1]
    return f"{names[0]}-{names[-1]}" if len(span) == len(names) > 1 else ",".join(names)


def plan_full(graph: ConvGraph, canvas: tuple[int, int]) -> TapPlan:
    """FullNet as a schedule: the whole network on the whole canvas, whatever the tap."""
    piece = make_piece(graph, (node for node in graph.nodes if node != graph.input_name))
    stride = LEVELS[0].stride
    y, x = (
        AxisPlacement(np.zeros(extent // stride, np.int64), frame.extent)
        for extent, frame in zip(canvas, piece.frames, strict=True)
    )
    wanted = query_wanted(canvas, LEVELS)
    everything = mask_spans(canvas, stride, None)
    plan = Plan(
        graph,
        (PlacedPiece(piece, (y, x)),),
        {"all": ()},
        wanted,
        {"all": {"mask_features": everything}},
    )
    check_plan(plan)
    return TapPlan("full", plan, canvas, LEVELS, {"all": None}, {"all": everything})
