"""GhostPAN, the neck of NanoDet-Plus: a path down the pyramid and one back up, of ghost modules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model.config import TraceNetConfig
from tracenet.model.layers import DepthwiseConv2d, Rectifier, convolution
from tracenet.model.shufflenet import pointwise


class GhostBlock(nn.Module):
    """Two ghost modules with a shortcut (arXiv 1911.11907).

    A ghost module computes half of its channels by a 1x1 convolution, and the other half from those
    by a depthwise one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.a = pointwise(2 * channels, half)
        self.a_dw = DepthwiseConv2d(half, 3, 1, bias=True)
        self.b = pointwise(channels, half)
        self.b_dw = DepthwiseConv2d(half, 3, 1, bias=True)
        self.skip_dw = DepthwiseConv2d(2 * channels, 5, 1, bias=True)
        self.skip = pointwise(2 * channels, channels)
        self.activation = Rectifier()

    def forward(self, x: Tensor) -> Tensor:
        """N x 2 C x H x W -> N x C x H x W."""
        a = self.activation(self.a(x))
        b = self.b(_with_ghosts(a, self.activation(self.a_dw(a))))
        y: Tensor = _with_ghosts(b, self.b_dw(b)) + self.skip(self.skip_dw(x))
        return y


def _with_ghosts(x: Tensor, ghosts: Tensor) -> Tensor:
    return torch.cat([x, ghosts], 1)


class DownBlock(nn.Module):
    """Depthwise 5x5 of stride 2, and 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.d = DepthwiseConv2d(channels, 5, 2, bias=True)
        self.p = pointwise(channels, channels)
        self.activation = Rectifier()

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x C x H / 2 x W / 2."""
        y: Tensor = self.activation(self.p(self.activation(self.d(x))))
        return y


class GhostPAN(nn.Module):
    """C3, C4, C5 -> features at strides 8, 16, 32 and 64.

    BatchNorm is folded into the convolutions.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.red = nn.ModuleList(pointwise(c, channels) for c in in_channels)
        self.td = nn.ModuleList(GhostBlock(channels) for _ in range(2))
        self.down = nn.ModuleList(DownBlock(channels) for _ in range(2))
        self.bu = nn.ModuleList(GhostBlock(channels) for _ in range(2))
        self.extra_in = DownBlock(channels)
        self.extra_out = DownBlock(channels)
        self.activation = Rectifier()

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N x C_l x H_l x W_l at strides 8, 16, 32 -> N x C x H_l x W_l, and one at stride 64."""
        r3, r4, r5 = (
            self.activation(reduce(c)) for reduce, c in zip(self.red, (c3, c4, c5), strict=True)
        )
        m4 = self.td[0](torch.cat([_twice(r5), r4], 1))
        p3 = self.td[1](torch.cat([_twice(m4), r3], 1))
        p4 = self.bu[0](torch.cat([self.down[0](p3), m4], 1))
        p5 = self.bu[1](torch.cat([self.down[1](p4), r5], 1))
        return p3, p4, p5, self.extra_in(r5) + self.extra_out(p5)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class PathAggregationPyramid(nn.Module):
    """GhostPAN, whose coarsest level is P6, and a stride-2 convolution on it for P7."""

    def __init__(self, in_channels: Sequence[int], config: TraceNetConfig) -> None:
        super().__init__()
        channels = config.pyramid_channels
        self.neck = GhostPAN(in_channels, channels)
        self.p7 = convolution(channels, channels, 3, 2, config.separable, bias=True)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> list[Tensor]:
        """C3, C4, C5 -> P3 ... P7, each N x pyramid_channels x H_l x W_l."""
        p3, p4, p5, p6 = self.neck(c3, c4, c5)
        return [p3, p4, p5, p6, self.p7(F.relu(p6))]
