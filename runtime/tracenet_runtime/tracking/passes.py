"""Masks carried through a clip from frames that the user touched, in both directions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

from tracenet_runtime.errors import GestureError
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.tracking.groups import GroupTracker
from tracenet_runtime.tracking.kept import keep, keep_mask, kept, kept_mask
from tracenet_runtime.tracking.known import KnownThing
from tracenet_runtime.tracking.memory import TOUCHED_SLOTS
from tracenet_runtime.tracking.results import (
    FrameResult,
    ThingResult,
    carried_thing,
    touched_thing,
    unknown_thing,
)
from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.tracking.tracker import (
    Change,
    F,
    Frame,
    Mask,
    TrackNetwork,
)


@dataclass
class _Job:
    """A touched frame from which things are to be carried.

    ``given`` are the masks that the frame had when these were touched, if it was touched for them
    until then, and ``old`` what the things were in all frames before they are carried. A ``whole``
    one is carried as if no other were still to come.
    """

    number: int
    things: set[int] = field(default_factory=set)
    given: dict[int, bytes | None] = field(default_factory=dict)
    old: dict[int, dict[int, bytes]] = field(default_factory=dict)
    whole: bool = False


class ClipPasses(Generic[F]):
    """The things of a clip, frame by frame, as they are known so far.

    A frame is touched for each thing by itself: the passes from there change that thing alone, up
    to the frames next to it that are touched for it. What else is seen there runs along, so that
    things do not take each other's place, but keeps its masks.

    Args:
        network: the programs.
        frames: uint8 H x W x 3, RGB, of one size, at random access.
        rule: how the tile follows the things.
    """

    def __init__(
        self, network: TrackNetwork[F], frames: Sequence[Frame], rule: FollowRule | None = None
    ) -> None:
        self._network, self._frames, self._rule = network, frames, rule
        self._size: Size = (0, 0)
        self._things: list[KnownThing] = []
        self._order: list[int] = []
        self._due: list[_Job] = []
        self._running: tuple[_Job, Iterator[int]] | None = None
        self._tracker: tuple[list[int], GroupTracker[F]] | None = None
        self._anew = False

    @property
    def things(self) -> int:
        """How many there are."""
        return len(self._things)

    @property
    def touched(self) -> tuple[int, ...]:
        """The numbers of the frames that the user touched, in the order of the clip."""
        return tuple(sorted(self._order))

    def is_touched(self, number: int, which: int) -> bool:
        """Whether the user touched a frame for a thing."""
        return which < len(self._things) and number in self._things[which].given

    @property
    def nbytes(self) -> int:
        """Size in bytes of the masks of all frames, and of the memory."""
        memory = 0 if self._tracker is None else self._tracker[1].nbytes
        return memory + sum(
            len(data or b"")
            for thing in self._things
            for known in (thing.given, thing.before, thing.cells)
            for data in known.values()
        )

    def touch(self, number: int, masks: Mapping[int, Mask]) -> None:
        """Take the user's masks for those of a frame; :meth:`advance` then carries them.

        Args:
            number: of the frame.
            masks: by thing, bool H x W; things are numbered from 0 without a gap.

        Raises:
            GestureError: there is a gap.
        """
        for which, mask in sorted(masks.items()):
            self.check_thing(which)
            if which == len(self._things):
                self._things.append(KnownThing())
            self._size = mask.shape[0], mask.shape[1]
            given = self._things[which].given
            before, given[number] = given.get(number), keep_mask(mask)
            if given[number] != before:
                self._queue(number, which, before)
        if number not in self._order:
            self._order.append(number)

    def _queue(self, number: int, which: int, before: bytes | None) -> None:
        """Have a thing carried from a frame that had this mask of the user's, if any."""
        job = next((job for job in self._due if job.number == number and not job.old), None)
        if job is None:
            job = _Job(number)
            self._due.append(job)
        if which not in job.things:
            job.things.add(which)
            job.given[which] = before
        elif self._things[which].given[number] == job.given.get(which):
            job.things.discard(which)  # it is as it was carried
            self._due = [job for job in self._due if job.things]

    def forget(self, number: int, which: int) -> None:
        """Take a touch back; the frame has again what it had before.

        Where the touch was carried already, :meth:`advance` carries all others anew, each as if
        it had been carried before the next was made.
        """
        if which >= len(self._things) or number not in self._things[which].given:
            return
        thing = self._things[which]
        del thing.given[number]
        for job in self._due:
            if job.number == number:
                job.things.discard(which)
        self._due = [job for job in self._due if job.things]
        if number in thing.begun | thing.ends:
            self._anew, self._running, self._tracker = True, None, None
        if number in thing.begun:
            thing.begun.discard(number)
            before = thing.before.pop(number)
            if before is None:
                del thing.cells[number]
            else:
                thing.cells[number] = before
        if not any(number in thing.given for thing in self._things):
            self._order.remove(number)
        while self._things and not self._things[-1].given:
            self._things.pop()

    def check_thing(self, which: int) -> None:
        """Raise ``GestureError`` for a thing that would leave a gap in the numbers."""
        if not 0 <= which <= len(self._things):
            raise GestureError(
                f"Things are numbered from 0 without gaps: the next new one is thing "
                f"{len(self._things)}, not {which}."
            )

    def advance(self) -> int | None:
        """Carry what was touched to one more frame; the frame's number, None if all is done.

        Touched frames are carried one after another, in the order in which they were touched, up to
        the next one or the clip's end. What the frames on the way had from another touched frame is
        merged with what the pass gives. An error leaves what was carried; the next call begins
        again with the same touched frame, and comes to the same result.
        """
        while True:
            if self._running is None:
                self._renew()
                if not self._due:
                    return None
                job = self._due.pop(0)
                self._running = job, self._carry(job)
            job, frames = self._running
            try:
                return next(frames)
            except StopIteration:
                self._running = None
            except BaseException:
                self._running = None
                self._due.insert(0, job)
                raise

    def mask(self, number: int, which: int) -> Mask | None:
        """A thing's mask in a frame, bool H x W; None where it is not known."""
        thing = self._things[which]
        if number in thing.given:
            return kept_mask(thing.given[number], self._size)
        if number in thing.cells:
            return _mask_of(thing.cells[number], self._size)
        return None

    def result(self, number: int) -> FrameResult | None:
        """What is known of a frame; None if that is nothing."""
        things = tuple(self._result(number, thing) for thing in self._things)
        return FrameResult(number, things) if any(thing.known for thing in things) else None

    def _result(self, number: int, thing: KnownThing) -> ThingResult:
        if number in thing.given:
            return touched_thing(partial(kept_mask, thing.given[number], self._size))
        if number in thing.cells:
            # Whoever keeps the result of every frame keeps few bytes, too.
            data = thing.cells[number]
            return carried_thing(kept(data, self._size), partial(_mask_of, data, self._size))
        return unknown_thing(self._size)

    def _renew(self) -> None:
        """After a touch was taken back that others may have been merged with."""
        if not self._anew:
            return
        self._anew, self._due = False, []
        for thing in self._things:
            thing.cells, thing.before, thing.begun, thing.ends = {}, {}, set(), set()
        for number in self._order:
            touched = {n for n, thing in enumerate(self._things) if number in thing.given}
            self._due.append(_Job(number, touched, whole=True))

    def _carry(self, job: _Job) -> Iterator[int]:
        """Yields the number of every frame in which a thing is new, that of the touched first."""
        number, new = job.number, sorted(job.things)
        masks = self._seen(number, new)
        together = list(masks)
        tracker = self._tracker_of(together, number)
        if not job.old:
            job.old = {which: dict(self._things[which].cells) for which in new}
        touched = tracker.touch(number, self._frames[number], list(masks.values()))
        changes: dict[int, Change] = {}
        for which in new:
            thing, place = self._things[which], together.index(which)
            before = job.old[which].get(number)
            if before is not None:
                changes[which] = tracker.change(place, kept(before, self._size))
            if number not in thing.begun:
                thing.before[number] = before
            thing.cells[number] = keep(touched[place])
            thing.begun.add(number)
        yield number
        for way in (range(number + 1, len(self._frames)), range(number - 1, -1, -1)):
            if way.step < 0:
                tracker.touch(number, self._frames[number], list(masks.values()))
            for at in way:
                going = [which for which in new if self._reaches(job, which, at)]
                if not going:
                    break
                frame = self._frames[at]
                found = tracker.step(at, frame)
                for which in going:
                    place = together.index(which)
                    new_there, old = found[place], job.old[which].get(at)
                    source = self._things[which].source(number, at)
                    if which in changes and source is not None and old is not None:
                        away, other = abs(at - number), abs(at - source)
                        distances = away / (away + other), other / (away + other)
                        there = kept(old, self._size)
                        new_there = tracker.fuse(place, frame, there, changes[which], distances)
                    self._things[which].cells[at] = keep(new_there)
                if any(at not in self._things[which].given for which in going):
                    yield at

    def _reaches(self, job: _Job, which: int, at: int) -> bool:
        """Whether a pass brings a thing to a frame: there is no frame before it from which passes
        have begun, or are to begin.
        """
        thing = self._things[which]
        stop = thing.stop(job.number, at - job.number)
        if stop is not None:
            return abs(at - job.number) < abs(stop - job.number)
        # What lies beyond a frame that is still to come is better carried from there.
        return job.whole or not thing.renewed_after(job.number, at)

    def _seen(self, number: int, new: Sequence[int]) -> dict[int, Mask]:
        """The masks of a frame, of new things and of all others that are seen there."""
        masks = {}
        for which in range(len(self._things)):
            mask = self.mask(number, which)
            if mask is not None and (which in new or mask.any()):
                masks[which] = mask
        return masks

    def _tracker_of(self, together: list[int], number: int) -> GroupTracker[F]:
        """The tracker that remembers what was touched so far, for those of these things."""
        if self._tracker is None or self._tracker[0] != together:
            tracker = GroupTracker(self._network, len(together), self._rule)
            for place in [p for p in self._order if p != number][1 - TOUCHED_SLOTS :]:
                begun = any(place in self._things[which].begun for which in together)
                masks = [self.mask(place, which) for which in together]
                given = [mask for mask in masks if mask is not None]
                if begun and len(given) == len(together):
                    tracker.touch(place, self._frames[place], given)
            self._tracker = together, tracker
        return self._tracker[1]


def _mask_of(data: bytes, frame: Size) -> Mask:
    return kept(data, frame).mask()
