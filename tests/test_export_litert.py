"""The LiteRT target: its file read back by its schema, and run by the interpreter."""

import dataclasses
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_quantizer")
pytest.importorskip("ai_edge_litert")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tracking_export import TRACKING, normalised

from tracenet.model import TraceNet, untrained_network
from tracenet_export.assemble import assemble
from tracenet_export.errors import ExportError
from tracenet_export.parity import TorchEngine
from tracenet_export.programs import Program
from tracenet_export.requests import parse_schedule
from tracenet_export.schedule import captured, plan_schedule
from tracenet_export.targets import Calibration, Converted, litert
from tracenet_export.targets.quiet import quiet
from tracenet_export.tracking import tracking_programs
from tracenet_runtime.graph.program import TensorSpec

CANVAS = (128, 256)
# The heads; the mask head (its window not square).
SMALL = ("P4_128x256_query_1", "mask_head_16x18")
OPERATORS = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


@pytest.fixture(scope="module")
def all_programs() -> dict[str, Program]:
    torch.manual_seed(0)
    network = untrained_network("mobilenetv2-fpn")
    plan = plan_schedule(captured(network), parse_schedule("P4", CANVAS, (64,)))
    return {program.name: program for program in assemble([plan]).programs}


@pytest.fixture(scope="module")
def programs(all_programs: dict[str, Program]) -> list[Program]:
    """Those that convert within seconds, of clips as well, and two that share weights."""
    torch.manual_seed(2)
    _, of_clips = tracking_programs(normalised(TraceNet(TRACKING)))
    return [
        *(all_programs[name] for name in SMALL),
        *(program for program in of_clips if program.name in ("track_value", "track_fuse")),
        upsampling(),
        conv_relu(),
        conv_relu("wider", width=12),
    ]


@pytest.fixture(scope="module")
def calibration(programs: list[Program]) -> Calibration:
    return {
        program.name: [random_inputs(program, seed) for seed in range(4)] for program in programs
    }


@pytest.fixture(scope="module")
def converted(
    programs: list[Program], calibration: Calibration, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, dict[str, Converted]]]:
    """Precision -> file and report."""
    made = {}
    with quiet():
        lowered = litert._to_tflite(programs)  # takes most of the time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litert, "_to_tflite", lambda programs: lowered)
        for precision in ("fp32", "fp16", "int8"):
            folder = tmp_path_factory.mktemp(precision)
            report = litert.convert(programs, folder, precision, calibration)
            made[precision] = folder / litert.FILE, report
    return made


class ConvRelu(nn.Module):
    """A convolution, one that gives a channel nothing but its bias, and a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 64, 3, padding=1)
        with torch.no_grad():
            self.conv.weight[5] = 0.0
            self.conv.bias[5] = 1.5  # type: ignore[index]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (F.relu(self.conv(x)),)


def conv_relu(name: str = "conv_relu", width: int = 10) -> Program:
    torch.manual_seed(0)
    return Program(
        name,
        ConvRelu().eval(),
        (TensorSpec("input_0", (1, 8, 6, width)),),
        (TensorSpec("output_0", (1, 64, 6, width)),),
        0,
    )


class Upsampling(nn.Module):
    """What a mask branch does: cells of both strides, to the nearest and between, and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = (nn.Conv2d(8, 8, 3, padding=1, groups=8) for _ in range(2))
        self.mix = nn.Conv2d(8, 8, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, ...]:
        small = F.relu(self.coarse(coarse))
        joined = F.relu(self.fine(fine)) + F.interpolate(small, scale_factor=2.0)
        between = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        return F.relu6(self.mix(joined)), self.mix(joined + between)


def upsampling() -> Program:
    torch.manual_seed(0)
    return Program(
        "upsampling",
        Upsampling().eval(),
        (TensorSpec("input_0", (1, 8, 16, 18)), TensorSpec("input_1", (1, 8, 8, 9))),
        (TensorSpec("output_0", (1, 8, 16, 18)), TensorSpec("output_1", (1, 8, 16, 18))),
        0,
    )


def random_inputs(program: Program, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        spec.name: random.standard_normal(spec.shape).astype(np.float32) for spec in program.inputs
    }


def run(path: Path, program: Program, inputs: Mapping[str, Any]) -> dict[str, Any]:
    runner = Interpreter(str(path)).get_signature_runner(program.name)
    outputs = runner(**{k: v.transpose(0, 2, 3, 1).copy() for k, v in inputs.items()})
    return {name: value.transpose(0, 3, 1, 2) for name, value in outputs.items()}


def difference(value: Any, reference: Any) -> float:
    return float(np.abs(value - reference).max() / np.abs(reference).max())


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 2e-3), ("int8", 0.1)]
)
def test_every_precision_computes_what_torch_does(
    converted: Any, programs: list[Program], precision: str, tolerance: float
) -> None:
    path, _ = converted[precision]
    engine = TorchEngine(programs)
    for program in programs:
        inputs = random_inputs(program, seed=1)
        reference = engine.run(program.name, inputs)
        for name, value in run(path, program, inputs).items():
            assert value.dtype == np.float32
            assert difference(value, reference[name]) < tolerance, (program.name, name)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_schema_finds_what_the_report_says(
    converted: Any, programs: list[Program], precision: str
) -> None:
    path, report = converted[precision]
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    found = {v.signatureKey.decode(): model.subgraphs[v.subgraphIndex] for v in model.signatureDefs}
    assert set(found) == set(report) == {program.name for program in programs}
    for signature in model.signatureDefs:
        program = next(p for p in programs if p.name == signature.signatureKey.decode())
        graph = found[program.name]
        for specs, tensors in (
            (program.inputs, signature.inputs),
            (program.outputs, signature.outputs),
        ):
            described = {}
            for entry in tensors:
                tensor = graph.tensors[entry.tensorIndex]
                assert tensor.type == schema.TensorType.FLOAT32
                assert tensor.shapeSignature is None or list(tensor.shapeSignature) == list(
                    tensor.shape
                )
                described[entry.name.decode()] = tuple(tensor.shape)
            assert described == {s.name: tuple(s.shape[i] for i in (0, 2, 3, 1)) for s in specs}
        assert all(min(tensor.shape, default=1) > 0 for tensor in graph.tensors)
        codes = [model.operatorCodes[v.opcodeIndex] for v in graph.operators]
        operators = Counter(OPERATORS[max(v.builtinCode, v.deprecatedBuiltinCode)] for v in codes)
        made = report[program.name]
        assert made.operators == operators
        assert made.file == "programs.tflite"
        assert made.signature == program.name
        assert made.layout == "NHWC"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_delegate_takes_whole_programs_without_transpositions(
    converted: Any, precision: str
) -> None:
    for name, made in converted[precision][1].items():
        assert made.partitions == 1, name
        assert "TRANSPOSE" not in made.operators, name


def test_what_the_delegate_leaves_counts_as_pieces() -> None:
    class Rounded(ConvRelu):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (torch.fmod(super().forward(x)[0], 2.0) + 1.0,)

    program = dataclasses.replace(conv_relu(), module=Rounded().eval())
    with quiet():
        content = litert.litert_file.tidied(litert._to_tflite([program]), [program])
        model = litert.litert_file.read(content)
        pieces = litert.litert_file.pieces(model, model.signatureDefs[0])
    assert pieces.count("DELEGATE") == 2
    assert "SELECT" in pieces


def test_operators_of_8_bits(converted: Any) -> None:
    report = converted["int8"][1]
    assert report["conv_relu"].operators == {"QUANTIZE": 1, "CONV_2D": 1, "DEQUANTIZE": 1}
    assert "QUANTIZE" not in report["mask_head_16x18"].operators
    assert converted["fp16"][1]["conv_relu"].operators == {"CONV_2D": 1, "DEQUANTIZE": 1}


@pytest.mark.slow
def test_weights_that_programs_share_are_stored_once(
    tmp_path: Path, calibration: Calibration
) -> None:
    one, two = [conv_relu()], [conv_relu(), conv_relu("wider", width=12)]
    weights = 8 * 64 * 9
    for precision, size in (("fp32", 4), ("int8", 1)):
        sizes = []
        for some in (one, two):
            folder = tmp_path / precision / str(len(some))
            litert.convert(some, folder, precision, calibration)
            sizes.append((folder / litert.FILE).stat().st_size)
        assert weights * size < sizes[0] < sizes[1] < sizes[0] + weights


def test_channel_without_weights_keeps_its_bias(converted: Any) -> None:
    program = conv_relu()
    value = run(converted["int8"][0], program, random_inputs(program))["output_0"]
    assert value[0, 5] == pytest.approx(1.5, abs=0.05)


def test_rounding_weights_does_not_shift_means(
    converted: Any, programs: list[Program], calibration: Calibration
) -> None:
    program = programs[-1]
    inputs = calibration[program.name][0]
    value = run(converted["int8"][0], program, inputs)["output_0"]
    reference = TorchEngine([program]).run(program.name, inputs)["output_0"]
    assert np.abs((value - reference).mean(axis=(0, 2, 3))).max() < 0.01


def test_8_bits_need_calibration(tmp_path: Path, calibration: Calibration) -> None:
    with pytest.raises(ExportError, match="--calibration DIR"):
        litert.convert([conv_relu()], tmp_path / "none", "int8", None)
    with pytest.raises(ExportError, match="never ran the program other"):
        litert.convert([conv_relu(), conv_relu("other")], tmp_path / "none", "int8", calibration)
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_converted_is_named(tmp_path: Path) -> None:
    class Odd(ConvRelu):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (torch.linalg.eigvals(super().forward(x)[0].mean((0, 1))[:6, :6]).real,)

    odd = dataclasses.replace(conv_relu("odd"), module=Odd().eval())
    with pytest.raises(ExportError, match=r"^odd cannot be converted to LiteRT: [^\n]+[^.]$"):
        litert.convert([conv_relu(), odd], tmp_path, "fp32", None)


def test_nearest_upsampling_by_other_factors() -> None:
    cells = torch.arange(24.0).reshape(1, 2, 3, 4)
    upsample = litert.litert_graph._upsample_nearest
    for factors in ((2.0, 2.0), (1.0, 3.0), (4.0, 1.0)):
        wanted = F.interpolate(cells, scale_factor=factors, mode="nearest")
        assert torch.equal(upsample(cells, None, factors), wanted)
    assert torch.equal(upsample(cells, [6, 8], None), F.interpolate(cells, (6, 8), mode="nearest"))
    with pytest.raises(ValueError, match="whole factors"):
        upsample(cells, [4, 8], None)


@pytest.mark.parametrize("sides", [(6, 8), (7, 5)])
def test_max_pool_without_padding_by_infinity(sides: tuple[int, int]) -> None:
    """Exactly what torch computes, of negative cells too, which zeros would exceed."""
    pool = litert.litert_graph._max_pool
    cells = -torch.rand((1, 2, *sides), generator=torch.Generator().manual_seed(0)) - 1
    kernels = itertools.product(range(1, 6), repeat=2)
    for kernel, stride in itertools.product(kernels, ((), (1, 1), (2, 3), (3,), (5, 2))):
        for padding in itertools.product(*(range(size // 2 + 1) for size in kernel)):
            if any(padding):
                wanted = F.max_pool2d(cells, kernel, stride or None, padding)
                assert torch.equal(pool(cells, kernel, stride, padding), wanted)
    assert torch.equal(pool(cells, (3,), (2,), (1,)), F.max_pool2d(cells, 3, 2, 1))


def test_max_pools_that_are_left_as_they_are() -> None:
    for pool in (
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.MaxPool2d(3, 2, 1, dilation=2),
    ):
        exported = torch.export.export(pool, (torch.zeros(1, 2, 8, 8),))
        mended = exported.run_decompositions(litert.litert_graph._MENDED)
        assert "cat" not in str(mended.graph)


@pytest.mark.parametrize(
    "precision", ["fp32", pytest.param("fp16", marks=pytest.mark.slow), "int8"]
)
def test_the_delegate_takes_a_resnets_stem_whole(tmp_path: Path, precision: str) -> None:
    """Its pooling is padded on two sides only; here of values of both signs."""

    class Stem(ConvRelu):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (F.relu(self.conv(x)[:, :, :3, :5] + F.max_pool2d(self.conv(x), 3, 2, 1)),)

    program = dataclasses.replace(
        conv_relu(),
        module=Stem().eval(),
        outputs=(TensorSpec("output_0", (1, 64, 3, 5)),),
    )
    seen = {program.name: [random_inputs(program, seed) for seed in range(4)]}
    report = litert.convert([program], tmp_path, precision, seen)[program.name]
    assert report.partitions == 1
    assert "PADV2" not in report.operators
    inputs = random_inputs(program, seed=1)
    value = run(tmp_path / litert.FILE, program, inputs)["output_0"]
    reference = TorchEngine([program]).run(program.name, inputs)["output_0"]
    tolerance = {"fp32": 1e-5, "fp16": 2e-3, "int8": 0.1}[precision]
    assert difference(value, reference) < tolerance


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_delegate_takes_a_join_of_many_tensors(tmp_path: Path, precision: str) -> None:
    class Joining(ConvRelu):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            parts = super().forward(x)[0].split(4, dim=1)
            return (torch.cat(parts[::-1], 1),)

    program = dataclasses.replace(conv_relu(), module=Joining().eval())
    seen = {program.name: [random_inputs(program, seed) for seed in range(4)]}
    report = litert.convert([program], tmp_path, precision, seen)[program.name]
    assert report.partitions == 1
    assert report.operators["CONCATENATION"] == 4
    inputs = random_inputs(program, seed=1)
    value = run(tmp_path / litert.FILE, program, inputs)["output_0"]
    reference = TorchEngine([program]).run(program.name, inputs)["output_0"]
    tolerance = {"fp32": 1e-5, "fp16": 2e-3, "int8": 0.1}[precision]
    assert difference(value, reference) < tolerance


def product_model(bias: int | None, activation: int) -> Any:
    """A FULLY_CONNECTED whose weights, tensor 1, are an input."""
    model, subgraph = schema.ModelT(), schema.SubGraphT()
    empty, constant = schema.BufferT(), schema.BufferT()
    constant.data = np.zeros(16, np.uint8)
    tensors = []
    for buffer in (0, 0, 1):
        tensor = schema.TensorT()
        tensor.buffer = buffer
        tensors.append(tensor)
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    operator.opcodeIndex = 0
    operator.inputs = np.array([0, 1] if bias is None else [0, 1, bias], np.int32)
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    operator.builtinOptions.fusedActivationFunction = activation
    subgraph.tensors, subgraph.operators = tensors, [operator]
    model.buffers, model.operatorCodes, model.subgraphs = [empty, constant], [code], [subgraph]
    return model


@pytest.mark.parametrize("bias", [None, -1])
def test_products_with_computed_weights(bias: int | None) -> None:
    model = product_model(bias, schema.ActivationFunctionType.NONE)
    litert.litert_file._use_matmul_for_computed_weights(model)
    (operator,) = model.subgraphs[0].operators
    code = model.operatorCodes[operator.opcodeIndex].builtinCode
    assert code == schema.BuiltinOperator.BATCH_MATMUL
    assert operator.inputs.tolist() == [0, 1]
    assert operator.builtinOptions.adjY


@pytest.mark.parametrize(
    ("bias", "activation"),
    [(2, schema.ActivationFunctionType.NONE), (-1, schema.ActivationFunctionType.RELU)],
)
def test_products_that_do_more_are_refused(bias: int, activation: int) -> None:
    model = product_model(bias, activation)
    with pytest.raises(ExportError, match=r"^[^.]*bias or an activation[^.]*$"):
        litert.litert_file._use_matmul_for_computed_weights(model)


@pytest.mark.slow
def test_same_bytes_every_time(tmp_path: Path, calibration: Calibration) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tracenet_export.targets import litert\n"
        "from test_export_litert import conv_relu, random_inputs\n"
        "some = [conv_relu(), conv_relu('wider', width=12)]\n"
        "seen = {p.name: [random_inputs(p)] for p in some}\n"
        "for precision in ('fp16', 'int8'):\n"
        "    litert.convert(some, Path(sys.argv[2]) / precision, precision, seen)\n"
    )
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent), str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert (done.stdout, done.stderr) == ("", "")
        files.append([(folder / v / litert.FILE).read_bytes() for v in ("fp16", "int8")])
    assert files[0] == files[1]


@pytest.mark.slow
def test_whole_schedule(all_programs: dict[str, Program], tmp_path: Path) -> None:
    whole = list(all_programs.values())
    report = litert.convert(whole, tmp_path, "fp32", None)
    engine = TorchEngine(whole)
    for program in whole:
        assert report[program.name].partitions == 1
        assert "TRANSPOSE" not in report[program.name].operators
        inputs = random_inputs(program)
        reference = engine.run(program.name, inputs)
        for name, value in run(tmp_path / litert.FILE, program, inputs).items():
            assert difference(value, reference[name]) < 1e-4, (program.name, name)
