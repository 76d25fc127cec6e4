"""One tap, one mask."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from tracenet.data import DataError, PhotoDataset, TapBatch, TapDataset, TapInputs
from tracenet.evaluation.evaluate import score_photo
from tracenet.evaluation.models import FullNet
from tracenet.evaluation.protocol import TapProtocol
from tracenet.evaluation.summary import BOUNDARY_IOU, MIOU, MTA, ORACLE, summarise
from tracenet.model import DEFAULT_CANVAS, TraceNet
from tracenet.training.losses.taps import tap_losses
from tracenet_runtime.image.canvas import Canvas

SCORED_PHOTOS = 40
"""At most, spread over those held out; the shipped network takes under a minute for them."""

SCORED_TAPS = 3
"""On each thing."""

_SCORES = (MIOU, MIOU + ORACLE, BOUNDARY_IOU, MTA)


class TapTask:
    """Training on taps, scored as ``tracenet-eval`` does.

    Args:
        photos: to train on.
        inputs: what a step is made of.
        pad_value: RGB colour beside a photo.
        held_out: photos that ``metrics`` scores.
    """

    def __init__(
        self,
        photos: PhotoDataset,
        inputs: TapInputs,
        pad_value: tuple[int, int, int],
        held_out: PhotoDataset | None = None,
    ) -> None:
        self._photos, self._inputs, self._pad_value = photos, inputs, pad_value
        self._held_out = held_out

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`~tracenet.training.task.TrainingTask`."""
        photos = [len(self._photos), zlib.crc32(self._photos.weights.tobytes())]
        return {**asdict(self._inputs), "photos": photos}

    def dataset(self, seed: int, process: int, processes: int) -> TapDataset:
        """See :class:`~tracenet.training.task.TrainingTask`."""
        return TapDataset(self._photos, self._inputs, self._pad_value, seed, process, processes)

    def loss(self, network: TraceNet, batch: TapBatch) -> dict[str, Tensor]:
        """See :func:`~tracenet.training.losses.taps.tap_losses`."""
        return tap_losses(network, batch)

    def metrics(self, network: TraceNet) -> dict[str, float]:
        """mIoU-T, that of the best level, boundary IoU-T and mTA, as docs/evaluation.md has them.

        FullNet is scored on the canvas that ``tracenet-eval`` takes by itself. The photos and taps
        are always the same.

        Raises:
            DataError: there is nothing to score.
        """
        if self._held_out is None:
            raise DataError("no photos are held out to be scored; give --held-out")
        photos = self._held_out
        model = FullNet(network, Canvas(*DEFAULT_CANVAS, network.pad_value))
        protocol = TapProtocol(taps=SCORED_TAPS)
        count = min(SCORED_PHOTOS, len(photos))
        scores = []
        for index in (number * len(photos) // count for number in range(count)):
            example = photos[index]
            scores.append(score_photo(model, index, example, protocol.draw(index, example)))
        if not any(score.instances for score in scores):
            raise DataError(
                "no thing on the photos that are held out is large enough to be scored; leave "
                "--score-every out, or hold others out"
            )
        figures = summarise(scores, protocol.name, protocol.seed)
        return {name: figures[name] for name in _SCORES}
