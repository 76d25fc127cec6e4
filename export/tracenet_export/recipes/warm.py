"""The photo is computed once but for the heads; a tap runs these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracenet.model import LEVELS
from tracenet.rft import Node
from tracenet_export.plan import CostModel, Plan, Setting, make_plan
from tracenet_export.recipes.recipe import Ladder

_ENCODED = ("backbone", "pyramid", "mask_branch", "tile_encoder")
"""The parts of the network that are computed once per photo, on the whole canvas.

The mask branch is one of them: on windows at every tap it would cost more from the second tap on,
and its windows would cut masks off.
"""


@dataclass(frozen=True)
class Warm:
    """All levels; the features of the whole canvas are there, so that no other window is needed."""

    name = "warm"
    levels = LEVELS
    has_windows = True
    corrects = False

    def ladder(self, asked: Sequence[int | None]) -> Ladder:
        """The whole canvas."""
        return (None,)

    def plan(self, own: Setting, halo: float, cost: CostModel) -> Plan:
        """The heads on windows of what was computed before."""
        encoded = [node.name for node in own.graph.nodes.values() if part_of(node) in _ENCODED]
        return make_plan(own.graph, own.query, own.alternatives, encoded, halo, cost)


def part_of(node: Node) -> str:
    """The part of the network, such as ``backbone``; nothing for the normalisation."""
    return node.module_path.split(".")[0]
