"""Programs: the static-shape modules that a plan's pieces become."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tracenet.model import MaskProbability
from tracenet.model.config import FILTER_SIZE, MASK_FEATURES, MASK_HEAD_LAYERS
from tracenet.model.guided import GUIDE_STRIDES, GuidedLook
from tracenet.rft import ConvGraph, capture
from tracenet.rft.operators.call import Call, SpatialInput
from tracenet_export.plan import PlacedPiece
from tracenet_runtime.contract import (
    FILTER,
    GUIDE,
    GUIDE_PLANES,
    GUIDE_STRIDE,
    INVERSE_SIZE,
    OFFSET,
    PROBABILITY_STRIDE,
)
from tracenet_runtime.graph.program import Program as ProgramSpec
from tracenet_runtime.graph.program import TensorSpec

GUIDE_FEATURES = tuple(f"guide_{stride}" for stride in GUIDE_STRIDES)
"""Outputs of the network that a guided look reads."""

MASK_STATE: Literal["mask_state"] = "mask_state"
"""What it gives."""


@dataclass(frozen=True)
class Program:
    """A module with static shapes.

    Attributes:
        name: file name without suffix.
        module: takes the inputs in order; returns a tuple with the outputs in order.
        inputs, outputs: their names and shapes.
        macs: multiply-adds of one run.
        of_clips: it runs for clips only, so that what it alone needs may lie apart.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    macs: int
    of_clips: bool = False

    def described(self) -> ProgramSpec:
        """What a replay needs to know."""
        inputs, outputs = ({v.name: v for v in specs} for specs in (self.inputs, self.outputs))
        return ProgramSpec(self.macs, inputs, outputs)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Zeros of the inputs' shapes, in the module's precision."""
        floating = (b.dtype for b in self.module.buffers() if b.is_floating_point())
        dtype = next(floating, torch.float32)
        return tuple(torch.zeros(spec.shape, dtype=dtype) for spec in self.inputs)


@dataclass(frozen=True)
class _Constant:
    """Stands in a call's arguments for a buffer of the module."""

    name: str


@dataclass(frozen=True)
class _Step:
    call: Call
    inputs: tuple[int, ...]


class PieceModule(nn.Module):
    """Runs a piece's operators, with their ordinary padding, on its windows.

    Args:
        graph: the graph of the piece.
        placed: the piece.
        outputs: those of its nodes that are handed over.
    """

    def __init__(self, graph: ConvGraph, placed: PlacedPiece, outputs: Sequence[str]) -> None:
        super().__init__()
        position = {member: index for index, member in enumerate(placed.piece.members)}
        names: dict[int, str] = {}
        shapes = [window_shape(graph, placed, source) for source in placed.piece.sources]
        digest = hashlib.sha256(repr(shapes).encode())

        def register(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if id(leaf) not in names:
                names[id(leaf)] = f"constant_{len(names)}"
                self.register_buffer(names[id(leaf)], leaf.detach().clone())
                digest.update(repr((leaf.shape, leaf.dtype)).encode())
                digest.update(leaf.detach().contiguous().numpy().tobytes())
            return _Constant(names[id(leaf)])

        self._steps: list[_Step] = []
        for name in placed.piece.nodes:
            node = graph.nodes[name]
            assert node.operation is not None
            call = node.operation.call
            call = dataclasses.replace(call, arguments=pytree.tree_map(register, call.arguments))
            inputs = tuple(position[edge.source] for edge in node.edges)
            self._steps.append(_Step(call, inputs))
            arguments = pytree.tree_map(_without_extent, call.arguments)
            operator = (str(call.operator), call.channels_last)
            digest.update(repr((operator, arguments, inputs)).encode())
        self._outputs = [position[node] for node in outputs]
        digest.update(repr(self._outputs).encode())
        self.digest = digest.hexdigest()
        """Equal for modules that compute the same, with the same weights, on equal windows."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Windows in the order of the piece's sources -> the outputs' windows."""
        values = list(inputs)
        for step in self._steps:
            arguments = pytree.tree_map(
                lambda leaf: getattr(self, leaf.name) if isinstance(leaf, _Constant) else leaf,
                step.call.arguments,
            )
            call = dataclasses.replace(step.call, arguments=arguments)
            values.append(call.run([values[index] for index in step.inputs]))
        return tuple(values[index] for index in self._outputs)


def _without_extent(leaf: Any) -> Any:
    return leaf.index if isinstance(leaf, SpatialInput) else leaf


def window_shape(graph: ConvGraph, placed: PlacedPiece, node: str) -> tuple[int, int, int, int]:
    """1 x C x H x W of a member's window."""
    height, width = placed.size(node)
    return 1, graph.nodes[node].channels, height, width


def mask_head_program(height: int, width: int, stride: int) -> Program:
    """The mask head on a window of mask features (see docs/bundle.md, "answer").

    Args:
        height, width: of the window, in cells.
        stride: canvas pixels per cell.
    """
    shapes = {
        "features": (1, MASK_FEATURES, height, width),
        FILTER: (1, FILTER_SIZE, 1, 1),
        OFFSET: (1, 2, 1, 1),
        INVERSE_SIZE: (1, 1, 1, 1),
    }
    scale = stride // PROBABILITY_STRIDE
    return Program(
        name=f"mask_head_{height}x{width}",
        module=MaskProbability(stride).eval(),
        inputs=tuple(TensorSpec(name, shape) for name, shape in shapes.items()),
        outputs=(TensorSpec("mask", (1, 1, scale * height, scale * width)),),
        macs=mask_head_macs(height, width),
    )


class Correction(nn.Module):
    """A guided look with its sigmoid, features first and planes last."""

    def __init__(self, look: GuidedLook) -> None:
        super().__init__()
        self.look = look

    def forward(self, *inputs: Tensor) -> tuple[Tensor]:
        """``GUIDE_FEATURES`` in their order, then the planes -> probabilities, N x 1 x h x w."""
        *features, planes = inputs
        return (self.look(features, planes).sigmoid(),)


class _OfOnePicture(nn.Module):
    """The same of one picture at the finest input's stride, which is what the tracer follows."""

    def __init__(self, module: nn.Module, inputs: Sequence[TensorSpec]) -> None:
        super().__init__()
        self.module = module
        self._channels = [spec.shape[1] for spec in inputs]
        finest = max(spec.shape[2] for spec in inputs)
        self._factors = [finest // spec.shape[2] for spec in inputs]

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        parts = torch.split(picture, self._channels, dim=1)
        coarser = (
            nn.functional.max_pool2d(part, factor) if factor > 1 else part
            for part, factor in zip(parts, self._factors, strict=True)
        )
        outputs: tuple[Tensor, ...] = self.module(*coarser)
        return outputs


def local_macs(module: nn.Module, inputs: Sequence[TensorSpec]) -> int:
    """Multiply-adds of a module, as the tracer counts them.

    Raises:
        UnsupportedOperator: one of its operators is not local.
    """
    finest = max(inputs, key=lambda spec: spec.shape[2])
    channels = sum(spec.shape[1] for spec in inputs)
    picture = torch.zeros(1, channels, *finest.shape[2:], dtype=next(module.parameters()).dtype)
    return capture(_OfOnePicture(module, inputs), (picture,)).full_macs


def correction_program(look: GuidedLook, canvas: tuple[int, int]) -> Program:
    """A guided look on a canvas of this height and width (see docs/bundle.md, "strategy").

    Raises:
        UnsupportedOperator: one of its operators is not local.
    """
    shapes: dict[str, tuple[int, int, int, int]] = {}
    for name, channels, stride in zip(
        (*GUIDE_FEATURES, GUIDE),
        (*look.widths, len(GUIDE_PLANES)),
        (*GUIDE_STRIDES, GUIDE_STRIDE),
        strict=True,
    ):
        height, width = (side // stride for side in canvas)
        shapes[name] = 1, channels, height, width
    module = Correction(look).eval()
    inputs = tuple(TensorSpec(name, shape) for name, shape in shapes.items())
    return Program(
        name=f"correction_{canvas[0]}x{canvas[1]}",
        module=module,
        inputs=inputs,
        outputs=(TensorSpec(MASK_STATE, (1, 1, *shapes[GUIDE][2:])),),
        macs=local_macs(module, inputs),
    )


def mask_head_macs(height: int, width: int) -> int:
    """Multiply-adds of the mask head's three layers."""
    return height * width * sum(inputs * outputs for inputs, outputs in MASK_HEAD_LAYERS)
