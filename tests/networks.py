"""Well-known convolutional networks in a few lines each, as a user would bring them to the tracer.

Written from the papers, with their block counts and channels. Those for classification return the
maps of all stages and stop before global pooling, which `Classifier` adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Maps = dict[str, Tensor]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """A padded convolution, BatchNorm and an in-place activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
    ]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


class Stages(nn.Module):
    """A stem and stages one after the other; returns what each stage returns: c2, c3 and so on."""

    def __init__(self, stem: nn.Module, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)

    def forward(self, picture: Tensor) -> Maps:
        x = self.stem(picture)
        maps = {}
        for number, stage in enumerate(self.stages):
            x = stage(x)
            maps[f"c{number + 2}"] = x
        return maps


class Classifier(nn.Module):
    """A backbone with global pooling and a linear layer, which no receptive field bounds."""

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, 1000)

    def forward(self, picture: Tensor) -> Tensor:
        *_, last = self.backbone(picture).values()
        return self.head(self.pool(last).flatten(1))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and -34)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(in_channels, channels, 3, stride),
            convolution(channels, channels, 3, activation=None),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = convolution(in_channels, channels, 1, stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def resnet18() -> Stages:
    stem = nn.Sequential(convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
    stages, in_channels = [], 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        stages.append(
            nn.Sequential(
                BasicBlock(in_channels, channels, stride), BasicBlock(channels, channels, 1)
            )
        )
        in_channels = channels
    return Stages(stem, stages)


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow without activation (MobileNetV2)."""

    def __init__(self, in_channels: int, channels: int, stride: int, widening: int) -> None:
        super().__init__()
        hidden = in_channels * widening
        widen = [convolution(in_channels, hidden, 1, activation=nn.ReLU6)] if widening > 1 else []
        self.body = nn.Sequential(
            *widen,
            convolution(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            convolution(hidden, channels, 1, activation=None),
        )
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.has_shortcut else self.body(x)


def mobilenet_v2() -> Stages:
    stages: list[nn.Module] = []
    in_channels = 32
    for widening, channels, count, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        blocks = []
        for index in range(count):
            blocks.append(
                InvertedResidual(in_channels, channels, stride if index == 0 else 1, widening)
            )
            in_channels = channels
        stages.append(nn.Sequential(*blocks))
    stages.append(convolution(320, 1280, 1, activation=nn.ReLU6))
    return Stages(convolution(3, 32, 3, 2, activation=nn.ReLU6), stages)


class GroupedBottleneck(nn.Module):
    """1x1, grouped 3x3, 1x1, all of one width (RegNetX)."""

    def __init__(self, in_channels: int, channels: int, stride: int, group_width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(in_channels, channels, 1),
            convolution(channels, channels, 3, stride, groups=channels // group_width),
            convolution(channels, channels, 1, activation=None),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = convolution(in_channels, channels, 1, stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x))


def regnet_x_400mf() -> Stages:
    stages, in_channels = [], 32
    for channels, count in ((32, 1), (64, 2), (160, 7), (400, 12)):
        blocks = []
        for index in range(count):
            stride = 2 if index == 0 else 1
            blocks.append(GroupedBottleneck(in_channels, channels, stride, group_width=16))
            in_channels = channels
        stages.append(nn.Sequential(*blocks))
    return Stages(convolution(3, 32, 3, 2), stages)


class DenseLayer(nn.Module):
    """Appends ``growth`` channels to its input (DenseNet)."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.body = nn.Sequential(
            convolution(in_channels, 4 * growth, 1),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(F.relu(self.norm(x)))], dim=1)


def densenet121() -> Stages:
    stages, channels = [], 64
    for index, count in enumerate((6, 12, 24, 16)):
        layers: list[nn.Module] = []
        if index > 0:
            layers += [
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels // 2, 1, bias=False),
                nn.AvgPool2d(2, 2),
            ]
            channels //= 2
        for _ in range(count):
            layers.append(DenseLayer(channels, growth=32))
            channels += 32
        stages.append(nn.Sequential(*layers))
    return Stages(nn.Sequential(convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)), stages)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, the others are filtered, then the halves mix (ShuffleNetV2)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        half = channels // 2
        body_channels = in_channels if stride == 2 else half
        self.body = nn.Sequential(
            convolution(body_channels, half, 1),
            convolution(half, half, 3, stride, groups=half, activation=None),
            convolution(half, half, 1),
        )
        self.passing: nn.Module | None = None
        if stride == 2:
            self.passing = nn.Sequential(
                convolution(in_channels, in_channels, 3, 2, groups=in_channels, activation=None),
                convolution(in_channels, half, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.passing is None:
            passed, filtered = x.chunk(2, dim=1)
            joined = torch.cat([passed, self.body(filtered)], dim=1)
        else:
            joined = torch.cat([self.passing(x), self.body(x)], dim=1)
        batch, channels, height, width = joined.shape
        halves = joined.view(batch, 2, channels // 2, height, width)
        return halves.transpose(1, 2).contiguous().view(batch, channels, height, width)


def shufflenet_v2() -> Stages:
    stages: list[nn.Module] = []
    in_channels = 24
    for channels, count in ((116, 4), (232, 8), (464, 4)):
        units = [ShuffleUnit(in_channels, channels, 2)]
        units += [ShuffleUnit(channels, channels, 1) for _ in range(count - 1)]
        stages.append(nn.Sequential(*units))
        in_channels = channels
    stages.append(convolution(464, 1024, 1))
    return Stages(nn.Sequential(convolution(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)), stages)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of N x C x H x W, written out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        variance = centred.pow(2).mean(1, keepdim=True)
        normalised = centred / torch.sqrt(variance + 1e-6)
        return self.weight[:, None, None] * normalised + self.bias[:, None, None]


class ConvNeXtBlock(nn.Module):
    """A 7x7 depthwise convolution, then two linear layers on N x H x W x C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        last = self.depthwise(x).permute(0, 2, 3, 1)
        last = self.scale * self.narrow(F.gelu(self.widen(self.norm(last))))
        return x + last.permute(0, 3, 1, 2)


def convnext_tiny() -> Stages:
    stages, in_channels = [], 96
    for index, (channels, count) in enumerate(((96, 3), (192, 3), (384, 9), (768, 3))):
        layers: list[nn.Module] = []
        if index > 0:
            layers += [ChannelNorm(in_channels), nn.Conv2d(in_channels, channels, 2, 2)]
        layers += [ConvNeXtBlock(channels) for _ in range(count)]
        stages.append(nn.Sequential(*layers))
        in_channels = channels
    return Stages(nn.Sequential(nn.Conv2d(3, 96, 4, 4), ChannelNorm(96)), stages)


class UNet(nn.Module):
    """Three times down and, with transposed convolutions, up again."""

    def __init__(self, channels: Sequence[int] = (32, 64, 128, 256), classes: int = 5) -> None:
        super().__init__()
        pairs = list(pairwise(channels))
        self.first = self._twice(3, channels[0])
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), self._twice(fine, coarse)) for fine, coarse in pairs
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, 2) for fine, coarse in pairs)
        self.merge = nn.ModuleList(self._twice(2 * fine, fine) for fine, _ in pairs)
        self.last = nn.ConvTranspose2d(channels[0], classes, 4, 2, 1)

    @staticmethod
    def _twice(in_channels: int, channels: int) -> nn.Sequential:
        return nn.Sequential(
            convolution(in_channels, channels, 3), convolution(channels, channels, 3)
        )

    def forward(self, picture: Tensor) -> Tensor:
        maps = [self.first(picture)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            x = merge(torch.cat([maps.pop(), up(x)], dim=1))
        return self.last(x)


class FeaturePyramid(nn.Module):
    """p3, p4, p5 from c3, c4, c5 of ResNet-18, and p6, p7 on top."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.backbone = resnet18()
        self.lateral = nn.ModuleList(nn.Conv2d(size, channels, 1) for size in (128, 256, 512))
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.p6 = nn.Conv2d(channels, channels, 3, 2, 1)
        self.p7 = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, picture: Tensor) -> Maps:
        maps = self.backbone(picture)
        sources = [maps["c3"], maps["c4"], maps["c5"]]
        merged = [lateral(x) for lateral, x in zip(self.lateral, sources, strict=True)]
        for index in (1, 0):
            coarser = F.interpolate(merged[index + 1], size=merged[index].shape[-2:])
            merged[index] = merged[index] + coarser
        p3, p4, p5 = (smooth(x) for smooth, x in zip(self.smooth, merged, strict=True))
        p6 = self.p6(p5)
        return {"p3": p3, "p4": p4, "p5": p5, "p6": p6, "p7": self.p7(F.relu(p6))}


def tower(channels: int, normalised: bool) -> nn.Sequential:
    """Four 3x3 convolutions, as detection heads have them."""
    if normalised:
        return nn.Sequential(*(convolution(channels, channels, 3) for _ in range(4)))
    plain = [(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(4)]
    return nn.Sequential(*(layer for pair in plain for layer in pair))


class RetinaNet(nn.Module):
    """Classes and boxes of nine anchors per cell of p3 to p7."""

    def __init__(self, channels: int = 256, classes: int = 80, anchors: int = 9) -> None:
        super().__init__()
        self.pyramid = FeaturePyramid(channels)
        self.class_head = nn.Sequential(
            tower(channels, False), nn.Conv2d(channels, anchors * classes, 3, padding=1)
        )
        self.box_head = nn.Sequential(
            tower(channels, False), nn.Conv2d(channels, anchors * 4, 3, padding=1)
        )

    def forward(self, picture: Tensor) -> dict[str, Maps]:
        return {
            level: {"class": self.class_head(x), "box": self.box_head(x)}
            for level, x in self.pyramid(picture).items()
        }


class CondInst(nn.Module):
    """FCOS heads with BatchNorm, the controller of the mask head, and the mask branch."""

    def __init__(self, channels: int = 256, classes: int = 80) -> None:
        super().__init__()
        self.pyramid = FeaturePyramid(channels)
        self.class_tower, self.box_tower = tower(channels, True), tower(channels, True)
        self.score = nn.Conv2d(channels, classes, 3, padding=1)
        self.box = nn.Conv2d(channels, 4, 3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, 3, padding=1)
        self.controller = nn.Conv2d(channels, 169, 3, padding=1)
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(1.0)) for _ in range(5))
        self.refine = nn.ModuleList(convolution(channels, 128, 3) for _ in range(3))
        self.mask_branch = nn.Sequential(
            *(convolution(128, 128, 3) for _ in range(4)), nn.Conv2d(128, 8, 1)
        )

    def forward(self, picture: Tensor) -> dict[str, Tensor | Maps]:
        maps = self.pyramid(picture)
        outputs: dict[str, Tensor | Maps] = {"mask": self._mask_features(maps)}
        for scale, (level, x) in zip(self.scales, maps.items(), strict=True):
            of_class, of_box = self.class_tower(x), self.box_tower(x)
            outputs[level] = {
                "score": self.score(of_class),
                "box": F.relu(self.box(of_box) * scale),
                "centerness": self.centerness(of_box),
                "filter": self.controller(of_box),
            }
        return outputs

    def _mask_features(self, maps: Maps) -> Tensor:
        p3, p4, p5 = (
            refine(maps[level])
            for refine, level in zip(self.refine, ("p3", "p4", "p5"), strict=True)
        )
        for factor, x in ((2, p4), (4, p5)):
            p3 = p3 + F.interpolate(
                x, scale_factor=float(factor), mode="bilinear", align_corners=False
            )
        return self.mask_branch(p3)


def randomize(network: nn.Module, picture: Tensor, seed: int = 0) -> nn.Module:
    """Random weights and BatchNorm statistics under which values keep their order of size.

    Returns the network in eval mode, in the precision of the picture.
    """
    torch.manual_seed(seed)
    network.to(picture.dtype).train()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over everything that it normalises below
            assert module.weight is not None
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    with torch.no_grad():
        network(torch.cat([picture, picture.flip(3)]))
    return network.eval()
