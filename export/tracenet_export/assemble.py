"""From plans to what a bundle holds: programs, the schedules in JSON form, and the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet.rft import ConvGraph
from tracenet_export.plan import ENCODE, QUERY, PlacedPiece, Row, computed_by
from tracenet_export.programs import (
    PieceModule,
    Program,
    TensorShape,
    mask_head_program,
    window_shape,
)
from tracenet_export.schedule import REACH_SLACK, SchedulePlan, mask_stride, tap_macs

IMAGE = "image"
"""Name of the array that is the canvas."""


@dataclass(frozen=True)
class Assembly:
    """What plans become.

    Attributes:
        programs: each once, however many schedules run it.
        schedules: as in manifest.json, in the order of the plans; nothing is measured yet.
        table: int32, the rows of every schedule on its own canvas.
    """

    programs: tuple[Program, ...]
    schedules: tuple[dict[str, Any], ...]
    table: npt.NDArray[np.int32]


def assemble(plans: Sequence[SchedulePlan]) -> Assembly:
    """Make programs, schedules and table of the plans for one network."""
    programs: dict[str, Program] = {}
    schedules: list[dict[str, Any]] = []
    tables: list[npt.NDArray[np.int64]] = []
    for plan in plans:
        builder = _Builder(plan, programs, _prefix(plan))
        schedule = builder.schedule()
        schedule["table_offset"] = sum(map(len, tables))
        schedules.append(schedule)
        tables += builder.table()
    return Assembly(
        tuple(programs.values()), tuple(schedules), np.concatenate(tables).astype("<i4")
    )


def _prefix(plan: SchedulePlan) -> str:
    """Of the names of a schedule's programs, which are file names."""
    height, width = plan.canvas
    return f"{plan.name.replace(',', '_').replace('/', '_')}_{height}x{width}_"


def _sources(pieces: Iterable[PlacedPiece]) -> set[str]:
    return {source for placed in pieces for source in placed.piece.sources}


def _borrowed(pieces: Sequence[PlacedPiece]) -> set[str]:
    """What an alternative reads of the query's; a node that both compute is not among it."""
    return _sources(pieces) - computed_by(pieces)


@dataclass
class _Builder:
    """Makes one schedule.

    Attributes:
        tap_plan: what it is made of.
        programs: by digest; those of other schedules are used again.
        prefix: of the names of new programs.
    """

    tap_plan: SchedulePlan
    programs: dict[str, Program]
    prefix: str
    rows: dict[tuple[str, Row], int] = field(default_factory=dict)

    def schedule(self) -> dict[str, Any]:
        """The schedule as in manifest.json."""
        tap_plan, plan = self.tap_plan, self.tap_plan.plan
        wanted = {self.graph.outputs[name] for name in plan.wanted_query}
        later = set[str]().union(*map(_borrowed, plan.alternatives.values()))
        later |= {self.features}
        encode = self._calls(ENCODE, "", plan.encode, _sources(plan.query) | wanted | later)
        query = self._calls(QUERY, "", plan.query, wanted | later)
        masks = []
        for name, pieces in plan.alternatives.items():
            scope = f"{name}/" if pieces else ""
            calls = self._calls(name, scope, pieces, {self.features})
            head = self._head_call(name, scope)
            masks.append(
                {"name": name, "reach": tap_plan.reach(name), "calls": calls, "head": head}
            )
        height, width = tap_plan.canvas
        return {
            "name": tap_plan.name,
            "canvas": {"height": height, "width": width},
            "serves": {"height": list(tap_plan.serves[0]), "width": list(tap_plan.serves[1])},
            "halo": plan.halo,
            "exact": plan.halo == 1,
            "fullnet_iou": None,
            "miou_t": None,
            "levels": [level.name for level in tap_plan.levels],
            "key_level": tap_plan.key.name,
            "rows": [
                {
                    "axis": axis,
                    "unit": row.unit,
                    "size": row.size,
                    "phases": list(row.phases),
                    "advance": row.advance,
                }
                for axis, row in self.rows
            ],
            "encode": encode,
            "query": query,
            "masks": masks,
            "reach_slack": REACH_SLACK,
            "macs": asdict(tap_macs(tap_plan)),
        }

    def table(self) -> list[npt.NDArray[np.int64]]:
        """The rows on the schedule's canvas, one behind the other."""
        sides = dict(zip("yx", self.tap_plan.canvas, strict=True))
        stride = self.tap_plan.key.stride
        return [row.starts(sides[axis], sides[axis] // stride) for axis, row in self.rows]

    @property
    def graph(self) -> ConvGraph:
        """The network."""
        return self.tap_plan.plan.graph

    @property
    def features(self) -> str:
        """The node of the mask features."""
        return self.graph.outputs["mask_features"]

    def _calls(
        self, phase: str, scope: str, pieces: Sequence[PlacedPiece], asked_for: set[str]
    ) -> list[dict[str, Any]]:
        """The calls of a phase.

        Args:
            phase: its name.
            scope: of the arrays' names; arrays from outside the phase have none.
            pieces: of the phase.
            asked_for: nodes that are needed after the phase.
        """
        computed = computed_by(pieces)
        needed = asked_for | _sources(pieces)

        def array(node: str) -> str:
            return (scope if node in computed else "") + self._array_name(node)

        calls = []
        for index, (placed, rows) in enumerate(
            zip(pieces, self.tap_plan.form.rows[phase], strict=True)
        ):
            outputs = [node for node in placed.piece.nodes if node in needed]
            program = self._program(f"{self.prefix}{phase}_{index}", placed, outputs)
            calls.append(
                {
                    "program": program.name,
                    "origin": self._origin(rows),
                    "inputs": [
                        self._window(spec.name, array(node), placed, node)
                        for spec, node in zip(program.inputs, placed.piece.sources, strict=True)
                    ],
                    "outputs": [
                        self._window(spec.name, array(node), placed, node)
                        for spec, node in zip(program.outputs, outputs, strict=True)
                    ],
                }
            )
        return calls

    def _head_call(self, name: str, scope: str) -> dict[str, Any]:
        """The mask head of an alternative, whose arrays are named with ``scope``."""
        rows = self.tap_plan.head_rows[name]
        height, width = (row.size for row in rows)
        program = mask_head_program(height, width, mask_stride(self.graph))
        program = self.programs.setdefault(program.name, program)
        array = scope + self._array_name(self.features)
        scale = program.outputs[0].shape[2] // height
        size, mask_size = [height, width], [scale * height, scale * width]
        return {
            "program": program.name,
            "origin": self._origin(rows),
            "inputs": [{"name": "features", "array": array, "step": 1, "size": size}],
            "outputs": [
                {"name": "mask", "array": f"{scope}mask", "step": scale, "size": mask_size}
            ],
        }

    def _program(self, name: str, placed: PlacedPiece, outputs: Sequence[str]) -> Program:
        module = PieceModule(self.graph, placed, outputs)
        if module.digest not in self.programs:
            # Names by position: one program may serve several levels.
            self.programs[module.digest] = Program(
                name,
                module.eval(),
                tuple(
                    TensorShape(f"input_{i}", window_shape(self.graph, placed, node))
                    for i, node in enumerate(placed.piece.sources)
                ),
                tuple(
                    TensorShape(f"output_{i}", window_shape(self.graph, placed, node))
                    for i, node in enumerate(outputs)
                ),
                placed.macs(self.graph),
            )
        return self.programs[module.digest]

    def _window(self, name: str, array: str, placed: PlacedPiece, node: str) -> dict[str, Any]:
        steps = {frame.step[node] for frame in placed.piece.frames}
        assert len(steps) == 1, "the network scales y and x alike"
        return {"name": name, "array": array, "step": steps.pop(), "size": list(placed.size(node))}

    def _array_name(self, node: str) -> str:
        if node == self.graph.input_name:
            return IMAGE
        for output, output_node in self.graph.outputs.items():
            if output_node == node:
                return output
        path = self.graph.nodes[node].module_path
        return f"{path}/{node}" if path else node

    def _origin(self, rows: tuple[Row, Row]) -> dict[str, int]:
        return {
            axis: self.rows.setdefault((axis, row), len(self.rows))
            for axis, row in zip("yx", rows, strict=True)
        }
