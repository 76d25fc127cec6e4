"""Carrying masks from frame to frame: tile, read, decode, remember."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.mask_state import coarser
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Box, PlacedTile, Size, contains, united
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.tracking.aggregate import aggregated
from tracenet_runtime.tracking.contract import (
    KEY_STRIDE,
    MASK_STRIDE,
    PLANE_STRIDE,
    TILE_SIDE,
)
from tracenet_runtime.tracking.memory import Memory, affinity, read_values
from tracenet_runtime.tracking.tile import FollowRule, carried

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Frame = npt.NDArray[np.uint8]
"""uint8 RGB H x W x 3."""

F = TypeVar("F")
G = TypeVar("G")


class TrackNetwork(Protocol[F]):
    """Propagation's programs; F is what they keep of a tile, whatever that is.

    Masks have cells of MASK_STRIDE tile pixels, planes those of PLANE_STRIDE.
    """

    @property
    def pad_value(self) -> tuple[int, int, int]:
        """RGB colour beside a frame."""
        ...

    def encode(self, tile: Frame) -> tuple[F, FloatArray]:
        """A tile, TILE_SIDE pixels high and wide -> its features, and its key, cells x channels."""
        ...

    def value(self, features: F, mask: FloatArray, others: FloatArray) -> FloatArray:
        """A tile, a mask on it and the sum of the other masks, as planes -> cells x channels."""
        ...

    def decode(self, features: F, read: FloatArray, prior: FloatArray) -> tuple[FloatArray, float]:
        """A tile, what the memory says of it and the mask so far, a plane -> the mask's
        probabilities, and the probability that the thing is in the tile.
        """
        ...

    def fuse(self, features: F, planes: FloatArray) -> FloatArray:
        """A tile and FUSION_PLANES -> the new mask's share in each cell of a mask."""
        ...


@dataclass(frozen=True)
class Tracked:
    """A thing in a frame.

    ``probability`` is float32 h x w, on cells of ``MASK_STRIDE`` pixels of ``view``; ``presence``
    is the probability that the thing is seen, and ``present`` whether it is taken to be: its mask
    is not empty, and its presence not that of a lost thing. What is not has an empty mask.
    """

    probability: FloatArray
    presence: float
    present: bool
    view: PlacedTile
    frame: Size

    def mask(self) -> Mask:
        """The mask of the frame, bool H x W."""
        return ProbabilityMap(
            self.shown,
            (0, 0, TILE_SIDE, TILE_SIDE),
            self.view.placement,
            self.frame,
            self.view.tile,
            MASK_STRIDE,
        ).mask_at(*self.frame)

    @property
    def shown(self) -> FloatArray:
        """The probability; 0 everywhere where the thing is not taken to be seen."""
        return self.probability if self.present else np.zeros_like(self.probability)

    @property
    def box(self) -> Box | None:
        """About the mask, frame pixels; None where it is empty."""
        if not self.present:
            return None
        inside = self.probability > 0.5
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            return None
        cells = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        x0, y0, x1, y1 = (float(cell * MASK_STRIDE) for cell in cells)
        return self.view.box_to_photo((x0, y0, x1, y1))


@dataclass(frozen=True)
class Change:
    """What the user's correction of a frame changed of a thing.

    ``key`` is the frame's, cells x channels; ``cells`` float32 cells x 2, what was added to and
    what was taken away from a thing's mask.
    """

    key: FloatArray
    cells: FloatArray


class Tracker(Generic[F]):
    """Things that are followed through a clip, in one tile; frames come in any one direction.

    Args:
        network: the programs.
        objects: how many things.
        rule: how the tile follows them; by default as training expects.
    """

    def __init__(
        self, network: TrackNetwork[F], objects: int, rule: FollowRule | None = None
    ) -> None:
        self._network, self._rule = network, rule or FollowRule()
        self.memory = Memory(objects)
        self._last: tuple[Tracked, ...] = ()
        self._places: list[Box | None] = [None] * objects
        self._searched = 0
        self._seen: tuple[F, FloatArray] | None = None

    def copied(self, network: TrackNetwork[G]) -> "Tracker[G]":
        """A tracker that knows the same and goes on with other programs."""
        twin = Tracker(network, len(self._last), self._rule)
        twin.memory, twin._last = copy.deepcopy(self.memory), self._last
        twin._places, twin._searched = list(self._places), self._searched
        return twin

    def touch(self, number: int, frame: Frame, masks: Sequence[Mask]) -> tuple[Tracked, ...]:
        """Remember what the user says of a frame; from there the things are followed.

        Args:
            number: of the frame.
            frame: uint8 H x W x 3, RGB.
            masks: bool H x W, one for each thing; empty where it is not seen.
        """
        self._places, self._searched = [bounds(mask) for mask in masks], 0
        boxes = [box for box in self._places if box is not None]
        size = frame.shape[0], frame.shape[1]
        view = self._rule.tile(size, united(boxes) if boxes else None)
        features, key = self._seen = self._network.encode(self._cut(frame, view))
        cells = [_covered(mask, view) for mask in masks]
        self.memory.forget_way()
        self.memory.touch(number, key, self._values(features, cells))
        self._last = tuple(
            Tracked(cell, float(mask.any()), bool(mask.any()), view, size)
            for cell, mask in zip(cells, masks, strict=True)
        )
        return self._last

    def step(self, number: int, frame: Frame) -> tuple[Tracked, ...]:
        """The things in the next frame.

        Args:
            number: of the frame.
            frame: uint8 H x W x 3, RGB.
        """
        size = frame.shape[0], frame.shape[1]
        known = [box for box in self._places if box is not None]
        about = united(known) if len(known) == len(self._places) else None
        view = self._rule.tile(size, about, self._searched)
        features, key = self._seen = self._network.encode(self._cut(frame, view))
        answers = [
            self._network.decode(features, read, carried(_plane(last.shown), last.view, view))
            for read, last in zip(self.memory.read(key), self._last, strict=True)
        ]
        masks = aggregated(np.stack([mask for mask, _ in answers]))
        self._last = tuple(
            Tracked(mask, presence, self._is_present(mask, presence), view, size)
            for mask, (_, presence) in zip(masks, answers, strict=True)
        )
        seen = [thing for thing in self._last if thing.present]
        self._searched = 0 if len(seen) == len(self._last) else self._searched + 1
        self._places = [
            thing.box or place for thing, place in zip(self._last, self._places, strict=True)
        ]
        # What may be something else would be taken for the thing from then on.
        if seen and all(thing.presence >= self._rule.sure for thing in seen):
            shown = [thing.shown for thing in self._last]
            self.memory.remember(number, key, self._values(features, shown))
        return self._last

    def change(self, thing: int, before: Tracked) -> Change:
        """What the last touch changed of a thing.

        Args:
            thing: which of them.
            before: what it was in that frame until then.
        """
        assert self._seen is not None  # a frame was touched
        new = self._last[thing]
        difference = _plane(new.shown) - _plane(carried(before.shown, before.view, new.view))
        cells = np.stack([difference.clip(min=0), (-difference).clip(min=0)], -1)
        side, step = TILE_SIDE // KEY_STRIDE, KEY_STRIDE // PLANE_STRIDE
        means = cells.astype(np.float32).reshape(side, step, side, step, 2).mean((1, 3))
        return Change(self._seen[1], means.reshape(-1, 2))

    def fuse(
        self,
        thing: int,
        frame: Frame,
        before: Tracked,
        change: Change,
        distances: tuple[float, float],
    ) -> Tracked:
        """A thing in the frame of the last step, what was there merged with what that gave.

        Where what was there is not on the tile of the last step, or that found nothing, a tile
        about it is looked at first: merged there it stays, if anything is left of it.
        What later frames are told of this one stays what the step gave.

        Args:
            thing: which of them.
            frame: that of the last step.
            before: what it was in that frame until then.
            change: at the frame that was corrected.
            distances: of the frame to the corrected one, and to the one that it was carried from
                before, as shares of the sum of the two.
        """
        assert self._seen is not None  # a step was made
        new, box = self._last[thing], before.box
        if box is not None and (new.box is None or not contains(new.view.tile, box)):
            view = self._rule.tile(new.frame, box)
            if view != new.view:
                seen = self._network.encode(self._cut(frame, view))
                merged = self._merged(seen, view, before, new, change, distances)
                if merged.present:
                    return merged
        return self._merged(self._seen, new.view, before, new, change, distances)

    def _merged(
        self,
        seen: tuple[F, FloatArray],
        view: PlacedTile,
        before: Tracked,
        new: Tracked,
        change: Change,
        distances: tuple[float, float],
    ) -> Tracked:
        """Both on a tile that was looked at, merged."""
        features, key = seen
        there = carried(before.shown, before.view, view)
        wanted = new.shown if view == new.view else carried(new.shown, new.view, view)
        told = [_finer(plane) for plane in read_values(*affinity(key, change.key), change.cells).T]
        flat = [np.full_like(told[0], distance) for distance in distances]
        masks = _plane(there), _plane(wanted)
        share = self._network.fuse(features, np.stack([*masks, *told, *flat]))
        mask = there + share * (wanted - there)
        presence = max(before.presence, new.presence)
        return Tracked(mask, presence, bool((mask > 0.5).any()), view, new.frame)

    def _is_present(self, mask: FloatArray, presence: float) -> bool:
        return presence >= self._rule.lost and bool((mask > 0.5).any())

    def _cut(self, frame: Frame, view: PlacedTile) -> Frame:
        x0, y0, x1, y1 = view.tile
        canvas = Canvas(TILE_SIDE, TILE_SIDE, self._network.pad_value)
        return canvas.fit(frame[y0:y1, x0:x1])[0]

    def _values(self, features: F, masks: Sequence[FloatArray]) -> FloatArray:
        planes = [_plane(mask) for mask in masks]
        everything = np.sum(planes, 0)
        return np.stack([self._network.value(features, own, everything - own) for own in planes])


def _plane(mask: FloatArray) -> FloatArray:
    """A mask as networks are told of it."""
    return coarser(mask, PLANE_STRIDE // MASK_STRIDE)


def _finer(cells: FloatArray) -> FloatArray:
    """A value per cell of a key as one per cell of a plane, bilinearly."""
    side, factor = TILE_SIDE // KEY_STRIDE, KEY_STRIDE // PLANE_STRIDE
    place = ((np.arange(side * factor) + 0.5) / factor - 0.5).clip(0, side - 1)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(side))).astype(np.float32)
    finer: FloatArray = np.matmul(weights @ cells.reshape(side, side), weights.T, dtype=np.float32)
    return finer


def bounds(mask: Mask) -> Box | None:
    """The box about a mask; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _covered(mask: Mask, view: PlacedTile) -> FloatArray:
    """The share of each cell of a tile that a mask of the frame covers, float32 h x w."""
    x0, y0, x1, y1 = view.tile
    shades = np.repeat((mask[y0:y1, x0:x1] * np.uint8(255))[..., None], 3, 2)
    canvas = Canvas(TILE_SIDE, TILE_SIDE, (0, 0, 0)).fit(shades)[0][..., 0]
    side = TILE_SIDE // MASK_STRIDE
    cells = canvas.reshape(side, MASK_STRIDE, side, MASK_STRIDE)
    shares: FloatArray = cells.mean((1, 3), dtype=np.float32) / np.float32(255)
    return shares
