"""From a plan to what a bundle holds: programs, the schedule in JSON form, and the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet.rft import ConvGraph
from tracenet_export.plan import PlacedPiece
from tracenet_export.programs import (
    PieceModule,
    Program,
    TensorShape,
    mask_head_macs,
    mask_head_program,
    window_shape,
)
from tracenet_export.schedule import TapPlan

IMAGE = "image"
"""Name of the array that is the canvas."""

REACH_SLACK = 1.125
"""A mask window must reach this much further than the predicted box, whose sides are estimates."""


@dataclass(frozen=True)
class Assembly:
    """What a plan becomes.

    Attributes:
        programs: each once, however often the schedule runs it.
        schedule: as in manifest.json.
        table: int32, what the schedule's rows point into.
        macs: as in manifest.json.
    """

    programs: tuple[Program, ...]
    schedule: dict[str, Any]
    table: npt.NDArray[np.int32]
    macs: dict[str, Any]


def assemble(tap_plan: TapPlan) -> Assembly:
    """Make programs, schedule and table of a plan for taps."""
    builder = _Builder(tap_plan.plan.graph)
    plan = tap_plan.plan
    wanted = {plan.graph.outputs[name] for name in plan.wanted_query}
    later = set[str]().union(*map(_borrowed, plan.alternatives.values()))
    query = builder.calls("query", "", plan.query, wanted | later | builder.mask_features)
    masks = []
    for name, pieces in plan.alternatives.items():
        calls = builder.calls(f"mask_{name}", f"{name}/", pieces, builder.mask_features)
        head = builder.head_call(tap_plan, name, f"{name}/" if pieces else "")
        masks.append({"name": name, "reach": tap_plan.reaches[name], "calls": calls, "head": head})
    schedule = {
        "name": tap_plan.name,
        "key_level": tap_plan.key.name,
        "query": query,
        "masks": masks,
        "reach_slack": REACH_SLACK,
    }
    macs = {
        "full": plan.graph.full_macs + mask_head_macs(*plan.graph.nodes[builder.features].extent),
        "query": plan.query_macs,
        "masks": {
            name: plan.alternative_macs(name)
            + mask_head_macs(*(int(span.size[0]) for span in tap_plan.head_windows[name]))
            for name in plan.alternatives
        },
    }
    table = np.concatenate(builder.rows).astype("<i4")
    return Assembly(tuple(builder.programs.values()), schedule, table, macs)


def _sources(pieces: Iterable[PlacedPiece]) -> set[str]:
    return {source for placed in pieces for source in placed.piece.sources}


def _computed(pieces: Iterable[PlacedPiece]) -> set[str]:
    return {node for placed in pieces for node in placed.piece.nodes}


def _borrowed(pieces: Sequence[PlacedPiece]) -> set[str]:
    """What an alternative reads of the query's; a node that both compute is not among it."""
    return _sources(pieces) - _computed(pieces)


@dataclass
class _Builder:
    graph: ConvGraph
    programs: dict[str, Program] = field(default_factory=dict)
    rows: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _offset: int = 0
    _offsets: dict[bytes, int] = field(default_factory=dict)

    @property
    def features(self) -> str:
        """The node of the mask features."""
        return self.graph.outputs["mask_features"]

    @property
    def mask_features(self) -> set[str]:
        return {self.features}

    def calls(
        self, prefix: str, scope: str, pieces: Sequence[PlacedPiece], asked_for: set[str]
    ) -> list[dict[str, Any]]:
        """The calls of a phase.

        Args:
            prefix: of the programs' names.
            scope: of the arrays' names; arrays from outside the phase have none.
            pieces: the phase.
            asked_for: nodes that are needed after the phase.
        """
        computed = _computed(pieces)
        needed = asked_for | _sources(pieces)

        def array(node: str) -> str:
            return (scope if node in computed else "") + self._array_name(node)

        calls = []
        for index, placed in enumerate(pieces):
            outputs = [node for node in placed.piece.nodes if node in needed]
            program = self._program(f"{prefix}_{index}", placed, outputs)
            origins = [placement.origin for placement in placed.placements]
            calls.append(
                {
                    "program": program.name,
                    "origin": self._origin(*origins),
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

    def head_call(self, tap_plan: TapPlan, name: str, scope: str) -> dict[str, Any]:
        """The mask head of an alternative, whose arrays are named with ``scope``."""
        y, x = tap_plan.head_windows[name]
        height, width = int(y.size[0]), int(x.size[0])
        program = mask_head_program(height, width)
        self.programs.setdefault(program.name, program)
        array = scope + self._array_name(self.features)
        scale = program.outputs[0].shape[2] // height
        size, mask_size = [height, width], [scale * height, scale * width]
        return {
            "program": program.name,
            "origin": self._origin(y.lo, x.lo),
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

    def _origin(
        self, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]
    ) -> dict[str, dict[str, int]]:
        return {"y": self._row(y), "x": self._row(x)}

    def _row(self, starts: npt.NDArray[np.int64]) -> dict[str, int]:
        content = starts.astype("<i4").tobytes()
        if content not in self._offsets:
            self._offsets[content] = self._offset
            self.rows.append(starts)
            self._offset += len(starts)
        return {"offset": self._offsets[content], "length": len(starts)}
