"""Clips read from files by PyAV, frame by frame, as they are displayed."""

import bisect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from tracenet_runtime.errors import ClipError, refuse_if_out_of_memory
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.photo import MAX_PIXELS
from tracenet_runtime.image.pixels import Photo

# Named, because FFmpeg would otherwise also read lists of other files and of addresses.
_FORMATS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "mxf", "ivf")

_KEPT_BYTES = 128_000_000
"""Of decoded frames, so that going backwards decodes each stretch of a clip but a few times."""

_LEAST_KEPT = 8

_SHORT = 0.5
"""Seconds that a file may be shorter than it says."""


class ClipFile(Sequence[Photo]):
    """The frames of a clip: uint8 H x W x 3, RGB, as a player shows them.

    They are turned and mirrored as the file says, and pixels are square: the side that they are too
    short on is stretched, as browsers do. Frames are decoded when they are asked for; forwards each
    once, elsewhere from the keyframe before. A few are kept.

    Attributes:
        size: height and width.
        times: of each frame, in seconds, as the file says; they need not be evenly spaced.
        rate: frames a second, on average.
    """

    def __init__(self, path: Path) -> None:
        """Open a clip and find its frames, without decoding them.

        Raises ``ClipError`` when there is none, it has no video, is damaged or cut off, or its
        frames are shown at more than ``MAX_PIXELS``.
        """
        self._path = path
        if not path.exists():
            raise ClipError(f"There is no clip at {path}; check the path.")
        if not path.is_file():
            raise ClipError(f"{path} is not a file; name a clip.")
        if not path.stat().st_size:
            raise ClipError(
                f"{path} is empty, as a file is whose copy was broken off; copy it again."
            )
        try:
            formats = {"format_whitelist": ",".join(_FORMATS)}
            self._container = av.open(f"file:{path}", "r", options=formats)
        except Exception as error:
            refuse_if_out_of_memory(error, f"open {path}")
            raise ClipError(
                f"{path} is not a clip that can be read; it is damaged or of an unusual kind "
                f"({_said(error)}); convert it to MP4 or WebM."
            ) from error
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        video = self._container.streams.video
        pictures = [stream for stream in video if not _is_cover(stream)]
        if not pictures:
            raise ClipError(
                f"{self._path} holds no video that can be read; name another clip, or copy it "
                "again if it is incomplete."
            )
        self._stream = pictures[0]
        self._stream.thread_type = "AUTO"
        self._find_frames()
        self._cache: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._decoded: Iterator[av.VideoFrame] = iter(())
        self._next = len(self._stamps)  # nothing is decoded yet
        first = self._frame(0)
        self._turn = _matrix(first)
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        self._stored = _squared(first.height, first.width, aspect)
        height, width = self._stored
        if height * width > MAX_PIXELS:
            raise ClipError(
                f"{self._path} is shown at {width} x {height} pixels, more than the "
                f"{MAX_PIXELS // 1_000_000} megapixels that are read; make it smaller."
            )
        turned = self._turn[0] == 0
        self.size: Size = (width, height) if turned else (height, width)
        scale = self._stream.time_base or Fraction(1, 1000)
        self.rate = self._stream.average_rate or Fraction(30)
        self.times = tuple(float(stamp * scale) for stamp in self._stamps)

    def __len__(self) -> int:
        return len(self._stamps)

    def __getitem__(self, number: Any) -> Any:
        frame = self._frame(range(len(self))[number])
        height, width = self._stored
        try:
            pixels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
        except Exception as error:
            raise self._unreadable(f"frame {number}: ", error) from error
        return _turned(pixels, self._turn)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> "ClipFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _find_frames(self) -> None:
        """The time stamps of all frames, which of them are keyframes, and where to seek those."""
        stamps: set[int] = set()
        starts: dict[int, int] = {}
        end, found, broken = 0.0, 0, False
        try:
            for packet in self._container.demux():
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.time_base is not None:
                    end = max(end, float((stamp + (packet.duration or 0)) * packet.time_base))
                if packet.stream is not self._stream or not packet.size:
                    continue
                found += 1
                if packet.is_discard:
                    continue
                if stamp is None:
                    raise ClipError(
                        f"{self._path} has frames without time stamps; put it into another file, "
                        f"such as with: ffmpeg -i {self._path} -c copy clip.mp4"
                    )
                broken = broken or packet.is_corrupt
                stamps.add(stamp)
                if packet.is_keyframe:
                    # Some formats are searched by when frames are decoded, which is earlier.
                    starts[stamp] = stamp if packet.dts is None else min(stamp, packet.dts)
        except ClipError:
            raise
        except Exception as error:  # PyAV has others, too, for streams that damage brings forth
            raise self._unreadable("", error) from error
        # What such files list is what they hold; elsewhere it may be an estimate.
        listed = self._stream.frames if "mp4" in self._container.format.name else 0
        if not stamps or broken or found < listed or end < self._least_end():
            raise self._damaged("not all of its frames are there")
        self._stamps = sorted(stamps)
        self._number = {stamp: number for number, stamp in enumerate(self._stamps)}
        starts = starts or {self._stamps[0]: self._stamps[0]}
        self._starts = {self._number[key]: start for key, start in starts.items()}
        self._keys = sorted(self._starts)

    def _least_end(self) -> float:
        """The second that something must reach in a file that is not cut off."""
        length, start = self._container.duration, self._container.start_time or 0
        return 0 if length is None else (start + length) / av.time_base - _SHORT

    def _frame(self, number: int) -> av.VideoFrame:
        """A frame as it is stored."""
        if number not in self._cache:
            try:
                self._decode(number)
            except Exception as error:
                raise self._unreadable(f"frame {number}: ", error) from error
        if number not in self._cache:
            raise self._damaged(f"frame {number} cannot be decoded")
        return self._cache[number]

    def _decode(self, number: int) -> None:
        """Decode up to a frame, from where decoding is or from a keyframe."""
        before = max(1, bisect.bisect_right(self._keys, number))
        if self._keys[before - 1] <= self._next <= number and self._decode_to(number):
            return
        # The nearest; an earlier one where the file, whose index is coarse, is gone on with later.
        for key in reversed(self._keys[:before]):
            self._container.seek(self._starts[key], stream=self._stream)
            self._decoded = self._container.decode(self._stream)
            if self._decode_to(number):
                return

    def _decode_to(self, number: int) -> bool:
        """Whether that began before what comes after the frame."""
        began = False
        for frame in self._decoded:
            stamp = frame.dts if frame.pts is None else frame.pts
            place = None if stamp is None else self._number.get(stamp)
            if place is None or frame.is_corrupt:
                continue
            began = began or place <= number
            self._next = place + 1
            self._cache[place] = frame
            while len(self._cache) > max(_LEAST_KEPT, _KEPT_BYTES // _nbytes(frame)):
                self._cache.popitem(last=False)
            if place >= number:
                return began
        self._next = len(self._stamps)
        return began

    def _unreadable(self, where: str, error: Exception) -> ClipError:
        refuse_if_out_of_memory(error, f"read {self._path}")
        return self._damaged(f"{where}{_said(error)}")

    def _damaged(self, why: str) -> ClipError:
        return ClipError(
            f"{self._path} is damaged or incomplete ({why}); copy it again, or convert it."
        )


def _is_cover(stream: Any) -> bool:
    """Whether it is a picture that stands for a piece of music."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _nbytes(frame: av.VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)


def _matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """How it is to be shown: x' = a x + c y, y' = b x + d y, as (a, b, c, d), each -1, 0 or 1."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def _turned(pixels: Any, matrix: tuple[int, int, int, int]) -> Photo:
    a, b, c, d = matrix
    shown = pixels if a else pixels.transpose(1, 0, 2)
    across, down = (a, d) if a else (c, b)
    return np.ascontiguousarray(shown[::down, ::across])


def _squared(height: int, width: int, aspect: Fraction) -> Size:
    """The size on square pixels of a frame whose pixels are ``aspect`` times as wide as high."""
    if aspect > 1:
        return height, round(width * aspect)
    return round(height / aspect), width


def _said(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0].rstrip(".")
