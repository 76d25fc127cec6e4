"""What a plan is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracenet.rft import ConvGraph
from tracenet_export.plan.partition import CropPoint
from tracenet_export.plan.piece import PlacedPiece, Spans

ENCODE, QUERY = "encode", "query"
"""Names of the phases that every tap shares; the others are the alternatives'."""

Wanted = Mapping[str, Spans]
"""Output name -> rows and columns wanted of it, for every key cell."""


@dataclass(frozen=True)
class Plan:
    """Everything that runs for a tap.

    Attributes:
        graph: the network.
        encode: runs once per picture, before any tap.
        query: runs first for a tap, in this order.
        alternatives: by name; one of them may follow the query and use its arrays.
        wanted_query, wanted_alternatives: what was asked for.
        crop_points: of the phases, ``query`` and the alternatives by name.
        halo: the share of the halo that its windows keep (see `kept_regions`); 1 is exact.
    """

    graph: ConvGraph
    encode: tuple[PlacedPiece, ...]
    query: tuple[PlacedPiece, ...]
    alternatives: Mapping[str, tuple[PlacedPiece, ...]]
    wanted_query: Wanted
    wanted_alternatives: Mapping[str, Wanted]
    crop_points: Mapping[str, tuple[CropPoint, ...]] = field(default_factory=dict)
    halo: float = 1.0

    @property
    def encode_macs(self) -> int:
        """Multiply-adds of what runs once per picture."""
        return sum(piece.macs(self.graph) for piece in self.encode)

    @property
    def query_macs(self) -> int:
        """Multiply-adds of the query."""
        return sum(piece.macs(self.graph) for piece in self.query)

    def alternative_macs(self, name: str) -> int:
        """Multiply-adds of one alternative, the query not included."""
        return sum(piece.macs(self.graph) for piece in self.alternatives[name])
