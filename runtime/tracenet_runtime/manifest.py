"""manifest.json as frozen dataclasses; docs/bundle.md explains every field.

Parsing checks each value by itself: its type, its range, the form of a path. Whether the values
fit together is checked in ``consistency.py``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tracenet_runtime.checked_json import JsonValue
from tracenet_runtime.errors import BundleError
from tracenet_runtime.schedule import (
    Accuracy,
    Axis,
    Call,
    FullNetIou,
    Macs,
    MaskSchedule,
    Row,
    Schedule,
    Served,
    SideRange,
    Window,
)
from tracenet_runtime.zoom_rule import ZoomRule

SCHEMA_VERSION = 4
MANIFEST_NAME = "manifest.json"

Layout = Literal["NCHW", "NHWC"]

MAX_SIDE = 16384
"""Pixels; no side of a canvas, and of no tensor, may be longer."""

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
_MAX_PHOTOS = 1 << 30
_MAX_TAPS = 1 << 40
_AXES: Mapping[str, Axis] = {"y": "y", "x": "x"}
_LAYOUTS: Mapping[str, Layout] = {"NCHW": "NCHW", "NHWC": "NHWC"}
# Letters that mean the same to every file system; no part may begin with a dot, so no "..".
_SAFE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a program: 1 x C x H x W and a numpy dtype name."""

    name: str
    shape: tuple[int, int, int, int]
    dtype: str


@dataclass(frozen=True)
class Program:
    """A static-shape model; ``macs`` are the multiply-adds of one run.

    ``signature`` is its name in ``file`` where that holds several. ``layout`` is the order of the
    axes in the file; the shapes of ``inputs`` and ``outputs`` are in the order N, C, H, W always.
    """

    file: str
    signature: str | None
    layout: Layout
    macs: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclass(frozen=True)
class Level:
    """An answering level: stride in canvas pixels, and the names of its three arrays."""

    name: str
    stride: int
    size_of_interest: float
    score: str
    box: str
    filter: str


@dataclass(frozen=True)
class FileRecord:
    """What a file of the bundle must be: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The parsed manifest; paths are relative to the bundle, with forward slashes."""

    identity: str
    name: str
    licence: str
    target: str
    precision: str
    checked_by: str
    producer: Mapping[str, str]
    network: Mapping[str, Any]
    weights_sha256: str
    pad_value: tuple[int, int, int]
    canvas_multiple: int
    levels: tuple[Level, ...]
    programs: Mapping[str, Program]
    schedules: tuple[Schedule, ...]
    zoom: ZoomRule | None
    table_file: str
    table_count: int
    golden_file: str
    golden_photo: str
    parity_file: str
    files: Mapping[str, FileRecord]


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
    levels = tuple(_level(v) for v in root["levels"].elements(minimum=1))
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
        levels=levels,
        programs={name: _program(v) for name, v in root["programs"].members()},
        schedules=tuple(
            _schedule(v, levels, canvas_multiple)
            for v in root["schedules"].elements(minimum=1, maximum=_MAX_SCHEDULES)
        ),
        zoom=None if root["zoom"].value is None else _zoom(root["zoom"]),
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


def _level(level: JsonValue) -> Level:
    return Level(
        name=level["name"].text(),
        stride=level["stride"].integer(1, MAX_SIDE),
        size_of_interest=level["size_of_interest"].positive_number(),
        score=level["score"].text(),
        box=level["box"].text(),
        filter=level["filter"].text(),
    )


def _program(program: JsonValue) -> Program:
    return Program(
        file=_path(program["file"]),
        signature=None if program["signature"].value is None else program["signature"].text(),
        layout=_LAYOUTS[program["layout"].text_among(*_LAYOUTS)],
        macs=program["macs"].integer(0, _MAX_MACS),
        inputs=_tensors(program["inputs"]),
        outputs=_tensors(program["outputs"]),
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


def _schedule(schedule: JsonValue, levels: tuple[Level, ...], canvas_multiple: int) -> Schedule:
    canvas, serves = schedule["canvas"], schedule["serves"]
    strides = {level.name: level.stride for level in levels}
    key_level = schedule["key_level"].text_among(*strides)
    halo = _halo(schedule)
    return Schedule(
        name=schedule["name"].text(),
        canvas_height=canvas["height"].integer(1, MAX_SIDE),
        canvas_width=canvas["width"].integer(1, MAX_SIDE),
        serves=Served(
            _side_range(serves["height"], canvas_multiple),
            _side_range(serves["width"], canvas_multiple),
        ),
        halo=halo,
        fullnet_iou=_fullnet_iou(_of_inexact(schedule["fullnet_iou"], halo)),
        miou_t=_accuracy(_of_inexact(schedule["miou_t"], halo)),
        levels=tuple(v.text_among(*strides) for v in schedule["levels"].elements(minimum=1)),
        key_level=key_level,
        key_stride=strides[key_level],
        rows=tuple(
            _row(v, canvas_multiple)
            for v in schedule["rows"].elements(minimum=1, maximum=_MAX_ROWS)
        ),
        table_offset=schedule["table_offset"].integer(0, _MAX_TABLE),
        encode=tuple(_call(v) for v in schedule["encode"].elements()),
        query=tuple(_call(v) for v in schedule["query"].elements()),
        masks=tuple(_mask(v) for v in schedule["masks"].elements(minimum=1)),
        reach_slack=schedule["reach_slack"].positive_number(),
        macs=_macs(schedule["macs"]),
    )


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


def _halo(schedule: JsonValue) -> float:
    halo = schedule["halo"].positive_number()
    if halo > 1:
        schedule["halo"].refuse("must be at most 1")
    if schedule["exact"].value is not (halo == 1):
        schedule["exact"].refuse("must be true where the halo is 1, and false elsewhere")
    return halo


def _of_inexact(measured: JsonValue, halo: float) -> JsonValue | None:
    """What is measured of inexact schedules only, and null where it was not."""
    if measured.value is not None and halo == 1:
        measured.refuse("must be null, because the schedule is exact")
    return None if measured.value is None else measured


def _fullnet_iou(iou: JsonValue | None) -> FullNetIou | None:
    return None if iou is None else FullNetIou(_share(iou["mean"]), _share(iou["p5"]))


def _accuracy(accuracy: JsonValue | None) -> Accuracy | None:
    if accuracy is None:
        return None
    return Accuracy(
        exact=_share(accuracy["exact"]),
        halo=_share(accuracy["halo"]),
        photos=accuracy["photos"].integer(1, _MAX_PHOTOS),
        taps=accuracy["taps"].integer(1, _MAX_TAPS),
    )


def _share(share: JsonValue) -> float:
    value = share.number()
    if not 0 <= value <= 1:
        share.refuse("must be from 0 to 1")
    return value


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


def _mask(mask: JsonValue) -> MaskSchedule:
    reach = mask["reach"]
    if isinstance(reach.value, int) and reach.value % 2:
        reach.refuse("must be an even number")
    return MaskSchedule(
        name=mask["name"].text(),
        reach=None if reach.value is None else reach.integer(1, MAX_SIDE),
        calls=tuple(_call(v) for v in mask["calls"].elements()),
        head=_call(mask["head"]),
    )


def _call(call: JsonValue) -> Call:
    origin = call["origin"]
    return Call(
        program=call["program"].text(),
        origin_y=origin["y"].integer(0, _MAX_ROWS - 1),
        origin_x=origin["x"].integer(0, _MAX_ROWS - 1),
        inputs=tuple(_window(v) for v in call["inputs"].elements(minimum=1)),
        outputs=tuple(_window(v) for v in call["outputs"].elements(minimum=1)),
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


def _macs(macs: JsonValue) -> Macs:
    return Macs(
        full=macs["full"].integer(1, _MAX_MACS),
        encode=macs["encode"].integer(0, _MAX_MACS),
        query=macs["query"].integer(0, _MAX_MACS),
        masks={name: v.integer(0, _MAX_MACS) for name, v in macs["masks"].members()},
    )


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
