"""Masks that are carried through clips: MiVOS's propagation (arXiv 2103.07941, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.data import IGNORE, DataError
from tracenet.data.clips import Clip
from tracenet.data.video import VideoBatch
from tracenet.evaluation.clips.measures import jaccard
from tracenet.evaluation.propagator import TorchPropagation
from tracenet.model import TraceNet
from tracenet.model.memory_read import read_memory
from tracenet.model.propagation import FrameFeatures
from tracenet.training.losses.masks import dice_loss, mask_iou
from tracenet.training.losses.video import bootstrapped_bce, presence_loss
from tracenet.training.tasks.clips import ClipTask
from tracenet_runtime.tracking.contract import MASK_STRIDE, PLANE_STRIDE
from tracenet_runtime.tracking.groups import GroupTracker

PRESENCE_WEIGHT = 0.5

SCORED_FRAMES = 16
"""Of each clip, the first; all clips that are held back take under a minute."""


class VideoTask(ClipTask):
    """Training of propagation; all else of the network stays as it is."""

    def loss(self, network: TraceNet, batch: VideoBatch) -> dict[str, Tensor]:
        """Bootstrapped cross-entropy, dice and presence, means over all frames but the first.

        The memory grows as in use: of the first frame it has the mask that is given, of later ones
        the predicted one. Nothing is detached: what a frame leaves in the memory learns from the
        frames that read it. Also the mean IoU of the frames in which the thing is seen (``iou``),
        and the share of those told rightly whether it is (``told``); these are no losses.
        """
        frames = encoded(network, batch)
        logits, presences = propagated(network, frames, batch)
        return _losses(torch.cat(logits), torch.cat(presences), batch)

    def metrics(self, network: TraceNet) -> dict[str, float]:
        """Mean J of the first frames of the clips that are held back, the first mask given.

        Raises:
            DataError: there is nothing to score.
        """
        if not self._held_back:
            raise DataError("no clips are held back to be scored; give --clips")
        programs = TorchPropagation(network)
        scores = [_mean_j(programs, clip) for clip in self._held_back]
        found = [score for score in scores if score is not None]
        if not found:
            raise DataError("no clip that is held back shows a thing in its first frame")
        return {"j": float(np.mean(found))}


def encoded(network: TraceNet, batch: VideoBatch) -> list[FrameFeatures]:
    """What propagation reads of the N tiles of each frame time."""
    assert network.propagation is not None
    image = batch.image.float().contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        seen = network.features(image)
    frames = network.propagation.frame(seen.c1, seen.pyramid, seen.coarse_mask, seen.fine_mask)
    count = batch.carried.shape[1]
    times = zip(*(torch.split(x, count) for x in frames), strict=True)
    return [FrameFeatures(*x) for x in times]


def propagated(
    network: TraceNet,
    frames: Sequence[FrameFeatures],
    batch: VideoBatch,
    touched: tuple[FrameFeatures, Tensor] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """The first frame's masks carried through a batch of clips.

    Args:
        network: with propagation.
        frames: of :func:`encoded`.
        batch: the clips.
        touched: another frame that the memory has from the beginning, and its mask and the sum of
            the others, N x 2 x h x w.

    Returns:
        Of each frame but the first: logits, N x 1 x 2 h x 2 w, and those of presence, N x 1 x h / 4
        x w / 4.
    """
    propagation = network.propagation
    assert propagation is not None
    others = F.avg_pool2d(batch.others.float()[:, None], PLANE_STRIDE)
    keys: list[Tensor] = []
    values: list[Tensor] = []
    if touched is not None:
        keys.append(touched[0].key.flatten(2))
        values.append(propagation.value(*touched).float().flatten(2))
    answers: list[Tensor] = []
    presences: list[Tensor] = []
    mask = batch.first[:, None]
    for time, (frame, other) in enumerate(zip(frames, torch.split(others, len(mask)), strict=True)):
        if time:
            prior = carried(mask, batch.tile[time - 1], batch.tile[time])
            prior = prior * batch.carried[time].view(-1, 1, 1, 1)
            read = read_memory(frame.key, torch.cat(keys, 2), torch.cat(values, 2))
            logits, presence = propagation.decoder(frame, read, prior)
            answers.append(logits)
            presences.append(presence.float())
            mask = plane(logits.float().sigmoid())
        if time < len(frames) - 1:
            keys.append(frame.key.flatten(2))
            value = propagation.value(frame, torch.cat([mask, other], 1))
            values.append(value.float().flatten(2))
    return answers, presences


def plane(mask: Tensor) -> Tensor:
    """A mask as the network is told of it: N x 1 x 2 h x 2 w -> N x 1 x h x w."""
    return F.avg_pool2d(mask, PLANE_STRIDE // MASK_STRIDE)


def carried(mask: Tensor, before: Tensor, now: Tensor) -> Tensor:
    """Masks of tiles as other tiles have them, as :func:`tracenet_runtime.tracking.tile.carried`.

    Args:
        mask: N x 1 x h x w.
        before, now: N x 3, x, y and side of the tiles.

    Returns:
        N x 1 x h x w.
    """
    ratio = now[:, 2] / before[:, 2]
    # Of the tiles' middles, in half sides of the tile before.
    middles = [now[:, i] - before[:, i] + (now[:, 2] - before[:, 2]) / 2 for i in range(2)]
    shift = [middle / before[:, 2] * 2 for middle in middles]
    zero = torch.zeros_like(ratio)
    theta = torch.stack([ratio, zero, shift[0], zero, ratio, shift[1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(mask.shape), align_corners=False)
    return F.grid_sample(mask, grid, align_corners=False)


def _losses(logits: Tensor, presence: Tensor, batch: VideoBatch) -> dict[str, Tensor]:
    """Of frames 1 to T - 1: logits (T - 1) N x 1 x 2 h x 2 w, presence (T - 1) N x 1 x h / 4 x
    w / 4.
    """
    first = len(batch.first)

    def coarser(mask: Tensor) -> Tensor:
        return F.avg_pool2d(mask[first:].float()[:, None], MASK_STRIDE).squeeze(1)

    fine = logits.float().squeeze(1)
    target, known = coarser(batch.truth) > 0.5, coarser(batch.known) > 0.99
    there = target.flatten(1).any(1)
    seen = there.sum().clamp(min=1)
    entropy = bootstrapped_bce(fine, target, known, float(batch.hard)).mean()
    dice = (dice_loss(fine, target.float(), known) * there).sum() / seen
    largest = presence.amax((1, 2, 3))
    present = F.binary_cross_entropy_with_logits(largest, there.float())
    present = present + presence_loss(
        presence.squeeze(1), batch.truth[first:].float(), batch.known[first:]
    )
    with torch.no_grad():
        iou = (mask_iou(fine, target, known) * there).sum() / seen
        told = ((largest > 0) == there).float().mean()
    return {
        "total": entropy + dice + PRESENCE_WEIGHT * present,
        "bce": entropy.detach(),
        "dice": dice.detach(),
        "presence": present.detach(),
        "iou": iou,
        "told": told,
    }


def _mean_j(programs: TorchPropagation, clip: Clip) -> float | None:
    """Mean J of a clip's things over its first frames, that of the given masks left out; None where
    the first frame shows none.
    """
    first = clip.instance_map(0)
    things = [int(value) for value in np.unique(first) if value not in (0, IGNORE)]
    if not things:
        return None
    tracker = GroupTracker(programs, len(things))
    tracker.touch(0, clip.photo(0), [first == thing for thing in things])
    scores = []
    for number in range(1, min(SCORED_FRAMES, len(clip))):
        numbers = clip.instance_map(number)
        for thing, tracked in zip(things, tracker.step(number, clip.photo(number)), strict=True):
            scores.append(jaccard(tracked.mask() & (numbers != IGNORE), numbers == thing))
    return float(np.mean(scores))
