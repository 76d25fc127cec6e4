"""A photo that is open for many gestures."""

import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.marks import Point
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.errors import GestureError, SessionClosed
from tracenet_runtime.image.geometry import Box
from tracenet_runtime.strategies.guided import FirstGesture, GuidedView
from tracenet_runtime.strategies.step import Step
from tracenet_runtime.strategies.strategy import Answer, View
from tracenet_runtime.timing import Timings, timed


class PhotoSession:
    """A photo for many gestures: what they share is computed once, when it is opened.

    The first gesture says which thing is meant, each one after it corrects the mask, and ``clear``
    begins a new thing. Without a guided look each tap begins a new thing, and there are no other
    gestures. All positions are photo pixels (x, y).

    What is kept takes memory that only the canvas decides (``nbytes``), until ``close`` or the end
    of a ``with`` block, and for each gesture the cells of a tile or two. Where gestures still read
    the photo, as closer looks do, it is kept as long, and must not change; its pixels are not
    copied. ``timings_ms`` has the milliseconds of opening by stage, as in ``TapResult``.

    Several threads may use a session: its gestures are answered one after another. One that has
    begun when the session is closed is answered; its memory is free when it ends.
    """

    def __init__(self, view: View, timings_ms: Mapping[str, float]) -> None:
        """A session whose taps look at ``view``."""
        self.timings_ms = timings_ms
        self._view: View | None = view
        self._last: tuple[Gesture, Answer] | None = None
        self._start: Step | None = None
        self._steps: list[Step] = []
        self._made = 0
        self._result: TapResult | None = None
        self._lock = threading.RLock()

    @property
    def nbytes(self) -> int:
        """How much memory the shared arrays and masks take; 0 once closed.

        The photo does not count, nor do masks that an app has asked for.
        """
        view = self._view
        if view is None:
            return 0
        steps = [*self._steps, *([] if self._start is None else [self._start])]
        arrays = {id(array): array.nbytes for step in steps for array in step.arrays}
        return view.nbytes + sum(arrays.values())

    @property
    def corrects(self) -> bool:
        """Whether a gesture after the first corrects; otherwise each tap begins a new thing."""
        return isinstance(self._open(), GuidedView)

    @property
    def result(self) -> TapResult | None:
        """What the last gesture gave; None before the first."""
        self._open()
        return self._result

    def tap(self, at: Point, level: str | None = None, *, positive: bool = True) -> TapResult:
        """The thing at a photo pixel, or, of a thing that is there, what belongs to it or not.

        A first tap answers as ``TapSegmenter.tap`` does. Its ``level`` may be asked again at the
        same place as long as it is the only gesture: the answer takes the place of the one before,
        and costs a mask (and a correction). Raises ``TapOutsidePhoto`` for a tap that is not on the
        photo, ``UnknownLevel`` for a level that is not asked, ``GestureError`` for a first tap that
        is negative and for a level of a later one, ``SessionClosed`` after ``close``.
        """
        with self._lock:
            view = self._open()
            if not isinstance(view, GuidedView):
                if not positive:
                    raise _no_guided_look()
                return self._answer(view, at, level)
            gesture, current = Tap(at, positive), self._current
            if level is not None and current is not None:
                if current.gestures != (gesture,):
                    raise GestureError(
                        "A level can be asked of a first tap, at its place, before anything else; "
                        "undo the other gestures, or clear."
                    )
            elif current is not None:
                return self._correct(gesture)
            return self._begin(gesture, level)

    def scribble(
        self, points: Iterable[Point], width: float, *, positive: bool = True
    ) -> TapResult:
        """What a line of ``width`` photo pixels covers belongs to the thing, or does not.

        Raises ``GestureError`` for a line that leaves the photo, has no points or no width, and as
        ``tap`` does.
        """
        line = tuple((float(x), float(y)) for x, y in points)
        return self.make(Scribble(line, float(width), positive))

    def box(self, box: Box) -> TapResult:
        """The thing lies in this box (x0, y0, x1, y1).

        Raises ``GestureError`` for an empty one, one that leaves the photo, and as ``tap`` does.
        """
        x0, y0, x1, y1 = map(float, box)
        return self.make(Bounds((x0, y0, x1, y1)))

    def make(self, gesture: Gesture) -> TapResult:
        """Any gesture, as ``tap``, ``scribble`` and ``box`` make them."""
        if isinstance(gesture, Tap):
            return self.tap(gesture.at, positive=gesture.positive)
        with self._lock:
            self._guided()
            return self._begin(gesture, None) if self._current is None else self._correct(gesture)

    def start_from(self, mask: npt.NDArray[np.bool_]) -> TapResult:
        """Begin a new thing with its mask: bool, H x W, from any source; gestures correct it.

        Raises ``GestureError`` for another array, and where there is no guided look.
        """
        with self._lock:
            view, timings = self._guided(), Timings()
            with timed(timings, "total"):
                step = view.start_from(mask, timings)
            self.clear()
            self._start, self._result = step, step.result()
            return self._result

    @property
    def can_undo(self) -> bool:
        """Whether there is a gesture to take back."""
        return self._made > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a gesture that was taken back."""
        return self._made < len(self._steps)

    def undo(self) -> TapResult | None:
        """Take the last gesture back; what was there before it, bit for bit, or None.

        Raises ``GestureError`` where there is none; a new thing and a mask to start from are not
        taken back.
        """
        return self._move(-1, self.can_undo, "undo")

    def redo(self) -> TapResult | None:
        """Make the gesture again that was taken back last; as it was, bit for bit.

        Raises ``GestureError`` where there is none.
        """
        return self._move(1, self.can_redo, "redo")

    def clear(self) -> None:
        """Begin a new thing; all gestures are forgotten, the photo stays open."""
        with self._lock:
            self._open()
            self._start, self._steps, self._made = None, [], 0
            self._last = self._result = None

    def look(self, at: Point, timings: Timings) -> Answer:
        """What is at a photo pixel (x, y), before any level's mask is computed."""
        with self._lock:
            return self._look(Tap(at), timings, lambda view: view.look(at, timings))

    def close(self) -> None:
        """Free the memory; closing twice is fine."""
        self._view = self._last = self._start = self._result = None
        self._steps, self._made = [], 0

    def __enter__(self) -> "PhotoSession":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _current(self) -> Step | None:
        return self._steps[self._made - 1] if self._made else self._start

    def _open(self) -> View:
        view = self._view
        if view is None:
            raise SessionClosed("The session is closed; open the photo again.")
        return view

    def _guided(self) -> GuidedView:
        view = self._open()
        if not isinstance(view, GuidedView):
            raise _no_guided_look()
        return view

    def _answer(self, view: View, at: Point, level: str | None) -> TapResult:
        """A tap of a thing that nothing can correct."""
        timings: Timings = {}
        with timed(timings, "total"):
            look = self._look(Tap(at), timings, lambda view: view.look(at, timings))
            result = look.result(timings, level)
        if self._view is view:
            self._result = result
        return result

    def _begin(self, gesture: Gesture, level: str | None) -> TapResult:
        view, timings = self._guided(), Timings()
        with timed(timings, "total"):
            first = self._look(gesture, timings, lambda _: view.first(gesture, timings))
            assert isinstance(first, FirstGesture)  # as a guided view gives
            step = view.begin(first, timings, level)
        self._made = 0  # another level takes the place of the one before
        return self._push(view, step)

    def _correct(self, gesture: Gesture) -> TapResult:
        view, current, timings = self._guided(), self._current, Timings()
        assert current is not None
        self._last = None  # its tile may be another one
        with timed(timings, "total"):
            step = view.correct(current, gesture, timings)
        return self._push(view, step)

    def _push(self, view: View, step: Step) -> TapResult:
        if self._view is not view:
            return step.result()
        self._steps[self._made :] = [step]
        self._made += 1
        self._result = step.result()
        return self._result

    def _move(self, by: int, possible: bool, what: str) -> TapResult | None:
        with self._lock:
            self._open()
            if not possible:
                raise GestureError(f"There is nothing to {what}.")
            self._made += by
            step = self._current
            self._result = None if step is None else step.result()
            return self._result

    def _look(self, gesture: Gesture, timings: Timings, ask: Callable[[View], Answer]) -> Answer:
        view, last = self._open(), self._last
        if last is None or last[0] != gesture:
            self._last = None  # its arrays are free while the next ones are computed
            last = gesture, ask(view)
            if self._view is view:
                self._last = last
        return last[1]


def _no_guided_look() -> GestureError:
    return GestureError(
        "This bundle has no guided look, or another schedule was asked for; export it from a "
        "network that has one, or name no schedule."
    )
