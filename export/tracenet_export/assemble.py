"""From plans to what a bundle holds: programs, and schedules of graphs that run them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tracenet.model import COARSEST_STRIDE, LEVELS
from tracenet.model.guided import GUIDE_STRIDES, GuidedLook
from tracenet.rft import ConvGraph
from tracenet_export.plan import ENCODE, QUERY, PlacedPiece, computed_by
from tracenet_export.programs import (
    MASK_STATE,
    PieceModule,
    Program,
    correction_program,
    mask_head_program,
    window_shape,
)
from tracenet_export.schedule import REACH_SLACK, SchedulePlan, mask_stride, tap_macs
from tracenet_runtime.answer.levels import Level, Meaning
from tracenet_runtime.contract import GUIDE, GUIDE_PLANES, GUIDE_STRIDE, IMAGE, VECTORS
from tracenet_runtime.graph.program import Program as ProgramSpec
from tracenet_runtime.graph.program import TensorSpec
from tracenet_runtime.graph.schedule import (
    Call,
    ExternalInput,
    Graph,
    ImageInput,
    Phase,
    PlaceMask,
    PlaneInput,
    ProgramCall,
    Role,
    Row,
    Schedule,
    Served,
    SideRange,
    VectorInput,
    Window,
)
from tracenet_runtime.tracking.records import Tracking

CORRECTION = "correction"
"""Name of the phase per correction."""

_KINDS: tuple[Literal["score", "box", "filter"], ...] = ("score", "box", "filter")


@dataclass(frozen=True)
class Assembly:
    """What plans become.

    Attributes:
        programs: each once, however many schedules run it.
        schedules: in the order of the plans.
        meaning: of their outputs.
        tracking: what carries masks through clips, by the names of its programs; None without.
    """

    programs: tuple[Program, ...]
    schedules: tuple[Schedule, ...]
    meaning: Meaning
    tracking: Tracking | None = None

    def described(self) -> dict[str, ProgramSpec]:
        """What a replay needs to know of the programs, by name."""
        return {program.name: program.described() for program in self.programs}


def assemble(plans: Sequence[SchedulePlan], look: GuidedLook | None = None) -> Assembly:
    """Make programs and schedules of the plans for one network.

    Args:
        plans: the schedules.
        look: the network's guided look, where a plan corrects.
    """
    programs: dict[str, Program] = {}
    schedules: list[Schedule] = []
    offset = 0
    for plan in plans:
        schedule = _Builder(plan, programs, _prefix(plan), look).schedule(offset)
        schedules.append(schedule)
        offset += sum(map(len, schedule.starts(*schedule.canvas)))
    meaning = Meaning(
        tuple(
            Level(
                level.name,
                level.stride,
                level.size_of_interest,
                *(level.output(kind) for kind in _KINDS),
            )
            for level in LEVELS
        ),
        mask_stride(plans[0].plan.graph),
        REACH_SLACK,
    )
    return Assembly(tuple(programs.values()), tuple(schedules), meaning)


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
        look: the guided look, if it corrects.
    """

    tap_plan: SchedulePlan
    programs: dict[str, Program]
    prefix: str
    look: GuidedLook | None = None
    rows: dict[Row, int] = field(default_factory=dict)

    def schedule(self, table_offset: int) -> Schedule:
        """The schedule, whose rows begin at ``table_offset`` of the bundle's table."""
        tap_plan = self.tap_plan
        (height, width), (heights, widths) = tap_plan.canvas, tap_plan.serves
        graph = self._graph()
        return Schedule(
            name=tap_plan.name,
            canvas_height=height,
            canvas_width=width,
            serves=Served(
                SideRange(*heights, COARSEST_STRIDE), SideRange(*widths, COARSEST_STRIDE)
            ),
            halo=tap_plan.plan.halo,
            key_stride=tap_plan.key.stride,
            rows=tuple(self.rows),
            table_offset=table_offset,
            graph=graph,
            full_macs=tap_macs(tap_plan).full,
        )

    def _graph(self) -> Graph:
        tap_plan, plan = self.tap_plan, self.tap_plan.plan
        wanted = {self.graph.outputs[name] for name in plan.wanted_query}
        later = set[str]().union(*map(_borrowed, plan.alternatives.values()))
        later |= {self.features}
        encode = self._calls(ENCODE, "", plan.encode, _sources(plan.query) | wanted | later)
        query = self._calls(QUERY, "", plan.query, wanted | later)
        phases = [Phase(ENCODE, "photo", encode), Phase(QUERY, "tap", query)]
        for name, pieces in plan.alternatives.items():
            scope = f"{name}/" if pieces else ""
            calls = self._calls(name, scope, pieces, {self.features})
            head = self._head_call(name, scope)
            (probability,) = head.makes
            placed = PlaceMask(probability, f"{name}/mask", tap_plan.reach(name))
            phases.append(Phase(name, "window", (*calls, head, placed)))
        outputs: dict[Role, tuple[str, ...]] = {
            kind: tuple(level.output(kind) for level in tap_plan.levels) for kind in _KINDS
        }
        outputs["mask"] = tuple(f"{name}/mask" for name in plan.alternatives)
        inputs: dict[str, ExternalInput] = {IMAGE: ImageInput()}
        inputs |= {name: VectorInput(n) for name, n in VECTORS.items()}
        if tap_plan.corrects:
            phases.append(Phase(CORRECTION, "correction", (self._correction_call(),)))
            outputs[MASK_STATE] = (MASK_STATE,)
            inputs[GUIDE] = PlaneInput(len(GUIDE_PLANES), GUIDE_STRIDE)
        return Graph(
            inputs=inputs,
            phases=tuple(phase for phase in phases if phase.calls),
            outputs=outputs,
        )

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
    ) -> tuple[Call, ...]:
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
            y, x = self._origin(rows)
            calls.append(
                ProgramCall(
                    program.name,
                    y,
                    x,
                    inputs=tuple(
                        self._window(spec.name, array(node), placed, node)
                        for spec, node in zip(program.inputs, placed.piece.sources, strict=True)
                    ),
                    vectors={},
                    outputs=tuple(
                        self._window(spec.name, array(node), placed, node)
                        for spec, node in zip(program.outputs, outputs, strict=True)
                    ),
                )
            )
        return tuple(calls)

    def _head_call(self, name: str, scope: str) -> ProgramCall:
        """The mask head of an alternative, whose arrays are named with ``scope``."""
        rows = self.tap_plan.head_rows[name]
        height, width = (row.size for row in rows)
        program = mask_head_program(height, width, mask_stride(self.graph))
        program = self.programs.setdefault(program.name, program)
        y, x = self._origin(rows)
        features = scope + self._array_name(self.features)
        scale = program.outputs[0].shape[2] // height
        mask = Window("mask", f"{name}/probability", scale, scale * height, scale * width)
        return ProgramCall(
            program.name,
            y,
            x,
            inputs=(Window("features", features, 1, height, width),),
            vectors={vector: vector for vector in VECTORS},
            outputs=(mask,),
        )

    def _correction_call(self) -> ProgramCall:
        """The guided look, on the whole canvas."""
        assert self.look is not None, "the network of a plan that corrects has one"
        program = correction_program(self.look, self.tap_plan.canvas)
        program = self.programs.setdefault(program.name, program)
        unit = max(GUIDE_STRIDES)
        height, width = (side // unit for side in self.tap_plan.canvas)
        y, x = self._origin((Row("y", unit, height, (0,), 0), Row("x", unit, width, (0,), 0)))

        def window(name: str, shape: Sequence[int]) -> Window:
            return Window(name, name, shape[2] // height, *shape[2:])

        return ProgramCall(
            program.name,
            y,
            x,
            inputs=tuple(window(spec.name, spec.shape) for spec in program.inputs),
            vectors={},
            outputs=tuple(window(spec.name, spec.shape) for spec in program.outputs),
        )

    def _program(self, name: str, placed: PlacedPiece, outputs: Sequence[str]) -> Program:
        module = PieceModule(self.graph, placed, outputs)
        if module.digest not in self.programs:
            # Names by position: one program may serve several levels.
            self.programs[module.digest] = Program(
                name,
                module.eval(),
                tuple(
                    TensorSpec(f"input_{i}", window_shape(self.graph, placed, node))
                    for i, node in enumerate(placed.piece.sources)
                ),
                tuple(
                    TensorSpec(f"output_{i}", window_shape(self.graph, placed, node))
                    for i, node in enumerate(outputs)
                ),
                placed.macs(self.graph),
            )
        return self.programs[module.digest]

    def _window(self, name: str, array: str, placed: PlacedPiece, node: str) -> Window:
        steps = {frame.step[node] for frame in placed.piece.frames}
        assert len(steps) == 1, "the network scales y and x alike"
        return Window(name, array, steps.pop(), *placed.size(node))

    def _array_name(self, node: str) -> str:
        if node == self.graph.input_name:
            return IMAGE
        for output, output_node in self.graph.outputs.items():
            if output_node == node:
                return output
        path = self.graph.nodes[node].module_path
        return f"{path}/{node}" if path else node

    def _origin(self, rows: tuple[Row, Row]) -> tuple[int, int]:
        y, x = (self.rows.setdefault(row, len(self.rows)) for row in rows)
        return y, x
