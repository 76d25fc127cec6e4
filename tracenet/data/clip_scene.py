"""Clips as moving scenes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from tracenet.data.annotated import IGNORE
from tracenet.data.clips import Clip
from tracenet.data.moving import OTHER, THING, UNKNOWN, Labels, Rgb, SquareTile
from tracenet_runtime.image.geometry import Box, Size

TRIES = 50
"""Draws of frames until the first shows a thing that is large enough."""

LEAST_SHARE = 0.001
"""Of a frame's pixels, of a thing that is followed."""


@dataclass(frozen=True)
class ClipScene:
    """Some frames of a clip; see :class:`~tracenet.data.moving.MovingScene`.

    Attributes:
        clip: which.
        frames: numbers of its frames, in the order in which they are shown.
        thing: the number in its maps that is followed.
        flipped: left and right are exchanged.
        colours: factors of brightness, contrast and saturation.
        pad_value: RGB colour beside a frame.
    """

    clip: Clip
    frames: tuple[int, ...]
    thing: int
    flipped: bool
    colours: tuple[float, float, float]
    pad_value: tuple[int, int, int]
    _read: dict[int, tuple[Image.Image, Image.Image]] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> Size:
        """See :class:`~tracenet.data.moving.MovingScene`."""
        photo, _ = self._frame(0)
        return photo.height, photo.width

    @property
    def box(self) -> Box:
        """See :class:`~tracenet.data.moving.MovingScene`."""
        rows, columns = np.nonzero(np.asarray(self._frame(0)[1]) == THING)
        return (
            float(columns.min()), float(rows.min()),
            float(columns.max() + 1), float(rows.max() + 1),
        )  # fmt: skip

    def show(self, frame: int, tile: SquareTile, side: int) -> tuple[Rgb, Labels]:
        """See :class:`~tracenet.data.moving.MovingScene`."""
        photo, labels = self._frame(frame)
        right, bottom = (
            min(tile.x + tile.side, photo.width), min(tile.y + tile.side, photo.height)
        )  # fmt: skip
        box = (tile.x, tile.y, right, bottom)
        factor = side / tile.side
        columns = max(1, round((right - tile.x) * factor))
        rows = max(1, round((bottom - tile.y) * factor))
        shown = np.empty((side, side, 3), np.uint8)
        shown[:] = self.pad_value
        seen = photo.resize((columns, rows), Image.Resampling.BILINEAR, box=box)
        shown[:rows, :columns] = np.asarray(self._coloured(seen))
        drawn = np.full((side, side), UNKNOWN, np.uint8)
        drawn[:rows, :columns] = np.asarray(
            labels.resize((columns, rows), Image.Resampling.NEAREST, box=box)
        )
        return shown, drawn

    def _coloured(self, image: Image.Image) -> Image.Image:
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for enhance, factor in zip(kinds, self.colours, strict=True):
            image = enhance(image).enhance(factor)
        return image

    def _frame(self, frame: int) -> tuple[Image.Image, Image.Image]:
        if frame not in self._read:
            number = self.frames[frame]
            photo, numbers = self.clip.photo(number), self.clip.instance_map(number)
            labels = scene_labels(numbers, self.thing)
            if self.flipped:
                photo, labels = photo[:, ::-1], labels[:, ::-1]
            self._read[frame] = Image.fromarray(photo), Image.fromarray(labels)
        return self._read[frame]


def scene_labels(numbers: npt.NDArray[np.uint8], thing: int) -> Labels:
    """An instance map as a scene's labels, where one of its things is followed."""
    labels = np.where(numbers > 0, np.uint8(OTHER), np.uint8(0))
    labels[numbers == IGNORE] = UNKNOWN
    labels[numbers == thing] = THING
    return labels


def draw_clip_scene(
    clip: Clip,
    frames: int,
    longest_step: int,
    pad_value: tuple[int, int, int],
    random: np.random.Generator,
) -> ClipScene | None:
    """Some frames of a clip, or None where too little of a thing is seen in the first of them.

    Args:
        clip: of which.
        frames: how many; of a shorter clip some are shown again.
        longest_step: the largest distance from one frame to the next, in either direction of time.
        pad_value: RGB colour beside a frame.
        random: of everything random.
    """
    steps = random.integers(1, longest_step + 1, frames - 1)
    while steps.sum() >= len(clip) and steps.max() > 1:
        steps = np.maximum(steps - 1, 1)
    places = np.concatenate([[0], np.cumsum(steps)]).clip(max=len(clip) - 1)
    places = places + random.integers(len(clip) - int(places[-1]))
    if random.random() < 0.5:
        places = places[::-1]
    numbers = clip.instance_map(int(places[0]))
    values, counts = np.unique(numbers[(numbers > 0) & (numbers != IGNORE)], return_counts=True)
    large = values[counts >= LEAST_SHARE * numbers.size]
    if not len(large):
        return None
    colours = random.uniform(0.75, 1.25, 3)
    return ClipScene(
        clip,
        tuple(int(place) for place in places),
        int(random.choice(large)),
        bool(random.random() < 0.5),
        (float(colours[0]), float(colours[1]), float(colours[2])),
        pad_value,
    )
