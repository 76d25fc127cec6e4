"""The protocol of things that go and come back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracenet.data.clips import Clip
from tracenet.evaluation.clips.models import ClipModel
from tracenet.evaluation.clips.presence import FOUND, GONE, SOON, PresenceScore, score_presence
from tracenet.evaluation.figures import mean_block
from tracenet.evaluation.report import presence_markdown
from tracenet.evaluation.scores import PhotoScore
from tracenet.evaluation.scoring import Examples


@dataclass(frozen=True)
class PresenceScoring:
    """See :class:`~tracenet.evaluation.scoring.Scoring`.

    Attributes:
        model: what carries masks.
        seed: of the intervals; nothing else is random.
    """

    model: ClipModel
    seed: int

    kind = PresenceScore
    answers_file = "things.jsonl"
    nothing_to_score = (
        f"no clip has a thing that is seen all the time, {GONE + SOON} frames after its first "
        "third, and room beside it to paint it over with, so there is nothing to score"
    )

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        settings = {
            "protocol": "presence",
            "gone": GONE,
            "soon": SOON,
            "found": FOUND,
            "seed": self.seed,
        }
        return {"clips": settings}

    def score(self, index: int, example: Clip) -> PhotoScore[PresenceScore]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return score_presence(self.model, index, example)

    def summarise(self, scores: Sequence[PhotoScore[PresenceScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        things = [score for clip in scores for score in clip.instances]
        columns = {
            "gone_told": [float(np.mean(score.gone)) for score in things],
            "seen_told": [float(np.mean(score.seen)) for score in things],
            "found": [float(score.found) for score in things],
        }
        clips = [clip.index for clip in scores for _ in clip.instances]
        return mean_block(columns, clips, self.seed) | {"instances": len(things)}

    def about(self, scores: Sequence[PhotoScore[PresenceScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return {}

    def table(self, results: Mapping[str, Any]) -> str:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return presence_markdown(results)

    def answers(self, scores: Sequence[PhotoScore[PresenceScore]]) -> Iterator[str]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        for clip in scores:
            for score in clip.instances:
                yield json.dumps({"clip": clip.photo, **score.to_dict()}) + "\n"

    def write_pictures(
        self, folder: Path, scores: Sequence[PhotoScore[PresenceScore]], examples: Examples[Clip]
    ) -> None:
        """None: what counts is whether there is a mask."""
