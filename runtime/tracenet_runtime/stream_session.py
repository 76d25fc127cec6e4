"""A camera's frames, each seen once: things are marked on the newest and followed from there."""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from tracenet_runtime.errors import FrameError, GestureError, SessionClosed
from tracenet_runtime.frame_session import (
    FrameSession,
    Mask,
    OpenFrame,
    OpenThing,
    OpenView,
    check_frame,
)
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.timing import Timings
from tracenet_runtime.tracking.groups import GroupTracker
from tracenet_runtime.tracking.results import FrameResult, carried_thing
from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.tracking.tracker import Tracked, TrackNetwork


class StreamSession(FrameSession):
    """Frames that come one after another; gestures are for the newest, and for thing 0.

    Of frames nothing is kept but the newest, which is copied, and the memory of a fixed size. What
    is marked on a frame is followed from the next ``push`` on. A thing that is added later makes
    the others go on from where they are: their memory begins anew.

    Several threads may use a session: what they ask is answered one after another.
    """

    def __init__(
        self, open_view: OpenView, network: TrackNetwork[Any], rule: FollowRule | None = None
    ) -> None:
        """As ``TapSegmenter.open_stream``, which opens them."""
        self._newest = _Newest(open_view, network, rule)
        super().__init__(self._newest, None, 0)

    def push(self, frame: Photo) -> FrameResult | None:
        """The things in the next frame, uint8 H x W x 3, RGB; None while nothing is marked.

        Raises ``FrameError`` for another array and another size than the first one's,
        ``SessionClosed`` after ``close``. After an error the frame before is still the newest.
        """
        with self._newest.lock:
            return self._newest.push(frame)

    def thing(self, which: int) -> FrameSession:
        """Another thing, from 0, for gestures on the newest frame, whichever that is then."""
        return FrameSession(self._newest, None, which)

    @property
    def nbytes(self) -> int:
        """How much memory the newest frame and what is remembered take; 0 once closed."""
        with self._newest.lock:
            return self._newest.nbytes

    def close(self) -> None:
        """Free the memory; closing twice is fine."""
        with self._newest.lock:
            self._newest.close()

    def __enter__(self) -> "StreamSession":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Newest:
    """The newest frame; see :class:`~tracenet_runtime.frame_session.FrameHost`."""

    def __init__(
        self, open_view: OpenView, network: TrackNetwork[Any], rule: FollowRule | None
    ) -> None:
        self.lock = threading.RLock()
        self._open_view, self._network, self._rule = open_view, network, rule
        self._number = -1
        self._photo: Photo | None = None
        self._frame: OpenFrame | None = None
        self._given: dict[int, Mask] = {}
        self._found: tuple[Tracked, ...] = ()
        self._tracker: GroupTracker[Any] | None = None
        self._closed = False

    @property
    def nbytes(self) -> int:
        photo = 0 if self._photo is None else self._photo.nbytes
        memory = 0 if self._tracker is None else self._tracker.nbytes
        return photo + memory + (0 if self._frame is None else self._frame.nbytes)

    def push(self, frame: Photo) -> FrameResult | None:
        self._check_open()
        check_frame(frame, None if self._photo is None else self._photo.shape[:2])
        tracker, number, photo = self._follow(), self._number + 1, frame.copy()
        found = () if tracker is None else tracker.step(number, photo)
        # All at once, so that after an error everything is still of the frame before.
        self._tracker, self._number, self._photo, self._found = tracker, number, photo, found
        self._frame, self._given = None, {}
        if tracker is None:
            return None
        things = tuple(carried_thing(thing, thing.mask) for thing in self._found)
        return FrameResult(self._number, things)

    def close(self) -> None:
        self._closed = True
        self._photo = self._frame = self._tracker = None
        self._given, self._found = {}, ()

    def opened(self, number: int | None) -> Mapping[int, OpenThing]:
        self._check_open()
        return {} if self._frame is None else self._frame.things

    def open(self, number: int | None, which: int) -> OpenThing:
        self._check_open()
        if self._photo is None:
            raise FrameError("There is no frame yet; push one, then tap on it.")
        if not 0 <= which <= self._things:
            raise GestureError(
                f"Things are numbered from 0 without gaps: the next new one is thing "
                f"{self._things}, not {which}."
            )
        if self._frame is None:
            self._frame = OpenFrame(self._number, self._open_view(self._photo, Timings()))
        return self._frame.thing(which, self.mask(number, which), which in self._given)

    def mask(self, number: int | None, which: int) -> Mask | None:
        self._check_open()
        if which in self._given:
            return self._given[which]
        return self._found[which].mask() if which < len(self._found) else None

    def touch(self, number: int | None, which: int, mask: Mask) -> None:
        self._given[which] = mask

    def untouch(self, number: int | None, which: int) -> None:
        self._given.pop(which, None)

    def forget(self, number: int | None, which: int) -> None:
        self._check_open()
        self.untouch(number, which)
        if self._frame is not None:
            self._frame.things.pop(which, None)

    @property
    def _things(self) -> int:
        return max([len(self._found), *(which + 1 for which in self._given)])

    def _follow(self) -> GroupTracker[Any] | None:
        """What follows the things of the newest frame, which another is about to replace, with what
        was marked there.
        """
        if self._photo is None or not self._given:
            return self._tracker
        known = (self.mask(None, which) for which in range(self._things))
        size = self._photo.shape[:2]
        masks = [np.zeros(size, np.bool_) if mask is None else mask for mask in known]
        tracker = self._tracker
        if tracker is None or len(masks) != len(self._found):
            tracker = GroupTracker(self._network, len(masks), self._rule)
        tracker.touch(self._number, self._photo, masks)
        return tracker

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("The stream is closed; open another.")
