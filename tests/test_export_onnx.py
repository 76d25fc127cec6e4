"""The ONNX target: what is in its files, and what ONNX Runtime computes with them."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export_fixtures import snapshot
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model import load_checkpoint, shipped_checkpoint
from tracenet.options import DEFAULT_NETWORK
from tracenet_export.assemble import assemble
from tracenet_export.errors import ExportError
from tracenet_export.programs import Program
from tracenet_export.requests import parse_schedule
from tracenet_export.schedule import captured, plan_schedule
from tracenet_export.targets import Calibration, Converted, onnx_int8, open_target
from tracenet_export.targets import onnx as target
from tracenet_export.tracing import lean_tracing
from tracenet_runtime.graph.program import TensorSpec

CANVAS = (128, 256)
# Backbone, pyramid and towers; the heads; the mask branch at strides 8 and 4; the mask head.
PROGRAMS = (
    "P4_128x256_query_0",
    "P4_128x256_query_1",
    "P4_128x256_64px_0",
    "P4_128x256_64px_1",
    "mask_head_32x36",
)
BACKBONE = PROGRAMS[0]
PRECISIONS = ("fp32", "fp16", "int8")
MASK_BRANCH = PROGRAMS[2]
# Largest difference over largest value, on noise.
TOLERANCES = {"fp32": 1e-5, "fp16": 5e-3, "int8": 5e-2}
# Of what rounds many times in a row.
DEEP_TOLERANCES = {
    ("fp32", BACKBONE): 2e-5,
    ("fp16", BACKBONE): 1e-2,
    ("int8", BACKBONE): 0.15,
    ("int8", MASK_BRANCH): 8e-2,
}


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    network = load_checkpoint(shipped_checkpoint(DEFAULT_NETWORK))
    plan = plan_schedule(captured(network), parse_schedule("P4", CANVAS, (64,)))
    return {program.name: program for program in assemble([plan]).programs}


class Pyramid(nn.Module):
    """BatchNorm, two resizes by one scale, a sum that is an output and is used, and a score."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.fine = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.coarse = nn.Conv2d(width, width, 1)
        self.score = nn.Conv2d(width, 1, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, ...]:
        fine = F.relu(self.norm(self.fine(fine)))
        coarse = self.coarse(coarse)
        nearest = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        smooth = F.interpolate(
            F.relu(coarse), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        total = F.hardtanh(self.depthwise(fine), 0.0, 6.0) + nearest + smooth
        return total, torch.sigmoid(self.score(total))


def pyramid(name: str = "pyramid", height: int = 8) -> Program:
    """The same weights for every height."""
    torch.manual_seed(0)
    shapes = {"input_0": (1, 48, height, 10), "input_1": (1, 48, height // 2, 5)}
    outputs = {"output_0": (1, 48, height, 10), "output_1": (1, 1, height, 10)}
    return Program(
        name,
        Pyramid().eval(),
        tuple(TensorSpec(*item) for item in shapes.items()),
        tuple(TensorSpec(*item) for item in outputs.items()),
        0,
    )


def sample(program: Program, seed: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """What might be given to a program: pixels to the backbone, coordinates to the mask head."""
    random = np.random.default_rng(seed)
    values = {spec.name: random.standard_normal(spec.shape, np.float32) for spec in program.inputs}
    if program.inputs[0].shape[1] == 3:
        values = {n: random.integers(0, 256, v.shape).astype(v.dtype) for n, v in values.items()}
    if "offset" in values:
        values["offset"] = np.full((1, 2, 1, 1), -40.5, np.float32)
        values["inverse_size"] = np.full((1, 1, 1, 1), 1 / 128, np.float32)
    return values


def samples(*programs: Program) -> Calibration:
    return {p.name: [sample(p, seed) for seed in range(4)] for p in programs}


def convert(folder: Path, precision: str, *programs: Program) -> dict[str, Converted]:
    return target.convert(programs, folder, precision, samples(*programs))


def compute(path: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def compare_with_torch(program: Program, path: Path, tolerance: float) -> None:
    inputs = sample(program, seed=0)
    with torch.inference_mode():
        wanted = program.module(*(torch.from_numpy(inputs[spec.name]) for spec in program.inputs))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = compute(path, inputs)
    assert list(found) == [spec.name for spec in program.outputs]
    for reference, (name, value) in zip(wanted, found.items(), strict=True):
        assert value.dtype == np.float32
        error = np.abs(value - reference.numpy()).max() / np.abs(reference.numpy()).max()
        assert error <= tolerance, (path.name, name)


@pytest.fixture(scope="module")
def traced(programs: dict[str, Program]) -> dict[str, onnx.ModelProto]:
    """What all precisions begin with, which takes most of the time."""
    with lean_tracing():
        return {name: target._to_onnx(programs[name]) for name in PROGRAMS}


@pytest.fixture(
    scope="module", params=["fp32", pytest.param("fp16", marks=pytest.mark.slow), "int8"]
)
def folder(
    request: pytest.FixtureRequest,
    programs: dict[str, Program],
    traced: dict[str, onnx.ModelProto],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("onnx") / request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, "_to_onnx", lambda program: copy.deepcopy(traced[program.name]))
        converted = convert(path, request.param, *(programs[name] for name in PROGRAMS))
    for name in PROGRAMS:
        # Counted in the file, not in the model that was written to it.
        graph = onnx.load_model(path / f"{name}.onnx", load_external_data=False).graph
        operators = Counter(node.op_type for node in graph.node)
        assert converted[name] == Converted(f"{name}.onnx", operators)
    return path


@pytest.mark.parametrize("name", PROGRAMS)
def test_file_is_valid(folder: Path, programs: dict[str, Program], name: str) -> None:
    program, path = programs[name], folder / f"{name}.onnx"
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.shape_inference.infer_shapes(
        onnx.load_model(path), check_type=True, strict_mode=True, data_prop=True
    ).graph
    for values, specs in ((graph.input, program.inputs), (graph.output, program.outputs)):
        found = {value.name: value.type.tensor_type for value in values}
        assert {type.elem_type for type in found.values()} == {TensorProto.FLOAT}
        shapes = {n: tuple(d.dim_value for d in type.shape.dim) for n, type in found.items()}
        assert shapes == {spec.name: spec.shape for spec in specs}
    shaped = {value.name for value in graph.value_info if value.type.tensor_type.HasField("shape")}
    inner = {name for node in graph.node for name in node.output}
    assert inner - shaped == {spec.name for spec in program.outputs}
    assert {node.domain for node in graph.node} == {""}
    assert [opset.domain for opset in onnx.load_model(path).opset_import] == [""]


@pytest.mark.parametrize("name", PROGRAMS)
def test_computes_what_torch_does(folder: Path, programs: dict[str, Program], name: str) -> None:
    precision = folder.name
    tolerance = DEEP_TOLERANCES.get((precision, name), TOLERANCES[precision])
    compare_with_torch(programs[name], folder / f"{name}.onnx", tolerance)


def test_files_are_small(folder: Path, programs: dict[str, Program]) -> None:
    unique = {
        buffer.numpy().tobytes(): buffer.numel()
        for name in PROGRAMS
        for buffer in programs[name].module.buffers()
    }
    bytes_each = {"fp32": 4, "fp16": 2, "int8": 1}[folder.name]
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size <= 1.2 * bytes_each * sum(unique.values())
    for path in folder.glob("*.onnx"):
        model = onnx.load_model(path, load_external_data=False)
        assert not model.graph.value_info
        assert not model.metadata_props
        assert max(len(tensor.raw_data) for tensor in model.graph.initializer) < 128


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_of_two_programs_are_stored_once(tmp_path: Path, precision: str) -> None:
    low, high = pyramid("low", 8), pyramid("high", 12)
    for programs in ([low], [low, high]):
        calibration = {p.name: samples(low)["low"] for p in programs}
        calibration["high"] = samples(high)["high"]
        target.convert(programs, tmp_path / str(len(programs)), precision, calibration)
    one, two = ((tmp_path / n / "weights.bin").stat().st_size for n in "12")
    # Scales of biases follow from what each program was calibrated with.
    assert one <= two <= one + (2048 if precision == "int8" else 0)
    for program in (low, high):
        compare_with_torch(program, tmp_path / "2" / f"{program.name}.onnx", TOLERANCES[precision])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_resizes_that_share_their_scales(tmp_path: Path, precision: str) -> None:
    program = pyramid()
    convert(tmp_path, precision, program)
    path = tmp_path / "pyramid.onnx"
    graph = onnx.load_model(path).graph
    scales = [node.input[2] for node in graph.node if node.op_type == "Resize"]
    assert len(scales) == 2
    if precision == "fp32":
        assert scales[0] == scales[1]
    compare_with_torch(program, path, TOLERANCES[precision])


def test_fp16_stores_weights_in_half_precision_and_computes_in_single(tmp_path: Path) -> None:
    program = pyramid()
    convert(tmp_path, "fp16", program)
    graph = onnx.load_model(tmp_path / "pyramid.onnx").graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    widened = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 4
    for node in convolutions:
        assert types[widened[node.input[1]]] == TensorProto.FLOAT16
    operators = Counter(node.op_type for node in graph.node)
    assert "BatchNormalization" not in operators
    halves = [name for name, kind in types.items() if kind == TensorProto.FLOAT16]
    assert sorted(widened.values()) == sorted(halves)


def test_fp16_keeps_small_weights(tmp_path: Path) -> None:
    """A weight that is no normal float16 loses digits, and one that is none at all is next to 0."""
    program = pyramid()
    assert isinstance(program.module, Pyramid)
    with torch.no_grad():
        program.module.score.weight.view(-1)[:2] = torch.tensor([1e-6, -1e-12])
    convert(tmp_path, "fp16", program)
    tensors = onnx.load_model(tmp_path / "pyramid.onnx").graph.initializer
    (score,) = (numpy_helper.to_array(t) for t in tensors if tuple(t.dims) == (1, 48, 1, 1))
    np.testing.assert_allclose(score.ravel()[:2], [1e-6, 0], atol=6e-8)


def test_fp16_has_no_room_for_a_weight(tmp_path: Path) -> None:
    program = pyramid()
    assert isinstance(program.module, Pyramid)
    with torch.no_grad():
        program.module.score.weight[0, 0] = 7e4
    said = r"pyramid has a weight of 7\.0e\+04, more than fp16 can hold; .*--precision fp32$"
    with pytest.raises(ExportError, match=said):
        convert(tmp_path, "fp16", program)


def test_int8_weights_and_float_outputs(tmp_path: Path) -> None:
    program = pyramid()
    convert(tmp_path, "int8", program)
    graph = onnx.load_model(tmp_path / "pyramid.onnx").graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 4
    for node in convolutions:
        dequantizer = producers[node.input[1]]
        assert dequantizer.op_type == "DequantizeLinear"
        weight, scale = (tensors[name] for name in dequantizer.input[:2])
        assert weight.data_type == TensorProto.INT8
        assert list(scale.dims) == [weight.dims[0]]
        assert np.abs(numpy_helper.to_array(weight)).max() == 127
    assert {producers[v.name].op_type for v in graph.output} == {"Add", "Sigmoid"}
    (sigmoid,) = (node for node in graph.node if node.op_type == "Sigmoid")
    assert producers[sigmoid.input[0]].op_type == "Conv"


def test_int8_shares_weights_that_are_rounded_here_and_by_the_quantiser(tmp_path: Path) -> None:
    """A layer that ends one program and is inside another is stored once."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(48, 64, 1), nn.Conv2d(64, 48, 3, padding=1)
    shapes = [TensorSpec(f"output_{c}", (1, c, 6, 6)) for c in (64, 48)]
    inputs = (TensorSpec("input_0", (1, 48, 6, 6)),)
    short = Program("short", Outputs(first), inputs, (shapes[0],), 0)
    long = Program("long", Outputs(first, second), inputs, (shapes[1],), 0)
    convert(tmp_path, "int8", short, long)
    places = []
    for name in ("short", "long"):
        model = onnx.load_model(tmp_path / f"{name}.onnx", load_external_data=False)
        (weight,) = (t for t in model.graph.initializer if list(t.dims) == [64, 48, 1, 1])
        places.append({entry.key: entry.value for entry in weight.external_data})
    assert places[0] == places[1]
    assert places[0]["location"] == "weights.bin"


class Outputs(nn.Module):
    """Layers one behind the other; the result in a tuple."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.layers(x),)


def test_int8_leaves_the_mask_head_alone(programs: dict[str, Program], tmp_path: Path) -> None:
    program = programs["mask_head_32x36"]
    converted = target.convert([program], tmp_path, "int8", {})
    assert "QuantizeLinear" not in converted[program.name].operators
    compare_with_torch(program, tmp_path / f"{program.name}.onnx", 1e-5)


@pytest.mark.parametrize("calibration", [None, {}, {"pyramid": []}])
def test_calibration_is_missing(tmp_path: Path, calibration: Calibration | None) -> None:
    said = "int8 needs to see what the program pyramid is given.*with --calibration DIR$"
    with pytest.raises(ExportError, match=said):
        target.convert([pyramid()], tmp_path, "int8", calibration)


def test_quantiser_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("No such tensor\nand more")

    monkeypatch.setattr(onnx_int8, "quantize_static", refuse)
    said = "the program pyramid cannot be quantised to int8: No such tensor$"
    with pytest.raises(ExportError, match=said):
        convert(tmp_path, "int8", pyramid())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_converting_says_nothing_and_leaves_nothing(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    convert(tmp_path / "out", precision, pyramid())
    assert capfd.readouterr() == ("", "")
    assert not list(temporary.iterdir())
    assert set(snapshot(tmp_path / "out")) == {"pyramid.onnx", "weights.bin"}


@pytest.mark.slow
def test_converting_again_gives_the_same_files(tmp_path: Path) -> None:
    """In another process, where sets have another order."""
    script = (
        "import sys; from pathlib import Path; import test_export_onnx as t\n"
        "for p in t.PRECISIONS: t.convert(Path(sys.argv[1], p), p, t.pyramid())"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "there")],
        check=True,
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONHASHSEED": "1"},
    )
    for precision in PRECISIONS:
        convert(tmp_path / "here" / precision, precision, pyramid())
    found = snapshot(tmp_path / "there")
    assert found == snapshot(tmp_path / "here")
    assert len(found) == 2 * len(PRECISIONS)


def test_fp32_is_the_default() -> None:
    _, precision, converter = open_target("onnx", None)
    assert (precision, converter) == ("fp32", target)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "share"), [("fp16", 1.2), ("int8", 0.65)])
def test_size_of_the_shipped_network(tmp_path: Path, precision: str, share: float) -> None:
    """All programs of a schedule against the checkpoint, whose weights are float16."""
    checkpoint = shipped_checkpoint(DEFAULT_NETWORK)
    plan = plan_schedule(captured(load_checkpoint(checkpoint)), parse_schedule("all", (640, 640)))
    programs = assemble([plan]).programs
    calibration = {p.name: [sample(p, seed=0)] for p in programs}
    target.convert(programs, tmp_path, precision, calibration)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size <= share * checkpoint.stat().st_size
