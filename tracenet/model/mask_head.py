"""The dynamic mask head: three 1x1 layers whose weights the controller gives for one tap."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.model.config import MASK_HEAD_LAYERS
from tracenet_runtime.contract import PROBABILITY_STRIDE


class MaskHead(nn.Module):
    """Mask features and one tap's filter -> the mask's logits (arXiv 2003.05664, section 3.1).

    The layers' weights come first in the filter, then their biases. Everything has a static shape
    and the products are matrix products, so that the head exports like any other layer.

    Args:
        stride: canvas pixels per cell of the mask features.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(
        self, features: Tensor, filter: Tensor, offset: Tensor, inverse_size: Tensor
    ) -> Tensor:
        """Logits at the features' cells.

        Args:
            features: N x 8 x h x w, a window of the mask features.
            filter: N x 169 x 1 x 1, the controller's output at the tapped cell.
            offset: N x 2 x 1 x 1, (x, y) from the tap's pixel centre to the centre of the window's
                first cell, canvas pixels.
            inverse_size: N x 1 x 1 x 1, one over the answering level's size of interest.

        Returns:
            N x 1 x h x w.
        """
        count, _, height, width = features.shape
        x = self._cell_distances(width, features).view(1, 1, 1, width)
        y = self._cell_distances(height, features).view(1, 1, height, 1)
        dx = (x + offset[:, 0:1]) * inverse_size
        dy = (y + offset[:, 1:2]) * inverse_size
        plane = (count, 1, height, width)
        layer = torch.cat([dx.expand(plane), dy.expand(plane), features], dim=1).flatten(2)

        sizes = [i * o for i, o in MASK_HEAD_LAYERS] + [o for _, o in MASK_HEAD_LAYERS]
        parts = torch.split(filter.flatten(1), sizes, dim=1)
        for index, (inputs, outputs) in enumerate(MASK_HEAD_LAYERS):
            weight = parts[index].reshape(count, outputs, inputs)
            bias = parts[index + len(MASK_HEAD_LAYERS)].reshape(count, outputs, 1)
            layer = torch.matmul(weight, layer) + bias
            if index < len(MASK_HEAD_LAYERS) - 1:
                layer = F.relu(layer)
        return layer.reshape(count, 1, height, width)

    def _cell_distances(self, count: int, like: Tensor) -> Tensor:
        """Canvas pixels from the first cell's centre to every cell's."""
        return torch.arange(count, dtype=like.dtype, device=like.device) * self.stride


class MaskProbability(MaskHead):
    """The mask head, sigmoid and a bilinear upsampling: probabilities at stride 2."""

    def forward(
        self, features: Tensor, filter: Tensor, offset: Tensor, inverse_size: Tensor
    ) -> Tensor:
        """As :class:`MaskHead`, but probabilities, N x 1 x f h x f w with f half the stride."""
        logits = super().forward(features, filter, offset, inverse_size)
        return F.interpolate(
            torch.sigmoid(logits),
            scale_factor=self.stride / PROBABILITY_STRIDE,
            mode="bilinear",
            align_corners=False,
        )
