"""Masks carried through a clip from frames that the user touched, in both directions."""

from collections.abc import Iterator, Sequence
from typing import Generic

from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.tracking.tracker import F, Frame, Mask, Tracked, Tracker, TrackNetwork


class ClipPasses(Generic[F]):
    """The things of a clip, frame by frame, as they are known so far.

    Args:
        network: the programs.
        frames: uint8 H x W x 3, RGB, at random access.
        objects: how many things.
        rule: how the tile follows them.

    Attributes:
        things: by frame; frames that no pass has reached are missing.
        touched: numbers of the frames whose masks the user gave.
    """

    def __init__(
        self,
        network: TrackNetwork[F],
        frames: Sequence[Frame],
        objects: int,
        rule: FollowRule | None = None,
    ) -> None:
        self._frames = frames
        self._tracker = Tracker(network, objects, rule)
        self.things: dict[int, tuple[Tracked, ...]] = {}
        self.touched: set[int] = set()

    def touch(self, number: int, masks: Sequence[Mask]) -> Iterator[int]:
        """Take masks for those of a frame, and carry them both ways, up to frames touched before.

        Where a pass ends at one, what the frames on the way had is merged with what the pass gives;
        on the way to the clip's end they take the new masks.

        Args:
            number: of the frame.
            masks: bool H x W, one for each thing.

        Yields:
            The number of every frame whose things are new, that of the touched one first.
        """
        before = self.things.get(number)
        frame = self._frames[number]
        self.touched.add(number)
        self.things[number] = self._tracker.touch(number, frame, masks)
        change = self._tracker.change(before) if before else None
        yield number
        for direction in (1, -1):
            self._tracker.touch(number, frame, masks)
            stop = self._stop(number, direction)
            for place in range(number + direction, stop, direction):
                found = self._tracker.step(place, self._frames[place])
                if change and stop in self.touched and place in self.things:
                    length = abs(stop - number)
                    distances = abs(place - number) / length, abs(place - stop) / length
                    found = self._tracker.fuse(self.things[place], change, distances)
                self.things[place] = found
                yield place

    def _stop(self, number: int, direction: int) -> int:
        """Where a pass in this direction ends: before a touched frame, or the clip's end."""
        end = len(self._frames) if direction > 0 else -1
        beyond = [t for t in self.touched if (t - number) * direction > 0]
        return min(beyond, key=lambda t: abs(t - number)) if beyond else end
