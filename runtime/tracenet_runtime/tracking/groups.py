"""Several things that are followed at once, in as few tiles as show each of them well."""

from collections.abc import Iterable, Sequence
from typing import Generic

from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.tracking.tracker import (
    Change,
    F,
    Frame,
    Mask,
    Tracked,
    Tracker,
    TrackNetwork,
    bounds,
)


class GroupTracker(Generic[F]):
    """As a :class:`~tracenet_runtime.tracking.tracker.Tracker`, in several tiles where that helps.

    The first touch says which things share a tile (:meth:`FollowRule.groups`). Those that do share
    its cells, too; the masks of others may overlap.

    Args:
        network: the programs.
        objects: how many things.
        rule: how tiles follow them; by default as training expects.
    """

    def __init__(
        self, network: TrackNetwork[F], objects: int, rule: FollowRule | None = None
    ) -> None:
        self._network, self._objects, self._rule = network, objects, rule or FollowRule()
        self._groups: list[tuple[tuple[int, ...], Tracker[F]]] = []

    @property
    def nbytes(self) -> int:
        """Size in bytes of what is remembered."""
        return sum(tracker.memory.nbytes for _, tracker in self._groups)

    def touch(self, number: int, frame: Frame, masks: Sequence[Mask]) -> tuple[Tracked, ...]:
        """See :meth:`~tracenet_runtime.tracking.tracker.Tracker.touch`."""
        if not self._groups:
            groups = self._rule.groups((frame.shape[0], frame.shape[1]), [*map(bounds, masks)])
            self._groups = [(g, Tracker(self._network, len(g), self._rule)) for g in groups]
        return self._in_order(
            tracker.touch(number, frame, [masks[thing] for thing in group])
            for group, tracker in self._groups
        )

    def step(self, number: int, frame: Frame) -> tuple[Tracked, ...]:
        """See :meth:`~tracenet_runtime.tracking.tracker.Tracker.step`."""
        return self._in_order(tracker.step(number, frame) for _, tracker in self._groups)

    def change(self, thing: int, before: Tracked) -> Change:
        """See :meth:`~tracenet_runtime.tracking.tracker.Tracker.change`."""
        tracker, place = self._of(thing)
        return tracker.change(place, before)

    def fuse(
        self,
        thing: int,
        frame: Frame,
        before: Tracked,
        change: Change,
        distances: tuple[float, float],
    ) -> Tracked:
        """See :meth:`~tracenet_runtime.tracking.tracker.Tracker.fuse`."""
        tracker, place = self._of(thing)
        return tracker.fuse(place, frame, before, change, distances)

    def _of(self, thing: int) -> tuple[Tracker[F], int]:
        return next((t, group.index(thing)) for group, t in self._groups if thing in group)

    def _in_order(self, found: Iterable[Sequence[Tracked]]) -> tuple[Tracked, ...]:
        by_thing = {
            thing: tracked
            for (group, _), things in zip(self._groups, found, strict=True)
            for thing, tracked in zip(group, things, strict=True)
        }
        return tuple(by_thing[thing] for thing in range(self._objects))
