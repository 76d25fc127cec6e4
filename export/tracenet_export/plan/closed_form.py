"""The closed form of where windows start, which serves canvases of any size.

Inside a large picture the regions of neighbouring key cells differ only by a shift that repeats
with the strides of the network. So does the origin of a frame, until the picture's border clamps
it: with ``n`` phases, the origin for key cell ``k`` is

    clip(phases[k mod n] + advance * (k div n), 0, side / unit - size)

(``tracenet_runtime.graph.schedule.Row``, of which ``phases`` are the first origins, not clamped).
A plan's windows serve every canvas on which these origins are exact (``check_plan`` proves it for
every key cell): one at least as large as its largest window, if the windows are as large as they
would be in the middle of an endless picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracenet.rft import ConvGraph
from tracenet_export.errors import PlanError
from tracenet_export.plan.halo import kept_regions, query_regions
from tracenet_export.plan.piece import (
    AXES,
    AxisPlacement,
    PlacedPiece,
    Spans,
    add_spans,
    computed_by,
    frame_span,
    make_piece,
)
from tracenet_export.plan.plan import ENCODE, QUERY, Plan, Wanted
from tracenet_runtime.graph.schedule import Axis, Row

_NAMES: tuple[Axis, Axis] = ("y", "x")


@dataclass(frozen=True)
class Setting:
    """The network on one canvas, and what is wanted of it there.

    Attributes:
        canvas: height and width.
        graph: captured on this canvas.
        query, alternatives: what each wants, for every key cell.
    """

    canvas: tuple[int, int]
    graph: ConvGraph
    query: Wanted
    alternatives: Mapping[str, Wanted]

    @property
    def keys(self) -> tuple[int, int]:
        """How many key cells there are along y and x."""
        y, x = next(iter(self.query.values()))
        return len(y.lo), len(x.lo)


Rows = tuple[Row, Row]
"""Of y and x."""


@dataclass(frozen=True)
class ClosedForm:
    """The rows of a plan's pieces: phase name -> one pair for each piece, in order."""

    rows: Mapping[str, tuple[Rows, ...]]

    @property
    def least_sides(self) -> tuple[int, int]:
        """Height and width of the smallest canvas that holds every window."""
        height, width = (
            max(pair[axis].size * pair[axis].unit for pairs in self.rows.values() for pair in pairs)
            for axis in AXES
        )
        return height, width


def find_closed_form(plan: Plan, large: Setting, period: int) -> ClosedForm:
    """Read the closed form of a plan's origins off a canvas with room for all phases.

    Args:
        plan: made on any canvas; its partition and its sizes are kept.
        large: the same network and wants on a canvas so large that no border reaches the middle.
        period: key cells after which the strides of the network repeat.

    Raises:
        PlanError: the origins have no such form.
    """
    reader = _Reader(plan, large, period)
    rows: dict[str, tuple[Rows, ...]] = {}
    borrowed: dict[str, Spans] = {large.graph.outputs[n]: s for n, s in large.query.items()}
    for name, pieces in plan.alternatives.items():
        wanted = {large.graph.outputs[n]: s for n, s in large.alternatives[name].items()}
        regions = kept_regions(large.graph, large.alternatives[name], plan.halo)
        rows[name], hulls = reader.read(pieces, regions, wanted)
        for node in hulls.keys() - computed_by(pieces):
            add_spans(borrowed, node, hulls[node])
    regions = query_regions(plan, large.graph, large.query, large.alternatives)
    rows[QUERY], _ = reader.read(plan.query, regions, borrowed)
    rows[ENCODE] = tuple(reader.whole(placed) for placed in plan.encode)
    return ClosedForm(rows)


def on_canvas(plan: Plan, form: ClosedForm, setting: Setting) -> Plan:
    """A plan's pieces on another canvas, with the origins that the closed form gives there.

    Whether they are exact is for :func:`~tracenet_export.plan.check.check_plan` to say.
    """

    def settled(phase: str, pieces: Sequence[PlacedPiece]) -> tuple[PlacedPiece, ...]:
        pairs = zip(pieces, form.rows[phase], strict=True)
        return tuple(_settle(placed, rows, setting) for placed, rows in pairs)

    return replace(
        plan,
        graph=setting.graph,
        encode=settled(ENCODE, plan.encode),
        query=settled(QUERY, plan.query),
        alternatives={n: settled(n, pieces) for n, pieces in plan.alternatives.items()},
        wanted_query=setting.query,
        wanted_alternatives=setting.alternatives,
    )


def _settle(placed: PlacedPiece, rows: Rows, setting: Setting) -> PlacedPiece:
    piece = make_piece(setting.graph, placed.piece.nodes)
    y, x = (
        AxisPlacement(row.starts(side, keys), row.size)
        for row, side, keys in zip(rows, setting.canvas, setting.keys, strict=True)
    )
    return PlacedPiece(piece, (y, x))


@dataclass(frozen=True)
class _Reader:
    plan: Plan
    large: Setting
    period: int

    def read(
        self,
        pieces: Sequence[PlacedPiece],
        regions: Mapping[str, Spans],
        asked: Mapping[str, Spans],
    ) -> tuple[tuple[Rows, ...], dict[str, Spans]]:
        """The rows of a phase, and the windows that are cut out of every node for it.

        Args:
            pieces: the phase.
            regions: of its nodes, on the large canvas.
            asked: what is cut out of its nodes from outside.
        """
        hulls, rows = dict(asked), []
        for placed in reversed(pieces):
            piece = make_piece(self.large.graph, placed.piece.nodes)
            y, x = (
                self._row(
                    placed, frame_span(self.large.graph, piece, regions, hulls, axis).lo, axis
                )
                for axis in AXES
            )
            rows.append((y, x))
            settled = _settle(placed, (y, x), self.large)
            for source in piece.sources:
                add_spans(hulls, source, settled.window(source))
        return tuple(reversed(rows)), hulls

    def whole(self, placed: PlacedPiece) -> Rows:
        y, x = (
            Row(_NAMES[axis], self._unit(placed, axis), placed.placements[axis].size, (0,), 0)
            for axis in AXES
        )
        return y, x

    def _row(self, placed: PlacedPiece, origins: npt.NDArray[np.int64], axis: int) -> Row:
        period = self.period
        first = len(origins) // 2 // period * period
        middle, following = origins[first : first + period], origins[first + period :][:period]
        advance = following - middle
        if np.any(advance != advance[0]):
            raise PlanError(
                f"the windows of {placed.piece.nodes[-1]} do not repeat every {period} key cells"
            )
        phases = middle - advance[0] * (first // period)
        shortest = _shortest_period(origins[first:], int(advance[0]), period)
        return Row(
            _NAMES[axis],
            self._unit(placed, axis),
            placed.placements[axis].size,
            tuple(int(origin) for origin in phases[:shortest]),
            int(advance[0]) * shortest // period,
        )

    def _unit(self, placed: PlacedPiece, axis: int) -> int:
        frame = placed.piece.frames[axis]
        unit, rest = divmod(self.plan.graph.input_shape[2 + axis], frame.extent)
        if rest or any(frame.offset.values()):
            raise PlanError(
                f"{placed.piece.nodes[-1]} is no whole fraction of the canvas, so its windows "
                "serve one canvas only"
            )
        return unit


def _shortest_period(origins: npt.NDArray[np.int64], advance: int, period: int) -> int:
    """The fewest phases that say the same as ``period`` phases, which advance by ``advance``."""
    for count in range(1, period):
        shift, rest = divmod(advance * count, period)
        ahead = origins[count : count + period] - origins[:period]
        if not (period % count or rest) and np.all(ahead == shift):
            return count
    return period
