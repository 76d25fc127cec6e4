"""What a bundle says of carrying masks through clips."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracenet_runtime.tracking.contract import (
    FUSION_PLANES,
    KEY_CHANNELS,
    KEY_STRIDE,
    MASK_STRIDE,
    PLANE_STRIDE,
    TILE_SIDE,
    TOP_K,
    VALUE_CHANNELS,
)
from tracenet_runtime.tracking.memory import RING_EVERY, RING_SLOTS, TOUCHED_SLOTS, memory_nbytes
from tracenet_runtime.tracking.tile import FollowRule

TRACKING_DESCRIBED: Mapping[str, Any] = {
    "tile": TILE_SIDE,
    "mask_stride": MASK_STRIDE,
    "plane_stride": PLANE_STRIDE,
    "key_stride": KEY_STRIDE,
    "key_channels": KEY_CHANNELS,
    "value_channels": VALUE_CHANNELS,
    "fusion_planes": list(FUSION_PLANES),
    "top_k": TOP_K,
    "touched": TOUCHED_SLOTS,
    "ring": RING_SLOTS,
    "ring_every": RING_EVERY,
}
"""What the programs were trained with, and this reader does, as a bundle says it."""

TRACKING_MEMORY: Mapping[str, int] = {
    "one": memory_nbytes(1),
    "further": memory_nbytes(2) - memory_nbytes(1),
}
"""Bytes of the memory of one thing, and of each further one, as a bundle says it."""


@dataclass(frozen=True)
class Tracking:
    """The names of propagation's programs and of fusion's, and the rule of the tile.

    ``frame`` makes features and a key of a tile, ``value`` what the memory keeps of a mask,
    ``decode`` a mask of what the memory says, and ``fuse`` merges two.
    """

    frame: str
    value: str
    decode: str
    fuse: str
    rule: FollowRule

    @property
    def programs(self) -> dict[str, str]:
        """The names, by what they are for."""
        return {
            "frame": self.frame,
            "value": self.value,
            "decode": self.decode,
            "fuse": self.fuse,
        }
