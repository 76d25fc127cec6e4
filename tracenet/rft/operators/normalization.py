"""Normalisation by statistics that are fixed after training, and PReLU: one factor per channel."""

from __future__ import annotations

import torch

from tracenet.rft.operators.call import Call, Refusal, Rule, RuleReader
from tracenet.rft.operators.pointwise import cell_by_cell
from tracenet.rft.operators.refused import STATISTICS

aten = torch.ops.aten


def _batch_norm(call: Call) -> Rule:
    if call["training"]:
        raise Refusal(STATISTICS[0], "Keep running statistics (track_running_stats=True).")
    return cell_by_cell(call)


def _instance_norm(call: Call) -> Rule:
    if call["use_input_stats"]:
        raise Refusal(*STATISTICS)
    return cell_by_cell(call)


RULES: dict[torch._ops.OpOverload, RuleReader] = {
    aten.batch_norm.default: _batch_norm,
    aten.instance_norm.default: _instance_norm,
    aten.prelu.default: cell_by_cell,
}
