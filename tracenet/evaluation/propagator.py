"""Propagation in PyTorch, for the host's part as the runtime has it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tracenet.model import CheckpointError, TraceNet
from tracenet.model.propagation import FrameFeatures
from tracenet_runtime.tracking.tracker import FloatArray, Frame


class TorchPropagation:
    """The programs of :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`.

    Args:
        network: in eval mode.

    Raises:
        CheckpointError: it has no propagation.
    """

    def __init__(self, network: TraceNet) -> None:
        if network.propagation is None:
            raise CheckpointError(
                f"{network.config.name} has no propagation; train one with `tracenet-train --task "
                "video`"
            )
        self._network, self._propagation = network, network.propagation

    @property
    def pad_value(self) -> tuple[int, int, int]:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        return self._network.pad_value

    @torch.no_grad()
    def encode(self, tile: Frame) -> tuple[FrameFeatures, FloatArray]:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        image = torch.from_numpy(tile.copy()).permute(2, 0, 1)[None].float()
        seen = self._network.features(image.contiguous(memory_format=torch.channels_last))
        features = self._propagation.frame(seen.c1, seen.pyramid, seen.coarse_mask, seen.fine_mask)
        return features, _cells(features.key)

    @torch.no_grad()
    def value(self, features: FrameFeatures, mask: FloatArray, others: FloatArray) -> FloatArray:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        return _cells(
            self._propagation.value(features, torch.from_numpy(np.stack([mask, others]))[None])
        )

    @torch.no_grad()
    def decode(
        self, features: FrameFeatures, read: FloatArray, prior: FloatArray
    ) -> tuple[FloatArray, float]:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        height, width = features.key.shape[2:]
        values = torch.from_numpy(read).T.reshape(1, -1, height, width)
        logits, presence = self._propagation.decoder(
            features, values, torch.from_numpy(prior)[None, None]
        )
        probability: FloatArray = logits[0, 0].sigmoid().numpy()
        return probability, float(presence.amax().sigmoid())

    @torch.no_grad()
    def fuse(self, features: FrameFeatures, planes: FloatArray) -> FloatArray:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`.

        Raises:
            CheckpointError: the network has no fusion.
        """
        if self._network.fusion is None:
            raise CheckpointError(
                f"{self._network.config.name} has no fusion; train one with `tracenet-train --task "
                "fusion`"
            )
        share = self._network.fusion(features, torch.from_numpy(planes)[None]).sigmoid()
        weights: FloatArray = share[0, 0].numpy()
        return weights


def _cells(x: Tensor) -> npt.NDArray[np.float32]:
    cells: npt.NDArray[np.float32] = x[0].flatten(1).T.contiguous().numpy()
    return cells
