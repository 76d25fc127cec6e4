"""Reads manifest.json into the records.

Parsing checks each value by itself: its type, its range, the form of a path. Whether the values
fit together is checked in ``check.py``.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from tracenet_runtime.answer.levels import FullNetIou, Level, Meaning
from tracenet_runtime.answer.marks import GUIDE_DESCRIBED
from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.bundle.records import MANIFEST_NAME, SCHEMA_VERSION, FileRecord, Manifest
from tracenet_runtime.contract import MAX_SIDE
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.program import Layout, Program, StoredProgram, TensorSpec
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
from tracenet_runtime.strategies.rules import GuidedRule, SingleRule, StrategyRule, ZoomRule

_MAX_CHANNELS = 1 << 16
_MAX_STEP = 1 << 14
_MAX_BYTES = 1 << 40
_MAX_MACS = 1 << 60
_MAX_TABLE = 1 << 28
_MAX_SCHEDULES = 64
_MAX_ROWS = 1 << 12
_MAX_PHASES = 1 << 12
_MAX_PHASE = 1 << 20
_MAX_ADVANCE = 1 << 14
_MAX_PASSES = 64
_AXES: Mapping[str, Axis] = {"y": "y", "x": "x"}
_LAYOUTS: Mapping[str, Layout] = {"NCHW": "NCHW", "NHWC": "NHWC"}
_WHEN: Mapping[str, When] = {
    "photo": "photo",
    "tap": "tap",
    "window": "window",
    "correction": "correction",
}
_ROLES: tuple[Role, ...] = ("score", "box", "filter", "mask")
# Letters that mean the same to every file system; no part may begin with a dot, so no "..".
_SAFE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")

_T = TypeVar("_T")


def parse_manifest(root: JsonValue) -> Manifest:
    """The manifest of a JSON object. Keys that this version does not know are ignored.

    Raises ``BundleError`` for another schema version, a missing key, or a value of the wrong type
    or outside its range.
    """
    version = root["schema_version"].integer(0, 1 << 31)
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"The bundle has schema version {version} and this reader knows {SCHEMA_VERSION}; "
            "install the matching version of tracenet or export the bundle again."
        )
    preprocessing = root["preprocessing"]
    _check_preprocessing(preprocessing)
    canvas_multiple = root["canvas_multiple"].integer(1, MAX_SIDE)
    table = root["table"]
    golden = root["golden"]
    red, green, blue = (v.integer(0, 255) for v in preprocessing["pad_value"].tuple_of(3))
    network = root["network"]
    return Manifest(
        identity=_sha256(root["identity"]),
        name=root["name"].text(),
        licence=root["licence"].prose(),
        target=root["target"].text(),
        precision=root["precision"].text_among("fp32", "fp16", "int8"),
        checked_by=root["checked_by"].prose(),
        producer={tool: version.text() for tool, version in root["producer"].members()},
        network={key: member.value for key, member in network.members()},
        weights_sha256=_sha256(root["weights_sha256"]),
        pad_value=(red, green, blue),
        canvas_multiple=canvas_multiple,
        programs={name: _program(v) for name, v in root["programs"].members()},
        stored={name: _stored(v) for name, v in root["programs"].members()},
        schedules=tuple(
            _schedule(v, canvas_multiple)
            for v in root["schedules"].elements(minimum=1, maximum=_MAX_SCHEDULES)
        ),
        meaning=_meaning(root["answer"]),
        fullnet_iou=tuple(
            _optional(v, _fullnet_iou) for v in root["answer"]["fullnet_iou"].elements()
        ),
        strategy=_of_kind(root["strategy"], _STRATEGIES),
        table_file=_path(table["file"]),
        table_count=table["count"].integer(1, _MAX_TABLE),
        golden_file=_path(golden["file"]),
        golden_photo=_path(golden["photo"]),
        parity_file=_path(root["parity"]),
        files=_files(root["files"]),
    )


def _check_preprocessing(preprocessing: JsonValue) -> None:
    preprocessing["text"].prose()
    preprocessing["color"].text_among("RGB")
    preprocessing["dtype"].text_among("float32")
    preprocessing["layout"].text_among("NCHW")
    preprocessing["resize"].text_among("thinned-pillow-bilinear")
    value_range = preprocessing["range"]
    if [v.number() for v in value_range.tuple_of(2)] != [0, 255]:
        value_range.refuse("must be [0, 255]")


def _program(program: JsonValue) -> Program:
    return Program(
        macs=program["macs"].integer(0, _MAX_MACS),
        inputs=_tensors(program["inputs"]),
        outputs=_tensors(program["outputs"]),
        layout=_LAYOUTS[program["layout"].text_among(*_LAYOUTS)],
    )


def _stored(program: JsonValue) -> StoredProgram:
    return StoredProgram(
        file=_path(program["file"]),
        signature=_optional(program["signature"], lambda v: v.text()),
    )


def _tensors(tensors: JsonValue) -> dict[str, TensorSpec]:
    specs = {}
    for tensor in tensors.elements(minimum=1):
        name = tensor["name"].text()
        if name in specs:
            tensor.refuse("has the name of another tensor")
        batch, channels, height, width = tensor["shape"].tuple_of(4)
        specs[name] = TensorSpec(
            name,
            (
                batch.integer(1, 1),
                channels.integer(1, _MAX_CHANNELS),
                height.integer(1, MAX_SIDE),
                width.integer(1, MAX_SIDE),
            ),
            tensor["dtype"].text_among("float32", "float16"),
        )
    return specs


def _schedule(schedule: JsonValue, canvas_multiple: int) -> Schedule:
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
        table_offset=schedule["table_offset"].integer(0, _MAX_TABLE),
        graph=_graph(schedule["graph"]),
        full_macs=schedule["full_macs"].integer(1, _MAX_MACS),
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
        inputs={name: _of_kind(v, _INPUTS) for name, v in graph["inputs"].members()},
        phases=tuple(_phase(v) for v in graph["phases"].elements()),
        outputs={
            role: tuple(v.text() for v in outputs[role].elements(minimum=1)) for role in roles
        },
    )


def _phase(phase: JsonValue) -> Phase:
    return Phase(
        name=phase["name"].text(),
        when=_WHEN[phase["when"].text_among(*_WHEN)],
        calls=tuple(_of_kind(v, _CALLS) for v in phase["calls"].elements(minimum=1)),
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
        reach=_optional(reach, lambda v: v.integer(1, MAX_SIDE)),
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


def _meaning(answer: JsonValue) -> Meaning:
    _optional(answer["guide"], _check_guide)
    return Meaning(
        levels=tuple(_level(v) for v in answer["levels"].elements(minimum=1)),
        feature_stride=answer["feature_stride"].integer(1, MAX_SIDE),
        reach_slack=answer["reach_slack"].positive_number(),
    )


def _check_guide(guide: JsonValue) -> None:
    """The planes of a guided look are those that this reader fills."""
    for key, value in GUIDE_DESCRIBED.items():
        if guide[key].value != value:
            guide[key].refuse(f"must be {json.dumps(value)}, as this reader fills the planes")


def _level(level: JsonValue) -> Level:
    return Level(
        name=level["name"].text(),
        stride=level["stride"].integer(1, MAX_SIDE),
        size_of_interest=level["size_of_interest"].positive_number(),
        score=level["score"].text(),
        box=level["box"].text(),
        filter=level["filter"].text(),
    )


def _fullnet_iou(iou: JsonValue) -> FullNetIou:
    return FullNetIou(_share(iou["mean"]), _share(iou["p5"]))


def _share(share: JsonValue) -> float:
    value = share.number()
    if not 0 <= value <= 1:
        share.refuse("must be from 0 to 1")
    return value


def _single(single: JsonValue) -> SingleRule:
    return SingleRule(
        tuple(
            number.integer(0, _MAX_SCHEDULES - 1)
            for number in single["schedules"].elements(minimum=1)
        )
    )


def _guided(guided: JsonValue) -> GuidedRule:
    rule = GuidedRule(
        zoom=_zoom(guided),
        passes=guided["passes"].integer(0, _MAX_PASSES),
        settled=guided["settled"].number(),
        near=guided["near"].number(),
        margin=guided["margin"].number(),
        spill=_share(guided["spill"]),
        roomy=_share(guided["roomy"]),
        small=_share(guided["small"]),
    )
    for name, least in (("settled", 0.0), ("near", 16.0), ("margin", 0.0), ("roomy", 0.1)):
        if getattr(rule, name) < least:
            guided[name].refuse(f"must be at least {least:g}")
    return rule


def _zoom(zoom: JsonValue) -> ZoomRule:
    rule = ZoomRule(
        first=zoom["first"].integer(0, _MAX_SCHEDULES - 1),
        tile=zoom["tile"].integer(0, _MAX_SCHEDULES - 1),
        extent=zoom["extent"].positive_number(),
        enlarge=zoom["enlarge"].positive_number(),
        gain=zoom["gain"].positive_number(),
        inside=zoom["inside"].positive_number(),
        trust=zoom["trust"].number(),
    )
    for name, least in (("extent", 1.0), ("enlarge", 0.01)):
        if getattr(rule, name) < least:
            zoom[name].refuse(f"must be at least {least:g}")
    if rule.inside >= 1:
        zoom["inside"].refuse("must be below 1, so that the tap is on the tile")
    return rule


def _files(files: JsonValue) -> dict[str, FileRecord]:
    records = {}
    for path, record in files.members():
        if path == MANIFEST_NAME:
            record.refuse("must not be listed: the manifest cannot hold its own hash")
        records[_path(JsonValue(path, f"{record.where} (the path)"))] = FileRecord(
            _sha256(record["sha256"]), record["bytes"].integer(0, _MAX_BYTES)
        )
    return records


def _path(path: JsonValue) -> str:
    text = path.text()
    if not _SAFE_PATH.fullmatch(text):
        path.refuse(
            "must be a relative path inside the bundle, of letters, digits, '_', '-', '.' and '/'"
        )
    return text


def _sha256(digest: JsonValue) -> str:
    text = digest.text()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        digest.refuse("must be a SHA-256 of 64 lower-case hexadecimal digits")
    return text


_INPUTS: Mapping[str, Callable[[JsonValue], ExternalInput]] = {
    "image": lambda _: ImageInput(),
    "vector": lambda vector: VectorInput(vector["channels"].integer(1, _MAX_CHANNELS)),
    "plane": lambda plane: PlaneInput(
        plane["channels"].integer(1, _MAX_CHANNELS), plane["stride"].integer(1, MAX_SIDE)
    ),
}
_CALLS: Mapping[str, Callable[[JsonValue], Call]] = {
    "program": _program_call,
    "place_mask": _place_mask,
}
_STRATEGIES: Mapping[str, Callable[[JsonValue], StrategyRule]] = {
    "single": _single,
    "zoom": _zoom,
    "guided": _guided,
}


def _of_kind(value: JsonValue, kinds: Mapping[str, Callable[[JsonValue], _T]]) -> _T:
    """A tagged object, read by the reader of its kind."""
    return kinds[value["kind"].text_among(*kinds)](value)


def _optional(value: JsonValue, read: Callable[[JsonValue], _T]) -> _T | None:
    return None if value.value is None else read(value)
