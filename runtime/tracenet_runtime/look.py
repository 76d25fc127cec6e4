"""One look of the network at a photo: what it says at a tap, and the mask that follows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.canvas import Canvas, Placement, place_mask
from tracenet_runtime.replay import QueryAnswer, Replay
from tracenet_runtime.result import Box, Candidate, TapResult
from tracenet_runtime.timing import Timings, timed


@dataclass(frozen=True)
class Look:
    """A query that is answered; its mask is not computed yet.

    ``placement`` is how the photo lies on the replay's canvas.
    """

    replay: Replay
    query: QueryAnswer
    placement: Placement

    @property
    def score(self) -> float:
        """Of the level that answers, in [0, 1]."""
        return self.query.levels[self.query.best_level].score

    @property
    def box(self) -> Box:
        """Of the level that answers, in photo pixels, clipped to the photo."""
        return self.placement.box_to_photo(self.query.levels[self.query.best_level].box)

    def result(self, timings: Timings) -> TapResult:
        """The answer with its mask.

        The result holds ``timings``, to which the stages are added; its total is the caller's, as
        are the multiply-adds of encoding.
        """
        replay, query, placement = self.replay, self.query, self.placement
        best = query.best_level
        mask_index = replay.choose_mask(query, best)
        mask_schedule = replay.schedule.masks[mask_index]
        answer = replay.compute_mask(query, best, mask_index, timings)
        with timed(timings, "paste"):
            mask = place_mask(answer.probability, answer.window, placement)
        candidates = sorted(
            (Candidate(v.level.name, v.score, placement.box_to_photo(v.box)) for v in query.levels),
            key=lambda candidate: -candidate.score,
        )
        return TapResult(
            mask=mask,
            score=candidates[0].score,
            level=candidates[0].level,
            box=candidates[0].box,
            candidates=tuple(candidates),
            schedule=replay.schedule.name,
            mask_schedule=mask_schedule.name,
            canvas=(replay.canvas_height, replay.canvas_width),
            macs=replay.schedule.macs.query + replay.schedule.macs.masks[mask_schedule.name],
            tile=None,
            timings_ms=timings,
        )


def look_at(
    replay: Replay,
    pad_value: tuple[int, int, int],
    photo: npt.NDArray[np.uint8],
    at: tuple[float, float],
    timings: Timings,
) -> Look:
    """Ask what is at the photo pixel ``at`` (x, y).

    ``photo`` is uint8, H x W x 3, and may be a view of a larger one. Raises ``TapOutsidePhoto`` for
    a tap that is not on it.
    """
    canvas = Canvas(replay.canvas_height, replay.canvas_width, pad_value)
    placement = canvas.place(photo.shape[0], photo.shape[1])
    tap = placement.to_canvas(*at)  # refuses a tap outside the photo before any work
    with timed(timings, "canvas"):
        opened = [canvas.open(photo)]
    # Given away, so that its memory is free once it was cut.
    query = replay.answer_query(replay.encode(opened.pop(), timings), tap, timings)
    return Look(replay, query, placement)
