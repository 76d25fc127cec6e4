"""Fusion of two propagations (MiVOS, arXiv 2103.07941, sections 3.3 and 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
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

CORRECTED_LAST = 0.6
"""Share of the steps that correct the last frame; the others, one before it."""

SCORED_STEPS = 8


class FusionTask(ClipTask):
    """Training of the fusion; all else of the network stays as it is.

    A clip's first frame was touched, and what it has is carried to the last: the old masks. A later
    one is then corrected, which gives it the true mask, and that is carried both ways: the new
    ones. Every other frame but the first is fused. Of most clips the first mask is not right, for
    that is why users correct.
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
        times, old, new, planes, features = pairs(network, batch)
        mask = fused(old, new, network.fusion(features, planes)).squeeze(1)

        def cells(truth: Tensor) -> Tensor:
            merged = truth[_rows(times, len(batch.first))]
            return F.avg_pool2d(merged.float()[:, None], MASK_STRIDE).squeeze(1)

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


class Pairs(NamedTuple):
    """What a fusion merges, of N clips.

    Attributes:
        times: K numbers of frames, of each clip.
        old, new: masks, K N x 1 x 2 h x 2 w in [0, 1], all clips' of one time together.
        planes: K N x P x h x w, FUSION_PLANES.
        features: of the frames.
    """

    times: list[int]
    old: Tensor
    new: Tensor
    planes: Tensor
    features: FrameFeatures


def pairs(network: TraceNet, batch: VideoBatch) -> Pairs:
    """What a fusion merges, of all frames but the first and the corrected one."""
    length, count = batch.carried.shape
    random = np.random.default_rng(int(batch.seed))
    last = length - 1
    corrected = last if random.random() < CORRECTED_LAST else int(random.integers(1, last))
    with torch.no_grad():
        frames = encoded(network, batch)
        forth, _ = propagated(network, frames, batch)
        old = [logits.float().sigmoid() for logits in forth]
        truth = batch.truth[_rows([corrected], count)]
        mask = F.avg_pool2d(truth.float()[:, None], PLANE_STRIDE)
        others = F.avg_pool2d(batch.others[:count].float()[:, None], PLANE_STRIDE)
        first = frames[0], torch.cat([batch.first[:, None], others], 1)
        new: dict[int, Tensor] = {}
        for way in (range(corrected, 0, -1), range(corrected, length)):
            part = _part(batch, way, mask[:, 0])
            carried, _ = propagated(network, [frames[time] for time in way], part, first)
            new |= {t: x.float().sigmoid() for t, x in zip(way[1:], carried, strict=True)}
        difference = mask - plane(old[corrected - 1])
        changes = torch.cat([difference.clamp(min=0), (-difference).clamp(min=0)], 1)
        change = F.avg_pool2d(changes, KEY_STRIDE // PLANE_STRIDE)
        times, planes = [time for time in range(1, length) if time != corrected], []
        for time in times:
            read = read_memory(
                frames[time].key, frames[corrected].key.flatten(2), change.flatten(2)
            )
            shown = F.interpolate(read, scale_factor=KEY_STRIDE / PLANE_STRIDE, mode="bilinear")
            away, other = abs(time - corrected), time
            distances = shown.new_tensor([away, other]).view(1, 2, 1, 1) / (away + other)
            masks = plane(old[time - 1]), plane(new[time])
            flat = distances.expand(count, 2, *shown.shape[2:])
            planes.append(torch.cat([*masks, shown, flat], 1))
    features = zip(*(frames[time] for time in times), strict=True)
    return Pairs(
        times,
        torch.cat([old[time - 1] for time in times]),
        torch.cat([new[time] for time in times]),
        torch.cat(planes),
        FrameFeatures(*(torch.cat(tensors) for tensors in features)),
    )


def _rows(times: Sequence[int], count: int) -> Tensor:
    """Where frames of N clips lie in a batch."""
    return torch.cat([torch.arange(time * count, (time + 1) * count) for time in times])


def _part(batch: VideoBatch, way: range, first: Tensor) -> VideoBatch:
    """Some frames of the clips, in this order; of the first of them the mask is given."""
    order = list(way)
    rows = _rows(order, len(first))
    # Whether a frame follows the one before holds for both directions.
    carried = batch.carried[order]
    if way.step < 0:
        carried = torch.cat([carried[:1], batch.carried[order[:-1]]])
    carried[0] = False
    return replace(
        batch, others=batch.others[rows], first=first, tile=batch.tile[order], carried=carried
    )
