"""Convolution blocks of the pyramid, the heads and the mask branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LevelSharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose statistics are those of all pyramid levels together.

    The heads' weights serve every level. Normalising each level by itself while training would give
    every level statistics of its own, which the single set of running statistics used afterwards
    cannot reproduce; normalising them together makes training and inference agree.
    """

    def forward_levels(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """N x C x H_l x W_l per level -> the same shapes."""
        if not self.training:
            return [self(level) for level in levels]
        cells = [level.shape[2] * level.shape[3] for level in levels]
        joined = torch.cat([level.flatten(2) for level in levels], dim=2).unsqueeze(3)
        parts = self(joined).squeeze(3).split(cells, dim=2)
        return [part.reshape(level.shape) for part, level in zip(parts, levels, strict=True)]


def convolution(
    in_channels: int, out_channels: int, kernel: int, stride: int, separable: bool, bias: bool
) -> nn.Module:
    """A k x k convolution, or a depthwise k x k one (with BatchNorm) and a 1x1 one."""
    if not separable:
        return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            in_channels,
            kernel,
            stride,
            kernel // 2,
            groups=in_channels,
            bias=False,
        ),
        nn.BatchNorm2d(in_channels),
        nn.Conv2d(in_channels, out_channels, 1, bias=bias),
    )


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel: int, separable: bool
) -> nn.Sequential:
    """Stride-1 convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        convolution(in_channels, out_channels, kernel, 1, separable, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class TowerLayer(nn.Module):
    """Convolution, BatchNorm, ReLU on every level with the same weights."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, separable: bool) -> None:
        super().__init__()
        self.depthwise: nn.Module = nn.Identity()
        self.depthwise_norm: LevelSharedBatchNorm | None = None
        if separable:
            self.depthwise = nn.Conv2d(
                in_channels, in_channels, kernel, 1, kernel // 2, groups=in_channels, bias=False
            )
            self.depthwise_norm = LevelSharedBatchNorm(in_channels)
            kernel = 1
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, 1, kernel // 2, bias=False)
        self.norm = LevelSharedBatchNorm(out_channels)
        self.relu = nn.ReLU()

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """N x C x H_l x W_l per level -> N x C' x H_l x W_l per level."""
        outputs = [self.depthwise(level) for level in levels]
        if self.depthwise_norm is not None:
            outputs = self.depthwise_norm.forward_levels(outputs)
        outputs = self.norm.forward_levels([self.conv(level) for level in outputs])
        return [self.relu(level) for level in outputs]
