"""What training on taps minimises: mask, box, which level answers, and how good its mask is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.data.taps import NOTHING, TARGET_STRIDE, TapBatch
from tracenet.model.config import LEVELS
from tracenet.model.fullnet import decode_boxes, gather_cells, mask_head_inputs
from tracenet.model.mask_head import MaskHead
from tracenet.model.network import TraceNet
from tracenet.training.losses.boxes import box_loss
from tracenet.training.losses.masks import dice_loss, mask_iou, near_bce

BOX_WEIGHT = 0.5
LEVEL_WEIGHT = 2.0
QUALITY_WEIGHT = 0.5

CHOICE_SHARPNESS = 2.0
"""Power of the score in the soft choice of a level."""

RARELY_CHOSEN = 0.1
"""Probability of being chosen below which a level's mask is not trained for it: the time of a step
goes to masks."""

NEARLY_AS_GOOD = 0.1
"""IoU by which a level's mask may fall short of the best before its class target drops to 1 / e."""


def tap_losses(network: TraceNet, batch: TapBatch) -> dict[str, Tensor]:
    """Scalar losses by name: ``mask``, ``box``, ``level``, ``quality``, ``choice`` and their
    ``total``, and ``iou``, the mean IoU of the masks as the levels are chosen (no loss).
    """
    image = batch.image.float().contiguous(memory_format=torch.channels_last)
    heads, mask_features = network.predict(image)
    # The heads' sums and the masks are small: full precision costs nothing here.
    with torch.autocast(image.device.type, enabled=False):

        def gather(maps: list[Tensor]) -> Tensor:
            return gather_cells(maps, batch.image_index, batch.taps).float()

        thing = batch.level != NOTHING
        class_logit = gather(heads.class_logit).squeeze(-1)
        quality_logit = gather(heads.quality_logit).squeeze(-1)
        choice = level_choice(class_logit, quality_logit)
        # A level that answers should give a good mask, be it the wrong one.
        answers = F.threshold(choice.detach() * thing[:, None], RARELY_CHOSEN, 0.0)
        weight = torch.maximum(level_weights(batch.reach, batch.level), answers)
        boxes = decode_boxes(gather(heads.box), batch.taps)
        mask_head = MaskHead(network.config.mask_stride)
        mask_loss, iou = _mask_loss(
            mask_head, mask_features.float(), gather(heads.filter), batch, weight
        )
        losses = {
            "mask": mask_loss,
            "box": box_loss(boxes, batch.box, weight),
            "level": F.binary_cross_entropy_with_logits(
                class_logit, level_target(iou) * thing[:, None]
            ),
            "quality": F.binary_cross_entropy_with_logits(quality_logit[thing], iou[thing]),
            "choice": choice_loss(choice[thing], iou[thing]),
        }
        losses["total"] = (
            losses["mask"]
            + BOX_WEIGHT * losses["box"]
            + LEVEL_WEIGHT * losses["level"]
            + QUALITY_WEIGHT * losses["quality"]
            + losses["choice"]
        )
        losses["iou"] = (choice.detach() * iou)[thing].sum(1).mean()
    return losses


def _mask_loss(
    mask_head: MaskHead, mask_features: Tensor, filters: Tensor, batch: TapBatch, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The weighted mean of dice + BCE, and every level's IoU (T x 5, detached)."""
    stride = mask_head.stride
    filter, offset, inverse_size = mask_head_inputs(filters, batch.taps, stride)
    flat_weight = weight.flatten()
    tap_of = torch.arange(len(batch.taps), device=weight.device).repeat_interleave(len(LEVELS))
    iou = torch.zeros_like(flat_weight)

    def masks_of(pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        taps = tap_of[pairs]
        features = mask_features[batch.image_index[taps]]
        logits = mask_head(features, filter[pairs], offset[pairs], inverse_size[pairs])
        if stride != TARGET_STRIDE:
            logits = F.interpolate(
                logits, scale_factor=stride / TARGET_STRIDE, mode="bilinear", align_corners=False
            )
        logits = logits.squeeze(1)
        target, known = batch.mask[taps], batch.known[taps]
        iou[pairs] = mask_iou(logits.detach(), target, known)
        return logits, target, known

    trained = flat_weight > 0
    pairs = trained.nonzero().squeeze(1)
    logits, target, known = masks_of(pairs)
    losses = dice_loss(logits, target, known) + near_bce(
        logits, target, known, batch.box[tap_of[pairs]]
    )
    with torch.no_grad():
        masks_of((~trained).nonzero().squeeze(1))
    loss = (losses * flat_weight[pairs]).sum() / flat_weight.sum().clamp(min=1e-6)
    return loss, iou.view_as(weight)


def level_weights(reach: Tensor, level: Tensor) -> Tensor:
    """How much each level's mask and box count for each tap.

    The level in whose range the reach falls counts fully. So do neighbours that are about as far
    from it on a logarithmic scale, and others less: the levels overlap, so that a tap whose level
    is chosen wrongly by one still gets a mask.

    Args:
        reach: T, canvas pixels.
        level: T, index of the assigned level or ``NOTHING``.

    Returns:
        T x 5 in [0, 1]; all 0 for taps on nothing.
    """
    count = len(LEVELS)
    middle = 0.75 * LEVELS[0].size_of_interest
    position = torch.log2(reach / middle).clamp(0, count - 1)
    distance = (position[:, None] - torch.arange(count, device=reach.device)).abs()
    weight = (1.5 - distance).clamp(0, 1)
    thing = level != NOTHING
    weight[thing, level[thing]] = 1.0
    return weight * thing[:, None]


def level_choice(class_logit: Tensor, quality_logit: Tensor) -> Tensor:
    """How probably each level answers: a soft arg-max of the score by which they are ranked.

    Args:
        class_logit, quality_logit: T x 5.

    Returns:
        T x 5, proportional to :func:`~tracenet.model.score.tap_score` to the power of
        ``CHOICE_SHARPNESS``.
    """
    # In logarithms, since the score itself loses its gradient where it is nearly 0.
    log_score = F.logsigmoid(class_logit) + F.logsigmoid(quality_logit)
    return (CHOICE_SHARPNESS * log_score).softmax(1)


def choice_loss(choice: Tensor, iou: Tensor) -> Tensor:
    """The IoU that choosing levels this way loses against the best level; both T x 5."""
    return (iou.amax(1) - (choice * iou).sum(1)).mean()


def level_target(iou: Tensor) -> Tensor:
    """What the class score should be: 1 at the level with the best mask, nearly 1 where the mask is
    nearly as good; T x 5 -> T x 5.

    The masks that the levels really give decide, not the size of the thing: neighbours often do
    equally well, and a target between them would be noise.
    """
    return torch.exp((iou - iou.amax(1, keepdim=True)) / NEARLY_AS_GOOD)
