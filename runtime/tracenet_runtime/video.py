"""A clip that is open for gestures on any frame, and their masks in all others."""

import operator
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from tracenet_runtime.errors import FrameError, GestureError, SessionClosed
from tracenet_runtime.frame_session import (
    FrameSession,
    Mask,
    OpenFrame,
    OpenThing,
    OpenView,
    check_frame,
)
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.timing import Timings
from tracenet_runtime.tracking.passes import ClipPasses
from tracenet_runtime.tracking.results import FrameResult
from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.tracking.tracker import TrackNetwork


class VideoSession:
    """A clip: things are marked on any of its frames, and carried to all others.

    Frames are read when they are needed, in any order, and not kept but for the one that is open
    for gestures; a sequence that decodes them lazily is fine. All have one size and must not
    change. Of each frame and thing that is carried half a kilobyte is kept (``nbytes``), until
    ``close`` or the end of a ``with`` block.

    Several threads may use a session: gestures and frames that are carried are answered one after
    another.
    """

    def __init__(
        self,
        open_view: OpenView,
        network: TrackNetwork[Any],
        frames: Sequence[Photo],
        rule: FollowRule | None = None,
    ) -> None:
        """As ``TapSegmenter.open_video``, which opens them."""
        if not len(frames):
            raise FrameError("The clip has no frames; give one at least.")
        self.lock = threading.RLock()
        self._frames, self._open_view = _Checked(frames), open_view
        self._passes: ClipPasses[Any] | None = ClipPasses(network, self._frames, rule)
        self._frame: OpenFrame | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, number: int, thing: int = 0) -> FrameSession:
        """A frame, from 0, for gestures on one of the things, which are numbered from 0, too.

        Raises ``FrameError`` for a number that is none of the clip's, ``GestureError`` for a thing
        that would leave a gap, ``SessionClosed`` after ``close``.
        """
        with self.lock:
            passes = self._open()
            passes.check_thing(thing)
            return FrameSession(self, self._number(number), thing)

    def propagate(self) -> Iterator[FrameResult]:
        """Carry what was touched since the last time; each frame in which something is new.

        A touched frame is carried in both directions; the frame itself comes first, then those
        after it, then those before it, the nearest first. A thing changes up to the next frame on
        either side that was touched for it, where what was there is merged with what is new;
        touched frames never change, nor do other things. Whoever leaves the loop keeps what came;
        the next call goes on where it was left, then carries what was touched meanwhile. Where a
        touch was taken back that had been carried, all others are carried anew.

        Raises ``GestureError`` where nothing is touched, ``SessionClosed`` after ``close``, and
        whatever a frame raises that cannot be read; the next call then carries the same touched
        frame again.
        """
        with self.lock:
            if not self._open().touched:
                raise GestureError(
                    "Nothing is marked in this clip; tap on one of its frames first."
                )
        return self._propagate()

    def result(self, number: int) -> FrameResult | None:
        """What is known of a frame now; None if that is nothing. Raises as ``frame`` does."""
        with self.lock:
            return self._open().result(self._number(number))

    @property
    def touched(self) -> tuple[int, ...]:
        """The numbers of the frames that were touched, in the order of the clip."""
        with self.lock:
            return self._open().touched

    @property
    def things(self) -> int:
        """How many things there are."""
        with self.lock:
            return self._open().things

    @property
    def nbytes(self) -> int:
        """How much memory masks, keys and values, and the open frame take; 0 once closed."""
        with self.lock:
            opened = self._frame.nbytes if self._frame else 0
            return opened + (self._passes.nbytes if self._passes else 0)

    def close(self) -> None:
        """Free the memory; closing twice is fine."""
        with self.lock:
            self._passes = self._frame = None

    def __enter__(self) -> "VideoSession":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def opened(self, number: int | None) -> Mapping[int, OpenThing]:
        """See :class:`~tracenet_runtime.frame_session.FrameHost`."""
        self._open()
        return self._frame.things if self._frame and self._frame.number == number else {}

    def open(self, number: int | None, which: int) -> OpenThing:
        """See :class:`~tracenet_runtime.frame_session.FrameHost`."""
        passes = self._open()
        assert number is not None  # as of every frame of a clip
        passes.check_thing(which)
        if self._frame is None or self._frame.number != number:
            self._frame = None  # its arrays are free while the next ones are computed
            view = self._open_view(self._frames[number], Timings())
            self._frame = OpenFrame(number, view)
        return self._frame.thing(which, self.mask(number, which), passes.is_touched(number, which))

    def mask(self, number: int | None, which: int) -> Mask | None:
        """See :class:`~tracenet_runtime.frame_session.FrameHost`."""
        passes = self._open()
        assert number is not None  # as of every frame of a clip
        return passes.mask(number, which) if which < passes.things else None

    def touch(self, number: int | None, which: int, mask: Mask) -> None:
        """See :class:`~tracenet_runtime.frame_session.FrameHost`."""
        assert number is not None  # as of every frame of a clip
        self._open().touch(number, {which: mask})

    def untouch(self, number: int | None, which: int) -> None:
        """See :class:`~tracenet_runtime.frame_session.FrameHost`."""
        assert number is not None  # as of every frame of a clip
        passes = self._open()
        passes.forget(number, which)
        frame = self._frame
        if frame:
            # With its last touch a thing is gone; one that began from its mask would bring it back.
            frame.things = {
                n: v
                for n, v in frame.things.items()
                if n < passes.things or v.session.result is None
            }

    def forget(self, number: int | None, which: int) -> None:
        """See :class:`~tracenet_runtime.frame_session.FrameHost`."""
        self.untouch(number, which)
        if self._frame and self._frame.number == number:
            self._frame.things.pop(which, None)

    def _propagate(self) -> Iterator[FrameResult]:
        while True:
            with self.lock:
                passes = self._open()
                number = passes.advance()
                if number is None:
                    return
                self._renew(number)
                result = passes.result(number)
                assert result is not None  # it is new
            yield result

    def _renew(self, number: int) -> None:
        """What is open of a frame begins from its new mask, where it was not touched."""
        frame = self._frame
        if frame and frame.number == number:
            touched = self._open().is_touched
            frame.things = {n: v for n, v in frame.things.items() if touched(number, n)}

    def _number(self, number: int) -> int:
        if not 0 <= operator.index(number) < len(self._frames):
            raise FrameError(
                f"There is no frame {number}; the clip has {len(self._frames)}, numbered from 0."
            )
        return operator.index(number)

    def _open(self) -> ClipPasses[Any]:
        if self._passes is None:
            raise SessionClosed("The clip is closed; open it again.")
        return self._passes


class _Checked(Sequence[Photo]):
    """Frames that are what they must be, whenever one is read."""

    def __init__(self, frames: Sequence[Photo]) -> None:
        self._frames = frames
        self._size: Size | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, number: Any) -> Any:
        frame = self._frames[number]
        self._size = check_frame(frame, self._size)
        return frame
