"""Schedules: what TraceNet wants at a tap, and the plan that serves it.

A tap wants its levels' answers at one cell, and mask features around it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tracenet.model import COARSEST_STRIDE, LEVELS, Level, TraceNet
from tracenet.rft import ConvGraph, Node, Span, capture
from tracenet_export.errors import ExportError, PlanError
from tracenet_export.plan import (
    ClosedForm,
    Plan,
    Row,
    Setting,
    Spans,
    Wanted,
    add_spans,
    check_plan,
    find_closed_form,
    kept_regions,
    make_piece,
    make_plan,
    on_canvas,
    place,
    place_whole,
)
from tracenet_export.programs import mask_head_macs
from tracenet_runtime.manifest import MAX_SIDE

Size = tuple[int, int]
"""Height and width."""

Graphs = Callable[[Size], ConvGraph]
"""The network, captured on a canvas."""

LADDER: tuple[int | None, ...] = (64, 128, 256, None)
"""Mask windows: canvas pixels from the tap to each side; None is the whole canvas."""

REACH_SLACK = 1.125
"""A mask window must reach this much further than the predicted box, whose sides are estimates."""

WORTHWHILE = 0.01
"""Share of a tap's multiply-adds that a mask window must save against the next larger one.

Each has programs of its own, to load and, for some targets, with weights of their own.
"""

_LARGE_SIDE = 64 * COARSEST_STRIDE
"""At least the side of a canvas on which no border reaches the middle."""

_ENCODED = ("backbone", "pyramid", "mask_branch")
"""The parts of the network that `warm` computes once per photo, on the whole canvas.

The mask branch is one of them: on windows at every tap it would cost more from the second tap on,
and its windows would cut masks off.
"""

INPUT_ONLY = "/input"
"""Ends the name of a schedule whose only crop point is the picture: one program, a baseline."""


@dataclass(frozen=True)
class ScheduleRequest:
    """What to plan.

    Attributes:
        name: ``all``, ``warm``, ``full``, or levels such as ``P4`` or ``P3-P5``; ``all`` and levels
            may end in `INPUT_ONLY`.
        levels: which levels are asked, finest first.
        canvas: height and width.
        ladder: mask windows, smallest first; see `LADDER`.
        chosen: they were asked for; of a default ladder those that save little are left out.
        halo: the share of the halo that windows keep, above 0; 1 is exact.
    """

    name: str
    levels: tuple[Level, ...]
    canvas: Size
    ladder: tuple[int | None, ...]
    chosen: bool = False
    halo: float = 1.0


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


def parse_schedule(
    text: str, canvas: Size, ladder: Sequence[int | None] = (), halo: float = 1.0
) -> ScheduleRequest:
    """``all``, ``warm``, ``full``, ``P4``, ``P3,P5``, ``P3-P5`` or ``P3-P5/input`` -> what to plan.

    Args:
        text: the schedule.
        canvas: height and width.
        ladder: mask windows; by default those of `LADDER` that the levels' answers can need and
            that are `WORTHWHILE`. `warm` and `full` have the features of the whole canvas and need
            no others, and a schedule whose only crop point is the picture has the largest one.
        halo: the share of the halo that windows keep. `full` has no windows and is always exact.

    Raises:
        ExportError: a name is no level, or a window does not fit the finest level.
    """
    name = text.strip().lower()
    cropped = name.endswith(INPUT_ONLY) and name.removesuffix(INPUT_ONLY) not in ("warm", "full")
    if cropped:
        name = name.removesuffix(INPUT_ONLY)
    named = name in ("all", "warm", "full")
    levels = LEVELS if named else parse_levels(name)
    chosen = bool(ladder)
    if not named:
        name = "all" if levels == LEVELS else _levels_name(levels)
    if name in ("warm", "full"):
        ladder = (None,)
    elif not ladder:
        largest = levels[-1].size_of_interest
        fitting = [w for w in LADDER if w is None or w % levels[0].stride == 0]
        bounded = [w for w in fitting if w is not None and w <= largest]
        ladder = bounded if largest in bounded else fitting
    stride = levels[0].stride
    misfit = [window for window in ladder if window is not None and window % stride]
    if misfit:
        raise ExportError(
            f"a mask window of {misfit[0]} px does not fit: with {levels[0].name} as the finest "
            f"level, windows are multiples of {stride} px, or `all`"
        )
    if cropped:
        name, ladder = name + INPUT_ONLY, ladder[-1:]
    halo = 1.0 if name == "full" else halo
    return ScheduleRequest(name, levels, canvas, tuple(ladder), chosen, halo)


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
            raise ExportError(
                f"{part!r} is no level; give some of {','.join(names)}, or `all`, `warm` or `full`"
            )
        if names.index(first) > names.index(last):
            raise ExportError(f"{part!r} names no level; the coarser one comes last, as in P3-P5")
        chosen.update(names[names.index(first) : names.index(last) + 1])
    return tuple(level for level in LEVELS if level.name in chosen)


def _levels_name(levels: Sequence[Level]) -> str:
    """Such as ``P4``, ``P3-P7``, or ``P3,P5`` where levels are left out between."""
    names = [level.name for level in levels]
    span = LEVELS[LEVELS.index(levels[0]) : LEVELS.index(levels[-1]) + 1]
    return f"{names[0]}-{names[-1]}" if len(span) == len(names) > 1 else ",".join(names)


def query_wanted(canvas: tuple[int, int], levels: Sequence[Level]) -> Wanted:
    """One cell of score, box and filter on each level, for every cell of the finest one."""
    stride = levels[0].stride
    wanted: dict[str, Spans] = {}
    for level in levels:
        y, x = (np.arange(extent // stride) * stride // level.stride for extent in canvas)
        spans = Span(y, y + 1), Span(x, x + 1)
        wanted |= {level.output(kind): spans for kind in ("score", "box", "filter")}
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


def captured(network: TraceNet) -> Graphs:
    """The network as a graph on any canvas, each canvas captured once."""

    @functools.cache
    def graph(canvas: Size) -> ConvGraph:
        # Only the shape counts, so one pixel stands for all; a large canvas would not fit memory.
        return capture(network, (torch.zeros(1, 3, 1, 1).expand(1, 3, *canvas),))

    return graph


def plan_schedule(graphs: Graphs, request: ScheduleRequest) -> SchedulePlan:
    """Plan a schedule, find the closed form of its table, and which canvases that serves.

    The plan is checked for every key cell of its own canvas (see `check_plan`). Whether it serves
    other canvases is settled by the same check on the smallest of them and on a very large one.

    Raises:
        PlanError: no windows of fixed size serve the network.
    """
    canvas, stride = request.canvas, request.levels[0].stride
    features_stride = mask_stride(graphs(canvas))
    windows = _windows(request, features_stride)
    own = _setting(graphs, request, canvas, windows)
    plan = _plan(request, own)
    worthwhile = windows if request.chosen else _worthwhile(plan, windows)
    if worthwhile != windows:
        windows = worthwhile
        own = _setting(graphs, request, canvas, windows)
        plan = _plan(request, own)
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
        request.name, plan, canvas, request.levels, windows, form, head_rows, serves
    )


def _plan(request: ScheduleRequest, own: Setting) -> Plan:
    if request.name == "full":
        return _plan_full(own)
    if request.name.endswith(INPUT_ONLY):
        return _plan_cropped(own, request.halo)
    encoded = [n.name for n in own.graph.nodes.values() if part_of(n) in _ENCODED]
    before = encoded if request.name == "warm" else ()
    return make_plan(own.graph, own.query, own.alternatives, before, request.halo)


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


def part_of(node: Node) -> str:
    """``backbone``, ``pyramid``, ``heads`` or ``mask_branch``; nothing for the normalisation."""
    return node.module_path.split(".")[0]


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
    return Setting(canvas, graph, query_wanted(canvas, request.levels), alternatives)


def _plan_full(own: Setting) -> Plan:
    """FullNet as a schedule: all of the network on all of the canvas, before any tap."""
    graph = own.graph
    piece = make_piece(graph, (node for node in graph.nodes if node != graph.input_name))
    return Plan(
        graph=graph,
        encode=(place_whole(piece, own.keys),),
        query=(),
        alternatives=dict.fromkeys(own.alternatives, ()),
        wanted_query=own.query,
        wanted_alternatives=own.alternatives,
    )


def _plan_cropped(own: Setting, halo: float) -> Plan:
    """FullNet on a crop of the picture that holds what is kept for a tap: one program."""
    graph = own.graph
    ((name, mask),) = own.alternatives.items()
    wanted = {**own.query, **mask}
    regions = kept_regions(graph, own.query, halo)
    for node, spans in kept_regions(graph, mask, halo).items():
        add_spans(regions, node, spans)
    piece = make_piece(graph, regions.keys() - {graph.input_name})
    cut = {graph.outputs[output]: spans for output, spans in wanted.items()}
    return Plan(
        graph=graph,
        encode=(),
        query=(place(graph, piece, regions, cut),),
        alternatives={name: ()},
        wanted_query=own.query,
        wanted_alternatives=own.alternatives,
        halo=halo,
    )


def _head_rows(
    request: ScheduleRequest, window: int | None, head_window: Spans, stride: int
) -> tuple[Row, Row]:
    step = request.levels[0].stride // stride
    y, x = (
        Row(stride, int(span.size[0]), (0,), 0)
        if window is None
        else Row(stride, int(span.size[0]), (-window // stride,), step)
        for span in head_window
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
