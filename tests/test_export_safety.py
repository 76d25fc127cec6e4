"""The exporter: what keeps a bundle from being written, and what is left then."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from export_fixtures import SmallExport, calls_of, snapshot
from onnx import helper, numpy_helper
from tool_checks import assert_one_sentence

from tracenet_export import bundle as bundle_module
from tracenet_export import cli
from tracenet_export.bundle import export_bundle
from tracenet_export.draft import Draft, Source
from tracenet_export.errors import ExportError, ParityError
from tracenet_export.limits import FP32
from tracenet_export.parity import Differences, refuse_programs
from tracenet_export.photos import parity_photos
from tracenet_export.programs import Program, mask_head_program
from tracenet_export.replacing import replacing_bundle
from tracenet_export.requests import ScheduleRequest
from tracenet_export.schedule import SchedulePlan
from tracenet_export.targets import Converted, open_target
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.errors import BundleError, TraceNetError
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.graph.program import ProgramFiles
from tracenet_runtime.graph.schedule import ProgramCall


def parity_of(small: SmallExport) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((small.folder / "parity.json").read_text())
    return content


@pytest.fixture
def quick(small: SmallExport, monkeypatch: pytest.MonkeyPatch) -> SmallExport:
    """Exporting the small bundle again takes its plans and programs as they are."""

    operators = {name: found["operators"] for name, found in parity_of(small)["programs"].items()}
    plans = small.plans  # made by what is replaced below

    def convert(programs: Sequence[Program], folder: Path, *others: Any) -> dict[str, Converted]:
        folder.mkdir()
        converted = {
            program.name: Converted(f"{program.name}.onnx", operators[program.name])
            for program in programs
        }
        for name in (*(made.file for made in converted.values()), "weights.bin"):
            shutil.copy(small.folder / "programs" / name, folder)
        return converted

    def plan_schedule(graphs: Any, request: ScheduleRequest, cost: Any) -> SchedulePlan:
        assert plans[request.name].canvas == request.canvas
        return plans[request.name]

    monkeypatch.setattr("tracenet_export.exporting.plan_schedule", plan_schedule)
    monkeypatch.setattr("tracenet_export.targets.onnx.convert", convert)
    monkeypatch.setattr("tracenet_export.check.REPLAYED_TAPS", 20)
    monkeypatch.setattr("tracenet_export.check.parity_photos", lambda: parity_photos()[:2])
    return small


@pytest.fixture(params=["a bundle there", pytest.param("nothing there", marks=pytest.mark.slow)])
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


def arguments_for(small: SmallExport, out: Path, *schedules: str) -> list[str]:
    return [
        "--checkpoint", str(small.checkpoint), "--schedule", *schedules, "--threads", "1",
        "--out", str(out),
    ]  # fmt: skip


def export_again(small: SmallExport, out: Path, *names: str) -> None:
    export_bundle(small.drafted(*names), out, threads=1)


def test_exporting_again_gives_the_same_bundle(quick: SmallExport, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(quick.folder, out)
    (out / "programs" / "left_over.onnx").write_bytes(b"of a bundle that is replaced")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"]["programs/left_over.onnx"] = {}
    (out / "manifest.json").write_text(json.dumps(manifest))
    export_again(quick, out)
    before, after = snapshot(quick.folder), snapshot(out)
    for name in ("parity.json", "parity.md", "manifest.json"):  # fewer taps
        assert before.pop(name) != after.pop(name)
    assert before == after
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    Bundle.open(out)


# What goes wrong


def scale_output(path: Path, output: str, factor: float) -> None:
    """Multiply an output of an ONNX model."""
    model = onnx.load_model(path, load_external_data=False)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"{name}_before" if name == output else name for name in names]
    factors = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    model.graph.initializer.append(factors)
    model.graph.node.append(helper.make_node("Mul", [f"{output}_before", "factor"], [output]))
    onnx.save_model(model, path)


@pytest.mark.parametrize("broken", ["query", "mask head"])
def test_a_broken_program(
    quick: SmallExport, out: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    from tracenet_export.targets import onnx as target

    schedule = quick.schedule("warm")
    if broken == "query":
        call, output = next(
            (call, window["name"])
            for call in calls_of(schedule, "tap")
            for window in call["outputs"]
            if window["array"] == "p3_filter"
        )
    else:
        call, output = calls_of(schedule, "window")[-1], "mask"
    convert = target.convert
    program = call["program"]

    def break_one(programs: Sequence[Program], folder: Path, *others: Any) -> dict[str, Converted]:
        converted = convert(programs, folder, *others)
        scale_output(folder / converted[program].file, output, 1.001)
        return converted

    monkeypatch.setattr(target, "convert", break_one)
    said = rf"{program}/{output} \(.*\) differs from PyTorch by 1.0e-03"
    with pytest.raises(ParityError, match=said):
        export_again(quick, out)


def test_a_wrong_closed_form(quick: SmallExport, out: Path) -> None:
    draft = quick.drafted()
    (warm,) = (v for v in draft.assembly.schedules if v.name == "warm")
    call = next(
        call
        for call in warm.graph.tap
        if isinstance(call, ProgramCall) and "p3_filter" in call.makes
    )
    rows = list(warm.rows)
    row = rows[call.origin_x]
    rows[call.origin_x] = replace(row, phases=tuple(phase - 1 for phase in row.phases))
    schedules = tuple(
        replace(v, rows=tuple(rows)) if v is warm else v for v in draft.assembly.schedules
    )
    shifted = replace(draft, assembly=replace(draft.assembly, schedules=schedules))
    with pytest.raises(TraceNetError, match=r"p3_\w+ differs from PyTorch|misses the cell"):
        export_bundle(shifted, out, threads=1)


def test_a_wrong_table(quick: SmallExport, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = quick.draft.table
    table[quick.draft.assembly.schedules[1].table_offset] += 1
    monkeypatch.setattr(Draft, "table", table)
    with pytest.raises(BundleError, match="the table of the schedule 'P3' is not what its rows"):
        export_again(quick, out)


def test_another_network(quick: SmallExport, out: Path) -> None:
    """Programs and plan fit each other; FullNet is another: only the replay can see it."""
    network = type(quick.source.network)(quick.source.network.config).eval()
    other = Source(network, quick.source.sha256, quick.source.licence)
    with pytest.raises(ParityError):
        export_bundle(replace(quick.drafted("all"), source=other), out, threads=1)


@pytest.mark.parametrize("schedule", [0, 1])
def test_a_golden_tap_that_does_not_replay(
    quick: SmallExport, out: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], schedule: int,
) -> None:  # fmt: skip
    write_golden = bundle_module._write_golden

    def write_wrongly(draft: Draft, files: ProgramFiles, engine: Engine) -> None:
        write_golden(draft, files, engine)
        path = files.folder / "golden.json"
        golden = json.loads(path.read_text())
        golden["schedules"][schedule][-1]["score"] += 0.01
        path.write_text(json.dumps(golden))

    monkeypatch.setattr(bundle_module, "_write_golden", write_wrongly)
    arguments = arguments_for(quick, out, "full@256x384", "all@256x384")
    said = f"of the schedule '{('full', 'all')[schedule]}' gives a score of"
    assert_one_sentence(cli.main, arguments, said, capsys)


@pytest.mark.parametrize("out", ["a bundle there", "nothing there"], indirect=True)
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
    def convert(programs: Sequence[Program], folder: Path, *others: Any) -> dict[str, Converted]:
        folder.mkdir()
        (folder / "half.onnx").write_bytes(b"half")
        raise interruption

    monkeypatch.setattr("tracenet_export.targets.onnx.convert", convert)
    assert cli.main(arguments_for(quick, out, "all@256x384")) == code
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
        open_target("onnx", None)[2].convert([mask_head_program(4, 4, 8)], tmp_path, "fp32", None)


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


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    out = tmp_path / ("b" * 255)
    for _ in range(2):
        with replacing_bundle(out) as folder:
            write_something(folder)
            (folder / "manifest.json").write_text('{"schema_version": 1, "files": {"new": {}}}')
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(ExportError, match="cannot be written"):
        replacing_bundle(tmp_path / ("b" * 256)).__enter__()


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
    (out / "manifest.json").write_text('{"schema_version": 1, "files": {}}')
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


def test_a_file_that_somebody_put_into_a_bundle_is_not_lost(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    old_bundle(out)
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("notes")
    before = snapshot(tmp_path)
    with pytest.raises(ExportError, match=r"holds notes/mine\.txt, which is no part of the bundle"):
        replacing_bundle(out).__enter__()
    assert snapshot(tmp_path) == before


def test_a_link_to_a_bundle_stays_one(tmp_path: Path) -> None:
    old_bundle(tmp_path / "bundle")
    link = tmp_path / "latest"
    link.symlink_to("bundle")
    with replacing_bundle(link) as folder:
        write_something(folder)
    assert link.is_symlink()
    assert list(snapshot(tmp_path / "bundle")) == ["new"]
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "latest"}


def test_what_lies_there_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(ExportError, match="exists and is no bundle; give another --out"):
        replacing_bundle(tmp_path).__enter__()


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
        refuse_programs(FP32, found)


def test_a_difference_is_relative_to_the_largest_value_of_all() -> None:
    differences = Differences()
    differences.add("tensor", np.array([1.01]), np.array([1.0]))
    differences.add("tensor", np.array([100.0]), np.array([100.0]))
    assert differences.relative()["tensor"] == pytest.approx(1e-4)
