"""A photo that keeps, for many taps, what they share."""

from collections.abc import Mapping
from types import TracebackType

from tracenet_runtime.errors import EncodedPhotoDropped
from tracenet_runtime.look import EncodedView
from tracenet_runtime.result import TapResult
from tracenet_runtime.timing import Timings, timed
from tracenet_runtime.zoom import ZOOM, Closer


class EncodedPhoto:
    """A photo that was encoded once, to be tapped many times.

    Its arrays belong to this photo, take memory that only the canvas decides (``nbytes``), and stay
    until ``drop``, the end of a ``with`` block, or the next photo that the segmenter encodes. Of a
    zoom they are those of the first look. Where taps still read the photo, as the closer look of a
    zoom does, it is kept as long, and must not change; its pixels are not copied.
    ``timings_ms`` has the milliseconds of encoding by stage, as in ``TapResult``.

    Several threads may tap and drop if the engine may be used by several. A tap that has begun
    when the photo is dropped is answered; its memory is free when the tap ends.
    """

    def __init__(
        self, view: EncodedView, closer: Closer | None, timings_ms: Mapping[str, float]
    ) -> None:
        """A photo whose taps look closer, after a look at ``view``, if there is a ``closer``."""
        self.timings_ms = timings_ms
        self._replay = view.replay
        self._zooms = closer is not None
        self._kept: tuple[EncodedView, Closer | None] | None = view, closer

    @property
    def schedule(self) -> str:
        """The name of the schedule that encoded the photo and answers the taps, or ``"zoom"``."""
        return ZOOM if self._zooms else self._replay.schedule.name

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the canvas, in pixels; of a zoom that of the first look."""
        return self._replay.canvas_height, self._replay.canvas_width

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take; 0 once they are dropped. The photo does not count."""
        kept = self._kept
        if kept is None:
            return 0
        return sum(array.nbytes for array in kept[0].canvas.arrays.values())

    def tap(self, at: tuple[float, float], level: str | None = None) -> TapResult:
        """The mask of the thing at a photo pixel (x, y), as ``TapSegmenter.tap`` gives it.

        Raises ``TapOutsidePhoto`` for a tap that is not on the photo, ``BundleError`` for a level
        that is not asked, ``EncodedPhotoDropped`` when the arrays are gone.
        """
        timings: Timings = {}
        with timed(timings, "total"):
            kept = self._kept
            if kept is None:
                raise EncodedPhotoDropped(
                    "The encoded photo was dropped, by drop() or because another photo was "
                    "encoded; encode it again."
                )
            view, closer = kept
            look = view.look_at(at, timings)
            if closer is None:
                return look.result(timings, level)
            return closer.answer(look, at, timings).result(timings, level)

    def drop(self) -> None:
        """Free the memory; dropping twice is fine."""
        self._kept = None

    def __enter__(self) -> "EncodedPhoto":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drop()
