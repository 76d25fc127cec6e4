"""Reads manifest.json into the records.

Parsing checks each value by itself: its type, its range, the form of a path. Whether the values
fit together is checked in ``check.py``.
"""

import re
from collections.abc import Callable, Mapping

from tracenet_runtime.answer.levels import FullNetIou, Level, Meaning
from tracenet_runtime.answer.marks import GUIDE_DESCRIBED
from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.bundle.records import MANIFEST_NAME, SCHEMA_VERSION, FileRecord, Manifest
from tracenet_runtime.bundle.schedule_parser import (
    MAX_CHANNELS,
    MAX_MACS,
    MAX_TABLE,
    parse_schedule,
)
from tracenet_runtime.bundle.tracking_parser import parse_tracking
from tracenet_runtime.contract import MAX_SIDE
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.program import Layout, Program, StoredProgram, TensorSpec
from tracenet_runtime.strategies.rules import GuidedRule, SingleRule, StrategyRule, ZoomRule

_MAX_BYTES = 1 << 40
_MAX_SCHEDULES = 64
_MAX_PASSES = 64
_LAYOUTS: Mapping[str, Layout] = {"NCHW": "NCHW", "NHWC": "NHWC"}
# Letters that mean the same to every file system; no part may begin with a dot, so no "..".
_SAFE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


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
            parse_schedule(v, canvas_multiple)
            for v in root["schedules"].elements(minimum=1, maximum=_MAX_SCHEDULES)
        ),
        meaning=_meaning(root["answer"]),
        fullnet_iou=tuple(
            v.optional(_fullnet_iou) for v in root["answer"]["fullnet_iou"].elements()
        ),
        strategy=root["strategy"].of_kind(_STRATEGIES),
        tracking=root["tracking"].optional(parse_tracking),
        table_file=_path(table["file"]),
        table_count=table["count"].integer(1, MAX_TABLE),
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
        macs=program["macs"].integer(0, MAX_MACS),
        inputs=_tensors(program["inputs"]),
        outputs=_tensors(program["outputs"]),
        layout=_LAYOUTS[program["layout"].text_among(*_LAYOUTS)],
    )


def _stored(program: JsonValue) -> StoredProgram:
    return StoredProgram(
        file=_path(program["file"]),
        signature=program["signature"].optional(lambda v: v.text()),
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
                channels.integer(1, MAX_CHANNELS),
                height.integer(1, MAX_SIDE),
                width.integer(1, MAX_SIDE),
            ),
            tensor["dtype"].text_among("float32", "float16"),
        )
    return specs


def _meaning(answer: JsonValue) -> Meaning:
    answer["guide"].optional(lambda guide: guide.must_have(GUIDE_DESCRIBED))
    return Meaning(
        levels=tuple(_level(v) for v in answer["levels"].elements(minimum=1)),
        feature_stride=answer["feature_stride"].integer(1, MAX_SIDE),
        reach_slack=answer["reach_slack"].positive_number(),
    )


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
    return FullNetIou(iou["mean"].share(), iou["p5"].share())


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
        spill=guided["spill"].share(),
        roomy=guided["roomy"].share(),
        small=guided["small"].share(),
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


_STRATEGIES: Mapping[str, Callable[[JsonValue], StrategyRule]] = {
    "single": _single,
    "zoom": _zoom,
    "guided": _guided,
}
