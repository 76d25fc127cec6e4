"""A thing in one frame of a clip, for gestures."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.marks import Point
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.errors import FrameError
from tracenet_runtime.image.geometry import Box, Size
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.session import PhotoSession
from tracenet_runtime.strategies.strategy import View
from tracenet_runtime.timing import Timings

Mask = npt.NDArray[np.bool_]

OpenView = Callable[[Photo, Timings], View]
"""Computes what all gestures on a photo share."""


@dataclass
class OpenThing:
    """A thing of the frame that is open; ``given`` tells that its first mask is the user's."""

    session: PhotoSession
    given: bool


@dataclass
class OpenFrame:
    """The one frame of a clip whose arrays are kept, and its things that gestures were for."""

    number: int
    view: View
    things: dict[int, OpenThing] = field(default_factory=dict)

    def thing(self, which: int, mask: Mask | None, given: bool) -> OpenThing:
        """One of them, which begins from the mask that it has in this frame, if that is one."""
        if which not in self.things:
            opened = OpenThing(PhotoSession(self.view, {}), given)
            if opened.session.corrects and mask is not None and (given or mask.any()):
                opened.session.start_from(mask)
            self.things[which] = opened
        return self.things[which]

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take, and the steps of gestures."""
        steps = sum(thing.session.nbytes - self.view.nbytes for thing in self.things.values())
        return self.view.nbytes + steps


class FrameHost(Protocol):
    """What a clip's frame belongs to; None as a number is the newest frame."""

    @property
    def lock(self) -> threading.RLock:
        """Held while a gesture is answered."""
        ...

    def opened(self, number: int | None) -> Mapping[int, OpenThing]:
        """The things that are open of a frame; none if another frame is."""
        ...

    def open(self, number: int | None, which: int) -> OpenThing:
        """A thing of a frame, which is opened if it is not."""
        ...

    def mask(self, number: int | None, which: int) -> Mask | None:
        """The mask that a thing has in a frame, if it is known."""
        ...

    def touch(self, number: int | None, which: int, mask: Mask) -> None:
        """Take the user's mask."""
        ...

    def untouch(self, number: int | None, which: int) -> None:
        """Take that back."""
        ...

    def forget(self, number: int | None, which: int) -> None:
        """Take that back, and what gestures there have been on the thing."""
        ...


class FrameSession:
    """A thing in a frame of a clip, for gestures as a :class:`PhotoSession` takes them.

    Where the thing has a mask in this frame, carried there or given before, gestures correct that;
    otherwise the first says what is meant. Each gesture makes the frame a touched one. It is opened
    at the first, which closes the frame that was open until then: when that is opened again, it
    begins from its mask, and what was done before is not undone step by step.
    """

    def __init__(self, host: FrameHost, number: int | None, which: int) -> None:
        self._host, self._number, self._which = host, number, which

    @property
    def result(self) -> TapResult | None:
        """What the last gesture gave; None before the first, and once another frame is open.

        Reading it opens nothing: what is known of a frame that is not open is in the results of
        the clip or stream.
        """
        with self._host.lock:
            opened = self._open
            return None if opened is None else opened.session.result

    def tap(self, at: Point, level: str | None = None, *, positive: bool = True) -> TapResult:
        """As ``PhotoSession.tap``, at a frame pixel (x, y)."""
        return self._make(lambda session: session.tap(at, level, positive=positive))

    def scribble(
        self, points: Iterable[Point], width: float, *, positive: bool = True
    ) -> TapResult:
        """As ``PhotoSession.scribble``."""
        line = tuple((float(x), float(y)) for x, y in points)
        return self.make(Scribble(line, float(width), positive))

    def box(self, box: Box) -> TapResult:
        """As ``PhotoSession.box``."""
        x0, y0, x1, y1 = map(float, box)
        return self.make(Bounds((x0, y0, x1, y1)))

    def make(self, gesture: Gesture) -> TapResult:
        """Any gesture, as ``tap``, ``scribble`` and ``box`` make them."""
        if isinstance(gesture, Tap):
            return self.tap(gesture.at, positive=gesture.positive)
        return self._make(lambda session: session.make(gesture))

    def start_from(self, mask: Mask) -> TapResult:
        """The thing's mask in this frame: bool, H x W; an empty one says that it is not seen."""
        with self._host.lock:
            opened = self._host.open(self._number, self._which)
            result = opened.session.start_from(mask)
            opened.given = True
            self._host.touch(self._number, self._which, result.mask)
            return result

    @property
    def can_undo(self) -> bool:
        """Whether there is a gesture to take back."""
        with self._host.lock:
            return self._open is not None and self._open.session.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a gesture that was taken back."""
        with self._host.lock:
            return self._open is not None and self._open.session.can_redo

    def undo(self) -> TapResult | None:
        """As ``PhotoSession.undo``; without the first gesture on a frame it is no touched one."""
        return self._move(lambda session: session.undo())

    def redo(self) -> TapResult | None:
        """As ``PhotoSession.redo``."""
        return self._move(lambda session: session.redo())

    def clear(self) -> None:
        """Forget all gestures on this thing in this frame: it has what was carried there, if any,
        and is no touched one.
        """
        with self._host.lock:
            self._host.forget(self._number, self._which)

    @property
    def _open(self) -> OpenThing | None:
        return self._host.opened(self._number).get(self._which)

    def _make(self, gesture: Callable[[PhotoSession], TapResult]) -> TapResult:
        with self._host.lock:
            opened = self._host.open(self._number, self._which)
            result = gesture(opened.session)
            self._host.touch(self._number, self._which, result.mask)
            return result

    def _move(self, move: Callable[[PhotoSession], TapResult | None]) -> TapResult | None:
        with self._host.lock:
            opened = self._host.open(self._number, self._which)
            result = move(opened.session)
            if result is not None and (opened.given or opened.session.can_undo):
                self._host.touch(self._number, self._which, result.mask)
                return result
            self._host.untouch(self._number, self._which)
            return result if self._open is opened else None  # the thing may be gone


def check_frame(frame: Photo, size: Size | None) -> Size:
    """The (height, width) of a frame, once it is one, and of this size if there is any.

    Raises ``FrameError``.
    """
    is_array = isinstance(frame, np.ndarray)
    what = f"{frame.dtype} of shape {frame.shape}" if is_array else type(frame).__name__
    if not is_array or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise FrameError(
            f"A frame must be a uint8 array of height x width x 3 (RGB), not {what}; convert it."
        )
    height, width = frame.shape[:2]
    if not frame.size:
        raise FrameError(f"A frame must have one pixel at least, not {width} x {height}.")
    if size is not None and (height, width) != size:
        raise FrameError(
            f"All frames must be of one size, {size[1]} x {size[0]} pixels as the first, not "
            f"{width} x {height}; resize them."
        )
    return height, width
