"""Propagation's programs on an engine, and what a bundle may say of the tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.bundle.tracking_parser import parse_tracking
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.program import Program
from tracenet_runtime.tracking.check import FEATURES, tensors_of
from tracenet_runtime.tracking.programs import TrackPrograms
from tracenet_runtime.tracking.records import TRACKING_DESCRIBED, TRACKING_MEMORY

SAID = {
    "programs": {name: name for name in ("frame", "value", "decode", "fuse")},
    "rule": {"fill": 0.5, "enlarge": 3.0, "lost": 0.5, "sure": 0.8},
    "described": dict(TRACKING_DESCRIBED),
    "memory_bytes": dict(TRACKING_MEMORY),
}
PLANE = np.zeros((64, 64), np.float32)
TENSORS = tensors_of(dict.fromkeys(FEATURES, 8))


class Halves:
    """An engine that gives 0.5 everywhere, but for some numbers of one output."""

    def __init__(self, odd: str, numbers: list[float]) -> None:
        self._odd, self._numbers = odd, numbers

    def run(self, program: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        _, gives = TENSORS[program]
        outputs = {spec.name: np.full(spec.shape, 0.5, np.float32) for spec in gives}
        if self._odd in outputs:
            outputs[self._odd].reshape(-1)[: len(self._numbers)] = self._numbers
        return outputs


def answers(odd: str, numbers: list[float]) -> dict[str, Any]:
    """What the programs give on an engine with such numbers in one of their outputs."""
    programs = {
        name: Program(0, {s.name: s for s in takes}, {s.name: s for s in gives})
        for name, (takes, gives) in TENSORS.items()
    }
    tracking = parse_tracking(JsonValue(SAID, "tracking"))
    network = TrackPrograms(tracking, programs, Halves(odd, numbers), (0, 0, 0))
    features, key = network.encode(np.zeros((256, 256, 3), np.uint8))
    value = network.value(features, PLANE, PLANE)
    mask, presence = network.decode(features, value, PLANE)
    share = network.fuse(features, np.stack([PLANE] * 6))
    return {"key": key, "value": value, "mask": mask, "presence": presence, "share": share}


@pytest.mark.parametrize("output", ["key", "value", "mask", "presence", "share"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(output: str, number: float) -> None:
    with pytest.raises(BundleError, match="numbers that are not finite"):
        answers(output, [number])


def test_shares_lie_between_0_and_1() -> None:
    numbers = [-0.25, 0.25, 1.25]
    assert answers("mask", numbers)["mask"][0, :3].tolist() == [0, 0.25, 1]
    assert answers("share", numbers)["share"][0, :3].tolist() == [0, 0.25, 1]
    assert answers("presence", numbers)["presence"] == 1
    assert answers("value", numbers)["value"][:3, 0].tolist() == numbers


@pytest.mark.parametrize(
    ("key", "value"),
    [("fill", 5e-324), ("fill", 1.01), ("enlarge", 1e308), ("enlarge", 0.009), ("lost", 1.5)],
)
def test_a_rule_without_a_tile_is_refused(key: str, value: float) -> None:
    said = SAID | {"rule": {"fill": 0.5, "enlarge": 3.0, "lost": 0.5, "sure": 0.8} | {key: value}}
    with pytest.raises(BundleError, match=rf"{key} must be from 0(\.01)? to (1|256);"):
        parse_tracking(JsonValue(said, "tracking"))
