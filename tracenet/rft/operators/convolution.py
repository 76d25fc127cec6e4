"""Convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.rft.axis_maps import Sliding, Transposed
from tracenet.rft.geometry import Rect
from tracenet.rft.operators.call import Call, Patch, Refusal, Rule, RuleReader
from tracenet.rft.operators.windows import fit, needed_rect

aten = torch.ops.aten


def _parameters(call: Call) -> tuple[Tensor, Tensor | None]:
    weight, bias = call["weight"], call["bias"]
    if not isinstance(weight, Tensor) or not (bias is None or isinstance(bias, Tensor)):
        raise Refusal("its weights are computed from the picture")
    return weight, bias


def _padding(amount: int | str, kernel: int, dilation: int) -> tuple[int, int]:
    """Cells before and after the input; ``"same"`` puts the odd one after it."""
    match amount:
        case "same":
            total = dilation * (kernel - 1)
            return total // 2, total - total // 2
        case "valid":
            return 0, 0
        case int():
            return amount, amount
    raise Refusal(f"its padding {amount!r} is not known")


def _conv2d(call: Call) -> Rule:
    weight, bias = _parameters(call)
    is_named = isinstance(call["padding"], str)
    paddings = (call["padding"],) * 2 if is_named else call.pair("padding")
    strides, dilations = call.pair("stride"), call.pair("dilation")
    _, channels_per_group, *kernels = weight.shape
    y, x = (
        Sliding(kernel, stride, *_padding(padding, kernel, dilation), dilation)
        for kernel, stride, padding, dilation in zip(
            kernels, strides, paddings, dilations, strict=True
        )
    )

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        padded = fit(patches[0], needed_rect(y, x, wanted), fill=0.0)
        return F.conv2d(padded, weight, bias, strides, 0, dilations, call["groups"])

    macs = call.batch * call.channels * channels_per_group * kernels[0] * kernels[1]
    return Rule(y, x, kernel, macs)


def _conv_transpose2d(call: Call) -> Rule:
    weight, bias = _parameters(call)
    strides, dilations = call.pair("stride"), call.pair("dilation")
    in_channels, channels_per_group, *kernels = weight.shape
    y, x = (
        Transposed(*axis)
        for axis in zip(
            kernels,
            strides,
            call.pair("padding"),
            dilations,
            call.pair("output_padding"),
            strict=True,
        )
    )

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        read = needed_rect(y, x, wanted, call.inputs[0].extent)
        summed = F.conv_transpose2d(
            patches[0].crop(read), weight, None, strides, 0, 0, call["groups"], dilations
        )
        top, left = read.y0 * y.stride - y.padding, read.x0 * x.stride - x.padding
        reached = Rect(top, top + summed.shape[2], left, left + summed.shape[3])
        result = fit(Patch(summed, reached), wanted, fill=0.0)
        return result if bias is None else result + bias.reshape(-1, 1, 1)

    macs = call.batch * in_channels * channels_per_group * kernels[0] * kernels[1]
    return Rule(y, x, kernel, macs)


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.conv2d.default: _conv2d,
    aten.conv2d.padding: _conv2d,
    aten.conv_transpose2d.input: _conv_transpose2d,
}
