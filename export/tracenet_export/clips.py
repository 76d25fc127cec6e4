"""Clips of moving windows of photos, which calibration sees and the check compares with PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.strategies.strategy import Strategy
from tracenet_runtime.tracking.passes import ClipPasses
from tracenet_runtime.tracking.programs import Features, TrackPrograms
from tracenet_runtime.tracking.records import Tracking
from tracenet_runtime.tracking.results import FrameResult, ThingResult
from tracenet_runtime.tracking.tracker import Frame, Mask, Tracked, Tracker

CLIP_FRAMES = 40
"""Of each clip that is compared."""

_TAP = (0.5, 0.5)
"""Where a thing is tapped, as shares of a photo's width and height."""

_SHARE = 0.75
"""Of a photo's sides that a frame shows."""

_PERIODS = (29, 37)
"""Frames after which the window is back, from left to right and from top to bottom."""


@dataclass(frozen=True)
class ClipParity:
    """How tracked clips compare with the same ones in PyTorch.

    Attributes:
        frames: of all clips; each is tracked once from its first frame, and once more, and fused,
            from its last.
        things: in each.
        iou_mean, iou_p5: IoU of the masks, mean and 5th percentile. Each side goes on with its own
            masks and memory, so that differences may add up.
        frame_iou_mean: of masks of one frame, found from PyTorch's masks and memory.
        seen: share of PyTorch's masks that are not empty; empty ones say little.
    """

    frames: int
    things: int
    iou_mean: float
    iou_p5: float
    frame_iou_mean: float
    seen: float


@dataclass(frozen=True)
class MovingClip(Sequence[Frame]):
    """A window that moves over a photo, to and fro, and masks that move with the photo.

    Attributes:
        photo: uint8 H x W x 3.
        masks: of things in the photo, bool H x W.
        length: frames.
    """

    photo: Photo
    masks: tuple[Mask, ...]
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Frame:  # type: ignore[override]
        return self.photo[self._window(number)]

    def truth(self, number: int) -> list[Mask]:
        """The masks in a frame."""
        return [mask[self._window(number)] for mask in self.masks]

    def _window(self, number: int) -> tuple[slice, slice]:
        height, width = self.photo.shape[:2]
        down, across = (
            _span(size, (1 - np.cos(2 * np.pi * number / period)) / 2)
            for size, period in ((height, _PERIODS[1]), (width, _PERIODS[0]))
        )
        return down, across


def _span(size: int, share: float) -> slice:
    length = round(_SHARE * size)
    start = round(share * (size - length))
    return slice(start, start + length)


def moving_clips(
    strategy: Strategy, viewer: Viewer, photos: Sequence[Photo], length: int
) -> Iterator[MovingClip]:
    """A clip of each photo, with what a tap on it gives, and all else, as masks.

    Things that overlap would share the cells, and neither have a mask.
    """
    for photo in photos:
        height, width = photo.shape[:2]
        at = int(_TAP[0] * width), int(_TAP[1] * height)
        thing = strategy.look(viewer, photo, at, {}).result({}).mask
        yield MovingClip(photo, (thing, ~thing), length)


def track(tracking: Tracking, network: TrackPrograms, clip: MovingClip) -> Iterator[FrameResult]:
    """What is found in a clip whose first frame is touched, then its last."""
    passes = ClipPasses(network, clip, tracking.rule)
    for touched in (0, len(clip) - 1):
        passes.touch(touched, dict(enumerate(clip.truth(touched))))
        for number in iter(passes.advance, None):
            result = passes.result(number)
            assert result is not None  # it is new
            if number != touched:
                yield result


def compare_clips(
    tracking: Tracking, reference: TrackPrograms, other: TrackPrograms, clips: Sequence[MovingClip]
) -> ClipParity:
    """Track the same things with two engines."""
    ious: list[float] = []
    single: list[float] = []
    seen: list[bool] = []
    for clip in tqdm(clips, unit="clip", desc="clips against PyTorch"):
        both = (track(tracking, network, clip) for network in (reference, other))
        for one, two in zip(*both, strict=True):
            ious += _ious(one.things, two.things)
            seen += [thing.box is not None for thing in one.things]
        single += _from_equal_memory(tracking, reference, other, clip)
    return ClipParity(
        sum(map(len, clips)),
        len(clips[0].masks),
        float(np.mean(ious)),
        float(np.percentile(ious, 5)),
        float(np.mean(single)),
        float(np.mean(seen)),
    )


def _from_equal_memory(
    tracking: Tracking, reference: TrackPrograms, other: TrackPrograms, clip: MovingClip
) -> list[float]:
    tracker = Tracker[Features](reference, len(clip.masks), tracking.rule)
    tracker.touch(0, clip[0], clip.truth(0))
    ious = []
    for number in range(1, len(clip)):
        twin = tracker.copied(other)
        given = twin.step(number, clip[number])
        ious += _ious(tracker.step(number, clip[number]), given)
    return ious


def _ious(
    wanted: Sequence[Tracked | ThingResult], given: Sequence[Tracked | ThingResult]
) -> list[float]:
    return [_iou(one.mask(), two.mask()) for one, two in zip(wanted, given, strict=True)]


def _iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0
