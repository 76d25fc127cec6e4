"""A photo that is open for many taps."""

from collections.abc import Mapping
from types import TracebackType

from tracenet_runtime.answer.look import Look
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.errors import SessionClosed
from tracenet_runtime.strategies.strategy import View
from tracenet_runtime.timing import Timings, timed


class PhotoSession:
    """A photo for many taps: what they share is computed once, when it is opened.

    Each tap begins a new thing. What is kept takes memory that only the canvas decides
    (``nbytes``), until ``close`` or the end of a ``with`` block. Where taps still read the photo,
    as the closer look of a zoom does, it is kept as long, and must not change; its pixels are not
    copied. ``timings_ms`` has the milliseconds of opening by stage, as in ``TapResult``.

    Several threads may tap and close if the engine may be used by several. A tap that has begun
    when the session is closed is answered; its memory is free when the tap ends.
    """

    def __init__(self, view: View, timings_ms: Mapping[str, float]) -> None:
        """A session whose taps look at ``view``."""
        self.timings_ms = timings_ms
        self._view: View | None = view
        self._last: tuple[tuple[float, float], Look] | None = None

    @property
    def nbytes(self) -> int:
        """How much memory the shared arrays take; 0 once closed. The photo does not count."""
        view = self._view
        return 0 if view is None else view.nbytes

    def tap(self, at: tuple[float, float], level: str | None = None) -> TapResult:
        """The mask of the thing at a photo pixel (x, y), as ``TapSegmenter.tap`` gives it.

        To ask another level of the tap before costs a mask only. Raises ``TapOutsidePhoto`` for a
        tap that is not on the photo, ``UnknownLevel`` for a level that is not asked,
        ``SessionClosed`` after ``close``.
        """
        timings: Timings = {}
        with timed(timings, "total"):
            return self.look(at, timings).result(timings, level)

    def look(self, at: tuple[float, float], timings: Timings) -> Look:
        """What is at a photo pixel (x, y), before any level's mask is computed."""
        view, last = self._view, self._last
        if view is None:
            raise SessionClosed("The session is closed; open the photo again.")
        if last is None or last[0] != at:
            self._last = None  # its arrays are free while the next ones are computed
            last = at, view.look(at, timings)
            if self._view is view:
                self._last = last
        return last[1]

    def close(self) -> None:
        """Free the memory; closing twice is fine."""
        self._view = self._last = None

    def __enter__(self) -> "PhotoSession":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
