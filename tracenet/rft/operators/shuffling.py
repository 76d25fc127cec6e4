"""Pixel shuffle and unshuffle: blocks of cells to channels and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.rft.axis_maps import Sliding, Transposed
from tracenet.rft.geometry import Rect
from tracenet.rft.operators.call import Call, Patch, Rule, RuleReader
from tracenet.rft.operators.windows import needed_rect

aten = torch.ops.aten


def _pixel_shuffle(call: Call) -> Rule:
    factor = call["upscale_factor"]
    axis = Transposed(factor, factor)

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        read = needed_rect(axis, axis, wanted)
        shuffled = F.pixel_shuffle(patches[0].crop(read), factor)
        filled = Rect(*(factor * border for border in (read.y0, read.y1, read.x0, read.x1)))
        return Patch(shuffled, filled).crop(wanted)

    return Rule(axis, axis, kernel)


def _pixel_unshuffle(call: Call) -> Rule:
    factor = call["downscale_factor"]
    axis = Sliding(factor, factor)

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        return F.pixel_unshuffle(patches[0].crop(needed_rect(axis, axis, wanted)), factor)

    return Rule(axis, axis, kernel)


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.pixel_shuffle.default: _pixel_shuffle,
    aten.pixel_unshuffle.default: _pixel_unshuffle,
}
