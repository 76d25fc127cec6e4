"""One look of the network at a photo: what it says at a tap, and the mask that follows."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracenet_runtime.canvas import Canvas, Placement
from tracenet_runtime.errors import BundleError
from tracenet_runtime.mask import ProbabilityMap
from tracenet_runtime.replay import EncodedCanvas, QueryAnswer, Replay
from tracenet_runtime.result import Box, Candidate, TapResult
from tracenet_runtime.timing import Timings, timed
from tracenet_runtime.zoom_rule import Tile


@dataclass(frozen=True)
class Look:
    """A query that is answered; its mask is not computed yet.

    ``placement`` is how what was looked at lies on the replay's canvas: a whole photo, or its
    ``tile``. ``photo`` is the height and width of the whole. Raises ``BundleError`` for an answer
    that is not finite.
    """

    replay: Replay
    query: QueryAnswer
    placement: Placement
    photo: tuple[int, int]
    tile: Tile | None

    def __post_init__(self) -> None:
        levels = self.query.levels
        if not all(math.isfinite(v) for level in levels for v in (level.score, *level.distances)):
            raise BundleError(
                "The network answers with numbers that are not finite; export the bundle again, or "
                "use another engine or precision."
            )

    @property
    def score(self) -> float:
        """Of the level that answers, in [0, 1]."""
        return self.query.levels[self.query.best_level].score

    @property
    def box(self) -> Box:
        """Of the level that answers, in photo pixels, clipped to what was looked at."""
        return self._in_photo(self.query.levels[self.query.best_level].box)

    def result(self, timings: Timings, level: str | None = None) -> TapResult:
        """The answer with its mask, of the level that answers or of the one that is named.

        The result holds ``timings``, to which the stages are added; its total is the caller's.
        Raises ``BundleError`` for a level that was not asked.
        """
        replay, query = self.replay, self.query
        number = query.best_level if level is None else self._number_of(level)
        mask_index = replay.choose_mask(query, number)
        mask_schedule = replay.schedule.masks[mask_index]
        answer = replay.compute_mask(query, number, mask_index, timings)
        candidates = [Candidate(v.level.name, v.score, self._in_photo(v.box)) for v in query.levels]
        answering = candidates[number]
        return TapResult(
            probability=ProbabilityMap(
                answer.probability, answer.window, self.placement, self.photo, self.tile
            ),
            score=answering.score,
            level=answering.level,
            box=answering.box,
            candidates=tuple(sorted(candidates, key=lambda candidate: -candidate.score)),
            schedule=replay.schedule.name,
            mask_schedule=mask_schedule.name,
            canvas=(replay.canvas_height, replay.canvas_width),
            macs=query.macs + replay.schedule.macs.masks[mask_schedule.name],
            tile=self.tile,
            timings_ms=timings,
        )

    def _number_of(self, level: str) -> int:
        names = [answer.level.name for answer in self.query.levels]
        if level not in names:
            raise BundleError(
                f"The schedule {self.replay.schedule.name!r} does not ask the level {level!r}; "
                f"it asks {', '.join(names)}."
            )
        return names.index(level)

    def _in_photo(self, box: Box) -> Box:
        """A box in canvas pixels as one in pixels of the whole photo."""
        left, top = (self.tile or (0, 0))[:2]
        x0, y0, x1, y1 = self.placement.box_to_photo(box)
        return x0 + left, y0 + top, x1 + left, y1 + top


@dataclass(frozen=True)
class EncodedView:
    """All of a photo on a replay's canvas, with what every look at it begins with."""

    replay: Replay
    canvas: EncodedCanvas
    placement: Placement

    def look_at(self, at: tuple[float, float], timings: Timings) -> Look:
        """Ask what is at the photo pixel ``at`` (x, y); raises as ``look_at`` does."""
        tap = self.placement.to_canvas(*at)
        query = self.replay.answer_query(self.canvas, tap, timings)
        photo = self.placement.photo_height, self.placement.photo_width
        return Look(self.replay, query, self.placement, photo, tile=None)


def encode_view(
    replay: Replay,
    pad_value: tuple[int, int, int],
    photo: npt.NDArray[np.uint8],
    timings: Timings,
) -> EncodedView:
    """Run what all looks at a photo (uint8, H x W x 3) share."""
    with timed(timings, "canvas"):
        image = Canvas(replay.canvas_height, replay.canvas_width, pad_value).open(photo)
    return EncodedView(replay, replay.encode(image, timings), image.placement)


def look_at(
    replay: Replay,
    pad_value: tuple[int, int, int],
    photo: npt.NDArray[np.uint8],
    at: tuple[float, float],
    timings: Timings,
    tile: Tile | None = None,
) -> Look:
    """Look at all of a photo, or at a tile of it, for what is at its pixel ``at`` (x, y).

    Nothing is kept for another look. ``photo`` is uint8, H x W x 3. Raises ``TapOutsidePhoto`` for
    a tap that is not on what is looked at, ``BundleError`` for an answer that is not finite.
    """
    x0, y0, x1, y1 = tile or (0, 0, photo.shape[1], photo.shape[0])
    canvas = Canvas(replay.canvas_height, replay.canvas_width, pad_value)
    placement = canvas.place(y1 - y0, x1 - x0)
    tap = placement.to_canvas(at[0] - x0, at[1] - y0)  # refuses a tap outside before any work
    with timed(timings, "canvas"):
        opened = [canvas.open(photo[y0:y1, x0:x1])]
    # Given away, so that its memory is free once it was cut.
    query = replay.answer_query(replay.encode_for_one_tap(opened.pop(), timings), tap, timings)
    return Look(replay, query, placement, (photo.shape[0], photo.shape[1]), tile)
