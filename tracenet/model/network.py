"""TraceNet: trunk, feature pyramid, heads and mask branch (arXiv 2406.14874, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model.backbones import build_backbone
from tracenet.model.config import (
    FILTER_SIZE,
    LEVELS,
    MASK_FEATURES,
    TraceNetConfig,
)
from tracenet.model.fusion import Fusion
from tracenet.model.ghost_pan import PathAggregationPyramid
from tracenet.model.guided import GUIDE_STRIDES, GuidedLook, TileEncoder
from tracenet.model.layers import TowerLayer, conv_norm_relu, convolution
from tracenet.model.propagation import Propagation
from tracenet.model.score import tap_score


class FeaturePyramid(nn.Module):
    """FPN on C3, C4, C5, and two stride-2 convolutions on P5 (arXiv 1612.03144, 1904.01355)."""

    def __init__(self, in_channels: Sequence[int], config: TraceNetConfig) -> None:
        super().__init__()
        channels = config.pyramid_channels
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.output = nn.ModuleList(
            convolution(channels, channels, config.kernel, 1, config.separable, bias=True)
            for _ in in_channels
        )
        self.p6 = convolution(channels, channels, 3, 2, config.separable, bias=True)
        self.p7 = convolution(channels, channels, 3, 2, config.separable, bias=True)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> list[Tensor]:
        """C3, C4, C5 -> P3 ... P7, each N x pyramid_channels x H_l x W_l."""
        m5 = self.lateral[2](c5)
        m4 = self.lateral[1](c4) + F.interpolate(m5, scale_factor=2.0, mode="nearest")
        m3 = self.lateral[0](c3) + F.interpolate(m4, scale_factor=2.0, mode="nearest")
        p3, p4, p5 = (conv(m) for conv, m in zip(self.output, (m3, m4, m5), strict=True))
        p6 = self.p6(p5)
        p7 = self.p7(F.relu(p6))
        return [p3, p4, p5, p6, p7]


@dataclass(frozen=True)
class HeadOutputs:
    """What the heads say at every cell, one tensor per level P3 ... P7.

    Attributes:
        class_logit: N x 1 x H x W, is this the level that should answer a tap here.
        quality_logit: N x 1 x H x W, the IoU that this level's mask will have.
        box: N x 4 x H x W, distances (left, top, right, bottom) from the cell's centre to the
            sides, in units of the level's size of interest (which keeps the heads the same on every
            level, and their outputs small); negative where the centre lies outside the box.
        filter: N x 169 x H x W, parameters of the mask head.
    """

    class_logit: list[Tensor]
    quality_logit: list[Tensor]
    box: list[Tensor]
    filter: list[Tensor]


@dataclass(frozen=True)
class Features:
    """What the network computes of a picture before anything is asked.

    Attributes:
        c1: N x C x H / 2 x W / 2.
        pyramid: P3 ... P7, each N x pyramid_channels x H_l x W_l.
        mask: the mask features, N x 8 x H / stride x W / stride.
        coarse_mask, fine_mask: what they are made of, see :class:`MaskBranch`.
    """

    c1: Tensor
    pyramid: list[Tensor]
    mask: Tensor
    coarse_mask: Tensor
    fine_mask: Tensor


class Heads(nn.Module):
    """Two towers shared over the levels; score on one, box, quality and filter on the other."""

    def __init__(self, config: TraceNetConfig) -> None:
        super().__init__()
        self.class_tower = self._tower(config)
        self.box_tower = self._tower(config)
        kernel = 1 if config.separable else config.kernel
        channels = config.tower_channels
        self.class_logit = nn.Conv2d(channels, 1, kernel, padding=kernel // 2)
        self.quality_logit = nn.Conv2d(channels, 1, kernel, padding=kernel // 2)
        self.box = nn.Conv2d(channels, 4, kernel, padding=kernel // 2)
        self.controller = nn.Conv2d(channels, FILTER_SIZE, kernel, padding=kernel // 2)
        fan_in = channels * kernel * kernel
        for predictor in (self.class_logit, self.quality_logit, self.box, self.controller):
            nn.init.normal_(predictor.weight, std=0.3 / math.sqrt(fan_in))
            assert predictor.bias is not None
            nn.init.zeros_(predictor.bias)
        assert self.box.bias is not None
        nn.init.constant_(self.box.bias, 0.25)

    @staticmethod
    def _tower(config: TraceNetConfig) -> nn.Sequential:
        widths = [config.pyramid_channels] + [config.tower_channels] * config.tower_depth
        return nn.Sequential(
            *(TowerLayer(i, o, config.kernel, config.separable) for i, o in pairwise(widths))
        )

    def forward(self, pyramid: Sequence[Tensor]) -> HeadOutputs:
        """P3 ... P7 -> the predictions at every cell."""
        class_features = self.class_tower(pyramid)
        box_features = self.box_tower(pyramid)
        return HeadOutputs(
            [self.class_logit(x) for x in class_features],
            [self.quality_logit(x) for x in box_features],
            [self.box(x) for x in box_features],
            [self.controller(x) for x in box_features],
        )


class MaskBranch(nn.Module):
    """P3, P4, P5 -> the 8 mask features (arXiv 2003.05664, section 3.2).

    The paper's end at stride 8. At stride 4 what P3, P4, P5 say is enlarged and joined by C1, which
    knows where the edges are but not whose.
    """

    def __init__(self, stem_channels: int, config: TraceNetConfig) -> None:
        super().__init__()
        channels, kernel, separable = config.mask_channels, config.kernel, config.separable
        self.refine = nn.ModuleList(
            conv_norm_relu(config.pyramid_channels, channels, kernel, separable) for _ in range(3)
        )
        self.trunk = nn.Sequential(
            *(
                conv_norm_relu(channels, channels, kernel, separable)
                for _ in range(config.mask_depth)
            )
        )
        self.fine: FineMaskFeatures | None = None
        if config.mask_stride < LEVELS[0].stride:
            self.fine = FineMaskFeatures(stem_channels, config)
            channels //= 2
        self.project = nn.Conv2d(channels, MASK_FEATURES, 1)

    def forward(
        self, c1: Tensor, p3: Tensor, p4: Tensor, p5: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The mask features, and what they are made of.

        Args:
            c1, p3, p4, p5: N x C_l x H_l x W_l at strides 2, 8, 16, 32.

        Returns:
            N x 8 x H / stride x W / stride; N x C x H / 8 x W / 8; and N x C' x H / stride x
            W / stride, what the features are projected from.
        """
        x = self.refine[0](p3)
        for factor, refine, level in ((2.0, self.refine[1], p4), (4.0, self.refine[2], p5)):
            x = x + F.interpolate(
                refine(level), scale_factor=factor, mode="bilinear", align_corners=False
            )
        coarse = fine = self.trunk(x)
        if self.fine is not None:
            fine = self.fine(coarse, c1)
        return self.project(fine), coarse, fine


class FineMaskFeatures(nn.Module):
    """The mask branch at stride 4: the features at stride 8, enlarged, and the stem's edges."""

    depth = 2

    def __init__(self, stem_channels: int, config: TraceNetConfig) -> None:
        super().__init__()
        channels = config.mask_channels // 2
        self.coarse = nn.Sequential(
            nn.Conv2d(config.mask_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.edges = nn.Sequential(
            convolution(stem_channels, channels, 3, 2, config.separable, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.relu = nn.ReLU(inplace=True)
        self.trunk = nn.Sequential(
            *(
                conv_norm_relu(channels, channels, config.kernel, config.separable)
                for _ in range(self.depth)
            )
        )

    def forward(self, x: Tensor, c1: Tensor) -> Tensor:
        """N x C x H / 8 x W / 8 and N x C1 x H / 2 x W / 2 -> N x C / 2 x H / 4 x W / 4."""
        coarse = F.interpolate(
            self.coarse(x), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        y: Tensor = self.trunk(self.relu(coarse + self.edges(c1)))
        return y


_NECKS = {"fpn": FeaturePyramid, "ghost-pan": PathAggregationPyramid}


class TraceNet(nn.Module):
    """The network on a whole canvas: FullNet, the oracle of every replay.

    Its input is the canvas as it is, RGB in 0-255; the normalisation is part of the network.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: TraceNetConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer(
            "pixel_mean", torch.tensor(config.pixel_mean).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer(
            "pixel_std", torch.tensor(config.pixel_std).view(1, 3, 1, 1), persistent=False
        )
        self.backbone = build_backbone(config.backbone)
        self.pyramid = _NECKS[config.neck](self.backbone.out_channels, config)
        self.heads = Heads(config)
        self.mask_branch = MaskBranch(self.backbone.stem_channels, config)
        self.tile_encoder: TileEncoder | None = None
        self.guided_look: GuidedLook | None = None
        if config.guide_channels:
            self.tile_encoder = TileEncoder(self.backbone.stem_channels, config)
            self.guided_look = GuidedLook(config)
        self.propagation: Propagation | None = None
        if config.track_channels:
            self.propagation = Propagation(self.backbone.stem_channels, config)
        self.fusion: Fusion | None = Fusion(config) if config.fusion_channels else None

    @property
    def pad_value(self) -> tuple[int, int, int]:
        """The canvas colour (RGB) beside a photo: the mean, which is about 0 once normalised."""
        red, green, blue = (round(value) for value in self.config.pixel_mean)
        return red, green, blue

    def predict(self, image: Tensor) -> tuple[HeadOutputs, Tensor]:
        """The heads' raw predictions and the mask features, as training needs them.

        Args:
            image: N x 3 x H x W, RGB 0-255, H and W multiples of 32 (the last cells of P6 and P7
                may then reach over the canvas's border).
        """
        features = self.features(image)
        return self.heads(features.pyramid), features.mask

    def features(self, image: Tensor) -> Features:
        """What all that follows reads; ``image`` as for :meth:`predict`."""
        c1, c3, c4, c5 = self.backbone((image - self.pixel_mean) / self.pixel_std)
        pyramid = self.pyramid(c3, c4, c5)
        return Features(c1, pyramid, *self.mask_branch(c1, *pyramid[:3]))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Every output of the network, by name.

        Args:
            image: N x 3 x H x W, RGB 0-255, H and W multiples of 128.

        Returns:
            For each level ``p3`` ... ``p7``: ``p3_score`` N x 1 x h x w in [0, 1], ``p3_box``
            N x 4 x h x w in units of the level's size of interest, ``p3_filter`` N x 169 x h x w;
            and ``mask_features`` N x 8 x H / s x W / s, s the configuration's ``mask_stride``;
            with a guided look also ``guide_4`` ... ``guide_32``, what it reads at these strides.
        """
        features = self.features(image)
        heads = self.heads(features.pyramid)
        outputs: dict[str, Tensor] = {}
        for index, level in enumerate(LEVELS):
            outputs[level.output("score")] = tap_score(
                heads.class_logit[index], heads.quality_logit[index]
            )
            outputs[level.output("box")] = heads.box[index]
            outputs[level.output("filter")] = heads.filter[index]
        outputs["mask_features"] = features.mask
        if self.tile_encoder is not None:
            kept = self.tile_encoder(
                features.c1, features.pyramid, features.coarse_mask, features.fine_mask
            )
            outputs |= {f"guide_{s}": x for s, x in zip(GUIDE_STRIDES, kept, strict=True)}
        return outputs
