"""Reads the schedules of manifest.json into the records."""

from collections.abc import Callable, Mapping

from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.contract import MAX_SIDE
from tracenet_runtime.graph.schedule import (
    Axis,
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
    When,
    Window,
)

MAX_CHANNELS = 1 << 16
MAX_MACS = 1 << 60
MAX_TABLE = 1 << 28
_MAX_STEP = 1 << 14
_MAX_ROWS = 1 << 12
_MAX_PHASES = 1 << 12
_MAX_PHASE = 1 << 20
_MAX_ADVANCE = 1 << 14
_AXES: Mapping[str, Axis] = {"y": "y", "x": "x"}
_WHEN: Mapping[str, When] = {
    "photo": "photo",
    "tap": "tap",
    "window": "window",
    "correction": "correction",
}
_ROLES: tuple[Role, ...] = ("score", "box", "filter", "mask")


def parse_schedule(schedule: JsonValue, canvas_multiple: int) -> Schedule:
    """A schedule of a manifest, whose canvases have sides of multiples of ``canvas_multiple``."""
    canvas, serves = schedule["canvas"], schedule["serves"]
    halo = schedule["halo"].positive_number()
    if halo > 1:
        schedule["halo"].refuse("must be at most 1")
    return Schedule(
        name=schedule["name"].text(),
        canvas_height=canvas["height"].integer(1, MAX_SIDE),
        canvas_width=canvas["width"].integer(1, MAX_SIDE),
        serves=Served(
            _side_range(serves["height"], canvas_multiple),
            _side_range(serves["width"], canvas_multiple),
        ),
        halo=halo,
        key_stride=schedule["key_stride"].integer(1, MAX_SIDE),
        rows=tuple(
            _row(v, canvas_multiple)
            for v in schedule["rows"].elements(minimum=1, maximum=_MAX_ROWS)
        ),
        table_offset=schedule["table_offset"].integer(0, MAX_TABLE),
        graph=_graph(schedule["graph"]),
        full_macs=schedule["full_macs"].integer(1, MAX_MACS),
    )


def _side_range(sides: JsonValue, multiple: int) -> SideRange:
    least, most = (side.integer(1, MAX_SIDE) for side in sides.tuple_of(2))
    if least > most or least % multiple or most % multiple:
        sides.refuse(f"must be two multiples of {multiple}, the smaller one first")
    return SideRange(least, most, multiple)


def _row(row: JsonValue, canvas_multiple: int) -> Row:
    unit = row["unit"].integer(1, MAX_SIDE)
    if canvas_multiple % unit:
        row["unit"].refuse(f"must divide the canvas multiple, {canvas_multiple}")
    return Row(
        axis=_AXES[row["axis"].text_among(*_AXES)],
        unit=unit,
        size=row["size"].integer(1, MAX_SIDE),
        phases=tuple(
            phase.integer(-_MAX_PHASE, _MAX_PHASE)
            for phase in row["phases"].elements(minimum=1, maximum=_MAX_PHASES)
        ),
        advance=row["advance"].integer(-_MAX_ADVANCE, _MAX_ADVANCE),
    )


def _graph(graph: JsonValue) -> Graph:
    outputs = graph["outputs"]
    roles: list[Role] = [*_ROLES]
    if any(role == "mask_state" for role, _ in outputs.members()):
        roles.append("mask_state")
    return Graph(
        inputs={name: v.of_kind(_INPUTS) for name, v in graph["inputs"].members()},
        phases=tuple(_phase(v) for v in graph["phases"].elements()),
        outputs={
            role: tuple(v.text() for v in outputs[role].elements(minimum=1)) for role in roles
        },
    )


def _phase(phase: JsonValue) -> Phase:
    return Phase(
        name=phase["name"].text(),
        when=_WHEN[phase["when"].text_among(*_WHEN)],
        calls=tuple(v.of_kind(_CALLS) for v in phase["calls"].elements(minimum=1)),
    )


def _program_call(call: JsonValue) -> ProgramCall:
    origin = call["origin"]
    return ProgramCall(
        program=call["program"].text(),
        origin_y=origin["y"].integer(0, _MAX_ROWS - 1),
        origin_x=origin["x"].integer(0, _MAX_ROWS - 1),
        inputs=tuple(_window(v) for v in call["inputs"].elements(minimum=1)),
        vectors={tensor: v.text() for tensor, v in call["vectors"].members()},
        outputs=tuple(_window(v) for v in call["outputs"].elements(minimum=1)),
    )


def _place_mask(call: JsonValue) -> PlaceMask:
    reach = call["reach"]
    if isinstance(reach.value, int) and reach.value % 2:
        reach.refuse("must be an even number")
    return PlaceMask(
        input=call["input"].text(),
        output=call["output"].text(),
        reach=reach.optional(lambda v: v.integer(1, MAX_SIDE)),
    )


def _window(window: JsonValue) -> Window:
    height, width = window["size"].tuple_of(2)
    return Window(
        name=window["name"].text(),
        array=window["array"].text(),
        step=window["step"].integer(1, _MAX_STEP),
        height=height.integer(1, MAX_SIDE),
        width=width.integer(1, MAX_SIDE),
    )


_INPUTS: Mapping[str, Callable[[JsonValue], ExternalInput]] = {
    "image": lambda _: ImageInput(),
    "vector": lambda vector: VectorInput(vector["channels"].integer(1, MAX_CHANNELS)),
    "plane": lambda plane: PlaneInput(
        plane["channels"].integer(1, MAX_CHANNELS), plane["stride"].integer(1, MAX_SIDE)
    ),
}
_CALLS: Mapping[str, Callable[[JsonValue], Call]] = {
    "program": _program_call,
    "place_mask": _place_mask,
}
