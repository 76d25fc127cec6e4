"""The exporter: what a bundle holds, what keeps one from being written, and what is left then."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from export_fixtures import CANVAS, LICENCE, SmallExport, snapshot
from onnx import TensorProto, helper, numpy_helper
from tool_checks import assert_one_sentence
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model import LEVELS, TraceNetConfig, checkpoint_licence
from tracenet.rft import Span, capture
from tracenet_export import bundle as bundle_module
from tracenet_export import cli
from tracenet_export.assemble import Assembly, assemble
from tracenet_export.bundle import export_bundle, replacing_bundle
from tracenet_export.errors import ExportError, ParityError
from tracenet_export.parity import Differences, refuse_above
from tracenet_export.plan import make_piece
from tracenet_export.plan.piece import place
from tracenet_export.programs import PieceModule, Program, mask_head_program
from tracenet_export.schedule import parse_levels, plan_taps
from tracenet_export.targets import open_target
from tracenet_runtime import TapSegmenter
from tracenet_runtime.bundle import Bundle

PARITY_TAPS = 64


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# What a bundle holds


def test_files_are_listed_with_their_hashes(small: SmallExport) -> None:
    listed = small.manifest["files"]
    found = snapshot(small.folder)
    del found["manifest.json"]
    assert {name: record["sha256"] for name, record in listed.items()} == found
    for name, record in listed.items():
        assert (small.folder / name).stat().st_size == record["bytes"]
    # The bundle of another time is gone, and nothing lies beside the new one.
    assert {path.name for path in small.folder.parent.iterdir()} == {
        "bundle", "network.safetensors", "network.json",
    }  # fmt: skip
    assert (small.folder.stat().st_mode & 0o777) == 0o755


def test_manifest(small: SmallExport) -> None:
    manifest, network = small.manifest, small.source.network
    assert manifest["schema_version"] == 1
    assert manifest["name"] == "mobilenetv2-fpn"
    assert (manifest["target"], manifest["precision"]) == ("onnx", "fp32")
    assert manifest["licence"] == LICENCE == checkpoint_licence(small.checkpoint)
    assert TraceNetConfig.from_dict(manifest["network"]) == network.config
    digest = hashlib.sha256(small.checkpoint.read_bytes()).hexdigest()
    assert manifest["weights_sha256"] == digest
    assert manifest["canvas"] == {"height": 256, "width": 384}  # asked for: 250 x 257
    preprocessing = manifest["preprocessing"]
    assert "Pillow's BILINEAR" in preprocessing.pop("text")
    assert preprocessing == {
        "color": "RGB", "dtype": "float32", "range": [0, 255], "layout": "NCHW",
        "resize": "pillow-bilinear", "pad_value": [128, 128, 128],
    }  # fmt: skip
    assert manifest["levels"] == [
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


def test_schedule(small: SmallExport) -> None:
    schedule = small.manifest["schedule"]
    assert (schedule["name"], schedule["key_level"]) == ("P3-P7", "P3")
    assert schedule["reach_slack"] >= 1
    reaches = {mask["name"]: mask["reach"] for mask in schedule["masks"]}
    assert list(reaches.items()) == [("64px", 64), ("128px", 128), ("all", None)]
    for mask in schedule["masks"]:
        (features,) = mask["head"]["inputs"]
        (probability,) = mask["head"]["outputs"]
        assert probability["size"] == [4 * side for side in features["size"]]
        if mask["reach"] is not None:
            # The window, the tapped cell, and one cell more to each side.
            largest = 2 * mask["reach"] // 8 + 1 + 2
            assert features["size"] == [min(largest, side // 8) for side in CANVAS]
    assert schedule["masks"][-1]["head"]["inputs"][0]["size"] == [32, 48]


def test_multiply_adds(small: SmallExport) -> None:
    macs, plan = small.manifest["macs"], small.tap_plan.plan
    of_head = {
        mask["name"]: (10 * 8 + 8 * 8 + 8) * math.prod(mask["head"]["inputs"][0]["size"])
        for mask in small.manifest["schedule"]["masks"]
    }
    assert macs["full"] == plan.graph.full_macs + of_head["all"]
    assert macs["query"] == plan.query_macs
    assert macs["masks"] == {n: plan.alternative_macs(n) + of_head[n] for n in of_head}
    assert macs["query"] + macs["masks"]["64px"] < macs["full"]
    assert small.report["macs_share"]["64px"] == pytest.approx(
        (macs["query"] + macs["masks"]["64px"]) / macs["full"], rel=1e-2
    )
    # What the programs of a schedule say of themselves adds up to the same.
    programs = small.manifest["programs"]
    for mask in small.manifest["schedule"]["masks"]:
        calls = [*mask["calls"], mask["head"]]
        assert sum(programs[c["program"]]["macs"] for c in calls) == macs["masks"][mask["name"]]


def calls_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    schedule = manifest["schedule"]
    return [
        *schedule["query"],
        *(call for mask in schedule["masks"] for call in (*mask["calls"], mask["head"])),
    ]


def test_every_window_lies_in_its_feature_map(small: SmallExport) -> None:
    manifest, graph = small.manifest, small.tap_plan.plan.graph
    table = np.frombuffer((small.folder / "table.bin").read_bytes(), "<i4")
    assert len(table) == manifest["table"]["count"]
    extents = {
        f"{node.module_path}/{name}" if node.module_path else name: node.extent
        for name, node in graph.nodes.items()
    }
    extents |= {output: graph.nodes[node].extent for output, node in graph.outputs.items()}
    extents |= {"image": CANVAS, "mask": (CANVAS[0] // 2, CANVAS[1] // 2)}
    scopes = tuple(f"{mask['name']}/" for mask in manifest["schedule"]["masks"])
    used = np.zeros(len(table), bool)
    moving = 0
    for call in calls_of(manifest):
        for axis, (key, cells) in enumerate((("y", CANVAS[0] // 8), ("x", CANVAS[1] // 8))):
            row = call["origin"][key]
            assert row["length"] == cells
            place = slice(row["offset"], row["offset"] + cells)
            used[place] = True
            starts = table[place]
            assert len(starts) == cells
            assert (np.diff(starts) >= 0).all()
            moving += len(np.unique(starts)) > 1
            for window in (*call["inputs"], *call["outputs"]):
                array = window["array"]
                scope = next((s for s in scopes if array.startswith(s)), "")
                extent = extents[array.removeprefix(scope)][axis]
                assert starts.min() >= 0
                assert window["step"] * starts.max() + window["size"][axis] <= extent
    assert used.all()
    assert moving


def test_programs_are_shared_by_levels(small: SmallExport) -> None:
    manifest = small.manifest
    calls = [call["program"] for call in calls_of(manifest)]
    assert set(calls) == set(manifest["programs"])
    assert len(manifest["programs"]) < len(calls)
    answers = {
        output["array"]: call["program"]
        for call in manifest["schedule"]["query"]
        for output in call["outputs"]
    }
    assert answers["p3_filter"] == answers["p4_filter"]


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


def test_parity_report(small: SmallExport) -> None:
    parity = json.loads((small.folder / "parity.json").read_text())
    assert parity == small.report["parity"]
    assert parity["programs_checked_by"] == parity["replay_checked_by"] == "onnxruntime"
    assert parity["tolerance"] == 1e-4
    tensors = {
        f"{name}/{output['name']}"
        for name, program in small.manifest["programs"].items()
        for output in program["outputs"]
    }
    assert set(parity["programs"]) == tensors
    replay = parity["replay"]
    assert replay["taps"] == PARITY_TAPS
    assert set(replay["relative_error"]) == {
        level.output(kind) for level in LEVELS for kind in ("score", "box", "filter")
    } | {"mask"}
    for errors in (parity["programs"], replay["relative_error"]):
        assert 0 < max(errors.values()) <= 1e-4
    assert 0 <= replay["truncated"] <= PARITY_TAPS
    assert 0 < replay["mask_iou_mean"] <= 1
    assert replay["level_flips"] == 0


def test_golden_taps(small: SmallExport) -> None:
    golden = json.loads((small.folder / "golden.json").read_text())["taps"]
    assert len(golden) == 4
    segmenter = TapSegmenter.load(small.folder, threads=1)
    segmenter.check_golden()
    bundle = segmenter.bundle
    assert [tap.at for tap in bundle.golden_taps()] == [tuple(tap["at"]) for tap in golden]


def test_report(small: SmallExport) -> None:
    report = small.report
    assert report["bundle"] == str(small.folder)
    assert (report["target"], report["schedule"]) == ("onnx", "P3-P7")
    assert report["input_window"] == list(small.tap_plan.plan.input_window)


def test_full_schedule(small: SmallExport, full: tuple[Path, Any]) -> None:
    folder, report = full
    manifest = Bundle.open(folder).manifest
    assert report["schedule"] == manifest.schedule.name == "full"
    assert len(manifest.schedule.query) == 1
    (mask,) = manifest.schedule.masks
    assert (mask.name, mask.reach, mask.calls) == ("all", None, ())
    assert manifest.macs.query == small.tap_plan.plan.graph.full_macs
    assert manifest.macs.full == manifest.macs.query + manifest.macs.masks["all"]
    assert report["macs_share"] == {"all": 1.0}
    replay = report["parity"]["replay"]
    assert max(replay["relative_error"].values()) <= 1e-4
    assert replay["truncated"] == 0
    assert replay["mask_iou_mean"] > 0.999


# What keeps a bundle from being written


@pytest.fixture
def quick(small: SmallExport, monkeypatch: pytest.MonkeyPatch) -> SmallExport:
    """Exporting the small bundle again takes its graph, plan and programs as they are."""

    def convert(programs: Sequence[Program], folder: Path, precision: str) -> dict[str, str]:
        shutil.copytree(small.folder / "programs", folder)
        return {program.name: f"{program.name}.onnx" for program in programs}

    monkeypatch.setattr("tracenet.rft.capture", lambda *_: small.tap_plan.plan.graph)
    monkeypatch.setattr("tracenet_export.schedule.plan_taps", lambda *_: small.tap_plan)
    monkeypatch.setattr("tracenet_export.targets.onnx.convert", convert)
    monkeypatch.setattr("tracenet_export.bundle.REPLAYED_TAPS", 12)
    return small


@pytest.fixture(params=["nothing there", "a bundle there"])
def out(request: pytest.FixtureRequest, small: SmallExport, tmp_path: Path) -> Iterator[Path]:
    """A place to export to; what was there must be there afterwards, and nothing else."""
    path = tmp_path / "place" / "bundle"
    path.parent.mkdir()
    if request.param == "a bundle there":
        shutil.copytree(small.folder, path)
    before = snapshot(path.parent)
    yield path
    assert snapshot(path.parent) == before
    assert [p.name for p in path.parent.iterdir()] == (["bundle"] if before else [])


def arguments_for(small: SmallExport, out: Path) -> list[str]:
    return [
        "--checkpoint", str(small.checkpoint), "--canvas", "256x384", "--threads", "1",
        "--out", str(out),
    ]  # fmt: skip


def test_exporting_again_gives_the_same_bundle(quick: SmallExport, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(quick.folder, out)
    (out / "programs" / "left_over.onnx").write_bytes(b"of a bundle that is replaced")
    export_bundle(quick.source, quick.tap_plan, "onnx", None, out, threads=1)
    before, after = snapshot(quick.folder), snapshot(out)
    for name in ("parity.json", "manifest.json"):  # 12 taps instead of 64
        assert before.pop(name) != after.pop(name)
    assert before == after
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    Bundle.open(out)


def scale_output(path: Path, output: str, factor: float) -> None:
    """Multiply an output of an ONNX model."""
    model = onnx.load_model(path, load_external_data=False)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"{name}_before" if name == output else name for name in names]
    factors = numpy_helper.from_array(np.float32(factor), "factor")
    model.graph.initializer.append(factors)
    model.graph.node.append(helper.make_node("Mul", [f"{output}_before", "factor"], [output]))
    onnx.save_model(model, path)


@pytest.mark.parametrize(
    ("program", "output"), [("query_3", "output_1"), ("mask_head_19x19", "mask")]
)
def test_a_broken_program(
    quick: SmallExport, out: Path, monkeypatch: pytest.MonkeyPatch, program: str, output: str
) -> None:
    from tracenet_export.targets import onnx as target

    convert = target.convert

    def break_one(programs: Sequence[Program], folder: Path, precision: str) -> dict[str, str]:
        files = convert(programs, folder, precision)
        scale_output(folder / files[program], output, 1.001)
        return files

    monkeypatch.setattr(target, "convert", break_one)
    with pytest.raises(ParityError, match=f"{program}/{output} differs from PyTorch by 1.0e-03"):
        export_bundle(quick.source, quick.tap_plan, "onnx", None, out, threads=1)


def test_a_broken_table(quick: SmallExport, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def assemble_wrongly(tap_plan: Any) -> Assembly:
        assembly = assemble(tap_plan)
        row = next(
            call for call in assembly.schedule["query"]
            if any(window["array"] == "p3_filter" for window in call["outputs"])
        )["origin"]["x"]  # fmt: skip
        starts = assembly.table[row["offset"] : row["offset"] + row["length"]]
        starts[(starts > 0) & (starts < starts.max())] -= 1
        return assembly

    monkeypatch.setattr("tracenet_export.bundle.assemble", assemble_wrongly)
    with pytest.raises(ParityError, match=r"p3_\w+ differs from PyTorch"):
        export_bundle(quick.source, quick.tap_plan, "onnx", None, out, threads=1)


def test_another_network(quick: SmallExport, out: Path) -> None:
    """Programs and plan fit each other; FullNet is another: only the replay can see it."""
    network = type(quick.source.network)(quick.source.network.config).eval()
    other = bundle_module.Source(network, quick.source.sha256, quick.source.licence)
    with pytest.raises(ParityError):
        export_bundle(other, quick.tap_plan, "onnx", None, out, threads=1)


def test_a_golden_tap_that_does_not_replay(
    quick: SmallExport, out: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_golden = bundle_module._write_golden

    def write_wrongly(bundle: Bundle, assembly: Assembly) -> None:
        write_golden(bundle, assembly)
        path = bundle.folder / "golden.json"
        golden = json.loads(path.read_text())
        golden["taps"][-1]["score"] += 0.01
        path.write_text(json.dumps(golden))

    monkeypatch.setattr(bundle_module, "_write_golden", write_wrongly)
    arguments = arguments_for(quick, out)
    assert_one_sentence(cli.main, arguments, "gives a score of", capsys)


@pytest.mark.parametrize(
    ("interruption", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "stopped; nothing was written"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left on device"),
    ],
)
def test_an_interrupted_export(
    quick: SmallExport, out: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], interruption: BaseException, code: int, said: str,
) -> None:  # fmt: skip
    def convert(programs: Sequence[Program], folder: Path, precision: str) -> dict[str, str]:
        folder.mkdir()
        (folder / "half.onnx").write_bytes(b"half")
        raise interruption

    monkeypatch.setattr("tracenet_export.targets.onnx.convert", convert)
    assert cli.main(arguments_for(quick, out)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("message", ["nobody knows Cummax\nbacktrace", ""])
def test_a_program_that_does_not_convert(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, message: str
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(torch.onnx, "export", refuse)
    said = message.partition("\n")[0] or "RuntimeError"
    with pytest.raises(ExportError, match=f"mask_head_4x4 does not convert to ONNX: {said}$"):
        open_target("onnx", None)[2].convert([mask_head_program(4, 4)], tmp_path, "fp32")


def test_a_readable_report(
    quick: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments_for(quick, tmp_path / "bundle")) == 0
    said = capsys.readouterr().out
    assert "schedule P3-P7" in said
    assert "replay of 12 taps against FullNet" in said


# The place of a bundle


def write_something(folder: Path) -> None:
    (folder / "new").write_text("new")


def test_a_new_folder_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "deep" / "new", tmp_path / "empty"):
        with replacing_bundle(out) as folder:
            write_something(folder)
        assert [path.name for path in out.iterdir()] == ["new"]
        assert len(list(out.parent.glob(".*"))) == 0


@pytest.mark.parametrize("kind", ["file", "folder", "web app", "damaged"])
def test_what_is_no_bundle_is_left_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "mine"
    if kind == "file":
        out.write_text("notes")
    else:
        out.mkdir()
        name = "notes.txt" if kind == "folder" else "manifest.json"
        (out / name).write_text('{"name": "my app"}' if kind == "web app" else "{")
    before = snapshot(tmp_path)
    with pytest.raises(ExportError, match="is no bundle; give another --out"):
        replacing_bundle(out).__enter__()
    assert snapshot(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("notes")
    with pytest.raises(ExportError, match="cannot be written"):
        replacing_bundle(tmp_path / "file" / "bundle").__enter__()


def old_bundle(out: Path) -> dict[str, str]:
    out.mkdir()
    (out / "manifest.json").write_text('{"schema_version": 1, "schedule": {}}')
    return snapshot(out)


def test_a_bundle_that_cannot_be_replaced_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    before = old_bundle(out)
    replace = Path.replace

    def refuse_once(self: Path, target: Path) -> Path:
        if target == out:
            monkeypatch.setattr(Path, "replace", replace)
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_once)
    with (
        pytest.raises(ExportError, match="cannot be written: Input/output error"),
        replacing_bundle(out) as folder,
    ):
        write_something(folder)
    assert snapshot(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_link_to_a_bundle_stays_one(tmp_path: Path) -> None:
    old_bundle(tmp_path / "bundle")
    link = tmp_path / "latest"
    link.symlink_to("bundle")
    with replacing_bundle(link) as folder:
        write_something(folder)
    assert link.is_symlink()
    assert list(snapshot(tmp_path / "bundle")) == ["new"]
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "latest"}


# Targets


def test_targets() -> None:
    target, precision, converter = open_target("onnx", None)
    assert (target.engine, precision) == ("onnxruntime", "fp32")
    assert callable(converter.convert)


@pytest.mark.parametrize(
    ("name", "precision", "said"),
    [
        ("tflite", None, "no target 'tflite'; the targets are onnx, coreml"),
        ("onnx", "int4", "no precision 'int4'; it has fp32"),
        ("coreml", "int8", "no precision 'int8'; it has fp16, fp32"),
    ],
)
def test_unknown_targets(name: str, precision: str | None, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        open_target(name, precision)


@pytest.mark.parametrize(
    ("target", "package", "extra"),
    [("onnx", "onnxscript", "export"), ("coreml", "coremltools", "coreml")],
)
def test_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    target: str, package: str, extra: str,
) -> None:  # fmt: skip
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    out = tmp_path / "bundle"
    arguments = ["--untrained", "--target", target, "--out", str(out)]
    said = f"needs {package}; run: pip install 'tracenet[{extra}]'"
    assert_one_sentence(cli.main, arguments, said, capsys)
    assert not out.exists()


# The command line


@pytest.mark.parametrize(
    ("text", "canvas"),
    [
        ("640", (640, 640)),
        ("640x640", (640, 640)),
        ("1536x2048", (1536, 2048)),
        ("1x129", (128, 256)),
        ("250x257", (256, 384)),
        ("16384", (16384, 16384)),
    ],
)
def test_canvas(text: str, canvas: tuple[int, int]) -> None:
    assert cli.parse_canvas(text) == canvas


@pytest.mark.parametrize("text", ["", "x", "640x", "0", "00x640", "640x0", "-1", "6.4", "16385"])
def test_no_canvas(text: str) -> None:
    with pytest.raises(ExportError, match=r"is no canvas; give height x width"):
        cli.parse_canvas(text)


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("all", (None,)),
        ("64,128,all", (64, 128, None)),
        ("all,128,64,128", (64, 128, None)),
        ("8", (8,)),
    ],
)
def test_windows(text: str, reaches: tuple[int | None, ...]) -> None:
    assert cli.parse_windows(text) == reaches


@pytest.mark.parametrize("text", ["", "64,", "60", "0", "-8", "64px", "all64", "²"])
def test_no_windows(text: str) -> None:
    with pytest.raises(ExportError, match="is no mask window; give multiples of 8"):
        cli.parse_windows(text)


def test_windows_must_fit_the_finest_level(small: SmallExport) -> None:
    graph = small.tap_plan.plan.graph
    with pytest.raises(ExportError, match=r"a mask window of 8 px .* P5 .* multiples of 32 px"):
        plan_taps(graph, CANVAS, LEVELS[2:], (8, None))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("P3-P7", "P3 P4 P5 P6 P7"),
        ("P3,P4,P5", "P3 P4 P5"),
        ("p5, p3", "P3 P5"),
        ("P4", "P4"),
        ("P3-P4,P6-P7", "P3 P4 P6 P7"),
    ],
)
def test_levels(text: str, names: str) -> None:
    assert [level.name for level in parse_levels(text)] == names.split()


@pytest.mark.parametrize("text", ["", "P2", "P8", "P3-", "-P3", "P3,,P4", "P3-P4-P5", "fine"])
def test_no_levels(text: str) -> None:
    with pytest.raises(ExportError, match="is no level; give some of P3,P4,P5,P6,P7"):
        parse_levels(text)


@pytest.mark.parametrize("text", ["P5-P3", "P4,P7-P6"])
def test_levels_in_the_wrong_order(text: str) -> None:
    with pytest.raises(ExportError, match="the coarser one comes last, as in P3-P5"):
        parse_levels(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--untrained", "--model", "r18-fpn"], "there is no network 'r18-fpn'"),
        (["--model", "r101-fpn"], "no weights are shipped for 'r101-fpn'"),
        (["--canvas", "wide"], "'wide' is no canvas"),
        (["--windows", "some"], "'some' is no mask window"),
        (["--schedule", "P9"], "'P9' is no level"),
        (["--target", "litert"], "there is no target 'litert'"),
        (["--precision", "fp8"], "no precision 'fp8'"),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    out = tmp_path / "bundle"
    assert_one_sentence(cli.main, [*arguments, "--out", str(out)], said, capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_model(
    small: SmallExport, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", str(small.checkpoint), "--model", "r50-fpn"]
    assert_one_sentence(cli.main, arguments, "holds mobilenetv2-fpn, not r50-fpn", capsys)


def test_a_wrong_place_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    monkeypatch.setattr("tracenet_export.cli.open_source", lambda _: pytest.fail("worked"))
    arguments = ["--untrained", "--out", str(tmp_path)]
    assert_one_sentence(cli.main, arguments, "exists and is no bundle", capsys)


@pytest.mark.parametrize(
    "arguments", [["--threads", "0"], ["--untrained", "--checkpoint", "some.safetensors"]]
)
def test_mistakes_that_argparse_finds(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


# How differences are measured


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("value", "reference", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.002], [1.0, 2.0], 0.001),
        ([1.0, -4.0], [1.0, 4.0], 2.0),
        ([float("nan"), 2.0], [1.0, 2.0], float("inf")),
        ([1.0, float("inf")], [1.0, float("inf")], float("inf")),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
    ],
)
def test_relative_difference(value: list[float], reference: list[float], error: float) -> None:
    differences = Differences()
    differences.add("good", np.ones(3), np.ones(3))
    differences.add("tensor", np.array(value), np.array(reference))
    found = differences.relative()
    assert found["tensor"] == pytest.approx(error)
    accepted = contextlib.nullcontext()
    refused = pytest.raises(ParityError, match="tensor differs from PyTorch")
    with accepted if error <= 1e-4 else refused:
        refuse_above(1e-4, found)


def test_a_difference_is_relative_to_the_largest_value_of_all() -> None:
    differences = Differences()
    differences.add("tensor", np.array([1.01]), np.array([1.0]))
    differences.add("tensor", np.array([100.0]), np.array([100.0]))
    assert differences.relative()["tensor"] == pytest.approx(1e-4)
