"""ONNX: one model per program, one file with the weights of them all."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import torch
from onnx.external_data_helper import set_external_data

from tracenet_export.errors import ExportError
from tracenet_export.programs import Program

WEIGHTS = "weights.bin"
_ALIGNMENT = 64
_SMALLEST_EXTERNAL = 1024


def convert(programs: Sequence[Program], folder: Path, precision: str) -> dict[str, str]:
    """See :class:`~tracenet_export.targets.Converter`.

    Weights that several programs use are stored once.
    """
    assert precision == "fp32"
    folder.mkdir(parents=True, exist_ok=True)
    weights = _Weights(folder / WEIGHTS)
    for program in programs:
        model = _to_onnx(program)
        for initializer in model.graph.initializer:
            weights.move_out(initializer)
        onnx.save_model(model, folder / f"{program.name}.onnx")
    weights.write()
    for program in programs:
        _check(program, folder / f"{program.name}.onnx")
    return {program.name: f"{program.name}.onnx" for program in programs}


class _Weights:
    """Tensors by content, laid out one behind the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets: dict[bytes, int] = {}
        self._content = bytearray()

    def move_out(self, tensor: onnx.TensorProto) -> None:
        """Keep a large tensor's content in the file instead of in the model."""
        data = tensor.raw_data
        if len(data) < _SMALLEST_EXTERNAL:
            return
        if data not in self._offsets:
            self._content.extend(bytes(-len(self._content) % _ALIGNMENT))
            self._offsets[data] = len(self._content)
            self._content.extend(data)
        set_external_data(tensor, self._path.name, offset=self._offsets[data], length=len(data))
        tensor.ClearField("raw_data")

    def write(self) -> None:
        self._path.write_bytes(bytes(self._content))


def _to_onnx(program: Program) -> onnx.ModelProto:
    try:
        with _quiet():
            exported = torch.onnx.export(
                program.module,
                program.example_inputs(),
                input_names=[spec.name for spec in program.inputs],
                output_names=[spec.name for spec in program.outputs],
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter's errors share no base class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"the program {program.name} does not convert to ONNX: {reason}"
        ) from error
    assert exported is not None
    model = exported.model_proto
    # What the exporter notes about the code it traced is of no use to a phone.
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    return model


def _check(program: Program, path: Path) -> None:
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.load_model(path, load_external_data=False).graph
    for specs, values in ((program.inputs, graph.input), (program.outputs, graph.output)):
        found = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        wanted = {spec.name: spec.shape for spec in specs}
        if found != wanted:
            raise ExportError(f"{path.name} has {found} where {wanted} was wanted")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports on stdout, in the log and by warnings about its own code."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
