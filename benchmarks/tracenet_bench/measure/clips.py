"""Frames of clips at 480p: what it takes to carry things to one more, and a long clip's memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_bench.measure.corrections import Took
from tracenet_bench.report.schema import OperationName
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.timing import Timings
from tracenet_runtime.tracking.contract import KEY_CHANNELS, TOP_K, VALUE_CHANNELS
from tracenet_runtime.tracking.memory import CELLS
from tracenet_runtime.tracking.programs import Features, TrackPrograms
from tracenet_runtime.tracking.tracker import FloatArray, Frame, Mask, Tracked, Tracker

FRAME = (480, 854)
"""Height and width; turned for a photo that is higher than wide."""

THINGS: dict[OperationName, int] = {"frame": 1, "frame_of_three": 3}
"""How many things are carried, each with programs and a memory of its own."""

_ROOM = 1.25
"""Of the photo's sides over the frame's, for it to move in."""

PERIOD = 40
"""Frames until the window is back where it began."""

SETTLED = 26
"""Frames before the first that is timed, after which no slot of the ring is free."""

_SHARES = ((0.5, 0.5), (0.25, 0.35), (0.75, 0.65))
"""Where further things are tapped, as shares of a frame's width and height."""

Photo = npt.NDArray[np.uint8]


class ClipOfPhoto:
    """A window that moves over a photo to and fro, without end.

    ``pixels`` is what it moves over, uint8 H x W x 3: the photo, resized.
    """

    def __init__(self, photo: Photo) -> None:
        height, width = photo.shape[:2]
        self.size: Size = FRAME if width >= height else FRAME[::-1]
        least = max(
            _ROOM * side / own for side, own in zip(self.size, (height, width), strict=True)
        )
        resized = round(least * width), round(least * height)
        self.pixels = np.asarray(Image.fromarray(photo).resize(resized, Image.Resampling.BICUBIC))

    @property
    def tapped(self) -> tuple[int, int]:
        """Where a frame is tapped, (x, y): at the first of the places for that."""
        return _place(self.size, _SHARES[0])

    def corner(self, number: int) -> tuple[int, int]:
        """The upper left one (x, y) of a frame's window."""
        share = (1 - math.cos(2 * math.pi * number / PERIOD)) / 2
        y, x = (
            round(share * (own - side))
            for side, own in zip(self.size, self.pixels.shape, strict=False)
        )
        return x, y

    def __getitem__(self, number: int) -> Frame:
        (x, y), (height, width) = self.corner(number), self.size
        return self.pixels[y : y + height, x : x + width]


@dataclass
class _Timed:
    """Propagation's programs, each timed, and what lies between them; see TrackNetwork.

    ``between`` is the stage that time counts for until the next program runs.
    """

    programs: TrackPrograms
    costs: dict[str, int]
    timings: Timings = field(default_factory=dict)
    macs: int = 0
    between: str = "cut"
    since: float = field(default_factory=time.perf_counter)

    @property
    def pad_value(self) -> tuple[int, int, int]:
        return self.programs.pad_value

    def start(self) -> None:
        self.timings, self.macs, self.between = {}, 0, "cut"
        self.since = time.perf_counter()

    def encode(self, tile: Frame) -> tuple[Features, FloatArray]:
        with self.stage("frame", then="read"):
            return self.programs.encode(tile)

    def value(self, features: Features, mask: FloatArray, others: FloatArray) -> FloatArray:
        with self.stage("value", then="other"):
            return self.programs.value(features, mask, others)

    def decode(
        self, features: Features, read: FloatArray, prior: FloatArray
    ) -> tuple[FloatArray, float]:
        with self.stage("decode", then="other"):
            return self.programs.decode(features, read, prior)

    def fuse(self, features: Features, planes: FloatArray) -> FloatArray:
        with self.stage("fuse", then="other"):
            return self.programs.fuse(features, planes)

    @contextmanager
    def stage(self, name: str, then: str) -> Iterator[None]:
        began = time.perf_counter()
        self._add(self.between, began)
        yield
        self._add(name, time.perf_counter())
        self.between = then
        self.macs += self.costs[name]

    def _add(self, stage: str, now: float) -> None:
        self.timings[stage] = self.timings.get(stage, 0.0) + 1000 * (now - self.since)
        self.since = now


class TimedClip:
    """A photo as a clip in which things are followed; frame after frame, each timed.

    Args:
        segmenter: of a bundle that tracks.
        photo: uint8 H x W x 3.
    """

    def __init__(self, segmenter: TapSegmenter, photo: Photo) -> None:
        tracking, programs = segmenter.bundle.manifest.tracking, segmenter.bundle.manifest.programs
        assert tracking is not None
        costs = {part: programs[name].macs for part, name in tracking.programs.items()}
        self._clip = ClipOfPhoto(photo)
        self._networks = {name: _Timed(segmenter.track_network(), costs) for name in THINGS}
        masks = [_tapped(segmenter, self._clip[0], at) for at in _SHARES]
        self._trackers: dict[OperationName, Tracker[Features]] = {}
        for name, things in THINGS.items():
            self._trackers[name] = Tracker[Features](self._networks[name], things, tracking.rule)
            self._trackers[name].touch(0, self._clip[0], masks[:things])
        self._number = 0
        for _ in range(SETTLED):
            self.next()

    def next(self) -> dict[OperationName, Took]:
        """The next frame with one thing and with three, from the frame to their masks, and, for
        ``fusion``, what it takes to merge the one thing with an older mask.
        """
        self._number += 1
        took, found = {}, {}
        for name in THINGS:
            took[name], found[name] = self._step(name)
        return took | {"fusion": self._fuse(found["frame"][0])}

    def _step(self, name: OperationName) -> tuple[Took, tuple[Tracked, ...]]:
        network, tracker = self._networks[name], self._trackers[name]
        frame, remembered = self._clip[self._number], len(tracker.memory.frames)
        network.start()
        began = time.perf_counter()
        found = tracker.step(self._number, frame)
        carried = time.perf_counter()
        for thing in found:
            thing.mask()
        ended = time.perf_counter()
        stages = network.timings | {"paste": 1000 * (ended - carried)}
        macs = network.macs + read_macs(remembered, THINGS[name])
        return Took(1000 * (ended - began), stages, macs), found

    def _fuse(self, before: Tracked) -> Took:
        network, tracker = self._networks["frame"], self._trackers["frame"]
        change = tracker.change(0, before)
        network.start()
        network.between = "read"
        began = time.perf_counter()
        tracker.fuse(0, self._clip[self._number], before, change, (0.5, 0.5))
        ended = time.perf_counter()
        return Took(1000 * (ended - began), network.timings, network.macs + read_macs(1, 0))


def read_macs(frames: int, things: int) -> int:
    """Multiply-adds of a read of the memory: similarities with so many frames, and means of values
    for each thing.
    """
    return CELLS * (frames * CELLS * KEY_CHANNELS + things * TOP_K * VALUE_CHANNELS)


def _tapped(segmenter: TapSegmenter, frame: Frame, at: tuple[float, float]) -> Mask:
    height, width = frame.shape[:2]
    return segmenter.tap(frame, _place((height, width), at)).mask


def _place(size: Size, share: tuple[float, float]) -> tuple[int, int]:
    height, width = size
    return int(share[0] * width), int(share[1] * height)


def followed(segmenter: TapSegmenter, clip: ClipOfPhoto) -> Iterator[float]:
    """Milliseconds of each frame of a stream with one thing, from the frame to its mask, from the
    one after that which is tapped; without end.
    """
    with segmenter.open_stream() as stream:
        stream.push(clip[0])
        stream.tap(clip.tapped)
        for number in count(1):
            frame = clip[number]
            began = time.perf_counter()
            result = stream.push(frame)
            assert result is not None  # a thing was tapped
            result.things[0].mask()
            yield 1000 * (time.perf_counter() - began)


def memory_of_clip(segmenter: TapSegmenter, photo: Photo, frames: Sequence[int]) -> list[int]:
    """Resident bytes of this process after each of these frames of a stream with one thing."""
    import psutil

    process, stream = psutil.Process(), followed(segmenter, ClipOfPhoto(photo))
    found = []
    for number, _ in zip(range(1, frames[-1] + 1), stream, strict=False):
        if number in frames:
            found.append(process.memory_info().rss)
    return found
