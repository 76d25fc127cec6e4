"""The Core ML target: what is in its packages, and that they compute what PyTorch does."""

import dataclasses
import importlib.util
import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("coremltools")

from tracking_export import TRACKING, normalised

from tracenet.model import TraceNet, load_checkpoint, shipped_checkpoint, untrained_network
from tracenet.options import DEFAULT_NETWORK
from tracenet_export import cli
from tracenet_export.assemble import assemble
from tracenet_export.errors import ExportError
from tracenet_export.programs import Program
from tracenet_export.requests import parse_schedule
from tracenet_export.schedule import captured, plan_schedule
from tracenet_export.targets import Converted, coreml, coreml_compact, open_target
from tracenet_export.targets.coreml_reference import ReferenceProgram
from tracenet_export.tracking import tracking_programs
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.graph.program import TensorSpec

CANVAS = (128, 256)
# Backbone, pyramid and towers; the heads; the mask branch; the mask head (its window not square).
PROGRAMS = (
    "P4_128x256_query_0",
    "P4_128x256_query_1",
    "P4_128x256_64px_0",
    "mask_head_16x18",
)
SMALL = PROGRAMS[1:]
OF_CLIPS = ("track_value", "track_decode", "track_fuse")


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    torch.manual_seed(0)
    network = untrained_network("mobilenetv2-fpn")
    plan = plan_schedule(captured(network), parse_schedule("P4", CANVAS, (64,)))
    _, of_clips = tracking_programs(normalised(TraceNet(TRACKING)))
    return {program.name: program for program in (*assemble([plan]).programs, *of_clips)}


@pytest.fixture(scope="module")
def fp16_folder(programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp16")
    names = SMALL + OF_CLIPS
    converted = coreml.convert([programs[name] for name in names], folder, "fp16", None)
    assert {n: c.file for n, c in converted.items()} == {n: f"{n}.mlpackage" for n in names}
    return folder


@pytest.fixture(scope="module")
def fp32_folder(programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp32")
    coreml.convert([programs[name] for name in PROGRAMS], folder, "fp32", None)
    return folder


@pytest.fixture(scope="module")
def int8_folder(programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    coreml.convert([programs[name] for name in SMALL], folder, "int8", None)
    return folder


class ConvRelu(nn.Module):
    """A convolution without bias and a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (F.relu(self.conv(x)),)


def conv_relu() -> Program:
    torch.manual_seed(0)
    return Program(
        "conv_relu",
        ConvRelu().eval(),
        (TensorSpec("input_0", (1, 16, 6, 10)),),
        (TensorSpec("output_0", (1, 16, 6, 10)),),
        0,
    )


def test_interface_and_descriptions(fp16_folder: Path, programs: dict[str, Program]) -> None:
    import coremltools as ct

    name = "mask_head_16x18"
    model = ct.models.MLModel(str(fp16_folder / f"{name}.mlpackage"), skip_model_load=True)
    spec = model.get_spec()
    assert spec.WhichOneof("Type") == "mlProgram"
    assert spec.specificationVersion == 7  # iOS 16
    found = {}
    for feature in (*spec.description.input, *spec.description.output):
        array = feature.type.multiArrayType
        assert array.dataType == array.FLOAT32
        assert str(list(array.shape))[1:-1].replace(", ", " x ") in feature.shortDescription
        found[feature.name] = tuple(array.shape)
    assert found == {s.name: s.shape for s in (*programs[name].inputs, *programs[name].outputs)}
    assert name in model.short_description
    assert not model.author


def test_paths_are_what_a_bundle_allows(fp16_folder: Path) -> None:
    part = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
    paths = [path.relative_to(fp16_folder).as_posix() for path in fp16_folder.rglob("*")]
    assert all(re.fullmatch(rf"{part}(/{part})*", path) for path in paths)
    inside = {path.partition("/")[2] for path in paths} - {""}
    assert inside == {
        "Manifest.json",
        "Data",
        "Data/com.apple.CoreML",
        "Data/com.apple.CoreML/model.mlmodel",
        "Data/com.apple.CoreML/weights",
        "Data/com.apple.CoreML/weights/weight.bin",
    }


@pytest.mark.parametrize(
    ("precision", "dtype", "blob_type"), [("fp16", np.float16, 1), ("fp32", np.float32, 2)]
)
def test_stored_weights_are_the_networks(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    precision: str,
    dtype: type[np.floating[Any]],
    blob_type: int,
) -> None:
    """Found by hand in the file of weights: Core ML's own layout, read without coremltools."""
    import coremltools as ct

    program = conv_relu()
    coreml.convert([program], tmp_path, precision, None)
    assert capfd.readouterr() == ("", "")
    package = tmp_path / "conv_relu.mlpackage"
    function = ct.utils.load_spec(str(package)).mlProgram.functions["main"]
    operations = function.block_specializations["CoreML6"].operations
    (conv,) = (operation for operation in operations if operation.type == "conv")
    weight = conv.inputs["weight"].arguments[0].name
    (constant,) = (op for op in operations if op.outputs[0].name == weight)
    assert constant.type == "const"
    content = (package / "Data/com.apple.CoreML/weights/weight.bin").read_bytes()
    blob = constant.attributes["val"].blobFileValue
    sentinel, kind, size, start = struct.unpack_from("<IIQQ", content, blob.offset)
    assert (sentinel, kind) == (0xDEADBEEF, blob_type)
    stored = np.frombuffer(content[start : start + size], dtype).reshape(16, 16, 3, 3)
    assert isinstance(program.module, ConvRelu)
    np.testing.assert_array_equal(stored, program.module.conv.weight.detach().numpy().astype(dtype))


@pytest.mark.parametrize("name", PROGRAMS)
def test_fp32_program_computes_what_torch_does(
    fp32_folder: Path, programs: dict[str, Program], name: str
) -> None:
    compare_with_torch(programs[name], fp32_folder, 1e-5)


# Not the backbone: one that was never trained makes percents of the smallest rounding.
@pytest.mark.parametrize("name", SMALL + OF_CLIPS)
def test_fp16_program_computes_what_torch_does(
    fp16_folder: Path, programs: dict[str, Program], name: str
) -> None:
    compare_with_torch(programs[name], fp16_folder, 1e-2)


# Symmetric steps of 1/254 of the range of a channel, in a few layers one after the other.
@pytest.mark.parametrize("name", SMALL)
def test_int8_program_computes_about_what_torch_does(
    int8_folder: Path, programs: dict[str, Program], name: str
) -> None:
    compare_with_torch(programs[name], int8_folder, 6e-2)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_shape_is_fixed(fp32_folder: Path, name: str) -> None:
    """With coremltools' own loader; a size that is not known would be a symbol there."""
    import coremltools as ct

    package = fp32_folder / f"{name}.mlpackage"
    before = files(package)
    model = ct.models.MLModel(str(package), skip_model_load=True)
    description = model.get_spec().description
    for feature in (*description.input, *description.output):
        assert feature.type.multiArrayType.WhichOneof("ShapeFlexibility") is None
    _, function = coreml.load_package(package)
    for operation in function.operations:
        for result in operation.outputs:
            assert all(isinstance(side, int) for side in result.shape)
    assert files(package) == before  # the loader writes the list of contents anew


def test_equal_programs_become_equal_files(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        coreml.convert([conv_relu()], tmp_path / folder, "fp16", None)
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_operators_are_counted_without_constants(tmp_path: Path) -> None:
    wanted = {"cast": 2, "conv": 1, "relu": 1}
    for precision, more in (("fp16", {}), ("int8", {"constexpr_affine_dequantize": 1})):
        converted = coreml.convert([conv_relu()], tmp_path / precision, precision, None)
        assert converted == {"conv_relu": Converted("conv_relu.mlpackage", wanted | more)}


def test_int8_weights_are_stored_as_such(tmp_path: Path) -> None:
    """Per output channel, symmetric, against the definition; found by hand in the file."""
    import coremltools as ct

    program = conv_relu()
    coreml.convert([program], tmp_path, "int8", None)
    package = tmp_path / "conv_relu.mlpackage"
    spec = ct.utils.load_spec(str(package))
    assert spec.specificationVersion == 7  # iOS 16
    operations = spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations
    (weight,) = (o for o in operations if o.type == "constexpr_affine_dequantize")
    content = (package / coreml_compact.WEIGHTS).read_bytes()

    def stored(name: str, dtype: type[np.generic]) -> Any:
        offset = weight.attributes[name].blobFileValue.offset
        _, _, size, start = struct.unpack_from("<IIQQ", content, offset)
        return np.frombuffer(content[start : start + size], dtype)

    assert isinstance(program.module, ConvRelu)
    wanted = program.module.conv.weight.detach().numpy().astype(np.float16).astype(np.float32)
    scale = np.abs(wanted).max((1, 2, 3)) / 127
    assert weight.attributes["axis"].immediateValue.tensor.ints.values[0] == 0
    np.testing.assert_allclose(stored("scale", np.float16), scale, rtol=1e-3)
    np.testing.assert_array_equal(stored("zero_point", np.int8), np.zeros(16))
    quantized = stored("quantized_data", np.int8).reshape(wanted.shape)
    assert (
        np.abs(quantized - wanted / scale[:, None, None, None]).max() < 0.6
    )  # the scale was rounded


def test_a_large_weight_that_is_no_int8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(coreml.optimize, "linear_quantize_weights", lambda model, config: model)
        with pytest.raises(ExportError, match=r"conv_relu.* is stored as fp16 where int8"):
            coreml.convert([conv_relu()], tmp_path, "int8", None)


def test_equal_settings_and_weights_are_stored_once(tmp_path: Path) -> None:
    """Two convolutions alike: settings once, and once the zero points of their int8 weights."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(24, 24, 3, padding=1)
            self.second = nn.Conv2d(24, 24, 3, padding=1)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (self.second(F.relu(self.first(x))),)

    import coremltools as ct

    shape = (1, 24, 5, 7)
    program = Program(
        "twice",
        Twice().eval(),
        (TensorSpec("v1", shape),),  # like the names that the values within are given
        (TensorSpec("v0", shape),),
        0,
    )
    coreml.convert([program], tmp_path, "int8", None)
    compare_with_torch(program, tmp_path, 2e-2)
    spec = ct.utils.load_spec(str(tmp_path / "twice.mlpackage"))
    operations = spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations
    offsets = {
        operation.attributes["zero_point"].blobFileValue.offset
        for operation in operations
        if operation.type == "constexpr_affine_dequantize"
    }
    assert len(offsets) == 1
    constants = [operation for operation in operations if operation.type == "const"]
    values = [o.attributes["val"].SerializeToString(deterministic=True) for o in constants]
    assert len(set(values)) == len(values) == 2  # the biases
    for operation in operations:
        named = operation.type in ("const", "constexpr_affine_dequantize")
        assert ("name" in operation.attributes) == named


def test_metadata_is_added_in_place(tmp_path: Path) -> None:
    import coremltools as ct

    coreml.convert([conv_relu()], tmp_path, "fp16", None)
    package = tmp_path / "conv_relu.mlpackage"
    before = files(package)
    coreml.label(tmp_path, {"org.tracenet.weights_sha256": "old"})
    wanted = {"org.tracenet.weights_sha256": "0" * 64, "org.tracenet.schedules": "all 640 x 640"}
    coreml.label(tmp_path, wanted)
    after = files(package)
    assert {path for path in after if after[path] != before.get(path)} == {coreml_compact.MODEL}
    model = ct.models.MLModel(str(package), skip_model_load=True)
    found = dict(model.user_defined_metadata)
    assert wanted.items() <= found.items()
    assert found["org.tracenet.program"] == "conv_relu"
    assert set(found) - set(wanted) == {
        "org.tracenet.program",
        "com.github.apple.coremltools.version",
        "com.github.apple.coremltools.source",
    }


@pytest.mark.parametrize(
    ("program", "name", "words"),
    [
        ("P4_128x256_query_0", "input_0", "picture levels 0 to 255, channels R, G, B"),
        ("P4_128x256_query_1", "input_0", "feature map cells, no unit"),
        ("mask_head_16x18", "filter", "parameters of the mask head"),
        ("mask_head_16x18", "offset", r"canvas pixels \(x, y\) from the tap"),
        ("mask_head_16x18", "inverse_size", "1 / .*canvas pixels"),
        ("mask_head_16x18", "mask", "probability 0 to 1, a cell is 2 canvas pixels"),
    ],
)
def test_descriptions_give_units(fp32_folder: Path, program: str, name: str, words: str) -> None:
    import coremltools as ct

    model = ct.models.MLModel(str(fp32_folder / f"{program}.mlpackage"), skip_model_load=True)
    side = model.output_description if name == "mask" else model.input_description
    assert re.search(rf"x .*\(N, C, H, W\), float32: .*{words}", side[name])


def test_import_is_silent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tracenet_export.targets.coreml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_unknown_precision() -> None:
    with pytest.raises(
        ExportError, match="coreml has no precision 'int4'; it has fp16, fp32, int8"
    ):
        open_target("coreml", "int4")


def test_fp16_is_the_default() -> None:
    _, precision, converter = open_target("coreml", None)
    assert precision == "fp16"
    assert converter is coreml


def test_coremltools_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"coremltools.*; run: pip install 'tracenet\[coreml"):
        open_target("coreml", None)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    program = dataclasses.replace(conv_relu(), outputs=(TensorSpec("output_0", (1, 16, 6, 11)),))
    with pytest.raises(ExportError, match=r"conv_relu.*outputs.*6 x 10.*where.*6 x 11"):
        coreml.convert([program], tmp_path, "fp32", None)


@pytest.mark.parametrize(("stored", "wanted"), [("fp32", "fp16"), ("fp16", "fp32")])
def test_another_precision_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, wanted: str
) -> None:
    monkeypatch.setitem(coreml._COMPUTE_PRECISION, wanted, coreml._COMPUTE_PRECISION[stored])
    with pytest.raises(ExportError, match=f"conv_relu.* is stored as {stored} where {wanted}"):
        coreml.convert([conv_relu()], tmp_path, wanted, None)


def test_another_specification_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coreml.convert([conv_relu()], tmp_path, "fp32", None)
    monkeypatch.setattr(coreml, "_DEPLOYMENT_TARGET", 8)
    with pytest.raises(ExportError, match=r"conv_relu.*specification 7.*specification 8"):
        coreml._check(conv_relu(), tmp_path / "conv_relu.mlpackage", "fp32")


def test_operator_unknown_to_core_ml(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Bessel(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (torch.special.bessel_j0(x),)

    program = dataclasses.replace(
        conv_relu(), module=Bessel(), outputs=(TensorSpec("output_0", (1, 16, 6, 10)),)
    )
    with pytest.raises(ExportError, match=r"^conv_relu cannot be converted .*bessel_j0"):
        coreml.convert([program], tmp_path, "fp32", None)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "share"), [("fp16", 1.2), ("int8", 0.65)])
def test_size_of_all_packages(tmp_path: Path, precision: str, share: float) -> None:
    """Of the shipped network's default schedule, in relation to its checkpoint in float16.

    Weights that several programs need are in each of their packages.
    """
    checkpoint = shipped_checkpoint(DEFAULT_NETWORK)
    plan = plan_schedule(captured(load_checkpoint(checkpoint)), parse_schedule("all", (640, 640)))
    coreml.convert(assemble([plan]).programs, tmp_path, precision, None)
    size = sum(len(content) for content in files(tmp_path).values())
    assert size < share * checkpoint.stat().st_size


@pytest.mark.slow
def test_complete_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    arguments = ["--untrained", "--target", "coreml", "--canvas", "128x256", "--out", str(out)]
    arguments += ["--schedule", "P4", "--windows", "64", "--json"]
    assert cli.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["target"] == "coreml"
    assert report["parity"]["checked_by"].startswith("reference executor")
    assert "not run on coreml" in report["parity"]["checked_by"]
    bundle = Bundle.open(out)
    assert (bundle.manifest.target, bundle.manifest.precision) == ("coreml", "fp16")
    assert [schedule.name for schedule in bundle.manifest.schedules] == ["P4"]
    for stored in bundle.manifest.stored.values():
        assert (out / stored.file).is_dir()
        assert stored.file.endswith(".mlpackage")


def compare_with_torch(program: Program, folder: Path, tolerance: float) -> None:
    """Every output within the tolerance, relative to its largest value."""
    torch.manual_seed(1)
    inputs = {spec.name: torch.randn(spec.shape) for spec in program.inputs}
    if program.inputs[0].shape[1] == 3:  # a picture
        inputs["input_0"] = torch.randint(256, program.inputs[0].shape).float()
    if "offset" in inputs:
        inputs["offset"] = torch.tensor([-60.5, 35.5]).reshape(1, 2, 1, 1)
        inputs["inverse_size"] = torch.full((1, 1, 1, 1), 1 / 128)
    package = ReferenceProgram.open(folder / f"{program.name}.mlpackage")
    found = package.run({name: value.numpy() for name, value in inputs.items()})
    with torch.inference_mode():
        wanted = program.module(*inputs.values())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert list(found) == [spec.name for spec in program.outputs]
    for spec, value in zip(program.outputs, wanted, strict=True):
        error = np.abs(found[spec.name] - value.numpy()).max() / value.abs().max()
        assert error < tolerance, spec.name


def files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
