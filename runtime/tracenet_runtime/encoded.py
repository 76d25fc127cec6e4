"""Taps on a photo whose arrays are at hand, and a photo that keeps them for many taps."""

from collections.abc import Mapping
from types import TracebackType

from tracenet_runtime.canvas import Placement, place_mask
from tracenet_runtime.errors import EncodedPhotoDropped
from tracenet_runtime.replay import Array, PlacedArray, QueryAnswer, Replay
from tracenet_runtime.result import Candidate, TapResult
from tracenet_runtime.timing import Timings, timed


class EncodedPhoto:
    """A photo that was encoded once, to be tapped many times.

    Its arrays belong to this photo, take memory that only the canvas decides (``nbytes``), and stay
    until ``drop``, the end of a ``with`` block, or the next photo that the segmenter encodes.
    ``timings_ms`` has the milliseconds of encoding by stage, as in ``TapResult``.

    Several threads may tap and drop if the engine may be used by several. A tap that has begun
    when the photo is dropped is answered; its memory is free when the tap ends.
    """

    def __init__(
        self,
        replay: Replay,
        arrays: Mapping[str, Array],
        placement: Placement,
        timings_ms: Mapping[str, float],
    ) -> None:
        self.timings_ms = timings_ms
        self._replay = replay
        self._arrays: Mapping[str, Array] | None = arrays
        self._placement = placement

    @property
    def schedule(self) -> str:
        """The name of the schedule that encoded the photo and answers the taps."""
        return self._replay.schedule.name

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the canvas, in pixels."""
        return self._replay.canvas_height, self._replay.canvas_width

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take; 0 once they are dropped."""
        arrays = (self._arrays or {}).values()
        return sum(array.values.nbytes for array in arrays if isinstance(array, PlacedArray))

    def tap(self, at: tuple[float, float]) -> TapResult:
        """The mask of the thing at a photo pixel (x, y).

        Raises ``TapOutsidePhoto`` for a tap that is not on the photo, ``EncodedPhotoDropped`` when
        the arrays are gone.
        """
        timings: Timings = {}
        with timed(timings, "total"):
            arrays = self._arrays
            if arrays is None:
                raise EncodedPhotoDropped(
                    "The encoded photo was dropped, by drop() or because another photo was "
                    "encoded; encode it again."
                )
            query = self._replay.answer_query(arrays, self._placement.to_canvas(*at), timings)
            return tap_result(self._replay, query, self._placement, timings)

    def drop(self) -> None:
        """Free the memory; dropping twice is fine."""
        self._arrays = None

    def __enter__(self) -> "EncodedPhoto":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drop()


def tap_result(
    replay: Replay, query: QueryAnswer, placement: Placement, timings: Timings
) -> TapResult:
    """What a tap answers, on a photo that lies so on the canvas, once the query is answered.

    The result holds ``timings``, to which the stages are added; its total is the caller's.
    """
    best = query.best_level
    mask_index = replay.choose_mask(query, best)
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
        mask_schedule=replay.schedule.masks[mask_index].name,
        canvas=(replay.canvas_height, replay.canvas_width),
        timings_ms=timings,
    )
