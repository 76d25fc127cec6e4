"""Convolution blocks of the pyramid, the heads, the mask branch and what follows them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        # Channels stay innermost, as the convolutions before and after have them, and all canvases
        # are one picture of a row of cells each: a layout that BatchNorm's gradients take as it is,
        # where another takes them ten times as long.
        joined = torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in levels], dim=1)
        normalised = self(joined.permute(2, 0, 1).unsqueeze(0)).squeeze(0).permute(1, 2, 0)
        parts = normalised.split(cells, dim=1)
        return [
            part.unflatten(1, level.shape[2:]).permute(0, 3, 1, 2)
            for part, level in zip(parts, levels, strict=True)
        ]


class Rectifier(nn.Module):
    """ReLU, for layers that were pretrained with LeakyReLU.

    Training begins with the slope that they know and lets it fall to 0 (``--leaky-steps``).
    ReLU is what every engine computes together with the convolution before it, in 8 bits as well,
    where the wide range below 0 would cost the values above it their precision.

    Attributes:
        slope: of what is below 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same; ``x`` is overwritten."""
        if self.slope:
            return F.leaky_relu(x, self.slope, inplace=True)
        return F.relu(x, inplace=True)


class DepthwiseConv2d(nn.Conv2d):
    """A k x k convolution of each channel by itself.

    On a CPU it leaves half precision alone: oneDNN's bf16 gradients of depthwise convolutions take
    two to eighteen times as long as its fp32 ones, and forward bf16 gains nothing.
    """

    def __init__(self, channels: int, kernel: int, stride: int, *, bias: bool) -> None:
        super().__init__(
            channels, channels, kernel, stride, kernel // 2, groups=channels, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """N x C x H x W -> N x C x H / stride x W / stride."""
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


def convolution(
    in_channels: int, out_channels: int, kernel: int, stride: int, separable: bool, bias: bool
) -> nn.Module:
    """A k x k convolution, or a depthwise k x k one (with BatchNorm) and a 1x1 one."""
    if not separable:
        return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)
    return nn.Sequential(
        DepthwiseConv2d(in_channels, kernel, stride, bias=False),
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


def joined(in_channels: int, out_channels: int) -> nn.Sequential:
    """1x1 and BatchNorm: what is added to something else."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
    )


def separable(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Sequential:
    """Depthwise k x k, BatchNorm, ReLU, 1x1, BatchNorm: what is added to something else."""
    return nn.Sequential(
        DepthwiseConv2d(in_channels, kernel, stride, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        *joined(in_channels, out_channels),
    )


class Residual(nn.Module):
    """ReLU(x + separable convolution of x)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.branch = separable(channels, channels, kernel, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same shape."""
        return F.relu(x + self.branch(x))


def residuals(channels: int, kernel: int, depth: int) -> nn.Sequential:
    """Several residual layers."""
    return nn.Sequential(*(Residual(channels, kernel) for _ in range(depth)))


def enlarged(x: Tensor) -> Tensor:
    """Twice as high and wide, bilinearly."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class TowerLayer(nn.Module):
    """Convolution, BatchNorm, ReLU on every level with the same weights."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, separable: bool) -> None:
        super().__init__()
        self.depthwise: nn.Module = nn.Identity()
        self.depthwise_norm: LevelSharedBatchNorm | None = None
        if separable:
            self.depthwise = DepthwiseConv2d(in_channels, kernel, 1, bias=False)
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
