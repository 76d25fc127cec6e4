"""Difference-aware fusion: which of two masks a frame takes after a correction elsewhere.

MiVOS (arXiv 2103.07941, section 3.3): the network sees the frame, the mask that was there, the one
that the correction's propagation brings, what the correction added and took away, carried here by
the affinity of the keys, and how far the frame lies from the frames that the user touched. It
weighs the two masks, so that where they agree nothing can change.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model.config import TraceNetConfig
from tracenet.model.layers import enlarged, joined, residuals, separable
from tracenet.model.propagation import FrameFeatures
from tracenet_runtime.tracking.contract import FUSION_PLANES


class Fusion(nn.Module):
    """A frame's features and planes at stride 4 -> how much of the new mask each cell at 2 takes.

    Args:
        config: of the network; ``fusion_channels`` are those at stride 8.
    """

    def __init__(self, config: TraceNetConfig) -> None:
        super().__init__()
        fine, coarse = config.track_channels[1], config.fusion_channels
        self.planes = nn.Sequential(
            nn.Conv2d(len(FUSION_PLANES), fine, 3, padding=1, bias=False), nn.BatchNorm2d(fine)
        )
        self.encode = residuals(fine, 5, 1)
        self.down = separable(fine, coarse, 5, 2)
        self.mix = residuals(coarse, 5, 2)
        self.up = joined(coarse, fine)
        self.decode = residuals(fine, 3, 1)
        self.predict = nn.Conv2d(fine, 1, 3, padding=1)

    def forward(self, features: FrameFeatures, planes: Tensor) -> Tensor:
        """Logits of the new mask's share, N x 1 x 2 h x 2 w.

        Args:
            features: of the frame.
            planes: N x P x h x w, FUSION_PLANES.
        """
        x = self.encode(F.relu(features.fine + self.planes(planes)))
        wide = self.mix(F.relu(self.down(x)))
        share: Tensor = self.predict(self.decode(F.relu(x + enlarged(self.up(wide)))))
        return enlarged(share)


def fused(old: Tensor, new: Tensor, share: Tensor) -> Tensor:
    """The mask that a frame has from now on.

    Args:
        old, new: N x 1 x h x w in [0, 1].
        share: of :class:`Fusion`, logits.
    """
    return torch.lerp(old, new, share.float().sigmoid())
