"""The protocols of clips that begin in the first frame."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracenet.data.clips import Clip
from tracenet.evaluation.clips.follow import LEAST_FRAMES, Beginning, score_clip
from tracenet.evaluation.clips.measures import TOLERANCE, decay, recall
from tracenet.evaluation.clips.models import ClipModel
from tracenet.evaluation.clips.pictures import write_contact_sheet
from tracenet.evaluation.clips.scores import ObjectScore
from tracenet.evaluation.figures import mean_block
from tracenet.evaluation.report import clip_markdown
from tracenet.evaluation.scores import PhotoScore
from tracenet.evaluation.scoring import Examples


@dataclass(frozen=True)
class ClipScoring:
    """See :class:`~tracenet.evaluation.scoring.Scoring`.

    Attributes:
        model: what carries masks.
        seed: of the intervals; nothing else is random.
        beginning: what the first frame gives.
    """

    model: ClipModel
    seed: int
    beginning: Beginning

    kind = ObjectScore
    answers_file = "frames.jsonl"
    nothing_to_score = (
        f"no clip has a thing in its first frame and at least {LEAST_FRAMES} frames, so there is "
        "nothing to score; the first and the last are not scored"
    )

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        settings = {"protocol": self.beginning, "tolerance": TOLERANCE, "seed": self.seed}
        return {"clips": settings}

    def score(self, index: int, example: Clip) -> PhotoScore[ObjectScore]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return score_clip(self.model, index, example, self.beginning)

    def summarise(self, scores: Sequence[PhotoScore[ObjectScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return summarise_clips(scores, self.seed)

    def about(self, scores: Sequence[PhotoScore[ObjectScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return {}

    def table(self, results: Mapping[str, Any]) -> str:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return clip_markdown(results)

    def answers(self, scores: Sequence[PhotoScore[ObjectScore]]) -> Iterator[str]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        for clip in scores:
            for score in clip.instances:
                for frame, (j, f) in enumerate(zip(score.j, score.f, strict=True), 1):
                    line = {
                        "clip": clip.photo,
                        "instance": score.instance,
                        "frame": frame,
                        "j": j,
                        "f": f,
                    }
                    yield json.dumps(line) + "\n"

    def write_pictures(
        self, folder: Path, scores: Sequence[PhotoScore[ObjectScore]], examples: Examples[Clip]
    ) -> None:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        write_contact_sheet(folder / "worst.png", scores, examples, self.model, self.beginning)


def summarise_clips(scores: Sequence[PhotoScore[ObjectScore]], seed: int) -> dict[str, Any]:
    """The figures of at least one thing, as docs/evaluation.md describes them (JSON-ready).

    Args:
        scores: of all clips.
        seed: of the bootstrap.
    """

    def block(group: Sequence[PhotoScore[ObjectScore]]) -> dict[str, Any]:
        things = [score for clip in group for score in clip.instances]
        j = [float(np.mean(score.j)) for score in things]
        f = [float(np.mean(score.f)) for score in things]
        columns = {
            "jf": [(a + b) / 2 for a, b in zip(j, f, strict=True)],
            "j": j,
            "f": f,
            "j_recall": [recall(score.j) for score in things],
            "j_decay": [decay(score.j) for score in things],
            "f_recall": [recall(score.f) for score in things],
            "f_decay": [decay(score.f) for score in things],
        }
        photos = [clip.index for clip in group for _ in clip.instances]
        return mean_block(columns, photos, seed) | {
            "instances": len(things),
            "frames": sum(len(score.j) for score in things),
        }

    scored = [clip for clip in scores if clip.instances]
    sets = sorted({clip.instances[0].set for clip in scored})
    return {
        **block(scored),
        "sets": {s: block([clip for clip in scored if clip.instances[0].set == s]) for s in sets},
        "clips": {clip.photo: block([clip]) for clip in scored},
    }
