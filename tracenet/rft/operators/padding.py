"""Explicit padding of rows, columns and channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.rft.axis_maps import ConstantPad, ReflectPad, ReplicatePad
from tracenet.rft.geometry import Rect
from tracenet.rft.operators.call import Call, Patch, Refusal, Rule, RuleReader
from tracenet.rft.operators.windows import fit, gather_kernel, needed_rect

aten = torch.ops.aten

_INDEX_MAPS: dict[str, type[ReflectPad] | type[ReplicatePad]] = {
    "reflect": ReflectPad,
    "replicate": ReplicatePad,
}


def _pad(call: Call) -> Rule:
    amounts: list[int] = [*call["pad"], 0, 0, 0, 0]
    left, right, top, bottom = amounts[:4]
    channels, batch = amounts[4:6], amounts[6:]
    mode = call.arguments.get("mode", "constant")
    if any(batch) or (any(channels) and mode != "constant"):
        raise Refusal("it pads the batch, or channels with other than one value")
    if mode == "constant":
        return _constant_pad(call, ConstantPad(top, bottom), ConstantPad(left, right), channels)
    if mode not in _INDEX_MAPS:
        raise Refusal(
            f"padding mode {mode!r} carries one border of the picture to the other",
            f"Use 'constant' or one of {sorted(_INDEX_MAPS)}.",
        )
    height, width = call.inputs[0].extent
    index_map = _INDEX_MAPS[mode]
    y, x = index_map(top, bottom, height), index_map(left, right, width)
    return Rule(y, x, gather_kernel(y, x))


def _constant_pad(call: Call, y: ConstantPad, x: ConstantPad, channels: list[int]) -> Rule:
    fill = 0.0 if call["value"] is None else call["value"]

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        padded = fit(patches[0], needed_rect(y, x, wanted), fill)
        return F.pad(padded, (0, 0, 0, 0, *channels), value=fill)

    return Rule(y, x, kernel)


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
}
