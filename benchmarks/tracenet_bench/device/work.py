"""What the operators of a program compute and move, and how long that takes at best."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import onnx

from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.errors import TraceNetError

Kind = Literal["dense", "pointwise", "depthwise", "matmul", "resize", "memory"]
KINDS: tuple[Kind, ...] = ("dense", "pointwise", "depthwise", "matmul", "resize", "memory")
"""Classes of operators that engines have kernels of one kind for; ``memory`` is all others."""

_FREE = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Constant"}
"""Operators that only rename what is in memory."""

_FUSED = {"Relu", "Clip", "BatchNormalization"}
"""Operators that engines make part of the convolution before them."""


class RooflineError(TraceNetError):
    """There is nothing to project: the program is in another format, or a figure is missing."""


@dataclass(frozen=True)
class Operator:
    """One operator of a program.

    Attributes:
        kind: its class.
        macs: multiply-adds.
        moved: bytes of its inputs, outputs and weights.
    """

    kind: Kind
    macs: int
    moved: int


@dataclass(frozen=True)
class Roof:
    """What a machine does at best: fp32 multiply-adds and bytes, each per second."""

    macs: float
    bandwidth: float

    def seconds(self, operator: Operator) -> float:
        """The least time that an operator takes."""
        return max(operator.macs / self.macs, operator.moved / self.bandwidth)

    def bounds(self, operator: Operator) -> bool:
        """Whether arithmetic, not memory, bounds the operator."""
        return operator.macs / self.macs > operator.moved / self.bandwidth


@dataclass(frozen=True)
class Work:
    """A program in figures.

    Attributes:
        operators: in the order in which they run; none for those that cost nothing.
        weights: bytes of its constants.
        activations: bytes of the tensors that are alive at once, at most.
    """

    operators: tuple[Operator, ...]
    weights: int
    activations: int


def work_of_bundle(bundle: Bundle, programs: Collection[str]) -> dict[str, Work]:
    """The work of each of these programs.

    Raises:
        RooflineError: the bundle is not of ONNX programs in fp32.
    """
    manifest = bundle.manifest
    if manifest.target != "onnx":
        raise RooflineError(
            f"Projections read ONNX programs and this bundle is for {manifest.target}; export the "
            "network with --target onnx to project it."
        )
    if manifest.precision != "fp32":
        raise RooflineError(
            f"Projections are of fp32 arithmetic and this bundle is {manifest.precision}; how much "
            "a device gains from that is in no profile. Export with --precision fp32 to project."
        )
    files = bundle.program_files
    return {name: work_of(onnx.load_model(files.path(name))) for name in programs}


def work_of(model: onnx.ModelProto) -> Work:
    """The work of an ONNX model whose shapes are static.

    Raises:
        RooflineError: a shape is not.
    """
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    tensors = _Tensors(graph)
    operators = []
    for node in graph.node:
        if node.op_type in _FREE or tensors.is_fused(node):
            continue
        names = [name for name in (*node.input, *node.output) if name]
        moved = sum(tensors.bytes_of(name) for name in names)
        operators.append(Operator(_kind(node, tensors), _macs(node, tensors), moved))
    weights = sum(tensors.bytes_of(constant.name) for constant in graph.initializer)
    return Work(tuple(operators), weights, _largest_alive(graph, tensors))


class _Tensors:
    """Shapes and sizes of a graph's tensors by name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = {tensor.name for tensor in graph.initializer}
        self._shapes: dict[str, tuple[tuple[int, ...], int]] = {
            tensor.name: (tuple(tensor.dims), tensor.data_type) for tensor in graph.initializer
        }
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            if value.name not in self._shapes and all(
                dim.HasField("dim_value") for dim in kind.shape.dim
            ):
                shape = tuple(dim.dim_value for dim in kind.shape.dim)
                self._shapes[value.name] = shape, kind.elem_type
        readers: dict[str, int] = {}
        for name in (name for node in graph.node for name in node.input):
            readers[name] = readers.get(name, 0) + 1
        # What a convolution gives, alone or after operators that are fused with it.
        self._of_convolutions: set[str] = set()
        for node in graph.node:
            follows = node.op_type in _FUSED and node.input[0] in self._of_convolutions
            if (node.op_type == "Conv" or follows) and readers.get(node.output[0]) == 1:
                self._of_convolutions.add(node.output[0])

    def shape(self, name: str) -> tuple[int, ...]:
        return self._known(name)[0]

    def bytes_of(self, name: str) -> int:
        shape, kind = self._known(name)
        itemsize: int = onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
        return math.prod(shape) * itemsize

    def is_fused(self, node: onnx.NodeProto) -> bool:
        return node.op_type in _FUSED and node.input[0] in self._of_convolutions

    def _known(self, name: str) -> tuple[tuple[int, ...], int]:
        if name not in self._shapes:
            raise RooflineError(
                f"The shape of {name!r} in a program is not known before it runs, so it cannot be "
                "projected; export the bundle again."
            )
        return self._shapes[name]


def _kind(node: onnx.NodeProto, tensors: _Tensors) -> Kind:
    if node.op_type == "Conv":
        outputs, inputs, *window = tensors.shape(node.input[1])
        if inputs == 1 and outputs > 1 and tensors.shape(node.input[0])[1] > 1:
            return "depthwise"
        return "pointwise" if math.prod(window) == 1 else "dense"
    if node.op_type in ("MatMul", "Gemm"):
        return "matmul"
    return "resize" if node.op_type == "Resize" else "memory"


def _macs(node: onnx.NodeProto, tensors: _Tensors) -> int:
    if node.op_type == "Conv":
        # Of each output: the inputs of its group times the window.
        return math.prod(tensors.shape(node.output[0])) * math.prod(
            tensors.shape(node.input[1])[1:]
        )
    if node.op_type in ("MatMul", "Gemm"):
        transposed = any(v.name == "transA" and v.i for v in node.attribute)
        inner = tensors.shape(node.input[0])[-2 if transposed else -1]
        return math.prod(tensors.shape(node.output[0])) * inner
    return 0


def _largest_alive(graph: onnx.GraphProto, tensors: _Tensors) -> int:
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    alive = {v.name for v in graph.input if v.name not in tensors.constants}
    largest = 0
    for i, node in enumerate(graph.node):
        alive.update(name for name in node.output if name)
        largest = max(largest, sum(map(tensors.bytes_of, alive)))
        alive = {name for name in alive if last.get(name, -1) > i}
    return largest
