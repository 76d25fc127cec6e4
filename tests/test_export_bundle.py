"""The exporter: what a bundle holds."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from export_fixtures import (
    CANVAS,
    LICENCE,
    OPEN_CANVAS,
    WARM_CANVAS,
    SmallExport,
    calls_of,
    few_programs,
    macs_of,
    snapshot,
    windows_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model import LEVELS, TraceNetConfig, checkpoint_licence, load_checkpoint
from tracenet.rft import Span, capture
from tracenet_export.assemble import assemble
from tracenet_export.plan import make_piece
from tracenet_export.plan.piece import place
from tracenet_export.programs import PieceModule
from tracenet_export.requests import parse_schedule
from tracenet_export.schedule import Graphs, captured, plan_schedule
from tracenet_export.targets import open_target
from tracenet_export.write import write_schedule
from tracenet_runtime import TapSegmenter
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.contract import MAX_SIDE

PARITY_TAPS = 28
KINDS: tuple[Literal["score", "box", "filter"], ...] = ("score", "box", "filter")
NAMES = ("all", "P3", "warm", "full")
CANVASES = {"all": CANVAS, "P3": OPEN_CANVAS, "warm": WARM_CANVAS, "full": CANVAS}
KEY_STRIDE = 8


@pytest.fixture(scope="module")
def graphs(small: SmallExport) -> Graphs:
    return captured(load_checkpoint(small.checkpoint))


# Files and manifest


def test_files_are_listed_with_their_hashes(small: SmallExport) -> None:
    listed = small.manifest["files"]
    found = snapshot(small.folder)
    del found["manifest.json"]
    assert {name: record["sha256"] for name, record in listed.items()} == found
    for name, record in listed.items():
        assert (small.folder / name).stat().st_size == record["bytes"]
    # The bundle of another time is gone, and nothing lies beside the new one.
    assert {path.name for path in small.folder.parent.iterdir()} == {
        "bundle", "network.safetensors", "network.json", "report.json",
    }  # fmt: skip
    assert (small.folder.stat().st_mode & 0o777) == 0o755


def test_manifest(small: SmallExport) -> None:
    manifest, network = small.manifest, small.source.network
    assert manifest["schema_version"] == 7
    assert manifest["name"] == "mobilenetv2-fpn"
    assert (manifest["target"], manifest["precision"]) == ("onnx", "fp32")
    assert manifest["licence"] == LICENCE == checkpoint_licence(small.checkpoint)
    assert TraceNetConfig.from_dict(manifest["network"]) == network.config
    digest = hashlib.sha256(small.checkpoint.read_bytes()).hexdigest()
    assert manifest["weights_sha256"] == digest
    assert manifest["canvas_multiple"] == 128
    preprocessing = manifest["preprocessing"]
    assert "Pillow's BILINEAR" in preprocessing.pop("text")
    assert preprocessing == {
        "color": "RGB", "dtype": "float32", "range": [0, 255], "layout": "NCHW",
        "resize": "thinned-pillow-bilinear", "pad_value": [128, 128, 128],
    }  # fmt: skip
    answer = manifest["answer"]
    assert (answer["feature_stride"], answer["fullnet_iou"]) == (8, [None] * len(NAMES))
    assert answer["reach_slack"] >= 1
    assert manifest["strategy"] == {"kind": "single", "schedules": [0, 1, 2, 3]}
    assert answer["levels"] == [
        {
            "name": f"P{i}", "stride": 2**i, "size_of_interest": 2 ** (i + 3),
            "score": f"p{i}_score", "box": f"p{i}_box", "filter": f"p{i}_filter",
        }
        for i in range(3, 8)
    ]  # fmt: skip
    producer = manifest["producer"]
    assert {"python", "tracenet", "torch", "onnx", "onnxruntime", "numpy"} <= set(producer)
    for tool, version in producer.items():
        if tool != "python":
            assert version == importlib.metadata.version(tool)


# Schedules


def test_schedules_stand_in_the_order_of_the_command_line(small: SmallExport) -> None:
    schedules = small.manifest["schedules"]
    assert tuple(schedule["name"] for schedule in schedules) == NAMES
    for schedule in schedules:
        height, width = CANVASES[schedule["name"]]  # asked for: 250x257, 128x1024 and 256
        assert schedule["canvas"] == {"height": height, "width": width}
        assert schedule["key_stride"] == KEY_STRIDE
        asked = ["p3"] if schedule["name"] == "P3" else ["p3", "p4", "p5", "p6", "p7"]
        outputs = schedule["graph"]["outputs"]
        assert outputs == {
            **{kind: [f"{level}_{kind}" for level in asked] for kind in KINDS},
            "mask": [f"{window}/mask" for window in windows_of(schedule)],
        }


@pytest.mark.parametrize(
    ("name", "reaches"),
    [
        ("all", {"64px": 60, "128px": 124, "all": None}),
        ("P3", {"64px": 60}),
        ("warm", {"all": None}),
        ("full", {"all": None}),
    ],
)
def test_masks_reach_four_pixels_less_than_their_window(
    small: SmallExport, name: str, reaches: dict[str, int | None]
) -> None:
    windows = windows_of(small.schedule(name))
    canvas = CANVASES[name]
    assert [(n, calls[-1]["reach"]) for n, calls in windows.items()] == list(reaches.items())
    for *_, head, placed in windows.values():
        (features,), (probability,), reach = head["inputs"], head["outputs"], placed["reach"]
        assert probability["size"] == [4 * side for side in features["size"]]
        assert probability["array"] == placed["input"]
        # The window to both sides and the tapped cell.
        largest = math.inf if reach is None else 2 * (reach + 4) // 8 + 1
        assert features["size"] == [min(largest, side // 8) for side in canvas]


def test_what_they_serve(small: SmallExport) -> None:
    for name in NAMES:
        height, width = CANVASES[name]
        served = {"height": [height, height], "width": [width, width]}
        if name == "P3":
            served["width"] = [1024, MAX_SIDE]
        assert small.schedule(name)["serves"] == served


def test_what_is_encoded_and_what_taps_run(small: SmallExport) -> None:
    schedules = {name: small.schedule(name) for name in NAMES}
    for name in ("all", "P3"):
        assert calls_of(schedules[name], "photo") == []
    for name in ("warm", "full"):
        (encode,) = calls_of(schedules[name], "photo")
        assert [window["array"] for window in encode["inputs"]] == ["image"]
        assert encode["inputs"][0]["size"] == list(CANVASES[name])
        ((head, _),) = windows_of(schedules[name]).values()
        assert head["inputs"][0]["array"] == "mask_features"
        later = [*calls_of(schedules[name], "tap"), head]
        assert all(window["array"] != "image" for call in later for window in call["inputs"])
    assert calls_of(schedules["warm"], "tap")
    assert [v["when"] for v in schedules["full"]["graph"]["phases"]] == ["photo", "window"]


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds(small: SmallExport, name: str) -> None:
    schedule, plan = small.schedule(name), small.plans[name].plan
    macs = macs_of(small, name)
    of_head = {
        window: (10 * 8 + 8 * 8 + 8) * math.prod(head["inputs"][0]["size"])
        for window, (*_, head, _) in windows_of(schedule).items()
    }
    whole_head = (10 * 8 + 8 * 8 + 8) * math.prod(side // 8 for side in CANVASES[name])
    assert macs["full"] == plan.graph.full_macs + whole_head
    assert macs["query"] == plan.query_macs
    assert macs["encode"] == plan.encode_macs
    assert macs["masks"] == {n: plan.alternative_macs(n) + of_head[n] for n in of_head}


def test_multiply_adds_of_fullnet_and_of_a_tap(small: SmallExport) -> None:
    macs = {name: macs_of(small, name) for name in NAMES}
    assert macs["full"]["encode"] == small.plans["full"].plan.graph.full_macs
    assert macs["full"]["query"] == 0
    assert macs["all"]["encode"] == macs["P3"]["encode"] == 0
    tap = {name: m["query"] + next(iter(m["masks"].values())) for name, m in macs.items()}
    assert tap["all"] < macs["all"]["full"]
    assert tap["P3"] < macs["P3"]["full"]
    assert tap["warm"] < 0.2 * macs["warm"]["full"]
    assert tap["warm"] < macs["warm"]["encode"] < macs["warm"]["full"]


# The table


def entries(row: dict[str, Any], side: int) -> list[int]:
    """The closed form of docs/bundle.md, key cell by key cell."""
    phases, advance, count = row["phases"], row["advance"], len(row["phases"])
    last = side // row["unit"] - row["size"]
    return [
        min(max(phases[k % count] + advance * (k // count), 0), last)
        for k in range(side // KEY_STRIDE)
    ]


def table_of(schedule: dict[str, Any], height: int, width: int) -> list[int]:
    sides = {"y": height, "x": width}
    return [start for row in schedule["rows"] for start in entries(row, sides[row["axis"]])]


def stored_table(small: SmallExport) -> npt.NDArray[np.int32]:
    return np.frombuffer((small.folder / "table.bin").read_bytes(), "<i4")


def test_the_stored_table_is_what_the_closed_form_gives(small: SmallExport) -> None:
    expected: list[int] = []
    for schedule in small.manifest["schedules"]:
        assert schedule["table_offset"] == len(expected)
        expected += table_of(schedule, *CANVASES[schedule["name"]])
    assert stored_table(small).tolist() == expected
    assert small.manifest["table"]["count"] == len(expected)


@settings(max_examples=20)
@given(width=st.integers(1024 // 128, MAX_SIDE // 128).map(lambda count: 128 * count))
def test_planner_and_runtime_make_the_same_table_of_a_served_canvas(
    small: SmallExport, width: int
) -> None:
    schedule = small.schedule("P3")
    expected = table_of(schedule, OPEN_CANVAS[0], width)
    (parsed,) = (v for v in Bundle.open(small.folder).manifest.schedules if v.name == "P3")
    assert np.concatenate(parsed.starts(OPEN_CANVAS[0], width)).tolist() == expected
    form = small.plans["P3"].form
    starts = {
        (axis, tuple(row.starts(side, side // KEY_STRIDE).tolist()))
        for pairs in form.rows.values()
        for pair in pairs
        for axis, row, side in zip("yx", pair, (OPEN_CANVAS[0], width), strict=True)
    }
    rows = {
        (row["axis"], tuple(entries(row, OPEN_CANVAS[0] if row["axis"] == "y" else width)))
        for row in schedule["rows"]
    }
    assert starts <= rows


@pytest.mark.parametrize("name", NAMES)
def test_every_window_lies_in_its_feature_map(small: SmallExport, name: str) -> None:
    schedule, graph = small.schedule(name), small.plans[name].plan.graph
    canvas = CANVASES[name]
    extents = {
        f"{node.module_path}/{key}" if node.module_path else key: node.extent
        for key, node in graph.nodes.items()
    }
    extents |= {output: graph.nodes[node].extent for output, node in graph.outputs.items()}
    extents |= {"image": canvas, "probability": (canvas[0] // 2, canvas[1] // 2)}
    scopes = tuple(f"{window}/" for window in windows_of(schedule))
    used, moving = set(), 0
    for call in calls_of(schedule):
        for axis, key in enumerate("yx"):
            number = call["origin"][key]
            used.add(number)
            assert schedule["rows"][number]["axis"] == key
            starts = np.array(entries(schedule["rows"][number], canvas[axis]))
            assert (np.diff(starts) >= 0).all()
            moving += len(np.unique(starts)) > 1
            for window in (*call["inputs"], *call["outputs"]):
                array = window["array"]
                scope = next((s for s in scopes if array.startswith(s)), "")
                extent = extents[array.removeprefix(scope)][axis]
                assert starts.min() >= 0
                assert window["step"] * starts.max() + window["size"][axis] <= extent
    assert used == set(range(len(schedule["rows"])))
    assert bool(moving) == (name != "full")


# Programs


def test_programs_are_shared_by_levels_and_by_schedules(small: SmallExport) -> None:
    manifest = small.manifest
    programs = {
        schedule["name"]: [call["program"] for call in calls_of(schedule)]
        for schedule in manifest["schedules"]
    }
    assert set().union(*programs.values()) == set(manifest["programs"])
    makers = {
        output["array"]: call["program"]
        for call in calls_of(small.schedule("warm"), "tap")
        for output in call["outputs"]
    }
    assert makers["p3_filter"] == makers["p4_filter"]
    assert set(programs["all"]) & set(programs["full"]) == {"mask_head_32x48"}


def test_no_program_is_stored_twice(small: SmallExport) -> None:
    files = [program["file"] for program in small.manifest["programs"].values()]
    contents = [(small.folder / file).read_bytes() for file in files]
    assert len(set(files)) == len(set(contents)) == len(files)


def test_another_canvas_that_a_schedule_serves_takes_no_new_programs(
    small: SmallExport, graphs: Graphs
) -> None:
    with few_programs():
        wider = plan_schedule(graphs, parse_schedule("P3", (128, 1280)))
    alone, both = assemble([small.plans["P3"]]), assemble([small.plans["P3"], wider])
    assert [p.name for p in both.programs] == [p.name for p in alone.programs]
    first, second = both.schedules
    assert (first.rows, first.graph, first.serves) == (second.rows, second.graph, second.serves)
    assert first.canvas != second.canvas
    assert second.table_offset == sum(map(len, first.starts(*first.canvas)))


class TwoPools(nn.Module):
    """Two operators without weights that differ in nothing but their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.three, self.five = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 5, 1)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        thin, thick = F.max_pool2d(self.three(picture), 2), F.max_pool2d(self.five(picture), 2)
        return {"thin": thin, "thick": thick, "again": F.max_pool2d(self.three(picture), 2)}


def test_programs_are_shared_only_by_equals() -> None:
    graph = capture(TwoPools().eval(), (torch.rand(1, 3, 8, 8),))
    cells = Span(np.zeros(1, np.int64), np.full(1, 4))
    digests = {}
    for name, node in graph.outputs.items():
        regions = graph.regions({name: (cells, cells)})
        placed = place(graph, make_piece(graph, [node]), regions, {})
        digests[name] = PieceModule(graph, placed, [node]).digest
    assert digests["thin"] == digests["again"] != digests["thick"]


def test_weights_are_stored_once(small: SmallExport) -> None:
    parameters = sum(p.numel() for p in small.source.network.parameters())
    size = (small.folder / "programs" / "weights.bin").stat().st_size
    assert 0.99 * 4 * parameters <= size <= 1.05 * 4 * parameters
    for path in (small.folder / "programs").glob("*.onnx"):
        for tensor in onnx.load_model(path, load_external_data=False).graph.initializer:
            assert len(tensor.raw_data) < 1024, (path.name, tensor.name)


def test_programs_are_static_onnx(small: SmallExport) -> None:
    """Every shape is a number, and no integer is computed: nothing depends on data."""
    programs = small.manifest["programs"]
    assert len(list((small.folder / "programs").glob("*.onnx"))) == len(programs)
    for program in programs.values():
        path = small.folder / program["file"]
        onnx.checker.check_model(str(path), full_check=True)
        graph = onnx.shape_inference.infer_shapes(onnx.load_model(path), data_prop=True).graph
        for part in ("inputs", "outputs"):
            found = {v.name: v.type.tensor_type for v in getattr(graph, part[:-1])}
            assert {n: [d.dim_value for d in v.shape.dim] for n, v in found.items()} == {
                spec["name"]: spec["shape"] for spec in program[part]
            }
            assert {v.elem_type for v in found.values()} == {TensorProto.FLOAT}
        values = {
            value.name: value.type.tensor_type
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        for node in graph.node:
            assert node.domain in ("", "ai.onnx")
            assert not any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute)
            assert node.op_type not in {"NonZero", "Loop", "If", "Scan", "Unique", "Compress"}
            for name in node.output:
                assert values[name].elem_type == TensorProto.FLOAT, (node.op_type, name)
                assert all(d.dim_value > 0 for d in values[name].shape.dim), name


# Exporting twice


def test_planning_again_gives_the_same_schedules(small: SmallExport, graphs: Graphs) -> None:
    with few_programs():
        again = [
            plan_schedule(graphs, parse_schedule(name, CANVASES[name])) for name in ("P3", "warm")
        ]
    plans = small.plans | {plan.name: plan for plan in again}
    first, second = (assemble(list(some.values())) for some in (small.plans, plans))
    written = json.dumps([write_schedule(v) for v in second.schedules])
    assert json.loads(written) == small.manifest["schedules"]
    draft = replace(small.draft, assembly=second)
    assert draft.table.tobytes() == (small.folder / "table.bin").read_bytes()
    assert [p.name for p in second.programs] == [p.name for p in first.programs]
    for before, after in zip(first.programs, second.programs, strict=True):
        if isinstance(before.module, PieceModule):
            assert isinstance(after.module, PieceModule)
            assert before.module.digest == after.module.digest


def test_converting_again_gives_the_same_files(small: SmallExport, tmp_path: Path) -> None:
    last_query, head = assemble([small.plans["warm"]]).programs[-2:]
    converter = open_target("onnx", None)[2]
    for folder in ("first", "second"):
        converter.convert([last_query, head], tmp_path / folder, "fp32", None)
    assert snapshot(tmp_path / "first") == snapshot(tmp_path / "second")


# What the exporter found out


def parity_schedules(small: SmallExport) -> Iterator[tuple[str, dict[str, Any]]]:
    checked = json.loads((small.folder / "parity.json").read_text())["schedules"]
    for name, schedule in zip(NAMES, checked, strict=True):
        assert schedule["schedule"] == name
        assert schedule["canvas"] == list(CANVASES[name])
        yield name, schedule


def test_parity_report(small: SmallExport) -> None:
    parity = json.loads((small.folder / "parity.json").read_text())
    assert parity == small.report["parity"]
    assert parity["checked_by"] == f"onnxruntime {onnxruntime.__version__}"
    assert parity["engine"]["requested"] == {"threads": 1, "compute_units": None}
    assert parity["limits"]["program_error"] == parity["limits"]["replay_error"] == 1e-4
    programs = small.manifest["programs"]
    assert set(parity["programs"]) == set(programs)
    for name, program in programs.items():
        found = parity["programs"][name]
        assert list(found["outputs"]) == [output["name"] for output in program["outputs"]]
        for error in found["outputs"].values():
            assert 0 <= error["mean"] <= error["max"] <= 1e-4
        model = onnx.load_model(small.folder / program["file"], load_external_data=False)
        assert found["operators"] == Counter(node.op_type for node in model.graph.node)
        assert found["partitions"] is None
    assert max(e["max"] for p in parity["programs"].values() for e in p["outputs"].values()) > 0
    for name, checked in parity_schedules(small):
        replay = checked["replay"]
        assert replay["taps"] == PARITY_TAPS
        asked = small.schedule(name)["graph"]["outputs"]["score"]
        levels = [level for level in LEVELS if level.output("score") in asked]
        assert set(replay["relative_error"]) == {
            level.output(kind) for level in levels for kind in KINDS
        } | {"mask"}
        assert 0 < max(replay["relative_error"].values()) <= 1e-4
        assert 0 <= replay["truncated"] <= PARITY_TAPS
        assert 0.999 <= replay["iou_mean"] <= 1
        assert 0.99 <= replay["iou_p5"] <= 1
        assert 0 < replay["whole_iou_mean"] <= 1
        assert replay["level_flips"] == 0


def test_parity_page(small: SmallExport) -> None:
    """Every figure that a reader looks for is on the page."""
    page = (small.folder / "parity.md").read_text()
    parity = json.loads((small.folder / "parity.json").read_text())
    for name, program in parity["programs"].items():
        for tensor, error in program["outputs"].items():
            assert error["described"].startswith(f"{name}/{tensor} (")
            row = f"| {error['described']} | {error['max']:.1e} | {error['mean']:.1e} |"
            assert row in page
    for checked in parity["schedules"]:
        assert (
            f"| {checked['schedule']} | {checked['canvas'][0]} x {checked['canvas'][1]} |" in page
        )
    assert parity["checked_by"] in page


def test_programs_say_what_bundle_they_belong_to(small: SmallExport) -> None:
    manifest = small.manifest
    for program in manifest["programs"].values():
        model = onnx.load_model(small.folder / program["file"], load_external_data=False)
        assert {prop.key: prop.value for prop in model.metadata_props} == {
            "org.tracenet.bundle": manifest["identity"],
            "org.tracenet.weights_sha256": manifest["weights_sha256"],
            "org.tracenet.schedules": "all 256x384, P3 128x1024, warm 256x256, full 256x384",
        }


def test_sizes(small: SmallExport) -> None:
    parity = json.loads((small.folder / "parity.json").read_text())
    files = small.manifest["files"]
    assert parity["program_bytes"] == sum(
        record["bytes"] for name, record in files.items() if name.startswith("programs/")
    )
    with safe_open(small.checkpoint, "np") as checkpoint:
        assert parity["checkpoint_bytes"] == 2 * sum(
            checkpoint.get_tensor(name).size
            for name in checkpoint.keys()  # noqa: SIM118 - no dict
            if not name.endswith("num_batches_tracked")
        )


def test_whole_masks_lose_nothing(small: SmallExport) -> None:
    for name, checked in parity_schedules(small):
        if name in ("warm", "full"):
            assert checked["replay"]["truncated"] == 0
            assert checked["replay"]["whole_iou_mean"] > 0.999


def test_golden_taps(small: SmallExport) -> None:
    golden = json.loads((small.folder / "golden.json").read_text())
    lists = [*golden["schedules"], golden["strategy"]]
    assert [len(answers) for answers in lists] == [4] * (len(NAMES) + 1)
    for name in NAMES:
        TapSegmenter.load(small.folder, threads=1, schedule=name).check_golden()
    assert {tap["level"] for tap in golden["schedules"][1]} == {"P3"}
    read = Bundle.open(small.folder).golden()
    assert [[tap.at for tap in taps] for taps in (*read.schedules, read.strategy)] == [
        [tuple(tap["at"]) for tap in answers] for answers in lists
    ]


def test_report(small: SmallExport) -> None:
    report = small.report
    assert report["bundle"] == str(small.folder)
    assert report["target"] == "onnx"
    for name, said in zip(NAMES, report["schedules"], strict=True):
        schedule = small.schedule(name)
        macs = macs_of(small, name)
        assert (said["schedule"], said["canvas"]) == (name, list(CANVASES[name]))
        assert said["serves"] == schedule["serves"]
        # The mask head is in the manifest's figures, and not in the report's.
        assert said["encode_share"] == pytest.approx(macs["encode"] / macs["full"], rel=1e-2)
        assert said["macs_share"] == pytest.approx(
            {n: (macs["query"] + m) / macs["full"] for n, m in macs["masks"].items()}, abs=2e-3
        )
