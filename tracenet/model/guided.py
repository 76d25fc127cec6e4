"""The guided look: what gestures and the mask so far make of a tile that is encoded once.

Late fusion: TraceNet's features of the tile are computed, and reduced, once. Each correction runs a
small U-net over them and the planes of the gestures (CFR-ICL, arXiv 2303.05620, section 3.1, has
the mask fed back in this way).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model.config import TraceNetConfig
from tracenet.model.layers import enlarged, joined, residuals, separable
from tracenet_runtime.contract import GUIDE_PLANES

GUIDE_STRIDES = (4, 8, 16, 32)
"""Canvas pixels per cell of what is kept of a tile."""

KERNELS = (3, 5, 5, 5)
"""Of the depthwise convolutions at these strides."""

PRIOR = GUIDE_PLANES.index("prior")


class TileEncoder(nn.Module):
    """TraceNet's features, reduced to what corrections read; once per tile."""

    def __init__(self, stem_channels: int, config: TraceNetConfig) -> None:
        super().__init__()
        fine, coarse, *deep = config.guide_channels
        self.stem = nn.Sequential(
            nn.Conv2d(stem_channels, fine, 3, 2, padding=1, bias=False), nn.BatchNorm2d(fine)
        )
        self.fine = joined(config.mask_channels // 2, fine)
        self.coarse = joined(config.mask_channels, coarse)
        self.level = nn.ModuleList(
            joined(config.pyramid_channels, channels) for channels in (coarse, *deep)
        )

    def forward(
        self, c1: Tensor, pyramid: Sequence[Tensor], coarse: Tensor, fine: Tensor
    ) -> list[Tensor]:
        """C1, P3, P4, P5 and the mask branch at strides 8 and 4 -> features at GUIDE_STRIDES."""
        p3, p4, p5 = (reduce(x) for reduce, x in zip(self.level, pyramid[:3], strict=True))
        return [self.stem(c1) + self.fine(fine), p3 + self.coarse(coarse), p4, p5]


class GuidedLook(nn.Module):
    """A tile's features and the gestures' planes -> the tile's mask.

    Args:
        config: of the network; ``guide_channels`` are the widths at GUIDE_STRIDES.
    """

    DEPTHS = (1, 2, 2, 2)
    """Residual layers at each stride, on the way down."""

    DECODER_DEPTHS = (2, 2, 2)
    """The same on the way up, at strides 4, 8 and 16."""

    def __init__(self, config: TraceNetConfig) -> None:
        super().__init__()
        self.widths = widths = config.guide_channels
        planes = len(GUIDE_PLANES)
        self.gestures = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(planes, widths[0], 3, padding=1, bias=False),
                    nn.BatchNorm2d(widths[0]),
                ),
                *(joined(planes, width) for width in widths[1:]),
            ]
        )
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(
            separable(i, o, kernel, 2) for (i, o), kernel in zip(pairs, KERNELS[1:], strict=True)
        )
        self.encode = nn.ModuleList(
            residuals(*layers) for layers in zip(widths, KERNELS, self.DEPTHS, strict=True)
        )
        self.up = nn.ModuleList(joined(o, i) for i, o in pairs)
        self.decode = nn.ModuleList(
            residuals(*layers)
            for layers in zip(widths[:-1], KERNELS[:-1], self.DECODER_DEPTHS, strict=True)
        )
        self.predict = nn.Conv2d(widths[0], 1, 3, padding=1)
        self.keep = nn.Parameter(torch.tensor(4.0))

    def forward(self, features: Sequence[Tensor], planes: Tensor) -> Tensor:
        """The mask's logits, N x 1 x h x w.

        Args:
            features: of :class:`TileEncoder`, N x C_i x h / 2^i x w / 2^i.
            planes: N x P x h x w, as ``guide_planes`` fills them.
        """
        skips: list[Tensor] = []
        x: Tensor | None = None
        shown = planes
        for index, (feature, gestures, encode) in enumerate(
            zip(features, self.gestures, self.encode, strict=True)
        ):
            if x is not None:
                shown = F.avg_pool2d(shown, 2)
                feature = feature + self.down[index - 1](x)
            x = encode(F.relu(feature + gestures(shown)))
            skips.append(x)
        assert x is not None
        for skip, up, decode in reversed(list(zip(skips[:-1], self.up, self.decode, strict=True))):
            x = decode(F.relu(skip + enlarged(up(x))))
        prior = planes[:, PRIOR : PRIOR + 1]
        logits: Tensor = self.predict(x) + self.keep * (prior - 0.5)
        return logits
