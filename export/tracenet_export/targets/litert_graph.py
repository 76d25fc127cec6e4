"""Programs as the XNNPACK delegate takes them whole: channels last, of operators that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model import MaskProbability
from tracenet.model.config import MASK_HEAD_LAYERS
from tracenet_export.programs import Program
from tracenet_runtime.contract import PROBABILITY_STRIDE


def channels_last(program: Program) -> nn.Module:
    """The program's computation on tensors 1 x H x W x C; its inputs are given by name."""
    if isinstance(program.module, MaskProbability):
        return _ByName(program, _ChannelsLastMaskHead(program.module.stride))
    exported = torch.export.export(program.module, program.example_inputs())
    return _ByName(program, _Permuted(exported.run_decompositions(_MENDED).module()))


def example_inputs(program: Program) -> Mapping[str, Tensor]:
    """Zeros for it, by name."""
    names = (spec.name for spec in program.inputs)
    values = (value.permute(0, 2, 3, 1).contiguous() for value in program.example_inputs())
    return dict(zip(names, values, strict=True))


class _ByName(nn.Module):
    """The converter names a signature's inputs as they are named here."""

    def __init__(self, program: Program, module: nn.Module) -> None:
        super().__init__()
        self._names = [spec.name for spec in program.inputs]
        self._module = module

    def forward(self, **inputs: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self._module(*(inputs[name] for name in self._names))
        return outputs


class _Permuted(nn.Module):
    """The converter cancels these transpositions against those that its convolutions need."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self._module(*(value.permute(0, 3, 1, 2) for value in inputs))
        return tuple(value.permute(0, 2, 3, 1) for value in outputs)


class _ChannelsLastMaskHead(nn.Module):
    """What MaskProbability computes, without transpositions or copies made by broadcasting.

    Instead of a concatenation, the first layer's products with the two planes of distances are
    added to those with the features.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self._stride = stride

    def forward(
        self, features: Tensor, filter: Tensor, offset: Tensor, inverse_size: Tensor
    ) -> tuple[Tensor]:
        """1 x h x w x 8, 1 x 1 x 1 x 169, 1 x 1 x 1 x 2, 1 x 1 x 1 x 1 -> 1 x fh x fw x 1.

        f is half the stride.
        """
        _, height, width, channels = features.shape
        sizes = [i * o for i, o in MASK_HEAD_LAYERS] + [o for _, o in MASK_HEAD_LAYERS]
        parts = torch.split(filter.reshape(1, -1), sizes, dim=1)
        weights = [
            part.reshape(1, outputs, inputs)
            for part, (inputs, outputs) in zip(parts, MASK_HEAD_LAYERS, strict=False)
        ]
        biases = [part.reshape(1, -1, 1) for part in parts[len(MASK_HEAD_LAYERS) :]]

        of_x, of_y, of_features = torch.split(weights[0], [1, 1, channels], dim=2)
        x = self._cell_distances(width).reshape(1, 1, 1, width)
        y = self._cell_distances(height).reshape(1, 1, height, 1)
        dx = (x + offset[:, :, :, 0:1]) * inverse_size * of_x.reshape(1, -1, 1, 1)
        dy = (y + offset[:, :, :, 1:2]) * inverse_size * of_y.reshape(1, -1, 1, 1)
        cells = features.reshape(1, height * width, channels)
        layer = torch.matmul(of_features, cells.transpose(1, 2))
        layer = layer + (dx + dy).reshape(1, -1, height * width) + biases[0]
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            layer = torch.matmul(weight, F.relu(layer)) + bias
        probability = torch.sigmoid(layer).reshape(1, 1, height, width)
        upsampled = F.interpolate(
            probability,
            scale_factor=self._stride / PROBABILITY_STRIDE,
            mode="bilinear",
            align_corners=False,
        )
        return (upsampled.permute(0, 2, 3, 1),)

    def _cell_distances(self, count: int) -> Tensor:
        """Canvas pixels from the first cell's centre to every cell's."""
        return torch.arange(count, dtype=torch.float32) * self._stride


def _upsample_nearest(
    cells: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None
) -> Tensor:
    """Nearest-neighbour upsampling of N x C x H x W by whole factors, by repeating memory.

    The delegate has no such operator, but it has concatenation: channels last, a row of cells that
    are each twice as deep is a row of twice as many cells.
    """
    count, channels, height, width = cells.shape
    rows, columns = (
        (size[0] / height, size[1] / width) if size is not None else (scales or (1.0, 1.0))
    )
    if rows != int(rows) or columns != int(columns):
        raise ValueError(
            f"upsampling by {rows} x {columns}, to the nearest neighbour, is not by whole factors"
        )
    wide = torch.cat([cells.permute(0, 2, 3, 1)] * int(columns), dim=3)
    lines = wide.reshape(count, height, 1, -1)
    tall = torch.cat([lines] * int(rows), dim=2)
    return tall.reshape(count, height * int(rows), -1, channels).permute(0, 3, 1, 2)


def _max_pool(
    cells: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Any:
    """Max pooling of N x C x H x W, padded by copies of its outermost rows and columns.

    The delegate leaves padding by -inf to others. The copies give the same: padding is at most half
    a kernel, so that a window with a copy has the original too. With gaps in the kernel it need
    not, and ``ceil_mode`` tells padding from cells; those are left alone.

    Returns:
        A tensor, or ``NotImplemented`` to leave the operator as it is.
    """
    if not any(padding) or any(step != 1 for step in dilation) or ceil_mode:
        return NotImplemented
    steps = stride or kernel
    for axis, size, step, margin in zip((2, 3), *map(_pair, (kernel, steps, padding)), strict=True):
        count = cells.shape[axis]
        windows = (count + 2 * margin - size) // step + 1
        behind = max(0, (windows - 1) * step + size - margin - count)  # no more than is read
        first, last = cells.narrow(axis, 0, 1), cells.narrow(axis, count - 1, 1)
        cells = torch.cat([first] * margin + [cells] + [last] * behind, dim=axis)
    return F.max_pool2d(cells, list(kernel), list(steps))


def _pair(sizes: Sequence[int]) -> Sequence[int]:
    """PyTorch's operators take one number for both axes."""
    return sizes if len(sizes) == 2 else (*sizes, *sizes)


_MENDED = {
    torch.ops.aten.upsample_nearest2d.vec: _upsample_nearest,
    torch.ops.aten.max_pool2d.default: _max_pool,
}
"""Operators that the delegate leaves to others -> the same of those that it takes."""
