"""The protocols of one tap: every tap on an instance is answered by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracenet.data import AnnotatedPhoto
from tracenet.evaluation.answers import TapModel
from tracenet.evaluation.evaluate import ALL_PIXELS_BELOW, THRESHOLD, score_photo
from tracenet.evaluation.pictures import write_tap_pictures
from tracenet.evaluation.protocol import Taps
from tracenet.evaluation.report import markdown
from tracenet.evaluation.scores import InstanceScore, PhotoScore
from tracenet.evaluation.scoring import Examples
from tracenet.evaluation.summary import summarise
from tracenet.evaluation.taps_file import TAPS_FILE, tap_lines


@dataclass(frozen=True)
class TapScoring:
    """See :class:`~tracenet.evaluation.scoring.Scoring`.

    Attributes:
        model: what is asked.
        taps: where.
        seed: of the taps and the intervals.
        megapixels: to which photos are enlarged before.
    """

    model: TapModel
    taps: Taps
    seed: int
    megapixels: float | None = None

    kind = InstanceScore
    answers_file = TAPS_FILE

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        common = {"threshold": THRESHOLD, "all_pixels_below": ALL_PIXELS_BELOW, "seed": self.seed}
        return {"taps": common | self.taps.settings}

    @property
    def nothing_to_score(self) -> str:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return self.taps.nothing_to_score

    def score(self, index: int, example: AnnotatedPhoto) -> PhotoScore[InstanceScore]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        taps = self.taps.draw(index, example)
        return score_photo(self.model, index, example, taps, self.megapixels)

    def summarise(self, scores: Sequence[PhotoScore[InstanceScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return summarise(scores, self.taps.name, self.seed)

    def about(self, scores: Sequence[PhotoScore[InstanceScore]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        every = [score.above is not None for photo in scores for score in photo.instances]
        scored = {(photo.photo, score.instance) for photo in scores for score in photo.instances}
        return {"instances_all_pixels_tapped": sum(every), **self.taps.about(scored)}

    def table(self, results: Mapping[str, Any]) -> str:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return markdown(results)

    def answers(self, scores: Sequence[PhotoScore[InstanceScore]]) -> Iterator[str]:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        return tap_lines(scores, self.taps.name)

    def write_pictures(
        self,
        folder: Path,
        scores: Sequence[PhotoScore[InstanceScore]],
        examples: Examples[AnnotatedPhoto],
    ) -> None:
        """See :class:`~tracenet.evaluation.scoring.Scoring`."""
        write_tap_pictures(folder, scores, examples, self.model, self.megapixels)
