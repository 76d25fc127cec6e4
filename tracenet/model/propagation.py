"""Propagation: what a clip's earlier frames, kept in a memory, say of the mask in this one.

A space-time memory (MiVOS, arXiv 2103.07941, section 3.2) with STCN's simplifications (arXiv
2106.05210): a frame has one key for all objects, and a value is that of a frame and a mask.
TraceNet's features of the tile are computed as for a tap, and propagation reads them. Everything
here is local; the read of the memory, which is not, is the host's
(:mod:`tracenet_runtime.tracking.memory`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model.config import TraceNetConfig
from tracenet.model.layers import enlarged, joined, residuals, separable
from tracenet_runtime.tracking.contract import KEY_CHANNELS, VALUE_CHANNELS

TRACK_STRIDES = (2, 4, 8, 16)
"""Tile pixels per cell of what is kept of a frame."""

KERNELS = (3, 3, 5, 5)
"""Of the depthwise convolutions at these strides."""


class FrameFeatures(NamedTuple):
    """What propagation reads of a frame's tile.

    Attributes:
        edges, fine, coarse, deep: N x C_i x H / s x W / s at TRACK_STRIDES.
        key: N x KEY_CHANNELS x H / 16 x W / 16.
    """

    edges: Tensor
    fine: Tensor
    coarse: Tensor
    deep: Tensor
    key: Tensor


class FrameEncoder(nn.Module):
    """TraceNet's features of a tile, reduced, and its key; once per frame for all objects."""

    DEPTH = 2
    """Residual layers at stride 16."""

    def __init__(self, stem_channels: int, config: TraceNetConfig) -> None:
        super().__init__()
        edges, fine, coarse, deep = config.track_channels
        self.edges = joined(stem_channels, edges)
        self.stem = nn.Sequential(
            nn.Conv2d(stem_channels, fine, 3, 2, padding=1, bias=False), nn.BatchNorm2d(fine)
        )
        self.fine = joined(config.mask_channels // 2, fine)
        self.coarse = joined(config.mask_channels, coarse)
        self.level = nn.ModuleList(
            joined(config.pyramid_channels, channels) for channels in (coarse, deep, deep)
        )
        self.down = separable(coarse, deep, KERNELS[-1], 2)
        self.mix = residuals(deep, KERNELS[-1], self.DEPTH)
        self.key = nn.Conv2d(deep, KEY_CHANNELS, 3, padding=1)

    def forward(
        self, c1: Tensor, pyramid: Sequence[Tensor], coarse: Tensor, fine: Tensor
    ) -> FrameFeatures:
        """C1, P3, P4, P5 and the mask branch at strides 8 and 4 -> what propagation reads."""
        p3, p4, p5 = (reduce(x) for reduce, x in zip(self.level, pyramid[:3], strict=True))
        x8 = p3 + self.coarse(coarse)
        x16 = self.mix(F.relu(p4 + enlarged(p5) + self.down(F.relu(x8))))
        x4 = self.stem(c1) + self.fine(fine)
        return FrameFeatures(self.edges(c1), x4, x8, x16, self.key(x16))


class PlaneEncoder(nn.Module):
    """A frame's features and planes at stride 4 -> features of both at strides 4, 8 and 16."""

    DEPTHS = (1, 1, 2)
    """Residual layers at each stride."""

    def __init__(self, planes: int, config: TraceNetConfig) -> None:
        super().__init__()
        widths, kernels = config.track_channels[1:], KERNELS[1:]
        self.planes = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(planes, widths[0], 3, padding=1, bias=False),
                    nn.BatchNorm2d(widths[0]),
                ),
                *(joined(planes, width) for width in widths[1:]),
            ]
        )
        self.down = nn.ModuleList(
            separable(i, o, kernel, 2)
            for (i, o), kernel in zip(pairwise(widths), kernels[1:], strict=True)
        )
        self.encode = nn.ModuleList(
            residuals(*layers) for layers in zip(widths, kernels, self.DEPTHS, strict=True)
        )

    def forward(
        self, features: FrameFeatures, planes: Tensor, read: Tensor | None = None
    ) -> list[Tensor]:
        """N x C_i x h / 2^i x w / 2^i, at stride 4 first.

        Args:
            features: of the frame.
            planes: N x P x h x w.
            read: N x C_2 x h / 4 x w / 4, added at stride 16.
        """
        outputs: list[Tensor] = []
        shown = planes
        for index, (feature, reduce, encode) in enumerate(
            zip(features[1:4], self.planes, self.encode, strict=True)
        ):
            if outputs:
                shown = F.avg_pool2d(shown, 2)
                feature = feature + self.down[index - 1](outputs[-1])
            if read is not None and index == len(self.planes) - 1:
                feature = feature + read
            outputs.append(encode(F.relu(feature + reduce(shown))))
        return outputs


class ValueEncoder(nn.Module):
    """A frame and an object's mask on it -> what the memory keeps of that object."""

    PLANES = 2

    def __init__(self, config: TraceNetConfig) -> None:
        super().__init__()
        self.encoder = PlaneEncoder(self.PLANES, config)
        self.project = nn.Conv2d(config.track_channels[-1], VALUE_CHANNELS, 1)

    def forward(self, features: FrameFeatures, masks: Tensor) -> Tensor:
        """N x VALUE_CHANNELS x h / 4 x w / 4.

        Args:
            features: of the frame.
            masks: N x 2 x h x w in [0, 1], at stride 4: the object's, and the sum of the others'.
        """
        value: Tensor = self.project(self.encoder(features, masks)[-1])
        return value


class MaskDecoder(nn.Module):
    """A frame, what the memory says of it and the mask so far -> the mask, and presence."""

    DEPTHS = (1, 2, 2)
    """Residual layers at strides 2, 4 and 8, on the way up."""

    def __init__(self, config: TraceNetConfig) -> None:
        super().__init__()
        widths = config.track_channels
        edges, fine = widths[:2]
        pairs = list(pairwise(widths[1:]))
        self.read = joined(VALUE_CHANNELS, widths[-1])
        self.encoder = PlaneEncoder(1, config)
        self.up = nn.ModuleList(joined(o, i) for i, o in pairs)
        self.decode = nn.ModuleList(
            residuals(*layers)
            for layers in zip(widths[1:-1], KERNELS[1:-1], self.DEPTHS[1:], strict=True)
        )
        self.predict = nn.Conv2d(fine, 1, 3, padding=1)
        self.sharpen = joined(fine, edges)
        self.decode_edges = residuals(edges, KERNELS[0], self.DEPTHS[0])
        self.predict_edges = nn.Conv2d(edges, 1, 3, padding=1)
        self.presence = nn.Conv2d(widths[-1], 1, 1)
        # The coarser mask at first, enlarged.
        nn.init.zeros_(self.predict_edges.weight)
        assert self.predict_edges.bias is not None
        nn.init.zeros_(self.predict_edges.bias)

    def forward(
        self, features: FrameFeatures, read: Tensor, prior: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The mask's logits, N x 1 x 2 h x 2 w, and presence, N x 1 x h / 4 x w / 4.

        Presence are logits of whether the thing is at a cell. It is in the tile if it is at any, so
        that the largest says it.

        Args:
            features: of the frame.
            read: N x VALUE_CHANNELS x h / 4 x w / 4, of the memory.
            prior: N x 1 x h x w in [0, 1], the last frame's mask where it lies in this tile; all 0
                where none is known.
        """
        *skips, x = self.encoder(features, prior, self.read(read))
        presence: Tensor = self.presence(x)
        for skip, up, decode in reversed(list(zip(skips, self.up, self.decode, strict=True))):
            x = decode(F.relu(skip + enlarged(up(x))))
        sharp = self.decode_edges(F.relu(features.edges + enlarged(self.sharpen(x))))
        logits: Tensor = enlarged(self.predict(x)) + self.predict_edges(sharp)
        return logits, presence


class Propagation(nn.Module):
    """The convolutional parts of propagation; each is run by itself.

    Args:
        stem_channels: of TraceNet's C1.
        config: of the network; ``track_channels`` are the widths at TRACK_STRIDES.
    """

    def __init__(self, stem_channels: int, config: TraceNetConfig) -> None:
        super().__init__()
        self.frame = FrameEncoder(stem_channels, config)
        self.value = ValueEncoder(config)
        self.decoder = MaskDecoder(config)
        # What is rare at first: most cells are not the thing's.
        assert self.decoder.predict.bias is not None
        nn.init.constant_(self.decoder.predict.bias, -2.0)
