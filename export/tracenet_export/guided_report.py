"""What a guided look costs, and what it may."""

from __future__ import annotations

from collections.abc import Mapping

from tracenet_export.assemble import Assembly
from tracenet_runtime.graph.schedule import When
from tracenet_runtime.strategies.rules import GuidedRule

MOST_MACS = {"encode": 700_000_000, "correction": 250_000_000, "tap": 1_400_000_000}
"""Multiply-adds that a guided look is meant to keep to."""

_WORDS = {"encode": "a tile's encoding", "correction": "a correction", "tap": "a tap in all"}


def guided_macs(assembly: Assembly, rule: GuidedRule) -> dict[str, int]:
    """Multiply-adds of ``encode``, a tile; of a ``correction``; and of ``tap``, all of a first one.

    A correction counts with all passes that the rule allows. A tap is the first look with its mask,
    in case that answers, and the tile, tapped and corrected.
    """
    programs = assembly.described()

    def macs(number: int, when: When) -> int:
        """Of the largest phase of that time."""
        phases = assembly.schedules[number].graph.phases
        return max(
            sum(programs[call.program].macs for call in phase.program_calls)
            for phase in phases
            if phase.when == when
        )

    first, tile = rule.zoom.first, rule.zoom.tile
    encode, correction = macs(tile, "photo"), (1 + rule.passes) * macs(tile, "correction")
    looks = [macs(number, when) for number in (first, tile) for when in ("tap", "window")]
    return {"encode": encode, "correction": correction, "tap": sum(looks) + encode + correction}


def guided_text(macs: Mapping[str, int]) -> str:
    """The same on one line, beside what is meant."""
    return "guided look, G multiply-adds: " + ", ".join(
        f"{_WORDS[name]} {macs[name] / 1e9:.2f} (at most {most / 1e9:g})"
        for name, most in MOST_MACS.items()
    )
