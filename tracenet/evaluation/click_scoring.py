"""The protocol of interactive segmentation: clicks that correct a mask."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracenet.data import AnnotatedPhoto
from tracenet.evaluation.answers import ClickModel
from tracenet.evaluation.click_summary import DROP, summarise_clicks
from tracenet.evaluation.correct import score_clicks
from tracenet.evaluation.pictures import write_click_pictures
from tracenet.evaluation.protocol import SCORED_AREA, SCORED_CANVAS, nothing_on, scored_places
from tracenet.evaluation.report import click_markdown
from tracenet.evaluation.scores import PhotoScore, SequenceScore
from tracenet.evaluation.scoring import Examples

MAX_CLICKS = 20
"""On an instance, as is usual."""


@dataclass(frozen=True)
class ClickScoring:
    """See :class:`~tracenet.evaluation.scoring.Scoring`.

    Attributes:
        model: what is corrected.
        seed: of the intervals; clicks are not random.
        max_clicks: on an instance.
        scored_canvas: see :class:`~tracenet.evaluation.protocol.TapProtocol`.
        megapixels: to which photos are enlarged before.
    """

    model: ClickModel
    seed: int
    max_clicks: int = MAX_CLICKS
    scored_canvas: int = SCORED_CANVAS
    megapixels: float | None = None

    kind = SequenceScore
    answers_file = "clicks.jsonl"

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        settings = {
            "protocol": "clicks",
            "max_clicks": self.max_clicks,
            "scored_canvas": self.scored_canvas,
            "minimum_area": SCORED_AREA,
            "drop": DROP,
            "seed": self.seed,
        }
        return {"clicks": settings}

    @property
    def nothing_to_score(self) -> str:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return nothing_on(self.scored_canvas)

    def score(self, index: int, example: AnnotatedPhoto) -> PhotoScore[SequenceScore]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        places = scored_places(example, self.scored_canvas)
        return score_clicks(self.model, index, example, places, self.max_clicks, self.megapixels)

    def summarise(self, scores: Sequence[PhotoScore[SequenceScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return summarise_clicks(scores, self.max_clicks, self.seed)

    def about(self, scores: Sequence[PhotoScore[SequenceScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return {}

    def table(self, results: Mapping[str, Any]) -> str:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return click_markdown(results, self.max_clicks)

    def answers(self, scores: Sequence[PhotoScore[SequenceScore]]) -> Iterator[str]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        for photo in scores:
            for score in photo.instances:
                for number, click in enumerate(score.clicks, 1):
                    line = {
                        "photo": photo.photo,
                        "instance": score.instance,
                        "category": score.category,
                        "click": number,
                        "x": click.x,
                        "y": click.y,
                        "positive": click.positive,
                        "obeyed": click.obeyed,
                        "iou": click.iou,
                    }
                    yield json.dumps(line) + "\n"

    def write_pictures(
        self,
        folder: Path,
        scores: Sequence[PhotoScore[SequenceScore]],
        examples: Examples[AnnotatedPhoto],
    ) -> None:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        write_click_pictures(folder, scores, examples, self.model, self.megapixels)
