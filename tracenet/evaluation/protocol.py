"""Which instances are scored, and where they are tapped (arXiv 2406.14874, the evaluation)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tracenet.data import AnnotatedPhoto, PhotoDataset
from tracenet.evaluation.metrics import Mask, bounding_window
from tracenet_runtime.image.canvas import Canvas

SCORED_CANVAS = 640
"""Side of the square canvas on which an instance must be large enough to be scored."""

SCORED_AREA = 200
"""Pixels of that canvas; smaller instances are not scored."""

TAPS = 25
"""Per instance."""

BANDS = 5

Tap = tuple[int, int]
"""(x, y), a photo pixel."""

ProtocolName = Literal["uniform", "bands"]
_Integers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Bands:
    """Five bands around an instance's centre of mass.

    Band k holds the instance's pixels that the k-th dilation of the single centre pixel reaches
    and the one before does not; the fifth also holds all that the fifth dilation does not reach,
    so that the bands are a partition of the instance. The kernel is a rectangle of
    (2 * reach_x + 1) x (2 * reach_y + 1) pixels, where a reach is a tenth of the bounding box's
    side, rounded up: five dilations of a centre in the middle of the box just cover the box.

    Attributes:
        x, y: the centre, a photo pixel: the mean position, rounded. It may lie outside the mask.
        reach_x, reach_y: how many pixels one dilation grows to each side.
    """

    x: int
    y: int
    reach_x: int
    reach_y: int

    @classmethod
    def of(cls, mask: Mask) -> Bands:
        """The bands of an instance, bool H x W, not empty."""
        rows, columns = np.nonzero(mask)
        box = bounding_window(mask)
        reach_y, reach_x = (math.ceil((side.stop - side.start) / (2 * BANDS)) for side in box)
        return cls(
            math.floor(columns.mean() + 0.5), math.floor(rows.mean() + 0.5), reach_x, reach_y
        )

    def numbers(self, x: _Integers, y: _Integers) -> _Integers:
        """The bands, 1 to 5, of photo pixels of the instance."""
        # n dilations of a pixel by a rectangle are a rectangle n times as far, so the dilation
        # that first reaches a pixel follows from its distance.
        across = -(-np.abs(x - self.x) // self.reach_x)
        down = -(-np.abs(y - self.y) // self.reach_y)
        numbers: _Integers = np.maximum(across, down).clip(1, BANDS)
        return numbers


def band_sizes(mask: Mask) -> tuple[int, ...]:
    """How many pixels of an instance (bool H x W) each of its five bands holds."""
    rows, columns = np.nonzero(mask)
    counts = np.bincount(Bands.of(mask).numbers(columns, rows), minlength=BANDS + 1)
    return tuple(int(count) for count in counts[1:])


def draw_uniform(mask: Mask, count: int, random: np.random.Generator) -> tuple[Tap, ...]:
    """``count`` taps, uniform over the mask's pixels, with replacement."""
    pixels = np.flatnonzero(mask)
    return _taps(pixels[random.integers(len(pixels), size=count)], mask.shape[1])


def draw_in_bands(mask: Mask, count: int, random: np.random.Generator) -> tuple[Tap, ...]:
    """A fifth of ``count`` taps in each band, uniform over its pixels, without replacement.

    A band with fewer pixels gives those it has.
    """
    pixels = np.flatnonzero(mask)
    rows, columns = np.divmod(pixels, mask.shape[1])
    numbers = Bands.of(mask).numbers(columns, rows)
    drawn: list[Tap] = []
    for band in range(1, BANDS + 1):
        inside = pixels[numbers == band]
        if len(inside) > count // BANDS:
            inside = random.choice(inside, count // BANDS, replace=False)
        drawn += _taps(inside, mask.shape[1])
    return tuple(drawn)


_DRAW = {"uniform": draw_uniform, "bands": draw_in_bands}


class Taps(Protocol):
    """Where instances are tapped."""

    @property
    def name(self) -> ProtocolName:
        """Of the protocol that draws the taps."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Equal exactly when the taps on the same photos are, up to a seed; JSON-ready."""
        ...

    @property
    def nothing_to_score(self) -> str:
        """What is said where photos have no instance that is tapped."""
        ...

    def draw(self, index: int, example: AnnotatedPhoto) -> dict[int, tuple[Tap, ...]]:
        """Taps on each scored instance of the photo at ``index``, by its place in the photo."""
        ...

    def about(self, scored: Collection[tuple[str, int]]) -> dict[str, Any]:
        """What a reader of the results wants to know beside the settings.

        ``scored`` are the names of photos with the ids of the instances that were scored.
        """
        ...


@dataclass(frozen=True)
class TapProtocol:
    """How taps are drawn.

    Attributes:
        name: ``uniform``, over the instance's pixels, or ``bands``, the paper's.
        taps: per instance; a multiple of five for ``bands``.
        seed: the taps on a photo depend on it, the photo and its index in the dataset alone.
        scored_canvas: side of the square canvas of which an instance must cover at least 200
            pixels, whatever canvas the answers are computed on.
    """

    name: ProtocolName = "uniform"
    taps: int = TAPS
    seed: int = 0
    scored_canvas: int = SCORED_CANVAS

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`Taps`."""
        return {
            "protocol": self.name,
            "per_instance": self.taps,
            "scored_canvas": self.scored_canvas,
            "minimum_area": SCORED_AREA,
        }

    @property
    def nothing_to_score(self) -> str:
        """See :class:`Taps`."""
        return nothing_on(self.scored_canvas)

    def draw(self, index: int, example: AnnotatedPhoto) -> dict[int, tuple[Tap, ...]]:
        """See :class:`Taps`."""
        random = np.random.default_rng((self.seed, index))
        return {
            place: _DRAW[self.name](example.masks[place], self.taps, random)
            for place in scored_places(example, self.scored_canvas)
        }

    def about(self, scored: Collection[tuple[str, int]]) -> dict[str, Any]:
        """See :class:`Taps`."""
        return {}


def scored_places(example: AnnotatedPhoto, scored_canvas: int) -> list[int]:
    """The places in a photo of the instances that are large enough to be scored.

    These cover `SCORED_AREA` pixels of a square canvas of this side.
    """
    canvas = Canvas(scored_canvas, scored_canvas, (0, 0, 0))
    masks = enumerate(example.masks)
    return [place for place, mask in masks if _canvas_area(mask, canvas) >= SCORED_AREA]


def nothing_on(scored_canvas: int) -> str:
    """What is said where photos have no instance that is large enough."""
    return (
        f"there is no instance of at least {SCORED_AREA} pixels on a canvas of "
        f"{scored_canvas} pixels to score; name other photos or a larger --scored-canvas"
    )


def drawn_taps(
    photos: PhotoDataset, protocol: TapProtocol
) -> Iterator[tuple[AnnotatedPhoto, dict[int, tuple[Tap, ...]]]]:
    """Every photo, with its taps as `TapProtocol.draw` gives them."""
    for index in range(len(photos)):
        example = photos[index]
        yield example, protocol.draw(index, example)


def _canvas_area(mask: Mask, canvas: Canvas) -> float:
    placement = canvas.place(*mask.shape)
    share = placement.content_height * placement.content_width / mask.size
    return float(np.count_nonzero(mask) * share)


def _taps(pixels: _Integers, width: int) -> tuple[Tap, ...]:
    rows, columns = np.divmod(pixels, width)
    return tuple((int(x), int(y)) for x, y in zip(columns, rows, strict=True))
