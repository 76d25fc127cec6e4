"""What a tap costs, in multiply-adds: FullNet, exact regions, and planned windows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet.rft import ConvGraph, Node, Rect, Span
from tracenet_export.plan import Spans
from tracenet_export.recipes.warm import part_of
from tracenet_export.schedule import SchedulePlan, mask_spans, mask_stride, query_wanted

GRID = 16
"""Canvas pixels between the taps over which exact regions are averaged."""


@dataclass(frozen=True)
class StageCost:
    """Multiply-adds of one stage of the network."""

    name: str
    full_macs: int
    region_macs_mean: float
    window_macs: int


@dataclass(frozen=True)
class TraceReport:
    """The cost of a tap on a canvas.

    Attributes:
        full_macs: FullNet, all levels and all mask features.
        encode_macs: what runs once per photo, before any tap.
        region_macs_mean: exact regions, mean over a 16 px grid of taps.
        window_macs: the planned windows, the same for every tap.
        input_window: (height, width) of the largest tile that is cut out of the picture.
        input_starts: ((first, last) y, (first, last) x) of where it starts, over all taps.
        stages: the same figures by stage.
    """

    full_macs: int
    encode_macs: int
    region_macs_mean: float
    window_macs: int
    input_window: tuple[int, int]
    input_starts: tuple[tuple[int, int], tuple[int, int]]
    stages: tuple[StageCost, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the shares of FullNet."""
        return {
            "full_macs": self.full_macs,
            "encode_macs": self.encode_macs,
            "region_macs_mean": round(self.region_macs_mean),
            "window_macs": self.window_macs,
            "region_share": round(self.region_macs_mean / self.full_macs, 4),
            "window_share": round(self.window_macs / self.full_macs, 4),
            "input_window": {"height": self.input_window[0], "width": self.input_window[1]},
            "input_starts": {"y": list(self.input_starts[0]), "x": list(self.input_starts[1])},
            "stages": [
                {
                    "stage": stage.name,
                    "full_macs": stage.full_macs,
                    "region_macs_mean": round(stage.region_macs_mean),
                    "window_macs": stage.window_macs,
                }
                for stage in self.stages
            ],
        }


def report_costs(tap_plan: SchedulePlan, window: str) -> TraceReport:
    """The costs of a plan with one of its mask windows.

    Args:
        tap_plan: the plan.
        window: name of the mask window.
    """
    plan, graph = tap_plan.plan, tap_plan.plan.graph
    grid = [np.arange(0, extent, GRID) // tap_plan.key.stride for extent in tap_plan.canvas]
    # Regions are separable, so means may be taken axis by axis. TraceNet has no operator whose
    # multiply-adds count by input cells.
    exact = {
        name: float(
            graph.nodes[name].macs_per_cell * y.size[grid[0]].mean() * x.size[grid[1]].mean()
        )
        for name, (y, x) in tap_regions(tap_plan, window).items()
    }
    planned: Counter[str] = Counter()
    for placed in (*plan.query, *plan.alternatives[window]):
        for name in placed.piece.nodes:
            planned[name] += placed.node_macs(graph, name)
    stages: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        if node.macs_per_cell:
            stages.setdefault(stage_of(graph, node), []).append(name)
    y, x = _input_tiles(tap_plan, window)
    return TraceReport(
        full_macs=graph.full_macs,
        encode_macs=plan.encode_macs,
        region_macs_mean=sum(exact.values()),
        window_macs=sum(planned.values()),
        input_window=(int(y.size[0]), int(x.size[0])),
        input_starts=(_range(y), _range(x)),
        stages=tuple(
            StageCost(
                stage,
                sum(map(graph.node_macs, names)),
                sum(exact.get(name, 0.0) for name in names),
                sum(planned[name] for name in names),
            )
            for stage, names in stages.items()
        ),
    )


def tap_regions(tap_plan: SchedulePlan, window: str) -> dict[str, Spans]:
    """Exact regions of what one tap computes, with one mask window, for every key cell."""
    plan = tap_plan.plan
    per_picture = {node for placed in plan.encode for node in placed.piece.nodes}
    reach = tap_plan.windows[window]
    stride = mask_stride(plan.graph)
    mask = mask_spans(tap_plan.canvas, tap_plan.key.stride, reach, stride)
    wanted = dict(query_wanted(tap_plan.canvas, tap_plan.levels)) | {"mask_features": mask}
    regions = plan.graph.regions(wanted)
    return {name: spans for name, spans in regions.items() if name not in per_picture}


def stage_of(graph: ConvGraph, node: Node) -> str:
    """Such as ``backbone /16``, ``pyramid``, ``heads`` or ``mask_branch``."""
    part = part_of(node)
    if part != "backbone":
        return part
    return f"backbone /{graph.input_shape[2] // node.extent[0]}"


def stage_rects(tap_plan: SchedulePlan, window: str, tap: tuple[int, int]) -> dict[str, Rect]:
    """What a tap needs of each stage, in canvas pixels: the smallest cover of its nodes' regions.

    Args:
        tap_plan: the plan.
        window: name of the mask window.
        tap: (x, y) canvas pixels.
    """
    graph, stride = tap_plan.plan.graph, tap_plan.key.stride
    column, row = tap[0] // stride, tap[1] // stride
    rects: dict[str, Rect] = {}
    for name, (y, x) in tap_regions(tap_plan, window).items():
        node = graph.nodes[name]
        if not node.macs_per_cell:
            continue
        scale = graph.input_shape[2] // node.extent[0]
        rect = Rect(*(int(v) * scale for v in (y.lo[row], y.hi[row], x.lo[column], x.hi[column])))
        stage = stage_of(graph, node)
        rects[stage] = rects[stage].union(rect) if stage in rects else rect
    return rects


def input_tile(tap_plan: SchedulePlan, window: str, tap: tuple[int, int]) -> Rect:
    """The largest tile that is cut out of the picture for a tap, canvas pixels.

    Args:
        tap_plan: the plan.
        window: name of the mask window.
        tap: (x, y) canvas pixels.
    """
    stride = tap_plan.key.stride
    column, row = tap[0] // stride, tap[1] // stride
    y, x = _input_tiles(tap_plan, window)
    return Rect(int(y.lo[row]), int(y.hi[row]), int(x.lo[column]), int(x.hi[column]))


def _input_tiles(tap_plan: SchedulePlan, window: str) -> Spans:
    """The largest tile that is cut out of the picture, for every key cell."""
    plan = tap_plan.plan
    tiles = [
        placed.window(plan.graph.input_name)
        for placed in (*plan.encode, *plan.query, *plan.alternatives[window])
        if plan.graph.input_name in placed.piece.sources
    ]
    return max(tiles, key=lambda spans: int(spans[0].size[0] * spans[1].size[0]))


def _range(span: Span) -> tuple[int, int]:
    starts: npt.NDArray[np.int64] = span.lo
    return int(starts.min()), int(starts.max())
