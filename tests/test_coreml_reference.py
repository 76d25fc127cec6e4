"""The reference executor of Core ML programs: its operators, its rounding, and what it refuses."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("coremltools")

from tracenet.model import TraceNet
from tracenet.model.backbones import ResNet
from tracenet.model.config import CONFIGS, TraceNetConfig
from tracenet_export.errors import ExportError
from tracenet_export.programs import Program
from tracenet_export.targets import coreml, coreml_reference
from tracenet_export.targets.coreml_compact import MODEL
from tracenet_export.targets.coreml_reference import (
    HANDLERS,
    CoreMLReferenceEngine,
    ReferenceProgram,
    UnknownOperator,
    open_engine,
)
from tracenet_runtime.engines import EngineSettings
from tracenet_runtime.graph.program import TensorSpec

SHAPE = (1, 4, 6, 10)


class Function(nn.Module):
    """A function of tensors as a module with one output."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.function(*inputs),)


def program_of(function: Callable[..., Tensor], *shapes: tuple[int, int, int, int]) -> Program:
    result = function(*map(torch.zeros, shapes))
    inputs = tuple(TensorSpec(f"input_{i}", shape) for i, shape in enumerate(shapes))
    batch, channels, height, width = result.shape
    outputs = (TensorSpec("output_0", (batch, channels, height, width)),)
    module = function if isinstance(function, nn.Module) else Function(function)
    return Program("small", module.eval(), inputs, outputs, 0)


def converted(program: Program, folder: Path, precision: str) -> Path:
    coreml.convert([program], folder, precision, None)
    return folder / f"{program.name}.mlpackage"


CONV = nn.Conv2d(4, 8, 3, stride=2, padding=1)
SMALL: dict[str, Callable[..., Tensor]] = {
    "add, mul and sub": lambda x, y: (x + y) * y - x,
    "clip": lambda x: F.hardtanh(x, -0.5, 0.75),
    "concat": lambda x, y: torch.cat([x, y, x], 1),
    "conv": CONV,
    "matmul and reshape": lambda x, y: torch.matmul(
        x.reshape(1, 4, 60), y.reshape(1, 60, 4)
    ).reshape(1, 4, 2, 2),
    "max_pool": nn.MaxPool2d(3, 2, padding=1),
    "avg_pool": nn.AvgPool2d(2),
    "matmul, transposed": lambda x, y: torch.matmul(x, y.transpose(2, 3)),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "slice_by_index": lambda x: x[:, 1:3],
    "split": lambda x: torch.split(x, [1, 3], 1)[1] * 2,
    "tile": lambda x: x[:, :1].expand(1, 4, 6, 10) * 2,
    "upsample_bilinear": lambda x: F.interpolate(
        x, scale_factor=4.0, mode="bilinear", align_corners=False
    ),
    "upsample_nearest_neighbor": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
}


@pytest.mark.parametrize("name", SMALL)
def test_converted_modules_compute_what_torch_does(tmp_path: Path, name: str) -> None:
    function = SMALL[name]
    binary = not isinstance(function, nn.Module) and "y" in getattr(
        getattr(function, "__code__", None), "co_varnames", ()
    )
    shapes = [SHAPE] * (2 if binary else 1)
    program = program_of(function, *shapes)
    reference = ReferenceProgram.open(converted(program, tmp_path, "fp32"))
    torch.manual_seed(0)
    inputs = [torch.randn(shape) for shape in shapes]
    found = reference.run({f"input_{i}": value.numpy() for i, value in enumerate(inputs)})
    with torch.inference_mode():
        wanted = function(*inputs).numpy()
    assert found["output_0"].dtype == np.float32
    np.testing.assert_allclose(found["output_0"], wanted, rtol=1e-5, atol=1e-5)


def test_every_handler_is_tested() -> None:
    """By a module above or by an expectation below."""
    by_hand = {"cast", "constexpr_affine_dequantize"}
    named = " ".join(SMALL)
    assert {name for name in HANDLERS if name not in named} == by_hand


@dataclass(frozen=True)
class Convolution:
    """Parameters of a convolution; ``pad`` is (top, bottom, left, right)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pad: tuple[int, int, int, int]
    dilations: tuple[int, int]
    groups: int
    has_bias: bool


def pairs(most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, most), st.integers(1, most))


convolutions = st.builds(
    Convolution,
    kernel=pairs(3),
    strides=pairs(3),
    pad=st.tuples(*[st.integers(0, 3)] * 4),
    dilations=pairs(2),
    groups=st.sampled_from([1, 2, 4]),
    has_bias=st.booleans(),
)


@settings(max_examples=40)
@given(convolutions)
def test_conv_by_its_definition(c: Convolution) -> None:
    """Sum by sum, in float64."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 4, 7, 8))
    weight = rng.normal(size=(4, 4 // c.groups, *c.kernel))
    bias = rng.normal(size=4) if c.has_bias else np.zeros(4)
    top, bottom, left, right = c.pad
    padded = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
    height, width = (
        (side - d * (k - 1) - 1) // s + 1
        for side, k, s, d in zip(padded.shape[1:], c.kernel, c.strides, c.dilations, strict=True)
    )
    wanted = np.zeros((4, height, width))
    per_group = 4 // c.groups
    for o, i, j in np.ndindex(wanted.shape):
        rows = i * c.strides[0] + c.dilations[0] * np.arange(c.kernel[0])
        columns = j * c.strides[1] + c.dilations[1] * np.arange(c.kernel[1])
        first = o // per_group * per_group
        seen = padded[first : first + per_group][:, rows][:, :, columns]
        wanted[o, i, j] = (seen * weight[o]).sum() + bias[o]
    found = HANDLERS["conv"](
        torch.tensor(x).float(),
        torch.tensor(weight).float(),
        np.array(c.strides, np.int32),
        "custom",
        np.array(c.pad, np.int32),
        np.array(c.dilations, np.int32),
        np.int32(c.groups),
        torch.tensor(bias).float() if c.has_bias else None,
    )
    assert isinstance(found, Tensor)
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@settings(max_examples=25)
@given(convolutions)
def test_converted_conv_computes_what_torch_does(
    tmp_path_factory: pytest.TempPathFactory, c: Convolution
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, c.kernel, c.strides, c.pad[::2], c.dilations, c.groups, bias=c.has_bias)
    shape = (1, 4, 9, 8)
    package = converted(program_of(conv, shape), tmp_path_factory.mktemp("conv"), "fp32")
    x = torch.randn(shape)
    found = ReferenceProgram.open(package).run({"input_0": x.numpy()})["output_0"]
    with torch.inference_mode():
        np.testing.assert_allclose(found, conv(x).numpy(), rtol=1e-5, atol=1e-5)


@dataclass(frozen=True)
class Pooling:
    """Parameters of a max pooling; ``pad`` is that of MIL: (top, bottom, left, right)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pad: tuple[int, int, int, int]
    ceil_mode: bool

    def computed(self, x: Tensor, pad_type: str = "custom") -> Tensor:
        found = HANDLERS["max_pool"](
            x,
            np.array(self.kernel, np.int32),
            np.array(self.strides, np.int32),
            pad_type,
            np.array(self.pad, np.int32),
            np.bool_(self.ceil_mode),
        )
        assert isinstance(found, Tensor)
        return found


@st.composite
def torch_poolings(draw: st.DrawFn, longest_step: int | None = None) -> Pooling:
    """Such as PyTorch has: padded alike on both sides, by at most half a kernel.

    Steps are at most as long as the kernel unless they may be longer.
    """
    kernel = draw(pairs(4))
    down, right = (draw(st.integers(1, longest_step or size)) for size in kernel)
    top, left = (draw(st.integers(0, size // 2)) for size in kernel)
    return Pooling(kernel, (down, right), (top, top, left, left), draw(st.booleans()))


def negative(*shape: int) -> Tensor:
    """So that padding by zeros would show."""
    return -torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 1


@settings(max_examples=200)
@given(torch_poolings(longest_step=5), st.integers(4, 9), st.integers(4, 9))
def test_max_pool_computes_what_torch_does(pooling: Pooling, height: int, width: int) -> None:
    x = negative(1, 3, height, width)
    wanted = F.max_pool2d(
        x, pooling.kernel, pooling.strides, pooling.pad[::2], ceil_mode=pooling.ceil_mode
    )
    assert torch.equal(pooling.computed(x), wanted)


@settings(max_examples=50)
@given(pairs(3), pairs(3), st.tuples(*[st.integers(0, 2)] * 4))
def test_max_pool_padded_unequally(
    kernel: tuple[int, int], strides: tuple[int, int], pad: tuple[int, int, int, int]
) -> None:
    """By its definition; windows of nothing but padding are -inf."""
    x = negative(1, 2, 5, 6)
    top, bottom, left, right = pad
    padded = torch.full((1, 2, 5 + top + bottom, 6 + left + right), -torch.inf)
    padded[:, :, top : top + 5, left : left + 6] = x
    windows = padded.unfold(2, kernel[0], strides[0]).unfold(3, kernel[1], strides[1])
    assert torch.equal(Pooling(kernel, strides, pad, False).computed(x), windows.amax((4, 5)))


def test_max_pool_of_other_padding() -> None:
    """``pad`` counts only where it is custom, and others are refused."""
    pooling = Pooling((2, 2), (2, 2), (1, 1, 1, 1), False)
    x = negative(1, 2, 4, 4)
    assert torch.equal(pooling.computed(x, "valid"), F.max_pool2d(x, 2))
    with pytest.raises(ExportError, match=r"max_pool with padding 'same_lower' is not known"):
        pooling.computed(x, "same_lower")


@pytest.mark.parametrize(
    ("pad_type", "pad", "ceil_mode"),
    [("same", (0, 0, 0, 0), False), ("custom", (1, 0, 0, 0), False), ("valid", (0,) * 4, True)],
)
def test_avg_pool_with_padding(pad_type: str, pad: tuple[int, ...], ceil_mode: bool) -> None:
    x, two = negative(1, 2, 4, 4), np.array([2, 2])
    pool = HANDLERS["avg_pool"]
    assert torch.equal(pool(x, two, two, "custom", np.zeros(4), False, True), F.avg_pool2d(x, 2))
    with pytest.raises(ExportError, match="avg_pool with padding is not known"):
        pool(x, two, two, pad_type, np.array(pad), ceil_mode, True)


@pytest.mark.slow
@settings(max_examples=15)
@given(torch_poolings())
def test_converted_max_pool_computes_what_torch_does(
    tmp_path_factory: pytest.TempPathFactory, pooling: Pooling
) -> None:
    torch.manual_seed(0)
    pool = nn.MaxPool2d(
        pooling.kernel, pooling.strides, pooling.pad[::2], ceil_mode=pooling.ceil_mode
    )
    shape = (1, 4, 9, 8)
    package = converted(program_of(pool, shape), tmp_path_factory.mktemp("pool"), "fp32")
    x = torch.randn(shape)
    found = ReferenceProgram.open(package).run({"input_0": x.numpy()})["output_0"]
    np.testing.assert_array_equal(found, pool(x).numpy())


class FullNet(nn.Module):
    """A network with its outputs in a tuple, cut to one layer of each kind for speed."""

    def __init__(self, config: TraceNetConfig) -> None:
        super().__init__()
        self.network = TraceNet(dataclasses.replace(config, tower_depth=1, mask_depth=1))
        trunk = self.network.backbone
        if isinstance(trunk, ResNet):
            for name in ("layer1", "layer2", "layer3", "layer4"):
                setattr(trunk, name, getattr(trunk, name)[:1])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image).values())


def torch_graph(module: nn.Module) -> torch.fx.Graph:
    return torch.export.export(module.eval(), (torch.zeros(1, 3, 128, 128),)).graph


def operators_of(graph: torch.fx.Graph) -> set[str]:
    return {str(node.target) for node in graph.nodes if node.op == "call_function"}


@pytest.mark.slow
def test_every_operator_of_the_shipped_networks_is_known(tmp_path: Path) -> None:
    """Of networks that differ in their depths alone, one is converted."""
    distinct: dict[str, FullNet] = {}
    for config in CONFIGS.values():
        network = FullNet(config)
        graph = torch_graph(network)
        assert operators_of(graph) == operators_of(torch_graph(TraceNet(config))), config.name
        distinct.setdefault(str(graph), network)
    for index, network in enumerate(distinct.values()):
        program = program_of_image(network)
        ReferenceProgram.open(converted(program, tmp_path / str(index), "fp16"))


def program_of_image(module: nn.Module) -> Program:
    shape = (1, 3, 128, 128)
    with torch.inference_mode():
        values = module(torch.zeros(shape))
    outputs = (TensorSpec(f"output_{i}", tuple(v.shape)) for i, v in enumerate(values))
    return Program("small", module, (TensorSpec("image", shape),), tuple(outputs), 0)


def test_bilinear_by_hand() -> None:
    """Half-pixel centres: 0, 4 at 4 times the size; the ends are repeated."""
    x = torch.tensor([0.0, 4.0]).reshape(1, 1, 1, 2)
    found = HANDLERS["upsample_bilinear"](x, 1.0, 4.0, False)
    assert isinstance(found, Tensor)
    assert found.flatten().tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("zero_points", [np.int8(-3), np.array([-3, 5], np.int8)])
def test_dequantisation_by_hand(axis: int, zero_points: Any) -> None:
    quantized = np.array([[-128, 127], [0, 5]], np.int8)
    scales = np.array([0.5, 2], np.float16)
    found = HANDLERS["constexpr_affine_dequantize"](
        quantized, zero_points, torch.tensor(scales).float(), np.int32(axis)
    )
    zeros = np.broadcast_to(zero_points, 2)
    wanted = [
        [float(scales[k]) * (int(quantized[i, j]) - int(zeros[k])) for j, k in enumerate(ks)]
        for i, ks in enumerate(([0, 0], [1, 1]) if axis == 0 else ([0, 1], [0, 1]))
    ]
    assert isinstance(found, Tensor)
    assert found.tolist() == wanted


def test_int8_weights_are_what_was_stored(tmp_path: Path) -> None:
    """The convolution of a unit impulse reads them back: steps of a channel's largest weight."""
    torch.manual_seed(0)
    conv = nn.Conv2d(160, 16, 1, bias=False)
    package = converted(program_of(conv, (1, 160, 1, 1)), tmp_path, "int8")
    reference = ReferenceProgram.open(package)
    channels = [np.zeros((1, 160, 1, 1), np.float32) for _ in range(160)]
    for index, x in enumerate(channels):
        x[0, index] = 1
    columns = [reference.run({"input_0": x})["output_0"].ravel() for x in channels]
    found = np.stack(columns, 1)
    weight = conv.weight.detach().numpy()[:, :, 0, 0]
    scale = (np.abs(weight).max(1, keepdims=True) / 127).astype(np.float16).astype(np.float32)
    wanted = np.round(weight / scale) * scale
    assert np.abs(found - wanted).max() <= 1.1 * scale.max()  # a close call rounded the other way
    assert np.mean(np.abs(found - wanted) < 1e-3 * scale.max() + 1e-4) > 0.95
    assert np.abs(found - weight).max() < 0.6 * scale.max() + 1e-4


def test_results_are_rounded_to_float16(tmp_path: Path) -> None:
    """2049 is no float16, and 1e5 is beyond its range."""
    inputs = {"input_0": np.full(SHAPE, 2048, np.float32)}
    program = program_of(lambda x: (x + 1) * 2, SHAPE)
    for precision, wanted in (("fp32", 4098), ("fp16", 4096)):
        package = converted(program, tmp_path / precision, precision)
        assert np.all(ReferenceProgram.open(package).run(inputs)["output_0"] == wanted)
    large = {"input_0": np.full(SHAPE, 1e5, np.float32)}
    assert np.all(np.isinf(ReferenceProgram.open(package).run(large)["output_0"]))


@pytest.fixture(scope="module")
def relu_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(program_of(F.relu, SHAPE), tmp_path_factory.mktemp("relu"), "fp32")


def edited(package: Path, folder: Path, edit: Callable[[Any], None]) -> Path:
    spec = coreml.ct.proto.Model_pb2.Model.FromString((package / MODEL).read_bytes())
    function = spec.mlProgram.functions["main"]
    edit(function.block_specializations[function.opset].operations)
    path = folder / "edited.mlpackage"
    (path / MODEL).parent.mkdir(parents=True)
    (path / MODEL).write_bytes(spec.SerializeToString())
    return path


def test_wrong_declared_shape(relu_package: Path, tmp_path: Path) -> None:
    def edit(operations: Any) -> None:
        operations[-1].outputs[0].type.tensorType.dimensions[3].constant.size = 11

    with pytest.raises(ExportError, match=r"^edited.*cannot be read.*Mismatch.*export the bundle"):
        ReferenceProgram.open(edited(relu_package, tmp_path, edit))


def test_a_result_of_another_shape(relu_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreml_reference, "HANDLERS", {**HANDLERS, "relu": lambda x: x[:, :, 1:]})
    reference = ReferenceProgram.open(relu_package)
    with pytest.raises(ExportError, match=r"\(relu\) is float32 of shape \(1, 4, 5, 10\)"):
        reference.run({"input_0": np.zeros(SHAPE, np.float32)})


def test_unknown_operator(relu_package: Path, tmp_path: Path) -> None:
    def edit(operations: Any) -> None:
        operations[-1].type = "softsign"

    with pytest.raises(UnknownOperator, match=r"^edited.*operator softsign.*HANDLERS"):
        ReferenceProgram.open(edited(relu_package, tmp_path, edit))


def test_setting_that_no_handler_knows(tmp_path: Path) -> None:
    package = converted(program_of(lambda x: x[:, :, ::2], SHAPE), tmp_path, "fp32")
    with pytest.raises(ExportError, match=r"slice_by_index with .*stride"):
        ReferenceProgram.open(package).run({"input_0": np.zeros(SHAPE, np.float32)})


@pytest.mark.parametrize("content", [b"hello, I am no protobuf", b""])
def test_package_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.mlpackage"
    (path / MODEL).parent.mkdir(parents=True)
    (path / MODEL).write_bytes(content)
    with pytest.raises(ExportError, match=r"^bad.mlpackage cannot be read as a Core ML program"):
        ReferenceProgram.open(path)
    with pytest.raises(ExportError, match=r"^gone.mlpackage cannot be read as a Core ML program"):
        ReferenceProgram.open(tmp_path / "gone.mlpackage")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"takes input_0"),
        ({"input_0": np.zeros((1, 4, 6, 11), np.float32)}, r"shape \(1, 4, 6, 11\)"),
        ({"input_0": np.zeros(SHAPE)}, r"float64"),
    ],
)
def test_inputs_that_are_not_declared(
    relu_package: Path, inputs: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        ReferenceProgram.open(relu_package).run(inputs)


def test_engine(relu_package: Path) -> None:
    class Paths:
        def path(self, program: str) -> Path:
            assert program == "half"
            return relu_package

    engine = open_engine(Paths(), ["half"], EngineSettings(threads=1))  # type: ignore[arg-type]
    assert engine.actual == {
        "version": coreml.ct.__version__,
        "threads": 1,
        "compute_units": "reference executor",
    }
    assert re.fullmatch(r"\d+\.\d+.*", str(engine.actual["version"]))
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(engine.run("half", {"input_0": x})["output_0"], np.maximum(x, 0))
    with pytest.raises(KeyError):
        engine.run("other", {"input_0": x})


def test_threads_are_set_for_a_run_only(relu_package: Path) -> None:
    seen = []

    class Watched(ReferenceProgram):
        def run(self, inputs: Any) -> Any:
            seen.append(torch.get_num_threads())
            return super().run(inputs)

    opened = ReferenceProgram.open(relu_package)
    watched = Watched(**{f.name: getattr(opened, f.name) for f in dataclasses.fields(opened)})
    engine = CoreMLReferenceEngine({"relu": watched}, EngineSettings(threads=2))
    before = torch.get_num_threads()
    assert (before, engine.actual["threads"]) == (1, 2)
    engine.run("relu", {"input_0": np.zeros(SHAPE, np.float32)})
    with pytest.raises(ExportError, match="takes input_0"):
        engine.run("relu", {})
    assert seen == [2, 2]
    assert torch.get_num_threads() == before
