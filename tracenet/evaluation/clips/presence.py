"""Whether a thing that is gone is told as gone, and found when it is back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.ndimage import binary_dilation

from tracenet.data import IGNORE
from tracenet.data.clips import Clip
from tracenet.evaluation.answers import Photo
from tracenet.evaluation.clips.measures import jaccard
from tracenet.evaluation.clips.models import ClipModel
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.scores import PhotoScore

GONE = 8
"""Frames in a row in which a thing is painted over, from a third of its clip on."""

SOON = 5
"""Frames after its return within which it should be found."""

FOUND = 0.5
"""J of a mask that has found it."""

RIM = 4
"""Frame pixels about a thing that are painted over with it."""

LEAST_ROOM = 0.08
"""Share of a frame's width beside a thing; with less there is nothing to paint it over with."""


@dataclass(frozen=True, slots=True)
class PresenceScore:
    """A thing that was gone for some frames; see :class:`~tracenet.evaluation.scores.Scored`.

    Attributes:
        instance: its number in the clip's maps.
        area: frame pixels in the first frame.
        gone: of the frames in which it was gone, whether the mask was empty.
        seen: of the frames before, whether it was not.
        found: whether it was found soon after it was back.
        category: None; clips have no categories.
    """

    instance: int
    area: int
    gone: tuple[bool, ...]
    seen: tuple[bool, ...]
    found: bool
    category: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scores.Scored`."""
        return {
            "instance": self.instance,
            "area": self.area,
            "gone": list(self.gone),
            "seen": list(self.seen),
            "found": self.found,
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Self:
        """See :class:`~tracenet.evaluation.scores.Scored`."""
        return cls(
            line["instance"], line["area"], tuple(line["gone"]), tuple(line["seen"]), line["found"]
        )


def score_presence(model: ClipModel, index: int, clip: Clip) -> PhotoScore[PresenceScore]:
    """The scores of the things that a clip's first frame shows, each by itself.

    A thing is scored if it is seen in every frame up to its return and soon after, and there is
    room beside it to paint it over with.

    Args:
        model: what is asked; the first frame's mask is given.
        index: of the clip in its folder.
        clip: long enough, else nothing is scored.
    """
    first = clip.instance_map(0)
    things = [int(value) for value in np.unique(first) if value not in (0, IGNORE)]
    scored = [_thing(model, clip, thing) for thing in things]
    scores = tuple(score for score in scored if score is not None)
    return PhotoScore(index, clip.id, model.computed if scores else "nothing", scores)


def painted_over(frame: Photo, mask: Mask) -> Photo | None:
    """A frame without a thing: what lies beside it, again and again, lies in its place.

    Args:
        frame: uint8 H x W x 3.
        mask: bool H x W, the thing, of a pixel at least.

    Returns:
        None where there is no room beside it.
    """
    wide = binary_dilation(mask, iterations=RIM)
    columns = np.flatnonzero(wide.any(0))
    left, right, width = int(columns[0]), int(columns[-1]) + 1, mask.shape[1]
    start, room = (right, width - right) if width - right >= left else (0, left)
    if room < LEAST_ROOM * width:
        return None
    source = start + np.arange(width) % room
    covered: Photo = np.where(wide[..., None], frame[:, source], frame)
    return covered


def _thing(model: ClipModel, clip: Clip, thing: int) -> PresenceScore | None:
    start = len(clip) // 3
    back = start + GONE
    if start < 2 or back + SOON > len(clip):
        return None
    frames, truths = [], []
    for number in range(back + SOON):
        truth = clip.instance_map(number) == thing
        frame: Photo | None = clip.photo(number)
        if not truth.any():
            return None
        if start <= number < back:
            assert frame is not None
            frame = painted_over(frame, truth)
        if frame is None:
            return None
        frames.append(frame)
        truths.append(truth)
    masks = [found for (found,) in model.follow(frames, [truths[0]])]
    told = [bool(mask.any()) for mask in masks]
    soon = zip(masks[back - 1 :], truths[back:], strict=True)
    return PresenceScore(
        thing,
        int(np.count_nonzero(truths[0])),
        tuple(not there for there in told[start - 1 : back - 1]),
        tuple(told[: start - 1]),
        any(jaccard(mask, truth) > FOUND for mask, truth in soon),
    )
