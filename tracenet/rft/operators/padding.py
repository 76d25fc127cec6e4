"""Explicit padding of rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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
    if len(call["pad"]) > 4:
        raise Refusal("it pads other axes than rows and columns")
    left, right, top, bottom = [*call["pad"], 0, 0][:4]
    mode = call.arguments.get("mode", "constant")
    if mode == "constant":
        return _constant_pad(ConstantPad(top, bottom), ConstantPad(left, right), call["value"])
    if mode not in _INDEX_MAPS:
        raise Refusal(
            f"padding mode {mode!r} carries one border of the picture to the other",
            f"Use 'constant' or one of {sorted(_INDEX_MAPS)}.",
        )
    height, width = call.inputs[0].extent
    index_map = _INDEX_MAPS[mode]
    y, x = index_map(top, bottom, height), index_map(left, right, width)
    return Rule(y, x, gather_kernel(y, x))


def _constant_pad(y: ConstantPad, x: ConstantPad, value: float | None) -> Rule:
    fill = 0.0 if value is None else value

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        return fit(patches[0], needed_rect(y, x, wanted), fill)

    return Rule(y, x, kernel)


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
}
