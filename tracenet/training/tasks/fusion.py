"""Fusion of two propagations (MiVOS, arXiv 2103.07941, sections 3.3 and 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.data.video import VideoBatch, VideoDataset
from tracenet.model import TraceNet
from tracenet.model.fusion import fused
from tracenet.model.memory_read import read_memory
from tracenet.model.propagation import FrameFeatures
from tracenet.training.losses.masks import dice_loss, mask_iou
from tracenet.training.losses.video import bootstrapped_bce
from tracenet.training.tasks.clips import ClipTask
from tracenet.training.tasks.video import encoded, plane, propagated
from tracenet_runtime.tracking.contract import KEY_STRIDE, MASK_STRIDE, PLANE_STRIDE

SURE = 1e-4
"""No probability that is compared is nearer to 0 or 1."""

RIGHT = 0.9
"""IoU from which on an old mask was right, so that the correction should leave it alone."""

SCORED_STEPS = 8


class FusionTask(ClipTask):
    """Training of the fusion; all else of the network stays as it is.

    A clip's first frame was touched, and what it has is carried to the last: the old masks. The
    last is then corrected, which gives it the true mask, and that is carried back: the new ones.
    Every frame between is fused. Of most clips the first mask is not right, for that is why users
    correct.
    """

    FIRST_MASKS: ClassVar[Mapping[str, Any]] = {"perturbed": 0.25, "mistaken": 0.7}

    def loss(self, network: TraceNet, batch: VideoBatch) -> dict[str, Tensor]:
        """Bootstrapped cross-entropy and dice of the fused masks, means over frames and clips.

        And by how much masks that were right change (``moved``), as a share of the thing. Also the
        mean IoU of the old, the new and the fused masks (``iou_old``, ``iou_new``, ``iou``) where
        the thing is seen, and by how much it falls where the old ones were right (``spoilt``);
        these are no losses.
        """
        assert network.fusion is not None
        old, new, planes, features = pairs(network, batch)
        mask = fused(old, new, network.fusion(features, planes)).squeeze(1)
        times, count = len(mask) // len(batch.first), len(batch.first)

        def cells(truth: Tensor) -> Tensor:
            between = truth[count : count * (times + 1)]
            return F.avg_pool2d(between.float()[:, None], MASK_STRIDE).squeeze(1)

        target, known = cells(batch.truth) > 0.5, cells(batch.known) > 0.99
        there = target.flatten(1).any(1)
        seen = there.sum().clamp(min=1)
        logits = torch.logit(mask, SURE)
        entropy = bootstrapped_bce(logits, target, known, float(batch.hard)).mean()
        dice = (dice_loss(logits, target.float(), known) * there).sum() / seen

        moved = (mask - old.squeeze(1)).abs().flatten(1).sum(1)
        moved = moved / target.flatten(1).sum(1).clamp(min=1)
        with torch.no_grad():
            ious = {
                name: mask_iou(torch.logit(masks, SURE), target, known)
                for name, masks in (
                    ("iou_old", old.squeeze(1)), ("iou_new", new.squeeze(1)), ("iou", mask)
                )
            }  # fmt: skip
            right = there & (ious["iou_old"] > RIGHT)
        kept = right.sum().clamp(min=1)
        moved = (moved * right).sum() / kept
        return {
            "total": entropy + dice + moved,
            "bce": entropy.detach(),
            "dice": dice.detach(),
            "moved": moved.detach(),
            "spoilt": ((ious["iou_old"] - ious["iou"]) * right).sum() / kept,
            **{name: (iou * there).sum() / seen for name, iou in ious.items()},
        }

    def metrics(self, network: TraceNet) -> dict[str, float]:
        """Mean IoU of old, new and fused masks on clips that are held back, always the same, and
        by how much it falls where the old ones were right.

        Without such clips, on photos that move.
        """
        share = 1.0 if self._held_back else 0.0
        inputs = replace(self._inputs, clip_share=share, lengths=(5,), steps=1)
        batches = VideoDataset(self._photos, self._held_back, inputs, self._pad_value, seed=0)
        with torch.no_grad():
            scores = [self.loss(network, batches[step]) for step in range(SCORED_STEPS)]
        return {
            name: float(torch.stack([score[name] for score in scores]).mean())
            for name in ("iou_old", "iou_new", "iou", "spoilt")
        }


def pairs(network: TraceNet, batch: VideoBatch) -> tuple[Tensor, Tensor, Tensor, FrameFeatures]:
    """What a fusion merges, of every frame but the first and the last of N clips of T frames.

    Returns:
        Old and new masks, (T - 2) N x 1 x 2 h x 2 w; planes, (T - 2) N x P x h x w; features.
    """
    length, count = batch.carried.shape
    with torch.no_grad():
        frames = encoded(network, batch)
        forth, _ = propagated(network, frames, batch)
        before = [logits.float().sigmoid() for logits in forth]
        truth = torch.split(F.avg_pool2d(batch.truth.float()[:, None], MASK_STRIDE), count)
        others = F.avg_pool2d(batch.others[:count].float()[:, None], PLANE_STRIDE)
        first = frames[0], torch.cat([batch.first[:, None], others], 1)
        back, _ = propagated(network, frames[::-1], _reversed(batch, plane(truth[-1])[:, 0]), first)
        after = [logits.float().sigmoid() for logits in back[::-1]]
        added = (truth[-1] - before[-1]).clamp(min=0)
        removed = (before[-1] - truth[-1]).clamp(min=0)
        change = F.avg_pool2d(torch.cat([added, removed], 1), KEY_STRIDE // MASK_STRIDE)
        planes = []
        for time in range(1, length - 1):
            read = read_memory(frames[time].key, frames[-1].key.flatten(2), change.flatten(2))
            shown = F.interpolate(read, scale_factor=KEY_STRIDE / PLANE_STRIDE, mode="bilinear")
            other = time / (length - 1)
            distances = torch.tensor([1 - other, other]).view(1, 2, 1, 1)
            masks = plane(before[time - 1]), plane(after[time])
            flat = distances.expand(count, 2, *shown.shape[2:])
            planes.append(torch.cat([*masks, shown, flat], 1))
    between = [torch.cat(x) for x in zip(*frames[1:-1], strict=True)]
    return (
        torch.cat(before[:-1]),
        torch.cat(after[1:]),
        torch.cat(planes),
        FrameFeatures(*between),
    )


def _reversed(batch: VideoBatch, first: Tensor) -> VideoBatch:
    """The clips from their ends, where ``first`` is given."""
    count = batch.carried.shape[1]

    def turned(x: Tensor) -> Tensor:
        return torch.cat(torch.split(x, count)[::-1])

    return replace(
        batch,
        others=turned(batch.others),
        first=first,
        tile=batch.tile.flip(0),
        # Whether a frame follows the one before holds for both directions.
        carried=torch.cat([torch.zeros_like(batch.carried[:1]), batch.carried[1:].flip(0)]),
    )
