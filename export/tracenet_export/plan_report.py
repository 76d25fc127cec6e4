"""What the planner did: every call with its window, and what every crop point buys."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tracenet.rft import ConvGraph
from tracenet_export.plan import ENCODE, QUERY, PlacedPiece
from tracenet_export.schedule import SchedulePlan
from tracenet_export.trace_report import stage_of


@dataclass(frozen=True)
class CallReport:
    """One program call of a schedule.

    Attributes:
        phase: ``encode``, ``query`` or the mask window's name.
        call: its number within the phase.
        stage: the part of the network that most of its work belongs to.
        window: height and width in canvas pixels of the largest window that it reads.
        halo: canvas pixels that this window has beyond the largest one that is used of its
            outputs, mean of the four sides.
        macs: multiply-adds.
        bytes: of the windows that are cut for it.
        share: of FullNet's multiply-adds.
    """

    phase: str
    call: int
    stage: str
    window: tuple[int, int]
    halo: float
    macs: int
    bytes: int
    share: float


@dataclass(frozen=True)
class CropReport:
    """One crop point of a schedule: what is cut, for which call, and what that buys.

    Attributes:
        phase, call: the call that reads the window.
        array: what is cut.
        window: height and width in cells of the array.
        bytes: of the window.
        macs_saved: how many more multiply-adds the producing and the reading call would take as
            one, for the picture: the reading call on all of it; None where they cannot be one.
    """

    phase: str
    call: int
    array: str
    window: tuple[int, int]
    bytes: int
    macs_saved: int | None


@dataclass(frozen=True)
class PlanReport:
    """What a tap runs, with one mask window."""

    calls: tuple[CallReport, ...]
    crop_points: tuple[CropReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def report_plan(tap_plan: SchedulePlan, window: str) -> PlanReport:
    """What the planner did for a schedule.

    Args:
        tap_plan: the plan.
        window: name of the mask window.
    """
    plan = tap_plan.plan
    phases = {ENCODE: plan.encode, QUERY: plan.query, window: plan.alternatives[window]}
    used = _used_sizes(tap_plan, window, [piece for pieces in phases.values() for piece in pieces])
    calls = [
        _call_report(plan.graph, phase, index, placed, used)
        for phase, pieces in phases.items()
        for index, placed in enumerate(pieces)
    ]
    crops = [
        CropReport(
            phase,
            point.reader,
            point.node,
            phases[phase][point.reader].size(point.node),
            point.bytes,
            point.macs_saved,
        )
        for phase in (QUERY, window)
        for point in plan.crop_points.get(phase, ())
    ]
    return PlanReport(tuple(calls), tuple(crops))


def _used_sizes(
    tap_plan: SchedulePlan, window: str, pieces: Sequence[PlacedPiece]
) -> dict[str, tuple[int, int]]:
    """Height and width, in cells, of the largest window that is used of each array."""
    plan = tap_plan.plan
    sizes: dict[str, tuple[int, int]] = {}

    def use(node: str, size: tuple[int, int]) -> None:
        height, width = sizes.get(node, (0, 0))
        sizes[node] = max(height, size[0]), max(width, size[1])

    for wanted in (plan.wanted_query, plan.wanted_alternatives[window]):
        for output, (y, x) in wanted.items():
            use(plan.graph.outputs[output], (int(y.size.max()), int(x.size.max())))
    for placed in pieces:
        for source in placed.piece.sources:
            use(source, placed.size(source))
    return sizes


def _call_report(
    graph: ConvGraph,
    phase: str,
    index: int,
    placed: PlacedPiece,
    used: Mapping[str, tuple[int, int]],
) -> CallReport:
    read = [_in_pixels(graph, node, placed.size(node)) for node in placed.piece.sources]
    given = [_in_pixels(graph, node, used[node]) for node in placed.piece.nodes if node in used]
    window, output = max(read, key=math.prod), max(given, key=math.prod)
    macs = placed.macs(graph)
    return CallReport(
        phase,
        index,
        _stage(graph, placed),
        window,
        max(0.0, sum(a - b for a, b in zip(window, output, strict=True)) / 4),
        macs,
        placed.bytes_cut(graph),
        macs / graph.full_macs,
    )


def _in_pixels(graph: ConvGraph, node: str, size: tuple[int, int]) -> tuple[int, int]:
    height, width = (
        cells * side // extent
        for cells, side, extent in zip(
            size, graph.input_shape[2:], graph.nodes[node].extent, strict=True
        )
    )
    return height, width


def _stage(graph: ConvGraph, placed: PlacedPiece) -> str:
    work: Counter[str] = Counter()
    for node in placed.piece.nodes:
        work[stage_of(graph, graph.nodes[node])] += placed.node_macs(graph, node)
    return work.most_common(1)[0][0]
