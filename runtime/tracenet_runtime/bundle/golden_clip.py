"""The golden clip: windows of the golden photo, and the masks that a correct replay carries."""

from dataclasses import dataclass

from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.bundle.golden_masks import (
    MAX_PHOTO_SIDE,
    TOLERANCES,
    GoldenMask,
    parse_golden_mask,
)
from tracenet_runtime.errors import BundleError
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.tracking.tracker import F, Tracker, TrackNetwork

_MAX_FRAMES = 64
_MAX_THINGS = 16


@dataclass(frozen=True)
class GoldenFrame:
    """Where on the golden photo a frame begins, (x, y), and the mask of each thing in it."""

    at: tuple[int, int]
    masks: tuple[GoldenMask, ...]


@dataclass(frozen=True)
class GoldenClip:
    """Frames of this (height, width); the masks of the first are given, the others carried."""

    size: Size
    frames: tuple[GoldenFrame, ...]

    def cut(self, photo: Photo, frame: GoldenFrame) -> Photo:
        """A frame's pixels, of the golden photo."""
        (x, y), (height, width) = frame.at, self.size
        return photo[y : y + height, x : x + width]


def parse_golden_clip(clip: JsonValue) -> GoldenClip:
    """Raises ``BundleError`` when it is malformed."""
    height, width = clip["size"].tuple_of(2)
    frames = clip["frames"].elements(minimum=2, maximum=_MAX_FRAMES)
    return GoldenClip(
        (height.integer(1, MAX_PHOTO_SIDE), width.integer(1, MAX_PHOTO_SIDE)),
        tuple(_golden_frame(frame) for frame in frames),
    )


def check_golden_clip(
    clip: GoldenClip, photo: Photo, network: TrackNetwork[F], rule: FollowRule, precision: str
) -> None:
    """Raise ``BundleError`` for the first mask of the golden clip that is carried otherwise."""
    first, *others = clip.frames
    things = len(first.masks)
    for frame in clip.frames:
        sizes = {mask.size for mask in frame.masks}
        if clip.cut(photo, frame).shape[:2] != clip.size or sizes != {clip.size}:
            raise _misfit()
        if len(frame.masks) != things:
            raise _misfit()
    tracker = Tracker(network, things, rule)
    tracker.touch(0, clip.cut(photo, first), [mask.decoded() for mask in first.masks])
    _, minimum_iou = TOLERANCES[precision]
    for number, frame in enumerate(others, 1):
        found = tracker.step(number, clip.cut(photo, frame))
        for thing, golden in zip(found, frame.masks, strict=True):
            iou = golden.iou(thing.mask())
            if iou < minimum_iou:
                raise BundleError(
                    f"The frame number {number + 1} of the golden clip gets a mask that overlaps "
                    f"the golden one by {iou:.3f} (IoU); this engine does not reproduce the "
                    "bundle: export it again or use another engine."
                )


def _golden_frame(frame: JsonValue) -> GoldenFrame:
    x, y = frame["at"].tuple_of(2)
    masks = frame["masks_rle"].elements(minimum=1, maximum=_MAX_THINGS)
    return GoldenFrame(
        (x.integer(0, MAX_PHOTO_SIDE), y.integer(0, MAX_PHOTO_SIDE)),
        tuple(parse_golden_mask(mask) for mask in masks),
    )


def _misfit() -> BundleError:
    return BundleError("The golden clip does not fit the golden photo; export the bundle again.")
