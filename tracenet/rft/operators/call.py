"""One call of one operator in the captured graph, and the rule read from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

from tracenet.rft.axis_maps import AxisMap
from tracenet.rft.geometry import Rect

GENERIC_REMEDY = "Replace it by a local operator, or add a row to tracenet.rft.operators.RULES."


class Refusal(Exception):  # noqa: N818 - raised by rules, turned into UnsupportedOperator
    """A rule cannot describe this call; the capture adds the node's name and module."""

    def __init__(self, reason: str, remedy: str = GENERIC_REMEDY) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class SpatialInput:
    """Stands in a call's arguments for the ``index``-th input N x C x H x W, a node's tensor."""

    index: int
    node: str
    extent: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Call:
    """An operator with its arguments by name, defaults filled in.

    ``arguments`` hold `SpatialInput` where the picture flows in, and tensors where parameters
    and constants do. ``shape`` is that of the output, N x C x H x W. The operator itself runs on
    N x H x W x C, and its arguments refer to that, if ``channels_last``.
    """

    operator: OpOverload
    arguments: dict[str, Any]
    shape: tuple[int, ...]
    channels_last: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def batch(self) -> int:
        """N of the example that was captured."""
        return self.shape[0]

    @property
    def channels(self) -> int:
        """C of the output."""
        return self.shape[1]

    @property
    def extent(self) -> tuple[int, int]:
        """(H, W) of the output."""
        return (self.shape[-2], self.shape[-1])

    @property
    def inputs(self) -> list[SpatialInput]:
        """The inputs from the graph, in the order of the node's edges."""
        return [leaf for leaf in self._leaves if isinstance(leaf, SpatialInput)]

    @property
    def constants(self) -> list[Tensor]:
        """The parameters and constants among the arguments."""
        return [leaf for leaf in self._leaves if isinstance(leaf, Tensor)]

    @property
    def _leaves(self) -> list[Any]:
        return pytree.tree_leaves(self.arguments)

    def pair(self, name: str) -> tuple[int, int]:
        """A (y, x) argument, which ATen abbreviates to one number if both are equal."""
        value = self[name]
        return (value[0], value[-1])

    def is_over_channels(self, dim: int | Sequence[int] | None) -> bool:
        """Whether the axis, or the only one of several, is that of the channels."""
        axes = [dim] if isinstance(dim, int) else dim or []
        return [axis % 4 for axis in axes] == [3 if self.channels_last else 1]

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Call the operator as it stands, with its ordinary padding, on other inputs.

        Inputs and output are N x C x H x W.
        """
        if self.channels_last:
            inputs = [tensor.permute(0, 2, 3, 1) for tensor in inputs]
        filled = pytree.tree_map(
            lambda leaf: inputs[leaf.index] if isinstance(leaf, SpatialInput) else leaf,
            self.arguments,
        )
        schema = self.operator._schema.arguments
        positional = [filled[argument.name] for argument in schema if not argument.kwarg_only]
        keyword = {arg.name: filled[arg.name] for arg in schema if arg.kwarg_only}
        result: Tensor = self.operator(*positional, **keyword)
        return result.permute(0, 3, 1, 2) if self.channels_last else result


@dataclass(frozen=True, eq=False)
class Patch:
    """A tensor N x C x height x width and the rectangle of its node that it holds."""

    tensor: Tensor
    region: Rect

    def crop(self, wanted: Rect) -> Tensor:
        """The cells of ``wanted``, all of which the patch holds (a view)."""
        top, left = wanted.y0 - self.region.y0, wanted.x0 - self.region.x0
        return self.tensor[..., top : top + wanted.height, left : left + wanted.width]


RegionKernel = Callable[[Sequence[Patch], Rect], Tensor]


@dataclass(frozen=True)
class Rule:
    """What the tracer knows of one call.

    Attributes:
        y, x: the map from every input to the output, per axis.
        kernel: computes one rectangle of the output from patches that hold what it needs.
        macs_per_cell: multiply-adds for one output cell, all channels and the whole batch; for
            one input cell if the maps say ``applied_per_input_cell``.
    """

    y: AxisMap
    x: AxisMap
    kernel: RegionKernel
    macs_per_cell: int = 0


RuleReader = Callable[[Call], Rule]
"""Reads a call; raises `Refusal` if this use of the operator has no bounded receptive field."""
