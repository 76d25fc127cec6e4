"""Max and average pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.rft.axis_maps import Sliding
from tracenet.rft.geometry import IntArray, Rect
from tracenet.rft.operators.call import Call, Patch, Rule, RuleReader
from tracenet.rft.operators.windows import fit, needed_rect

aten = torch.ops.aten


def _axes(call: Call, dilations: tuple[int, int]) -> tuple[Sliding, Sliding]:
    kernels, paddings = call.pair("kernel_size"), call.pair("padding")
    strides = call.pair("stride") if call["stride"] else kernels
    y, x = (
        Sliding(kernel, stride, padding, padding, dilation, call["ceil_mode"])
        for kernel, stride, padding, dilation in zip(
            kernels, strides, paddings, dilations, strict=True
        )
    )
    return y, x


def _max_pool2d(call: Call) -> Rule:
    y, x = _axes(call, call.pair("dilation"))

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        padded = fit(patches[0], needed_rect(y, x, wanted), fill=-torch.inf)
        return F.max_pool2d(
            padded, (y.kernel, x.kernel), (y.stride, x.stride), 0, (y.dilation, x.dilation)
        )

    return Rule(y, x, kernel)


def _averaged_cells(axis: Sliding, lo: int, hi: int, extent: int, count_padding: bool) -> IntArray:
    """How many cells each of the output cells ``[lo, hi)`` divides by, along one axis.

    Cells that ceil_mode adds beyond the padding never count.
    """
    starts = np.arange(lo, hi) * axis.stride - axis.pad_before
    ends = np.minimum(starts + axis.kernel, extent + axis.pad_after)
    if count_padding:
        return ends - starts
    return np.minimum(ends, extent) - np.maximum(starts, 0)


def _avg_pool2d(call: Call) -> Rule:
    y, x = _axes(call, dilations=(1, 1))
    height, width = call.inputs[0].extent
    fixed_divisor, count_padding = call["divisor_override"], call["count_include_pad"]

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        padded = fit(patches[0], needed_rect(y, x, wanted), fill=0.0)
        pooled: Tensor = F.avg_pool2d(
            padded, (y.kernel, x.kernel), (y.stride, x.stride), divisor_override=fixed_divisor or 1
        )
        if fixed_divisor is not None:
            return pooled
        rows = _averaged_cells(y, wanted.y0, wanted.y1, height, count_padding)
        columns = _averaged_cells(x, wanted.x0, wanted.x1, width, count_padding)
        return pooled / torch.as_tensor(np.outer(rows, columns)).to(pooled)

    return Rule(y, x, kernel)


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.max_pool2d.default: _max_pool2d,
    aten.avg_pool2d.default: _avg_pool2d,
}
