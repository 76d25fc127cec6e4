"""Trunks: ResNet-50/101 and MobileNetV2, in torchvision's tensor names, and ShuffleNetV2.

Every trunk gives C1, C3, C4, C5: features at strides 2, 8, 16, 32.
"""

from __future__ import annotations

from torch import Tensor, nn

from tracenet.model.config import BackboneName
from tracenet.model.layers import DepthwiseConv2d
from tracenet.model.shufflenet import ShuffleNetV2


class Bottleneck(nn.Module):
    """ResNet's bottleneck, with the stride in the 3x3 convolution."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x 4 * width x H / stride x W / stride."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        y: Tensor = self.relu(self.bn3(self.conv3(x)) + residual)
        return y


class ResNet(nn.Module):
    """ResNet without its classifier (arXiv 1512.03385)."""

    stem_channels = 64
    out_channels = (512, 1024, 2048)

    def __init__(self, depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = self._layer(64, 64, depths[0], 1)
        self.layer2 = self._layer(256, 128, depths[1], 2)
        self.layer3 = self._layer(512, 256, depths[2], 2)
        self.layer4 = self._layer(1024, 512, depths[3], 2)

    @staticmethod
    def _layer(in_channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
        blocks = [Bottleneck(in_channels, width, stride)]
        blocks += [Bottleneck(4 * width, width, 1) for _ in range(depth - 1)]
        return nn.Sequential(*blocks)

    def early_layers(self) -> list[nn.Module]:
        """The layers up to stride 4."""
        return [self.conv1, self.bn1, self.layer1]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N x 3 x H x W -> C1, C3, C4, C5."""
        c1 = self.relu(self.bn1(self.conv1(x)))
        c3 = self.layer2(self.layer1(self.maxpool(c1)))
        c4 = self.layer3(c3)
        return c1, c3, c4, self.layer4(c4)


def _with_relu6(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand 1x1, depthwise 3x3, project 1x1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_with_relu6(nn.Conv2d(in_channels, hidden, 1)))
        layers.append(_with_relu6(DepthwiseConv2d(hidden, 3, stride, bias=True)))
        layers.append(nn.Conv2d(hidden, out_channels, 1))
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x C' x H / stride x W / stride."""
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 1.0 without its last 1x1 layer and classifier (arXiv 1801.04381).

    BatchNorm is folded into the convolutions, as in the weights it starts from: it trains and runs
    as plain convolutions with biases.
    """

    stem_channels = 16
    out_channels = (32, 96, 320)
    _blocks = (
        # expansion, channels, repeats, stride
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    _c1, _c2, _c3, _c4 = 1, 3, 6, 13  # in `features`, the last layers at strides 2, 4, 8, 16

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_with_relu6(nn.Conv2d(3, 32, 3, 2, padding=1))]
        channels = 32
        for expansion, out_channels, repeats, stride in self._blocks:
            for index in range(repeats):
                step = stride if index == 0 else 1
                layers.append(InvertedResidual(channels, out_channels, step, expansion))
                channels = out_channels
        self.features = nn.Sequential(*layers)

    def early_layers(self) -> list[nn.Module]:
        """The layers up to stride 4."""
        return [self.features[: self._c2 + 1]]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N x 3 x H x W -> C1, C3, C4, C5."""
        c1 = self.features[: self._c1 + 1](x)
        c3 = self.features[self._c1 + 1 : self._c3 + 1](c1)
        c4 = self.features[self._c3 + 1 : self._c4 + 1](c3)
        return c1, c3, c4, self.features[self._c4 + 1 :](c4)


def build_backbone(name: BackboneName) -> ResNet | MobileNetV2 | ShuffleNetV2:
    """A trunk with random weights."""
    match name:
        case "resnet50":
            return ResNet((3, 4, 6, 3))
        case "resnet101":
            return ResNet((3, 4, 23, 3))
        case "mobilenetv2":
            return MobileNetV2()
        case "shufflenetv2":
            return ShuffleNetV2((116, 232, 464))
        case "shufflenetv2-1.5x":
            return ShuffleNetV2((176, 352, 704))
