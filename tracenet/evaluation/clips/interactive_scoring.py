"""The interactive protocol of clips."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracenet.data.clips import Clip
from tracenet.evaluation.clips.follow import LEAST_FRAMES
from tracenet.evaluation.clips.interactive import (
    RIGHT,
    ROUNDS,
    Corrected,
    RoundsScore,
    score_rounds,
)
from tracenet.evaluation.clips.measures import TOLERANCE
from tracenet.evaluation.clips.robot import WIDTH
from tracenet.evaluation.figures import mean_block
from tracenet.evaluation.report import rounds_markdown
from tracenet.evaluation.scores import PhotoScore
from tracenet.evaluation.scoring import Examples


@dataclass(frozen=True)
class InteractiveScoring:
    """See :class:`~tracenet.evaluation.scoring.Scoring`.

    Attributes:
        model: what corrects frames and carries masks.
        seed: of the intervals; nothing else is random.
    """

    model: Corrected
    seed: int

    kind = RoundsScore
    answers_file = "rounds.jsonl"
    nothing_to_score = (
        f"no clip has a thing in its first frame and at least {LEAST_FRAMES} frames, so there is "
        "nothing to score; the first and the last are not scored"
    )

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        settings = {
            "protocol": "interactive",
            "rounds": ROUNDS,
            "width": WIDTH,
            "right": RIGHT,
            "tolerance": TOLERANCE,
            "seed": self.seed,
        }
        return {"clips": settings}

    def score(self, index: int, example: Clip) -> PhotoScore[RoundsScore]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return score_rounds(self.model, index, example)

    def summarise(self, scores: Sequence[PhotoScore[RoundsScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return summarise_rounds(scores, self.seed)

    def about(self, scores: Sequence[PhotoScore[RoundsScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return {}

    def table(self, results: Mapping[str, Any]) -> str:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return rounds_markdown(results, ROUNDS)

    def answers(self, scores: Sequence[PhotoScore[RoundsScore]]) -> Iterator[str]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        for clip in scores:
            for score in clip.instances:
                rounds = zip(score.j, score.f, score.frames, strict=True)
                for number, (j, f, frame) in enumerate(rounds, 1):
                    line = {
                        "clip": clip.photo,
                        "instance": score.instance,
                        "round": number,
                        "frame": frame,
                        "j": j,
                        "f": f,
                    }
                    yield json.dumps(line) + "\n"

    def write_pictures(
        self, folder: Path, scores: Sequence[PhotoScore[RoundsScore]], examples: Examples[Clip]
    ) -> None:
        """None: eight rounds of a clip take minutes, and its frames are not kept."""


def summarise_rounds(scores: Sequence[PhotoScore[RoundsScore]], seed: int) -> dict[str, Any]:
    """The figures of at least one thing, as docs/evaluation.md describes them (JSON-ready).

    Args:
        scores: of all clips.
        seed: of the bootstrap.
    """
    things = [score for clip in scores for score in clip.instances]
    columns: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        j, f = [score.j[number] for score in things], [score.f[number] for score in things]
        columns[f"jf@{number + 1}"] = [(a + b) / 2 for a, b in zip(j, f, strict=True)]
        columns[f"j@{number + 1}"], columns[f"f@{number + 1}"] = j, f
    last = columns[f"jf@{ROUNDS}"]
    columns["gain"] = [b - a for a, b in zip(columns["jf@1"], last, strict=True)]
    right = [score.spoilt[1] for score in things]
    # A mean over frames that were right, not over things.
    spoilt = [score.spoilt[0] / max(1, score.spoilt[1]) for score in things]
    clips = [clip.index for clip in scores for _ in clip.instances]
    block = mean_block(
        {**columns, "spoilt": spoilt} if any(right) else {**columns, "spoilt": None},
        clips,
        seed,
        weights={"spoilt": right},
    )
    return block | {"instances": len(things), "frames_right": sum(right)}
