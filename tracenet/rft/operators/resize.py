"""Nearest, bilinear and bicubic resizing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from tracenet.rft.axis_maps import (
    CubicResize,
    LinearResize,
    NearestExactResize,
    NearestResize,
)
from tracenet.rft.geometry import IntArray, Rect
from tracenet.rft.operators.call import Call, Patch, Refusal, Rule, RuleReader
from tracenet.rft.operators.windows import gather_kernel, index_tensor

aten = torch.ops.aten

_Weights = Callable[[Tensor], dict[int, Tensor]]
"""Weights of the cells so many before or after the one in which a position lies, for how far it
lies beyond that cell."""


def _factors(call: Call) -> tuple[float | None, float | None]:
    factors = call["scale_factors"]
    return (None, None) if factors is None else (factors[0], factors[1])


def _copies(call: Call, axis_map: type[NearestResize]) -> Rule:
    y, x = (
        axis_map(*axis)
        for axis in zip(call.inputs[0].extent, call.extent, _factors(call), strict=True)
    )
    for axis in (y, x):
        if axis.depends_on_rounding:
            raise Refusal(
                f"it resizes {axis.input_extent} cells to {axis.output_extent}, for which torch "
                "rounds differently from shape to shape",
                "Use a factor that is a small whole number, such as 2, 3 or 4.",
            )
    return Rule(y, x, gather_kernel(y, x))


def _nearest(call: Call) -> Rule:
    return _copies(call, NearestResize)


def _nearest_exact(call: Call) -> Rule:
    return _copies(call, NearestExactResize)


def _bilinear(call: Call) -> Rule:
    return _mixes(call, LinearResize, _linear_weights)


def _bicubic(call: Call) -> Rule:
    return _mixes(call, CubicResize, _cubic_weights)


def _linear_weights(beyond: Tensor) -> dict[int, Tensor]:
    return {0: 1 - beyond, 1: beyond}


def _cubic_weights(beyond: Tensor) -> dict[int, Tensor]:
    """Keys' cubic convolution with the coefficient that torch uses."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return {-1: far(beyond + 1), 0: near(beyond), 1: near(1 - beyond), 2: far(2 - beyond)}


def _mixes(call: Call, axis_map: type[LinearResize], weights: _Weights) -> Rule:
    y, x = (
        axis_map(*axis, align_corners=call["align_corners"])
        for axis in zip(call.inputs[0].extent, call.extent, _factors(call), strict=True)
    )

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        tensor, held = patches[0].tensor, patches[0].region
        rows = _interpolate(tensor, 2, y, weights, held.y0, wanted.y0, wanted.y1)
        return _interpolate(rows, 3, x, weights, held.x0, wanted.x0, wanted.x1)

    return Rule(y, x, kernel)


def _interpolate(
    tensor: Tensor,
    dim: int,
    axis: LinearResize,
    weights: _Weights,
    held_from: int,
    lo: int,
    hi: int,
) -> Tensor:
    """Output cells ``[lo, hi)`` along ``dim`` of a tensor that starts at ``held_from``."""
    precision = np.float64 if tensor.dtype == torch.float64 else np.float32
    positions = axis.positions(np.arange(lo, hi), precision)
    first = axis.first_taps(positions)
    beyond = torch.as_tensor(positions - first.astype(precision)).to(tensor)
    beyond = beyond.clamp(0, 1).reshape((-1,) + (1,) * (3 - dim))

    def tap(cells: IntArray) -> Tensor:
        # Cells beyond the picture's border are the border's. A position within rounding of a cell
        # may fall to either side of it; a tap outside the region then weighs next to nothing.
        held = np.clip(cells - held_from, 0, tensor.shape[dim] - 1)
        return tensor.index_select(dim, index_tensor(held, tensor.device))

    return torch.stack(
        [tap(first + offset) * weight for offset, weight in weights(beyond).items()]
    ).sum(dim=0)


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.upsample_nearest2d.vec: _nearest,
    aten._upsample_nearest_exact2d.vec: _nearest_exact,
    aten.upsample_bilinear2d.vec: _bilinear,
    aten.upsample_bicubic2d.vec: _bicubic,
}
