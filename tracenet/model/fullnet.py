"""FullNet's answer to taps: what every replay is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tracenet.model.config import FILTER_SIZE, LEVELS
from tracenet.model.mask_head import MaskHead, MaskProbability


@dataclass(frozen=True)
class TapAnswers:
    """What all five levels say to T taps on one canvas.

    Attributes:
        score: T x 5 in [0, 1]; the level with the highest score answers.
        box: T x 5 x 4, (x0, y0, x1, y1) in canvas pixels, not clipped.
        filter: T x 5 x 169.
        mask: T x 5 x h x w; logits at the mask features' stride or probabilities at stride 2, as
            asked for.
    """

    score: Tensor
    box: Tensor
    filter: Tensor
    mask: Tensor


def gather_cells(level_maps: list[Tensor], image_index: Tensor, taps: Tensor) -> Tensor:
    """Each level's channels at the taps' cells.

    Args:
        level_maps: one N x C x H_l x W_l tensor per level P3 ... P7.
        image_index: T, which of the N canvases the tap is on.
        taps: T x 2, integer (x, y) canvas pixels.

    Returns:
        T x 5 x C.
    """
    columns = []
    for level, level_map in zip(LEVELS, level_maps, strict=True):
        x, y = taps[:, 0] // level.stride, taps[:, 1] // level.stride
        columns.append(level_map[image_index, :, y, x])
    return torch.stack(columns, dim=1)


def decode_boxes(distances: Tensor, taps: Tensor) -> Tensor:
    """Distances from the centres of the tapped cells -> boxes.

    Args:
        distances: T x 5 x 4, (left, top, right, bottom) in units of the level's size of interest.
        taps: T x 2, integer (x, y) canvas pixels.

    Returns:
        T x 5 x 4, (x0, y0, x1, y1) in canvas pixels.
    """
    sizes = torch.tensor([level.size_of_interest for level in LEVELS], device=taps.device)
    distances = distances * sizes[:, None]
    strides = torch.tensor([level.stride for level in LEVELS], device=taps.device)
    centre = (taps[:, None, :] // strides[:, None]) * strides[:, None] + strides[:, None] / 2
    return torch.cat([centre - distances[..., :2], centre + distances[..., 2:]], dim=-1)


def mask_stride(outputs: Mapping[str, Tensor]) -> int:
    """Canvas pixels per cell of the mask features, of the network that gave these outputs."""
    finest = LEVELS[0]
    cells = outputs[finest.output("score")].shape[2]
    return finest.stride * cells // outputs["mask_features"].shape[2]


def mask_head_inputs(filters: Tensor, taps: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """The mask head's filter, offset and inverse size for whole-canvas features.

    Args:
        filters: T x 5 x 169.
        taps: T x 2, integer (x, y) canvas pixels.
        stride: canvas pixels per cell of the mask features.

    Returns:
        Tensors for T * 5 masks, taps first.
    """
    count = len(LEVELS)
    offset = stride / 2 - (taps.to(filters.dtype) + 0.5)
    sizes = torch.tensor(
        [level.size_of_interest for level in LEVELS], dtype=filters.dtype, device=filters.device
    )
    return (
        filters.reshape(-1, FILTER_SIZE, 1, 1),
        offset.repeat_interleave(count, dim=0).view(-1, 2, 1, 1),
        (1 / sizes).repeat(len(taps)).view(-1, 1, 1, 1),
    )


def answer_taps(
    outputs: Mapping[str, Tensor], taps: Tensor, *, probability: bool = False
) -> TapAnswers:
    """All five levels' answers from the outputs of :class:`~tracenet.model.TraceNet`.

    Args:
        outputs: the network's outputs for one canvas (N = 1).
        taps: T x 2, integer (x, y) canvas pixels.
        probability: give the masks as probabilities at stride 2 instead of logits.
    """
    image_index = torch.zeros(len(taps), dtype=torch.long, device=taps.device)

    def gather(kind: Literal["score", "box", "filter"]) -> Tensor:
        maps = [outputs[level.output(kind)] for level in LEVELS]
        return gather_cells(maps, image_index, taps)

    filters = gather("filter")
    features = outputs["mask_features"].expand(len(taps) * len(LEVELS), -1, -1, -1)
    stride = mask_stride(outputs)
    head = MaskProbability(stride) if probability else MaskHead(stride)
    mask = head(features, *mask_head_inputs(filters, taps, stride))
    return TapAnswers(
        score=gather("score").squeeze(-1),
        box=decode_boxes(gather("box"), taps),
        filter=filters,
        mask=mask.view(len(taps), len(LEVELS), *mask.shape[2:]),
    )
