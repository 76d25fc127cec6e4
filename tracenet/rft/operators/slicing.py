"""Slices of rows, columns and channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tracenet.rft.axis_maps import Sliding
from tracenet.rft.geometry import Rect
from tracenet.rft.operators.call import Call, Patch, Refusal, Rule, RuleReader
from tracenet.rft.operators.pointwise import cell_by_cell
from tracenet.rft.operators.refused import CUT
from tracenet.rft.operators.windows import needed_rect

aten = torch.ops.aten


def _slice(call: Call) -> Rule:
    """Its end counts from the last cell (see `functionalize.cut_from_the_ends`)."""
    if call.is_over_channels(call["dim"]):
        return cell_by_cell(call)
    axis = call["dim"] % 4
    if axis < 2 or call.channels_last:
        raise Refusal(*CUT)
    cut = Sliding(1, call["step"], -call["start"], call["end"] or 0)
    y, x = (cut, Sliding(1)) if axis == 2 else (Sliding(1), cut)

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        return patches[0].crop(needed_rect(y, x, wanted))[..., :: y.stride, :: x.stride]

    return Rule(y, x, kernel)


RULES: dict[torch._ops.OpOverload, RuleReader] = {aten.slice.Tensor: _slice}
