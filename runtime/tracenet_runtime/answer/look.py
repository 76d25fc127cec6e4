"""A look at a photo: what a schedule says at a tap, and the mask that follows."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from tracenet_runtime.answer.check import check_choice
from tracenet_runtime.answer.levels import Meaning
from tracenet_runtime.answer.replay import QueryAnswer, Replay
from tracenet_runtime.answer.result import Candidate, TapResult
from tracenet_runtime.errors import UnknownLevel, not_finite
from tracenet_runtime.graph.executor import Encoded, Engine
from tracenet_runtime.graph.program import Program
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Box, Placement, Size, Tile
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.timing import Timings, timed


@dataclass(frozen=True)
class Look:
    """A tap that is answered; its mask is not computed yet.

    ``placement`` is how what was looked at lies on the replay's canvas: a whole photo, or its
    ``tile``. ``photo`` is the height and width of the whole. ``schedule`` is what its results say
    that answered, ``macs`` are the multiply-adds so far, and ``closer`` is the tile that was looked
    at after the whole, if one was, whichever of the two looks this is. Raises ``BundleError`` for
    an answer that is not finite.
    """

    replay: Replay
    query: QueryAnswer
    placement: Placement
    photo: Size
    schedule: str
    macs: int
    tile: Tile | None = None
    closer: Tile | None = None

    def __post_init__(self) -> None:
        levels = self.query.levels
        if not all(math.isfinite(v) for level in levels for v in (level.score, *level.distances)):
            raise not_finite()

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of the levels asked, finest first."""
        return tuple(answer.level.name for answer in self.query.levels)

    @property
    def level(self) -> str:
        """The name of the level that answers."""
        return self.levels[self.query.best_level]

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
        Raises ``UnknownLevel`` for a level that was not asked.
        """
        mask = self.mask(timings, level)
        return TapResult(
            probability=mask.map,
            score=mask.answering.score,
            level=mask.answering.level,
            box=mask.answering.box,
            candidates=self.candidates,
            schedule=self.schedule,
            mask_window=mask.window,
            canvas=(self.replay.canvas_height, self.replay.canvas_width),
            macs=self.macs + mask.macs,
            tile=self.closer,
            timings_ms=timings,
        )

    def mask(self, timings: Timings, level: str | None = None) -> "LookMask":
        """The mask of the level that answers or of the one that is named.

        ``timings`` get the stages added. Raises as ``result`` does.
        """
        replay, query = self.replay, self.query
        number = self._number_of(self.level if level is None else level)
        window = replay.choose_mask(query, number)
        answer = replay.compute_mask(query, number, window, timings)
        return LookMask(
            ProbabilityMap(
                answer.probability, answer.window, self.placement, self.photo, self.tile
            ),
            self._candidate(number),
            replay.schedule.graph.windows[window].name,
            replay.mask_macs(window),
        )

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What each level asked says, the best first."""
        found = (self._candidate(number) for number in range(len(self.levels)))
        return tuple(sorted(found, key=lambda candidate: -candidate.score))

    def _candidate(self, number: int) -> Candidate:
        answer = self.query.levels[number]
        return Candidate(answer.level.name, answer.score, self._in_photo(answer.box))

    def _number_of(self, level: str) -> int:
        if level not in self.levels:
            raise UnknownLevel(
                f"The schedule {self.replay.schedule.name!r} does not ask the level {level!r}; "
                f"it asks {', '.join(self.levels)}."
            )
        return self.levels.index(level)

    def _in_photo(self, box: Box) -> Box:
        """A box in canvas pixels as one in pixels of the whole photo."""
        left, top = (self.tile or (0, 0))[:2]
        x0, y0, x1, y1 = self.placement.box_to_photo(box)
        return x0 + left, y0 + top, x1 + left, y1 + top


@dataclass(frozen=True, eq=False)
class LookMask:
    """A mask of a look: its map, what the level says that it is of, its window and its cost."""

    map: ProbabilityMap
    answering: Candidate
    window: str
    macs: int


@dataclass(frozen=True)
class EncodedView:
    """A photo, or a tile of it, on a replay's canvas, with what every look at it begins with.

    ``photo`` is the height and width of the whole.
    """

    replay: Replay
    encoded: Encoded
    placement: Placement
    photo: Size
    tile: Tile | None = None

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take; the photo does not count."""
        return self.encoded.nbytes

    def look(self, at: tuple[float, float], timings: Timings) -> Look:
        """What is at the photo pixel ``at`` (x, y); raises as ``Viewer.look`` does."""
        left, top = (self.tile or (0, 0))[:2]
        tap = self.placement.to_canvas(at[0] - left, at[1] - top)
        query = self.replay.answer_query(self.encoded, tap, timings)
        return _look(self.replay, query, self.placement, self.photo, self.tile)


class Viewer:
    """Looks at photos with a bundle's schedules on one engine.

    The replay of a canvas is made at its first use and stays. Several threads may look if the
    engine may be used by several.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        meaning: Meaning,
        pad_value: tuple[int, int, int],
        engine: Engine,
    ) -> None:
        """``pad_value`` is the RGB colour beside a photo."""
        self._programs, self._meaning, self._engine = programs, meaning, engine
        self._pad_value = pad_value
        self._replays: dict[tuple[str, Size, Size], Replay] = {}
        self._lock = threading.Lock()

    def replay(self, choice: Choice) -> Replay:
        """The replay of a schedule on a canvas that it serves, step by step.

        Raises ``BundleError`` where a window would leave its array.
        """
        key = choice.schedule.name, choice.schedule.canvas, (choice.height, choice.width)
        with self._lock:
            if key not in self._replays:
                check_choice(self._programs, self._meaning, choice)
                self._replays[key] = Replay(self._programs, self._meaning, choice, self._engine)
            return self._replays[key]

    def look(
        self,
        choice: Choice,
        photo: Photo,
        at: tuple[float, float],
        timings: Timings,
        tile: Tile | None = None,
    ) -> Look:
        """Look at all of a photo, or at a tile of it, for what is at its pixel ``at`` (x, y).

        Nothing is kept for another look. Raises ``TapOutsidePhoto`` for a tap that is not on what
        is looked at, ``BundleError`` for an answer that is not finite.
        """
        replay = self.replay(choice)
        x0, y0, x1, y1 = tile or (0, 0, photo.shape[1], photo.shape[0])
        canvas = self._canvas(choice)
        placement = canvas.place(y1 - y0, x1 - x0)
        tap = placement.to_canvas(at[0] - x0, at[1] - y0)  # refuses a tap outside before any work
        with timed(timings, "canvas"):
            opened = [canvas.open(photo[y0:y1, x0:x1])]
        # Given away, so that its memory is free once it was cut.
        query = replay.answer_query(
            replay.encode(opened.pop(), timings, one_tap=True), tap, timings
        )
        return _look(replay, query, placement, photo.shape[:2], tile)

    def encode(
        self, choice: Choice, photo: Photo, timings: Timings, tile: Tile | None = None
    ) -> EncodedView:
        """Run what all looks at a photo, or at a tile of it, share."""
        replay = self.replay(choice)
        x0, y0, x1, y1 = tile or (0, 0, photo.shape[1], photo.shape[0])
        with timed(timings, "canvas"):
            image = self._canvas(choice).open(photo[y0:y1, x0:x1])
        encoded = replay.encode(image, timings)
        return EncodedView(replay, encoded, image.placement, photo.shape[:2], tile)

    def _canvas(self, choice: Choice) -> Canvas:
        return Canvas(choice.height, choice.width, self._pad_value)


def _look(
    replay: Replay, query: QueryAnswer, placement: Placement, photo: Size, tile: Tile | None
) -> Look:
    return Look(replay, query, placement, photo, replay.schedule.name, query.macs, tile)
