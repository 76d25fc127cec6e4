"""Taps on a photo whose arrays are at hand, and a photo that keeps them for many taps."""

from collections.abc import Mapping
from types import TracebackType

from tracenet_runtime.canvas import Placement
from tracenet_runtime.errors import EncodedPhotoDropped
from tracenet_runtime.look import Look
from tracenet_runtime.replay import Array, PlacedArray, Replay
from tracenet_runtime.result import TapResult
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

    def tap(self, at: tuple[float, float], level: str | None = None) -> TapResult:
        """The mask of the thing at a photo pixel (x, y), as ``TapSegmenter.tap`` gives it.

        Raises ``TapOutsidePhoto`` for a tap that is not on the photo, ``BundleError`` for a level
        that the schedule does not ask, ``EncodedPhotoDropped`` when the arrays are gone.
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
            placement = self._placement
            photo = placement.photo_height, placement.photo_width
            return Look(self._replay, query, placement, photo, tile=None).result(timings, level)

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
