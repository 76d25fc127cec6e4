"""ONNX: one model per program, one file with the weights of taps, one with what clips add."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from onnx.external_data_helper import set_external_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from tracenet_export.errors import ExportError
from tracenet_export.programs import Program
from tracenet_export.targets import Calibration, Converted
from tracenet_export.targets.onnx_float16 import to_float16
from tracenet_export.targets.onnx_int8 import to_int8
from tracenet_export.targets.quiet import quiet
from tracenet_export.tracing import lean_tracing
from tracenet_runtime.errors import first_line, refuse_if_out_of_memory

try:
    from torch.onnx._internal.exporter._registration import ONNXRegistry
except ImportError:  # a version of PyTorch that has them elsewhere, and reads them for each program
    _read_operators: Callable[..., Any] | None = None
else:
    _read_operators = functools.cache(ONNXRegistry.from_torchlib)

WEIGHTS, TRACKING_WEIGHTS = "weights.bin", "tracking.bin"
_ALIGNMENT = 64
# Of a smaller tensor the reference would take about as much of the model as its content.
_SMALLEST_EXTERNAL = 128


@lean_tracing()
def convert(
    programs: Sequence[Program],
    folder: Path,
    precision: str,
    calibration: Calibration | None,
) -> dict[str, Converted]:
    """See :class:`~tracenet_export.targets.Converter`.

    Weights that several programs use are stored once; what only programs of clips use is in a file
    of its own, which who opens none need not load.
    """
    folder.mkdir(parents=True, exist_ok=True)
    of_taps = _Weights(folder / WEIGHTS)
    of_clips = _Weights(folder / TRACKING_WEIGHTS, of_taps)
    converted = {}
    for program in sorted(programs, key=lambda program: program.of_clips):
        weights = of_clips if program.of_clips else of_taps
        model = _in_precision(program.name, _to_onnx(program), precision, calibration or {})
        converted[program.name] = Converted(f"{program.name}.onnx", _operators(model))
        for initializer in model.graph.initializer:
            weights.move_out(initializer)
        onnx.save_model(model, folder / f"{program.name}.onnx")
    of_taps.write()
    of_clips.write()
    for program in programs:
        _check(program, folder / f"{program.name}.onnx")
    return converted


def label(folder: Path, labels: Mapping[str, str]) -> None:
    """See :class:`~tracenet_export.targets.Converter`: as the models' metadata."""
    for path in sorted(folder.glob("*.onnx")):
        model = onnx.load_model(path, load_external_data=False)
        onnx.helper.set_model_props(model, dict(labels))
        onnx.save_model(model, path)


class _Weights:
    """Tensors by content, laid out one behind the other, but for those that others have."""

    def __init__(self, path: Path, others: _Weights | None = None) -> None:
        self._path, self._others = path, others
        self._offsets: dict[bytes, int] = {}
        self._content = bytearray()

    def move_out(self, tensor: onnx.TensorProto) -> None:
        """Keep a large tensor's content in the file instead of in the model."""
        data = numpy_helper.to_array(tensor).tobytes()
        if len(data) < _SMALLEST_EXTERNAL:
            return
        if self._others is not None and data in self._others._offsets:
            self._others._refer(tensor, data)
            return
        if data not in self._offsets:
            self._content.extend(bytes(-len(self._content) % _ALIGNMENT))
            self._offsets[data] = len(self._content)
            self._content.extend(data)
        self._refer(tensor, data)

    def write(self) -> None:
        """Nothing where there is nothing to write."""
        if self._content:
            self._path.write_bytes(bytes(self._content))

    def _refer(self, tensor: onnx.TensorProto, data: bytes) -> None:
        for field in ("float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.raw_data = data
        set_external_data(tensor, self._path.name, offset=self._offsets[data], length=len(data))
        tensor.ClearField("raw_data")


def _in_precision(
    name: str, model: onnx.ModelProto, precision: str, calibration: Calibration
) -> onnx.ModelProto:
    if precision == "fp16":
        model = to_float16(name, _folded(model))
    elif precision == "int8":
        model = to_int8(name, _folded(model), calibration.get(name, ()))
    _strip(model)
    return model


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """BatchNorm folded into the convolution before it, as ONNX Runtime does when it loads."""
    with tempfile.TemporaryDirectory() as folder:
        # In memory the model would lose the content of its constants.
        source, result = Path(folder, "model.onnx"), Path(folder, "folded.onnx")
        onnx.save_model(model, source)
        quant_pre_process(source, result, skip_symbolic_shape=True)
        return onnx.load_model(result)


def _strip(model: onnx.ModelProto) -> None:
    """Take out what runs without: notes, and shapes and names that a reader works out or makes up.

    The names within the graph become numbers; those of inputs and outputs stay.
    """
    graph = model.graph
    model.ClearField("metadata_props")
    model.ClearField("producer_version")
    graph.ClearField("metadata_props")
    graph.ClearField("value_info")
    used = {node.domain for node in graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    model.ClearField("opset_import")
    model.opset_import.extend(opsets)

    names = {value.name: value.name for value in (*graph.input, *graph.output)} | {"": ""}
    for node in graph.node:
        for field in ("metadata_props", "doc_string", "name"):
            node.ClearField(field)
        for values in (node.input, node.output):
            values[:] = [names.setdefault(name, str(len(names))) for name in values]
    for tensor in graph.initializer:
        tensor.ClearField("doc_string")
        tensor.name = names[tensor.name]
    for value in (*graph.input, *graph.output):
        value.ClearField("metadata_props")


def _operators(model: onnx.ModelProto) -> dict[str, int]:
    return dict(Counter(node.op_type for node in model.graph.node))


@contextlib.contextmanager
def _operators_read_once() -> Iterator[None]:
    """Every export would read PyTorch's ONNX operators anew from their sources, for 0.6 s."""
    if _read_operators is None:
        yield
        return
    reading = vars(ONNXRegistry)["from_torchlib"]
    ONNXRegistry.from_torchlib = staticmethod(_read_operators)  # type: ignore[method-assign]
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = reading  # type: ignore[method-assign]


def _to_onnx(program: Program) -> onnx.ModelProto:
    try:
        with quiet(), _operators_read_once():
            exported = torch.onnx.export(
                program.module,
                program.example_inputs(),
                input_names=[spec.name for spec in program.inputs],
                output_names=[spec.name for spec in program.outputs],
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter's errors share no base class
        refuse_if_out_of_memory(error, f"convert the program {program.name}")
        raise ExportError(
            f"the program {program.name} does not convert to ONNX: {first_line(error)}"
        ) from error
    assert exported is not None
    return exported.model_proto


def _check(program: Program, path: Path) -> None:
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.load_model(path, load_external_data=False).graph
    for specs, values in ((program.inputs, graph.input), (program.outputs, graph.output)):
        found = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        wanted = {spec.name: spec.shape for spec in specs}
        if found != wanted:
            raise ExportError(f"{path.name} has {found} where {wanted} was wanted")
