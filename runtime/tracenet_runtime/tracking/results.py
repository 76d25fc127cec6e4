"""What a clip's frames give: the things in them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tracenet_runtime.image.geometry import Box, Size
from tracenet_runtime.tracking.tracker import Mask, Tracked, bounds


@dataclass(frozen=True, eq=False)
class ThingResult:
    """A thing in a frame.

    ``presence`` is the probability that it is seen there, ``present`` whether it is taken to be:
    from a presence of 0.5 on, but where masks were merged, if anything is left of the mask,
    whatever the presence, which is then the larger of the two. What is not has an empty mask.
    ``score`` is the mean probability of the mask's cells, 0 of an
    empty one; it says how sure the network is of the mask, not how good that is. ``box`` is about
    the mask, (x0, y0, x1, y1) in frame pixels, up to a cell; None of an empty one. Where the user
    ``touched`` it, the mask is that of the session, presence and score are 1, or 0 of an empty
    mask. A thing that no pass has brought to this frame yet is not ``known`` there; all else then
    reads as if it were not seen.
    """

    presence: float
    present: bool
    score: float
    box: Box | None
    touched: bool
    known: bool
    _mask: Callable[[], Mask] = field(repr=False)

    def mask(self) -> Mask:
        """Bool, H x W, in frame pixels; written anew at each call."""
        return self._mask()


@dataclass(frozen=True, eq=False)
class FrameResult:
    """A frame's ``number``, from 0, and its things, in the order of theirs."""

    number: int
    things: tuple[ThingResult, ...]


def carried_thing(thing: Tracked, mask: Callable[[], Mask]) -> ThingResult:
    """A thing that a pass has brought, with what writes its mask."""
    inside = thing.shown[thing.shown > 0.5]
    score = float(inside.mean(dtype=np.float64)) if inside.size else 0.0
    return ThingResult(thing.presence, thing.present, score, thing.box, False, True, mask)


def touched_thing(mask: Callable[[], Mask]) -> ThingResult:
    """A thing whose mask the user gave."""
    box = bounds(mask())
    seen = float(box is not None)
    return ThingResult(seen, bool(seen), seen, box, True, True, mask)


def unknown_thing(frame: Size) -> ThingResult:
    """A thing of which nothing is known in a frame of this (height, width)."""
    return ThingResult(0.0, False, 0.0, None, False, False, lambda: np.zeros(frame, np.bool_))
