"""Nearest and bilinear resizing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tracenet.rft.axis_maps import LinearResize, NearestResize
from tracenet.rft.geometry import Rect
from tracenet.rft.operators.call import Call, Patch, Rule, RuleReader
from tracenet.rft.operators.windows import gather_kernel, index_tensor

aten = torch.ops.aten


def _factors(call: Call) -> tuple[float | None, float | None]:
    factors = call["scale_factors"]
    return (None, None) if factors is None else (factors[0], factors[1])


def _nearest(call: Call) -> Rule:
    y, x = (
        NearestResize(*axis)
        for axis in zip(call.inputs[0].extent, call.extent, _factors(call), strict=True)
    )
    return Rule(y, x, gather_kernel(y, x))


def _bilinear(call: Call) -> Rule:
    y, x = (
        LinearResize(*axis, align_corners=call["align_corners"])
        for axis in zip(call.inputs[0].extent, call.extent, _factors(call), strict=True)
    )

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        tensor, held = patches[0].tensor, patches[0].region
        rows = _interpolate(tensor, 2, y, held.y0, wanted.y0, wanted.y1)
        return _interpolate(rows, 3, x, held.x0, wanted.x0, wanted.x1)

    return Rule(y, x, kernel)


def _interpolate(
    tensor: Tensor, dim: int, axis: LinearResize, held_from: int, lo: int, hi: int
) -> Tensor:
    """Output cells ``[lo, hi)`` along ``dim`` of a tensor that starts at ``held_from``."""
    precision = np.float64 if tensor.dtype == torch.float64 else np.float32
    positions = axis.positions(np.arange(lo, hi), precision)
    first = axis.first_taps(positions)
    weight = torch.as_tensor(positions - first.astype(precision)).to(tensor)
    weight = weight.clamp(0, 1).reshape((-1,) + (1,) * (3 - dim))

    def tap(cells: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Tensor:
        # A position within rounding of a cell may fall to either side of it in single
        # precision; the tap it adds outside the region then weighs next to nothing.
        held = np.clip(cells - held_from, 0, tensor.shape[dim] - 1)
        return tensor.index_select(dim, index_tensor(held, tensor.device))

    return tap(first) * (1 - weight) + tap(first + 1) * weight


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.upsample_nearest2d.vec: _nearest,
    aten.upsample_bilinear2d.vec: _bilinear,
}
