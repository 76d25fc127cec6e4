"""Schedules: what TraceNet wants at a tap, and the plan that serves it.

A tap wants its levels' answers at one cell, and mask features around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tracenet.model import COARSEST_STRIDE, Level, TraceNet, without_guided_look
from tracenet.rft import ConvGraph, Span, capture, resized
from tracenet_export.errors import ExportError, PlanError
from tracenet_export.plan import (
    ONNX_RUNTIME,
    ClosedForm,
    CostModel,
    Plan,
    Setting,
    Spans,
    Wanted,
    check_plan,
    find_closed_form,
    on_canvas,
)
from tracenet_export.programs import GUIDE_FEATURES, mask_head_macs
from tracenet_export.requests import ScheduleRequest, Size
from tracenet_runtime.contract import MAX_SIDE
from tracenet_runtime.graph.schedule import Axis, Row

Graphs = Callable[[Size], ConvGraph]
"""The network, captured on a canvas."""

REACH_SLACK = 1.125
"""A mask window must reach this much further than the predicted box, whose sides are estimates."""

WORTHWHILE = 0.01
"""Share of a tap's multiply-adds that a mask window must save against the next larger one.

Each has programs of its own, to load and, for some targets, with weights of their own.
"""

_LARGE_SIDE = 64 * COARSEST_STRIDE
"""At least the side of a canvas on which no border reaches the middle."""

_AXES: tuple[Axis, Axis] = ("y", "x")


@dataclass(frozen=True)
class SchedulePlan:
    """A plan for taps.

    Attributes:
        name: of the schedule.
        plan: query: score, box and filter of every level; one alternative per mask window.
        canvas: height and width.
        levels: which levels are asked, finest first.
        windows: alternative name -> canvas pixels to each side, None for the whole canvas.
        form: where the pieces' windows start, on any canvas.
        head_rows: alternative name -> where the windows of mask features start that its mask head
            reads, likewise; a cell is their unit.
        corrects: a guided look follows.
        serves: for height and width, the least and the most pixels of canvases that the plan's
            windows serve: exactly, or as nearly as on its own canvas.
    """

    name: str
    plan: Plan
    canvas: Size
    levels: tuple[Level, ...]
    windows: dict[str, int | None]
    form: ClosedForm
    head_rows: dict[str, tuple[Row, Row]]
    serves: tuple[Size, Size]
    corrects: bool = False

    @property
    def key(self) -> Level:
        """The level whose cell is the key of the table."""
        return self.levels[0]

    def reach(self, alternative: str) -> int | None:
        """Canvas pixels from the key cell to each side that a mask covers.

        That is half a cell of the features less than the window: there the mask would mix features
        beyond it.
        """
        window = self.windows[alternative]
        return None if window is None else window - mask_stride(self.plan.graph) // 2


@dataclass(frozen=True)
class TapMacs:
    """Multiply-adds on a schedule's canvas, the mask head's included.

    Attributes:
        full: of FullNet and one mask head on the whole canvas.
        encode: once per photo.
        query: of a tap, before its mask.
        masks: of a tap's mask, by window.
    """

    full: int
    encode: int
    query: int
    masks: dict[str, int]

    def tap_shares(self) -> dict[str, float]:
        """What a tap costs with each mask window, as a share of FullNet."""
        return {name: (self.query + macs) / self.full for name, macs in self.masks.items()}


def tap_macs(tap_plan: SchedulePlan) -> TapMacs:
    """What a schedule costs."""
    plan = tap_plan.plan
    features = plan.graph.nodes[plan.graph.outputs["mask_features"]].extent
    return TapMacs(
        full=plan.graph.full_macs + mask_head_macs(*features),
        encode=plan.encode_macs,
        query=plan.query_macs,
        masks={
            name: plan.alternative_macs(name)
            + mask_head_macs(*(row.size for row in tap_plan.head_rows[name]))
            for name in plan.alternatives
        },
    )


def query_wanted(canvas: tuple[int, int], levels: Sequence[Level]) -> Wanted:
    """One cell of score, box and filter on each level, for every cell of the finest one."""
    stride = levels[0].stride
    wanted: dict[str, Spans] = {}
    for level in levels:
        y, x = (np.arange(extent // stride) * stride // level.stride for extent in canvas)
        spans = Span(y, y + 1), Span(x, x + 1)
        wanted |= {level.output(kind): spans for kind in ("score", "box", "filter")}
    return wanted


def guide_wanted(graph: ConvGraph, keys: tuple[int, int]) -> Wanted:
    """All of what a guided look reads, for so many key cells along y and x."""
    wanted: dict[str, Spans] = {}
    for name in GUIDE_FEATURES:
        y, x = (
            Span(np.zeros(count, np.int64), np.full(count, extent))
            for count, extent in zip(keys, graph.nodes[graph.outputs[name]].extent, strict=True)
        )
        wanted[name] = y, x
    return wanted


def mask_stride(graph: ConvGraph) -> int:
    """Canvas pixels per cell of a network's mask features."""
    features = graph.nodes[graph.outputs["mask_features"]]
    return int(graph.input_shape[2]) // features.extent[0]


def mask_spans(canvas: tuple[int, int], key_stride: int, reach: int | None, stride: int) -> Spans:
    """The mask features within this reach of every key cell (None: all of them).

    Args:
        canvas: height and width.
        key_stride: of the level whose cells are the keys.
        reach: canvas pixels to each side.
        stride: of the mask features.
    """
    y, x = (_mask_span(extent, key_stride, reach, stride) for extent in canvas)
    return y, x


def _mask_span(extent: int, key_stride: int, reach: int | None, stride: int) -> Span:
    cells = extent // stride
    start = np.arange(extent // key_stride) * key_stride
    if reach is None:
        return Span(np.zeros_like(start), np.full_like(start, cells))
    return Span(
        (start - reach) // stride,
        -((-start - key_stride - reach) // stride),
    ).clip(cells)


def windows_of(spans: Span, extent: int) -> Span:
    """The smallest windows of one size within the extent that contain the spans."""
    size = int(spans.size.max())
    start = np.clip(spans.lo, 0, extent - size)
    return Span(start, start + size)


def captured(network: TraceNet, corrects: bool = False) -> Graphs:
    """The network as a graph on any canvas, captured on the first that is asked for.

    What only a guided look reads is left out unless it ``corrects``.

    Raises:
        ExportError: it is to correct, and has no guided look.
    """
    if not corrects:
        network = without_guided_look(network)
    elif network.guided_look is None:
        raise ExportError(
            f"{network.config.name} has no guided look; train one with `tracenet-train --task "
            "clicks`, or leave `guided` out"
        )

    on_canvases: dict[Size, ConvGraph] = {}

    def graph(canvas: Size) -> ConvGraph:
        if not on_canvases:
            # Only the shape counts: one pixel stands for all.
            picture = torch.zeros(1, 3, 1, 1).expand(1, 3, *canvas)
            on_canvases[canvas] = capture(network, (picture,))
        elif canvas not in on_canvases:
            # A network does the same on every canvas.
            on_canvases[canvas] = resized(next(iter(on_canvases.values())), *canvas)
        return on_canvases[canvas]

    return graph


def plan_schedule(
    graphs: Graphs, request: ScheduleRequest, cost: CostModel = ONNX_RUNTIME
) -> SchedulePlan:
    """Plan a schedule, find the closed form of its table, and which canvases that serves.

    The plan is checked for every key cell of its own canvas (see `check_plan`). Whether it serves
    other canvases is settled by the same check on the smallest of them and on a very large one.
    ``cost`` is what calls and cuts cost beside their work.

    Raises:
        PlanError: no windows of fixed size serve the network.
    """
    canvas, stride = request.canvas, request.levels[0].stride
    features_stride = mask_stride(graphs(canvas))
    windows = _windows(request, features_stride)
    own = _setting(graphs, request, canvas, windows)
    plan = request.recipe.plan(own, request.halo, cost)
    worthwhile = windows if request.chosen else _worthwhile(plan, windows)
    if worthwhile != windows:
        windows = worthwhile
        own = _setting(graphs, request, canvas, windows)
        plan = request.recipe.plan(own, request.halo, cost)
    # No window is larger than its canvas, so the middle of one four times as large is free of it.
    side = max(_LARGE_SIDE, 4 * max(canvas))
    large = _setting(graphs, request, (side, side), windows)
    form = find_closed_form(plan, large, period=COARSEST_STRIDE // stride)
    plan = on_canvas(plan, form, own)
    check_plan(plan)
    head_rows = {
        name: _head_rows(request, windows[name], wanted["mask_features"], features_stride)
        for name, wanted in own.alternatives.items()
    }
    heads = [[rows[axis].size * rows[axis].unit for rows in head_rows.values()] for axis in (0, 1)]
    least = [
        -(-max(side, *sides) // COARSEST_STRIDE) * COARSEST_STRIDE
        for side, sides in zip(form.least_sides, heads, strict=True)
    ]
    serves = _serves(graphs, request, windows, plan, form, (least[0], least[1]), large)
    return SchedulePlan(
        request.name,
        plan,
        canvas,
        request.levels,
        windows,
        form,
        head_rows,
        serves,
        request.recipe.corrects,
    )


def _worthwhile(plan: Plan, windows: Mapping[str, int | None]) -> dict[str, int | None]:
    """Without those that save too little against the next larger one that is kept."""
    kept = set[str]()
    larger = float("inf")
    for name in reversed(list(windows)):
        macs = plan.query_macs + plan.alternative_macs(name)
        if macs < (1 - WORTHWHILE) * larger:
            kept.add(name)
            larger = macs
    return {name: window for name, window in windows.items() if name in kept}


def _windows(request: ScheduleRequest, stride: int) -> dict[str, int | None]:
    """Mask windows by name; one that covers the canvas for some tap takes the place of `all`.

    ``stride`` is that of the mask features.
    """
    features = tuple(side // stride for side in request.canvas)
    windows: dict[str, int | None] = {}
    for window in request.ladder:
        spans = mask_spans(request.canvas, request.levels[0].stride, window, stride)
        whole = tuple(int(span.size.max()) for span in spans) == features
        windows["all" if whole else f"{window}px"] = None if whole else window
        if whole:
            break
    return windows


def _setting(
    graphs: Graphs, request: ScheduleRequest, canvas: Size, windows: Mapping[str, int | None]
) -> Setting:
    graph = graphs(canvas)
    stride = mask_stride(graph)
    features = tuple(side // stride for side in canvas)
    alternatives = {}
    for name, window in windows.items():
        spans = mask_spans(canvas, request.levels[0].stride, window, stride)
        y, x = (windows_of(span, extent) for span, extent in zip(spans, features, strict=True))
        alternatives[name] = {"mask_features": (y, x)}
    query = dict(query_wanted(canvas, request.levels))
    if request.recipe.corrects:
        y, x = next(iter(query.values()))
        query |= guide_wanted(graph, (len(y.lo), len(x.lo)))
    return Setting(canvas, graph, query, alternatives)


def _head_rows(
    request: ScheduleRequest, window: int | None, head_window: Spans, stride: int
) -> tuple[Row, Row]:
    step = request.levels[0].stride // stride
    y, x = (
        Row(axis, stride, int(span.size[0]), (0,), 0)
        if window is None
        else Row(axis, stride, int(span.size[0]), (-window // stride,), step)
        for axis, span in zip(_AXES, head_window, strict=True)
    )
    return y, x


def _serves(
    graphs: Graphs,
    request: ScheduleRequest,
    windows: Mapping[str, int | None],
    plan: Plan,
    form: ClosedForm,
    least: Size,
    large: Setting,
) -> tuple[Size, Size]:
    """The range of heights and of widths that a plan's windows serve."""
    on_large = on_canvas(plan, form, large)
    open_axes = [axis for axis in (0, 1) if _is_served(on_large, axis)]
    if open_axes:
        sides = [least[axis] if axis in open_axes else request.canvas[axis] for axis in (0, 1)]
        smallest = _setting(graphs, request, (sides[0], sides[1]), windows)
        on_smallest = on_canvas(plan, form, smallest)
        open_axes = [axis for axis in open_axes if _is_served(on_smallest, axis)]
    height, width = (
        (least[axis], MAX_SIDE)
        if axis in open_axes
        else (request.canvas[axis], request.canvas[axis])
        for axis in (0, 1)
    )
    return height, width


def _is_served(plan: Plan, axis: int) -> bool:
    try:
        check_plan(plan, (axis,))
    except PlanError:
        return False
    return True
