"""A .tflite file from within: names, operators, and what the XNNPACK delegate makes of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from tracenet_export.errors import ExportError
from tracenet_export.programs import Program

_OPERATOR_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_ALIGNMENT = 16
"""Of tensors' data, in bytes; the library's own writer does without."""

_MOST_JOINED = 5
"""Tensors that the delegate joins in one operator."""

_CONVOLUTIONS = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
)


def tidied(content: bytes, programs: Sequence[Program]) -> bytes:
    """The converter's file with the programs' names for outputs, and operators mended.

    Every tensor gets a name of its own, by which the quantizer can tell those of all programs
    apart.
    """
    model = read(content)
    model.metadata, model.metadataBuffer = [], []
    outputs = {
        program.name: {f"output_{i}": spec.name for i, spec in enumerate(program.outputs)}
        for program in programs
    }
    _use_matmul_for_computed_weights(model)
    _split_long_joins(model)
    _give_each_operator_its_own_constants(model)
    for name, signature, subgraph in signatures(model):
        for entry in signature.outputs:
            entry.name = outputs[name][entry.name.decode()].encode()
        for index, tensor in enumerate(subgraph.tensors):
            tensor.name = f"{name}/{index}".encode()
    return write(model)


def stripped(content: bytes) -> bytes:
    """The file without names of tensors, but for inputs and outputs, and without metadata."""
    model = read(content)
    for name, signature, subgraph in signatures(model):
        for tensor in subgraph.tensors:
            tensor.name = None
        for entry in (*signature.inputs, *signature.outputs):
            subgraph.tensors[entry.tensorIndex].name = f"{name}/{entry.name.decode()}".encode()
    return write(model)


def labelled(content: bytes, labels: Mapping[str, str]) -> bytes:
    """The file with metadata: each value in UTF-8, in a buffer of its own."""
    model = read(content)
    model.metadata = []
    for key, value in labels.items():
        entry, buffer = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer = key, len(model.buffers)
        buffer.data = np.frombuffer(value.encode(), np.uint8)
        model.metadata.append(entry)
        model.buffers.append(buffer)
    return write(model)


def with_inputs_before_casts(content: bytes) -> bytes:
    """An 8-bit file whose convolutions read 8 bits where they can.

    The quantizer gives a convolution that reads a program's output what was cast to float32 for the
    caller, which an 8-bit one refuses.
    """
    model = read(content)
    for subgraph in model.subgraphs:
        cast = {
            int(operator.outputs[0]): int(operator.inputs[0])
            for operator in subgraph.operators
            if _code(model, operator) == schema.BuiltinOperator.DEQUANTIZE
        }
        for operator in subgraph.operators:
            result = subgraph.tensors[operator.outputs[0]]
            if _code(model, operator) in _CONVOLUTIONS and result.type == schema.TensorType.INT8:
                source, *constants = map(int, operator.inputs)
                operator.inputs = np.array([cast.get(source, source), *constants], np.int32)
    return write(model)


def read(content: bytes) -> Any:
    """A model as a tree of objects."""
    model = flatbuffer_utils.read_model_from_bytearray(content)
    for buffer in model.buffers:
        if buffer.data is not None:  # as an array, wherever in the file it was
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    return model


def write(model: Any) -> bytes:
    """A tree of objects as a file, in which arrays of equal content are stored once."""
    builder = _SharingBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def signatures(model: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every signature: its key, its definition, its subgraph."""
    for signature in model.signatureDefs:
        subgraph = model.subgraphs[signature.subgraphIndex]
        yield signature.signatureKey.decode(), signature, subgraph


@dataclass(frozen=True)
class Convolution:
    """A convolution in float32, ordinary or depthwise.

    Attributes:
        input: the index of its tensor.
        depthwise: whether every channel is computed from the channel of the same number.
    """

    input: int
    depthwise: bool
    _shape: tuple[int, ...]
    _weights: Any
    _bias: Any

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """A copy: outputs x height x width x inputs, the inputs 1 if depthwise."""
        weights = _floats(self._weights).reshape(self._shape)
        return weights.transpose(3, 1, 2, 0).copy() if self.depthwise else weights

    @property
    def bias(self) -> npt.NDArray[np.float32]:
        """A copy."""
        return _floats(self._bias)

    def store(self, weights: npt.NDArray[Any], bias: npt.NDArray[Any]) -> None:
        """Replace them; the weights of the shape that they had."""
        stored = weights.transpose(3, 1, 2, 0) if self.depthwise else weights
        self._weights.data = _bytes(stored)
        self._bias.data = _bytes(bias)


def convolutions(model: Any) -> Iterator[tuple[str, Any, Convolution]]:
    """Every convolution: its signature's key, its operator, what it computes with."""
    for name, _, subgraph in signatures(model):
        for operator in subgraph.operators:
            code = _code(model, operator)
            if code not in _CONVOLUTIONS:
                continue
            source, weights, bias = operator.inputs
            depthwise = code == schema.BuiltinOperator.DEPTHWISE_CONV_2D
            yield (
                name,
                operator,
                Convolution(
                    int(source),
                    depthwise,
                    tuple(subgraph.tensors[weights].shape),
                    model.buffers[subgraph.tensors[weights].buffer],
                    model.buffers[subgraph.tensors[bias].buffer],
                ),
            )


def count_operators(model: Any, subgraph: Any) -> dict[str, int]:
    """Type -> how often it occurs, most frequent first."""
    counts = Counter(_OPERATOR_NAMES[_code(model, operator)] for operator in subgraph.operators)
    return dict(counts.most_common())


def pieces(model: Any, signature: Any) -> list[str]:
    """What the interpreter runs for a signature, in order, once it has given the delegate its part.

    ``DELEGATE`` for every partition, and the name of every operator that is left to others.
    """
    alone = copy.copy(model)
    alone.subgraphs = [model.subgraphs[signature.subgraphIndex]]
    alone.signatureDefs = []
    # The interpreter tells about the nodes of the first subgraph only.
    interpreter = Interpreter(model_content=write(alone), num_threads=1)
    interpreter.allocate_tensors()
    nodes = interpreter._interpreter
    producer: dict[int, int] = {}
    # What the delegate has taken stays in the list, before the delegate's own nodes.
    for node in range(nodes.NumNodes()):
        producer |= dict.fromkeys(map(int, nodes.NodeOutputs(node)), node)
    wanted, run = list(map(int, nodes.OutputIndices())), set[int]()
    while wanted:
        node = producer.get(wanted.pop(), -1)
        if node >= 0 and node not in run:
            run.add(node)
            wanted += map(int, nodes.NodeInputs(node))
    return [nodes.NodeName(node) for node in sorted(run)]


class _SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Stores arrays of equal content once, and at the alignment that the schema asks for."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._offsets: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: npt.NDArray[Any]) -> int:  # noqa: N802 - the library's name
        key = (x.dtype.str, x.tobytes())
        if key not in self._offsets:
            # So that what follows in StartVector finds it aligned. Only bytes are tensors' data.
            if x.dtype == np.uint8:
                self.Prep(_ALIGNMENT, x.nbytes)
            self._offsets[key] = super().CreateNumpyVector(x)
        return self._offsets[key]


def _give_each_operator_its_own_constants(model: Any) -> None:
    """Equal biases of several operators need not have equal scales; the quantizer mixes them up."""
    empty = model.buffers[0]
    buffers = [empty]
    for subgraph in model.subgraphs:
        data = [model.buffers[tensor.buffer].data for tensor in subgraph.tensors]
        for tensor in subgraph.tensors:
            tensor.buffer = 0
        used = set()
        for operator in subgraph.operators:
            inputs = list(operator.inputs)
            for position, index in enumerate(inputs):
                if index < 0 or data[index] is None:
                    continue
                tensor = subgraph.tensors[index]
                if index in used:
                    inputs[position] = len(subgraph.tensors)
                    tensor = copy.copy(tensor)
                    subgraph.tensors.append(tensor)
                used.add(index)
                tensor.buffer = len(buffers)
                buffers.append(copy.copy(empty))
                buffers[-1].data = data[index]
            operator.inputs = np.array(inputs, np.int32)
    model.buffers = buffers


def _use_matmul_for_computed_weights(model: Any) -> None:
    """The delegate takes FULLY_CONNECTED only with constant weights, BATCH_MATMUL with any.

    The converter makes the former of a product with a transposed matrix, even a computed one.

    Raises:
        ExportError: such an operator also adds a bias or has an activation, which BATCH_MATMUL
            has no place for.
    """
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            if _code(model, operator) != schema.BuiltinOperator.FULLY_CONNECTED:
                continue
            weights = subgraph.tensors[operator.inputs[1]]
            if model.buffers[weights.buffer].data is not None:
                continue
            has_bias = any(index >= 0 for index in operator.inputs[2:])
            activation = operator.builtinOptions.fusedActivationFunction
            if has_bias or activation != schema.ActivationFunctionType.NONE:
                raise ExportError(
                    "a FULLY_CONNECTED with computed weights also has a bias or an activation, "
                    "which the LiteRT target does not know how to keep"
                )
            operator.opcodeIndex = _operator_code(model, schema.BuiltinOperator.BATCH_MATMUL)
            operator.inputs = operator.inputs[:2]
            operator.builtinOptionsType = schema.BuiltinOptions.BatchMatMulOptions
            operator.builtinOptions = schema.BatchMatMulOptionsT()
            operator.builtinOptions.adjY = True


def _split_long_joins(model: Any) -> None:
    """The delegate joins at most `_MOST_JOINED` tensors at once: longer joins become several.

    The converter makes one operator of joins of joins, so that this cannot be said in the network.
    """
    for subgraph in model.subgraphs:
        operators = []
        for operator in subgraph.operators:
            if _code(model, operator) == schema.BuiltinOperator.CONCATENATION:
                operators += _joins_before(subgraph, operator)
            operators.append(operator)
        subgraph.operators = operators


def _joins_before(subgraph: Any, operator: Any) -> list[Any]:
    """Make the first inputs of a join one, as often as it takes; returns what joins them."""
    added = []
    while len(operator.inputs) > _MOST_JOINED:
        inputs = [int(index) for index in operator.inputs]
        joined, rest = inputs[:_MOST_JOINED], inputs[_MOST_JOINED:]
        output = copy.copy(subgraph.tensors[operator.outputs[0]])
        axis = operator.builtinOptions.axis
        output.shape = np.array(output.shape, np.int32)
        output.shape[axis] = sum(subgraph.tensors[index].shape[axis] for index in joined)
        first = copy.copy(operator)
        first.inputs = np.array(joined, np.int32)
        first.outputs = np.array([len(subgraph.tensors)], np.int32)
        subgraph.tensors.append(output)
        operator.inputs = np.array([first.outputs[0], *rest], np.int32)
        added.append(first)
    return added


def _operator_code(model: Any, code: int) -> int:
    """The index of an operator among those that the model lists; it is added if need be."""
    codes = [entry.builtinCode for entry in model.operatorCodes]
    if code not in codes:
        entry = schema.OperatorCodeT()
        entry.builtinCode = code
        entry.deprecatedBuiltinCode = min(code, 127)
        model.operatorCodes.append(entry)
        codes.append(code)
    return codes.index(code)


def _floats(buffer: Any) -> npt.NDArray[np.float32]:
    return np.frombuffer(bytes(buffer.data), "<f4").copy()


def _bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(values.astype("<f4").tobytes(), np.uint8)


def _code(model: Any, operator: Any) -> int:
    entry = model.operatorCodes[operator.opcodeIndex]
    code: int = flatbuffer_utils.get_builtin_code_from_operator_code(entry)
    return code
