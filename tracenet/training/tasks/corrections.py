"""Masks that gestures correct: CFR-ICL's iterative click loss (arXiv 2303.05620, section 3.2)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.data import DataError, PhotoDataset
from tracenet.data.augment import Augmentation
from tracenet.data.copy_paste import CopyPaste
from tracenet.data.corrections import (
    COARSE,
    GIVEN,
    CorrectionBatch,
    CorrectionDataset,
    CorrectionInputs,
)
from tracenet.data.tiles import TileAugmentation
from tracenet.model import TraceNet
from tracenet.training.losses.corrections import normalised_focal_loss, obedience_loss
from tracenet.training.losses.masks import dice_loss, mask_iou
from tracenet.training.sessions import CLICK_STRIDE, OwnMasks, Sessions
from tracenet_runtime.contract import GUIDE_STRIDE

CLICKS_BEFORE = ((0, 8), (2, 2), (5, 2), (10, 1))
"""Gestures that are made before a loss is taken, and how often so many, one for the other."""

PASS_WEIGHTS = {True: (0.5, 0.25, 0.25), False: (1 / 6, 2 / 6, 3 / 6)}
"""Of the losses of the passes that are trained, where the first of them is that of the first
gesture, and where it is a later one. Of a first mask users see most."""

OBEDIENCE = 0.5
"""Weight of the loss at clicked cells, beside focal loss and dice."""

NEW_CLICK = 0.75
"""Share of the passes before which a gesture is made; the others refine the mask as it is."""

TAPPED = 0.5
"""Share of the sessions given a mask in which the thing was tapped before, on another tile; in the
others the mask alone says what is meant."""

NO_EVIDENCE = 0.15
"""Share of the sessions that do without TraceNet's own masks."""

SCORED_TILES = 64
SCORED_CLICKS = (1, 2, 3, 5)


class CorrectionTask:
    """Training of the guided look; all else of the network stays as it is.

    Args:
        photos: to train on.
        inputs: what a step is made of.
        pad_value: RGB colour beside a photo.
        held_out: photos that ``metrics`` scores.
    """

    def __init__(
        self,
        photos: PhotoDataset,
        inputs: CorrectionInputs,
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

    def dataset(self, seed: int, process: int, processes: int) -> CorrectionDataset:
        """See :class:`~tracenet.training.task.TrainingTask`."""
        return CorrectionDataset(
            self._photos, self._inputs, self._pad_value, seed, process, processes
        )

    def loss(self, network: TraceNet, batch: CorrectionBatch) -> dict[str, Tensor]:
        """The losses of three passes, each from the mask of the one before.

        Also the IoU of the masks that sessions begin with (``iou_begin``) and of each trained pass
        (``iou_1`` ... ``iou_3``); these are no losses.
        """
        random = np.random.default_rng(int(batch.seed))
        features, sessions = _begin(network, batch, random)
        everyone = list(range(len(batch.image)))
        silent = torch.from_numpy(random.random(len(everyone)) < NO_EVIDENCE)
        counts, odds = zip(*CLICKS_BEFORE, strict=True)
        before = int(random.choice(counts, p=np.array(odds) / sum(odds)))

        def masks() -> Tensor:
            planes = sessions.planes()
            planes[silent, 4:6] = 0
            logits: Tensor = network.guided_look(features, planes)  # type: ignore[misc]
            return logits.float().squeeze(1)

        losses = {"iou_begin": _iou(torch.logit(sessions.prior, 1e-6), sessions)}
        with torch.no_grad():
            for _ in range(before):
                sessions.prior = masks().sigmoid()
                sessions.correct(everyone)
        total = torch.zeros(())
        weights = PASS_WEIGHTS[before == 0]
        for number, weight in enumerate(weights, 1):
            logits = masks()
            fine = _finer(logits)
            each = (
                normalised_focal_loss(fine, sessions.target, sessions.known)
                + dice_loss(fine, sessions.target.float(), sessions.known)
                + OBEDIENCE * obedience_loss(fine, sessions.target, sessions.touched())
            )
            total = total + weight * each.mean()
            losses[f"iou_{number}"] = _iou(logits.detach(), sessions)
            sessions.prior = logits.detach().sigmoid()
            if number < len(weights):
                sessions.correct([i for i in everyone if random.random() < NEW_CLICK])
        losses["total"] = total
        return losses

    def metrics(self, network: TraceNet) -> dict[str, float]:
        """Mean IoU on tiles that are held out: of TraceNet's mask, and after 1, 2, 3, 5 clicks.

        Also the share of clicked cells that have their label after the last one (``obeyed``).

        The tiles, first taps and rules of the clicks are always the same.

        Raises:
            DataError: there is nothing to score.
        """
        if self._held_out is None:
            raise DataError("no photos are held out to be scored; give --held-out")
        inputs = CorrectionInputs(
            own=1, coarse=0, empty=0, wrong=0, perturbed=0, carried=0, mistaken=0,
            augmentation=Augmentation((1.0, 1.0), 0.0),
            copy_paste=CopyPaste(probability=0.0),
            tiles=TileAugmentation(
                {256: 1.0}, reach=(0.25, 0.5), enlargement=4.0, displacement=0.07, alone=1.0
            ),
        )  # fmt: skip
        tiles = CorrectionDataset(self._held_out, inputs, self._pad_value, seed=0)
        ious: dict[str, list[Tensor]] = {}
        obeyed: list[Tensor] = []
        with torch.no_grad():
            for step in range(SCORED_TILES // inputs.tiles_per_step):
                batch = tiles[step]
                features, sessions = _begin(network, batch, np.random.default_rng(0))
                everyone = list(range(len(batch.image)))

                def score(name: str, sessions: Sessions = sessions) -> None:
                    ious.setdefault(name, []).append(
                        _iou(torch.logit(sessions.prior, 1e-6), sessions)
                    )

                score("own")
                for click in range(1, max(SCORED_CLICKS) + 1):
                    if click > 1:
                        sessions.correct(everyone, deepest=True)
                    assert network.guided_look is not None
                    logits = network.guided_look(features, sessions.planes())
                    sessions.prior = logits.float().squeeze(1).sigmoid()
                    if click in SCORED_CLICKS:
                        score(f"iou@{click}")
                right = (_finer(logits.float().squeeze(1)) > 0) == sessions.target
                obeyed.append(right[sessions.touched()])
        scores = {name: float(torch.stack(values).mean()) for name, values in ious.items()}
        return {**scores, "obeyed": float(torch.cat(obeyed).float().mean())}


def _begin(
    network: TraceNet, batch: CorrectionBatch, random: np.random.Generator
) -> tuple[list[Tensor], Sessions]:
    """Encode the tiles, and make each session's first gesture and mask."""
    assert network.tile_encoder is not None
    image = batch.image.float().contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        seen = network.features(image)
        heads = network.heads(seen.pyramid)
    kept: list[Tensor] = network.tile_encoder(
        seen.c1, seen.pyramid, seen.coarse_mask, seen.fine_mask
    )
    stride = network.config.mask_stride
    with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
        sessions = Sessions(batch.truth, batch.known, OwnMasks(heads, seen, stride), random)
        sessions.prior = batch.given.clone()
        boxed = (batch.box[:, 2] > 0).tolist()
        given = (batch.begin == GIVEN).tolist()
        for session, box in enumerate(batch.box):
            if boxed[session]:
                sessions.draw_box(session, box)
        empty = (batch.given.amax((1, 2)) == 0).tolist()
        tapped = [
            i
            for i in range(len(image))
            if not boxed[i] and (not given[i] or empty[i] or random.random() < TAPPED)
        ]
        masks = sessions.tap(tapped, batch.tap[tapped])
        for session, mask in zip(tapped, masks, strict=True):
            if not given[session]:
                sessions.prior[session] = mask
        coarse = [i for i in tapped if batch.begin[i] == COARSE]
        if coarse:
            sessions.prior[coarse] = _from_afar(network, image[coarse], batch.tap[coarse])
        for session in set(range(len(image))) - set(tapped):
            sessions.start_from(session, batch.given[session])
        sessions.correct([i for i in range(len(image)) if given[i] and not empty[i]])
    return kept, sessions


def _from_afar(network: TraceNet, image: Tensor, taps: Tensor) -> Tensor:
    """TraceNet's masks on the tiles at half their size, N x h x w at ``GUIDE_STRIDE``."""
    small = F.interpolate(image, scale_factor=0.5, mode="bilinear", antialias=True)
    seen = network.features(small)
    own = OwnMasks(network.heads(seen.pyramid), seen, network.config.mask_stride)
    _, masks = own(torch.arange(len(image)), taps // 2)
    return F.interpolate(masks[:, None], scale_factor=2.0, mode="bilinear").squeeze(1)


def _finer(logits: Tensor) -> Tensor:
    factor = GUIDE_STRIDE / CLICK_STRIDE
    return F.interpolate(
        logits[:, None], scale_factor=factor, mode="bilinear", align_corners=False
    ).squeeze(1)


def _iou(logits: Tensor, sessions: Sessions) -> Tensor:
    return mask_iou(_finer(logits), sessions.target, sessions.known).mean()
