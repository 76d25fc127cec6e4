"""The Core ML target: what is in its packages, read back and worked through without Core ML."""

import dataclasses
import importlib.util
import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("coremltools")

from tracenet.model import untrained_network
from tracenet_export import cli
from tracenet_export.assemble import assemble
from tracenet_export.errors import ExportError
from tracenet_export.programs import Program, TensorShape
from tracenet_export.schedule import captured, parse_schedule, plan_schedule
from tracenet_export.targets import coreml, open_target
from tracenet_runtime.bundle import Bundle

CANVAS = (128, 256)
# Backbone, pyramid and towers; the heads; the mask branch; the mask head (its window not square).
PROGRAMS = (
    "P4_128x256_query_0",
    "P4_128x256_query_1",
    "P4_128x256_64px_0",
    "mask_head_16x18",
)
SMALL = PROGRAMS[1:]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    torch.manual_seed(0)
    network = untrained_network("mobilenetv2-fpn")
    plan = plan_schedule(captured(network), parse_schedule("P4", CANVAS, (64,)))
    return {program.name: program for program in assemble([plan]).programs}


@pytest.fixture(scope="module")
def fp16_folder(programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp16")
    chosen = [programs[name] for name in SMALL]
    assert coreml.convert(chosen, folder, "fp16") == {n: f"{n}.mlpackage" for n in SMALL}
    return folder


@pytest.fixture(scope="module")
def fp32_folder(programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp32")
    coreml.convert([programs[name] for name in PROGRAMS], folder, "fp32")
    return folder


class ConvRelu(nn.Module):
    """A convolution without bias and a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (F.relu(self.conv(x)),)


def conv_relu() -> Program:
    torch.manual_seed(0)
    return Program(
        "conv_relu",
        ConvRelu().eval(),
        (TensorShape("input_0", (1, 8, 6, 10)),),
        (TensorShape("output_0", (1, 16, 6, 10)),),
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
    coreml.convert([program], tmp_path, precision)
    assert capfd.readouterr() == ("", "")
    package = tmp_path / "conv_relu.mlpackage"
    function = ct.utils.load_spec(str(package)).mlProgram.functions["main"]
    operations = function.block_specializations["CoreML6"].operations
    (conv,) = (operation for operation in operations if operation.type == "conv")
    weight = conv.inputs["weight"].arguments[0].name
    (constant,) = (op for op in operations if op.outputs[0].name == weight)
    content = (package / "Data/com.apple.CoreML/weights/weight.bin").read_bytes()
    blob = constant.attributes["val"].blobFileValue
    sentinel, kind, size, start = struct.unpack_from("<IIQQ", content, blob.offset)
    assert (sentinel, kind) == (0xDEADBEEF, blob_type)
    stored = np.frombuffer(content[start : start + size], dtype).reshape(16, 8, 3, 3)
    assert isinstance(program.module, ConvRelu)
    np.testing.assert_array_equal(stored, program.module.conv.weight.detach().numpy().astype(dtype))


@pytest.mark.parametrize("name", PROGRAMS)
def test_fp32_program_computes_what_torch_does(
    fp32_folder: Path, programs: dict[str, Program], name: str
) -> None:
    compare_with_torch(programs[name], fp32_folder, 1e-5)


# Not the backbone: one that was never trained makes percents of the smallest rounding.
@pytest.mark.parametrize("name", SMALL)
def test_fp16_program_computes_what_torch_does(
    fp16_folder: Path, programs: dict[str, Program], name: str
) -> None:
    compare_with_torch(programs[name], fp16_folder, 1e-2)


def test_import_is_silent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tracenet_export.targets.coreml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_unknown_precision() -> None:
    with pytest.raises(ExportError, match="coreml has no precision 'int8'; it has fp16, fp32"):
        open_target("coreml", "int8")


def test_fp16_is_the_default() -> None:
    _, precision, converter = open_target("coreml", None)
    assert precision == "fp16"
    assert converter is coreml


def test_coremltools_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"needs coremltools; run: pip install 'tracenet\[coreml"):
        open_target("coreml", None)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    program = dataclasses.replace(conv_relu(), outputs=(TensorShape("output_0", (1, 16, 6, 11)),))
    with pytest.raises(ExportError, match=r"conv_relu.*outputs.*6 x 10.*where.*6 x 11"):
        coreml.convert([program], tmp_path, "fp32")


@pytest.mark.parametrize(("stored", "wanted"), [("fp32", "fp16"), ("fp16", "fp32")])
def test_another_precision_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, wanted: str
) -> None:
    monkeypatch.setitem(coreml._COMPUTE_PRECISION, wanted, coreml._COMPUTE_PRECISION[stored])
    with pytest.raises(ExportError, match=f"conv_relu.* is stored as {stored} where {wanted}"):
        coreml.convert([conv_relu()], tmp_path, wanted)


def test_another_specification_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coreml.convert([conv_relu()], tmp_path, "fp32")
    monkeypatch.setattr(coreml, "_DEPLOYMENT_TARGET", 8)
    with pytest.raises(ExportError, match=r"conv_relu.*specification 7.*specification 8"):
        coreml._check(conv_relu(), tmp_path / "conv_relu.mlpackage", "fp32")


def test_operator_unknown_to_core_ml(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Bessel(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (torch.special.bessel_j0(x),)

    program = dataclasses.replace(
        conv_relu(), module=Bessel(), outputs=(TensorShape("output_0", (1, 8, 6, 10)),)
    )
    with pytest.raises(ExportError, match=r"^conv_relu cannot be converted .*bessel_j0"):
        coreml.convert([program], tmp_path, "fp32")
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_complete_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    arguments = ["--untrained", "--target", "coreml", "--canvas", "128x256", "--out", str(out)]
    arguments += ["--schedule", "P3-P4", "warm", "--windows", "64,all", "--json"]
    assert cli.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["target"] == "coreml"
    parity = report["parity"]
    assert parity["replay_checked_by"] == "torch"
    assert "not run" in parity["programs_checked_by"]
    for checked in parity["schedules"]:
        assert "programs" not in checked
        assert max(checked["replay"]["relative_error"].values()) <= 1e-4
    bundle = Bundle.open(out)
    assert (bundle.manifest.target, bundle.manifest.precision) == ("coreml", "fp16")
    assert [schedule.name for schedule in bundle.manifest.schedules] == ["P3-P4", "warm"]
    for name in bundle.manifest.programs:
        assert bundle.program_path(name).is_dir()
        assert bundle.program_path(name).suffix == ".mlpackage"


def compare_with_torch(program: Program, folder: Path, tolerance: float) -> None:
    """Every output within the tolerance, relative to its largest value."""
    torch.manual_seed(1)
    inputs = {spec.name: torch.randn(spec.shape) for spec in program.inputs}
    if program.inputs[0].shape[1] == 3:  # a picture
        inputs["input_0"] = torch.randint(256, program.inputs[0].shape).float()
    if "offset" in inputs:
        inputs["offset"] = torch.tensor([-60.5, 35.5]).reshape(1, 2, 1, 1)
        inputs["inverse_size"] = torch.full((1, 1, 1, 1), 1 / 128)
    found = run_package(folder / f"{program.name}.mlpackage", inputs)
    with torch.inference_mode():
        wanted = program.module(*inputs.values())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert list(found) == [spec.name for spec in program.outputs]
    for spec, value in zip(program.outputs, wanted, strict=True):
        error = (found[spec.name] - value).abs().max() / value.abs().max()
        assert error < tolerance, spec.name


def run_package(package: Path, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Work a saved program through, operator by operator, as the MIL specification says.

    Computes in fp32 and rounds every result to the type the program gives it: the graph and the
    weights are checked, Apple's arithmetic is not.
    """
    import coremltools as ct
    from coremltools.converters.mil.frontend import milproto
    from coremltools.converters.mil.mil import types

    model = ct.models.MLModel(str(package), skip_model_load=True)
    spec = model.get_spec()
    function = milproto.load.load(spec, 7, model.weights_dir).functions["main"]
    values: dict[str, Any] = dict(inputs)

    def look_up(argument: Any) -> Any:
        if isinstance(argument, (list, tuple)):
            return [look_up(part) for part in argument]
        return None if argument is None else values.get(argument.name, argument.val)

    for operation in function.operations:
        if operation.op_type == "const":
            value = operation.outputs[0].val
            floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
            values[operation.outputs[0].name] = torch.tensor(value).float() if floats else value
            continue
        arguments = {name: look_up(argument) for name, argument in operation.inputs.items()}
        results = OPERATORS[operation.op_type](**arguments)
        results = results if isinstance(results, (list, tuple)) else (results,)
        for variable, result in zip(operation.outputs, results, strict=True):
            assert tuple(result.shape) == tuple(variable.shape)
            rounded = result.half().float() if variable.dtype == types.fp16 else result
            values[variable.name] = rounded
    return {feature.name: values[feature.name] for feature in spec.description.output}


def _conv(
    x: Tensor,
    weight: Tensor,
    strides: Any,
    pad_type: str,
    pad: Any,
    dilations: Any,
    groups: Any,
    bias: Tensor | None = None,
) -> Tensor:
    assert pad_type in ("valid", "custom")
    if pad_type == "custom":
        top, bottom, left, right = map(int, pad)
        x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, bias, tuple(strides), 0, tuple(dilations), int(groups))


def _interpolation(size: int, scale: float) -> Tensor:
    """Size x scale rows: the weights of the inputs, from the formula in MIL's documentation."""
    count = int(size * scale)
    matrix = torch.zeros(count, size)
    spacing = size / count
    for i in range(count):
        point = min(size - 1.0, max(0.0, i * spacing + 0.5 * spacing - 0.5))
        low = int(point)
        matrix[i, low] += 1 - (point - low)
        matrix[i, min(low + 1, size - 1)] += point - low
    return matrix


def _upsample_bilinear(
    x: Tensor,
    scale_factor_height: float,
    scale_factor_width: float,
    align_corners: bool,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    assert not align_corners
    assert half_pixel_centers is not False
    rows = _interpolation(x.shape[2], scale_factor_height)
    return rows @ x @ _interpolation(x.shape[3], scale_factor_width).T


def _upsample_nearest(x: Tensor, scale_factor_height: float, scale_factor_width: float) -> Tensor:
    tall = x.repeat_interleave(int(scale_factor_height), 2)
    return tall.repeat_interleave(int(scale_factor_width), 3)


def _slice(x: Tensor, begin: Any, end: Any, end_mask: Any = None, **unused: Any) -> Tensor:
    assert all(value is None for value in unused.values())  # strides and other masks
    open_ended = [False] * x.ndim if end_mask is None else end_mask
    ends = [None if is_open else int(e) for e, is_open in zip(end, open_ended, strict=True)]
    return x[tuple(slice(int(b), e) for b, e in zip(begin, ends, strict=True))]


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "cast": lambda x, dtype: x,
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "concat": lambda values, axis, interleave: torch.cat(values, int(axis)),
    "conv": _conv,
    "matmul": lambda x, y, transpose_x, transpose_y: (
        (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)
    ),
    "mul": lambda x, y: x * y,
    "relu": lambda x: F.relu(x),
    "reshape": lambda x, shape: x.reshape(tuple(map(int, shape))),
    "sigmoid": lambda x: torch.sigmoid(x),
    "slice_by_index": _slice,
    "split": lambda x, split_sizes, axis, num_splits=None: x.split(
        [int(size) for size in split_sizes], int(axis)
    ),
    "sub": lambda x, y: x - y,
    "tile": lambda x, reps: x.tile(tuple(map(int, reps))),
    "upsample_bilinear": _upsample_bilinear,
    "upsample_nearest_neighbor": _upsample_nearest,
}
