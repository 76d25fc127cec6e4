"""Training examples of propagation: short clips on tiles that follow a thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from tracenet.data.annotated import DataError, PhotoDataset
from tracenet.data.augment import Augmentation
from tracenet.data.canvases import CanvasSource
from tracenet.data.clip_scene import draw_clip_scene
from tracenet.data.clips import Clip
from tracenet.data.copy_paste import CopyPaste
from tracenet.data.corrections import covered, mistaken, perturbed
from tracenet.data.deformed import PICTURE_SIDE, Motion, deformed_scene
from tracenet.data.moving import (
    OTHER,
    THING,
    UNKNOWN,
    Interrupted,
    MovingScene,
    Removed,
    Rgb,
    SquareTile,
)
from tracenet.data.tiles import TileAugmentation
from tracenet_runtime.image.geometry import Box
from tracenet_runtime.tracking.contract import TILE_SIDE

SEEN_AREA = 100
"""Canvas pixels of the thing in the first frame; with less, another clip is drawn."""

MAXIMUM_TRIES = 1000
"""Clips in a row in which nothing can be followed before the data count as empty."""


@dataclass(frozen=True)
class VideoInputs:
    """What a training step is made of.

    Attributes:
        frames_per_step: at most, of all clips together.
        lengths: frames of a clip; a step draws one.
        clip_share: share of the clips that are none of deformed photos.
        steps: of the run, by which steps grow and ``hard_share`` falls.
        longest_step: frames of a clip from one to the next, at most: at first, and from the middle
            of the run on.
        hard_share: share of the cells, the worst, that cross-entropy counts: all during the first
            fifth of the run, so many from 0.7 of it on.
        fill: the longer side of the thing's box in the last frame as a share of the tile's side:
            median, and deviation of its logarithm.
        displacement: of the tile's middle, as a share of its side (deviation).
        enlargement: canvas pixels per frame pixel, at most.
        lost: share of the frames at which the whole frame is looked at, with no mask before.
        forgotten: share of the others that have no mask before.
        perturbed: share of the clips whose first mask has a wrong border.
        mistaken: share of the others whose first mask has a part too many, or one too few.
        interrupted: share of the clips of which some frames are cut to another.
        removed: share of the others of which some frames have the thing taken out.
        motion: of photos.
        copy_paste: of the canvases that are deformed.
    """

    frames_per_step: int = 24
    lengths: tuple[int, ...] = (3,)
    clip_share: float = 0.0
    steps: int = 1
    longest_step: tuple[int, int] = (1, 6)
    hard_share: float = 0.15
    fill: tuple[float, float] = (0.5, 0.2)
    displacement: float = 0.03
    enlargement: float = 3.0
    lost: float = 0.08
    forgotten: float = 0.05
    perturbed: float = 0.15
    mistaken: float = 0.0
    interrupted: float = 0.08
    removed: float = 0.35
    motion: Motion = Motion()  # noqa: RUF009 - frozen
    copy_paste: CopyPaste = CopyPaste()  # noqa: RUF009 - frozen


@dataclass(frozen=True)
class VideoBatch:
    """N clips of T frames on tiles; frame t of clip n is at t * N + n where T N is said.

    Attributes:
        image: uint8 T N x 3 x S x S, RGB.
        truth: bool T N x S x S, the thing; all False where it is not seen.
        known: bool T N x S x S, False where the annotation says nothing.
        others: bool T N x S x S, other things.
        first: float N x S/4 x S/4 in [0, 1], the mask that is given for the first frame.
        tile: float T x N x 3, where the tiles lie: x, y and side, frame pixels.
        carried: bool T x N, whether the last frame's mask is known.
        hard: float scalar, the share of cells that cross-entropy counts.
    """

    image: Tensor
    truth: Tensor
    known: Tensor
    others: Tensor
    first: Tensor
    tile: Tensor
    carried: Tensor
    hard: Tensor

    def to(self, device: torch.device) -> VideoBatch:
        """The same batch on another device."""
        return VideoBatch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


@dataclass(frozen=True)
class _Example:
    """One clip: T x S x S x 3, T x S x S, and so on."""

    image: Rgb
    labels: npt.NDArray[np.uint8]
    first: npt.NDArray[np.float32]
    tile: npt.NDArray[np.float32]
    carried: npt.NDArray[np.bool_]


class VideoDataset(Dataset[VideoBatch]):
    """One whole batch per training step, a function of (seed, step, process) alone.

    Args:
        photos: what clips are made of.
        clips: real ones; may be empty where ``inputs.clip_share`` is 0.
        inputs: what a step is made of.
        pad_value: RGB colour beside a frame.
        seed: of everything random.
        process, processes: this process's index and the number of them; each draws its own.

    Raises:
        DataError: a photo or frame is missing or damaged, or hardly any has a thing on it.
    """

    def __init__(
        self,
        photos: PhotoDataset,
        clips: Sequence[Clip],
        inputs: VideoInputs,
        pad_value: tuple[int, int, int],
        seed: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.inputs = inputs
        self.seed, self.process = seed, process
        self._clips, self._pad_value = clips, pad_value
        self._canvases = CanvasSource(
            photos,
            pad_value,
            Augmentation((1.0, 1.7), 0.3),
            inputs.copy_paste,
            TileAugmentation(),
        )

    def __getitem__(self, step: int) -> VideoBatch:
        inputs = self.inputs
        random = np.random.default_rng((self.seed, step, self.process + 1))
        frames = int(random.choice(inputs.lengths))
        progress = step / inputs.steps
        low, high = inputs.longest_step
        longest_step = round(low + (high - low) * min(1.0, 2 * progress))
        examples = [
            self._example(frames, longest_step, random)
            for _ in range(max(1, inputs.frames_per_step // frames))
        ]
        columns = {
            # Frames first: all clips' frames of one time lie together.
            f.name: np.stack([getattr(e, f.name) for e in examples], 0 if f.name == "first" else 1)
            for f in fields(_Example)
        }
        labels = torch.from_numpy(columns["labels"]).flatten(0, 1)
        image = torch.from_numpy(columns["image"]).flatten(0, 1).permute(0, 3, 1, 2)
        hard = 1 - (1 - inputs.hard_share) * float(np.clip((progress - 0.2) / 0.5, 0, 1))
        return VideoBatch(
            image=image,
            truth=labels == THING,
            known=labels != UNKNOWN,
            others=labels == OTHER,
            first=torch.from_numpy(columns["first"]),
            tile=torch.from_numpy(columns["tile"]),
            carried=torch.from_numpy(columns["carried"]),
            hard=torch.tensor(hard),
        )

    def _example(self, frames: int, longest_step: int, random: np.random.Generator) -> _Example:
        for _ in range(MAXIMUM_TRIES):
            scene = self._scene(frames, longest_step, random)
            if scene is not None:
                example = follow(scene, frames, self.inputs, random)
                if example is not None:
                    return example
        raise DataError(
            f"{MAXIMUM_TRIES} clips in a row showed no thing to follow; check that the photos have "
            "masks"
        )

    def _scene(
        self, frames: int, longest_step: int, random: np.random.Generator
    ) -> MovingScene | None:
        scene = self._bare_scene(frames, longest_step, random)
        if scene is None:
            return None
        start = int(random.integers(1, frames))
        cut = frozenset(range(start, min(frames, start + 1 + int(random.integers(3)))))
        if random.random() < self.inputs.interrupted:
            other = self._bare_scene(2, 1, random)
            return None if other is None else Interrupted(scene, cut, other)
        if random.random() < self.inputs.removed:
            down, right = random.uniform(-0.5, 0.5, 2)
            return Removed(scene, cut, random.uniform(0.004, 0.03), (float(down), float(right)))
        return scene

    def _bare_scene(
        self, frames: int, longest_step: int, random: np.random.Generator
    ) -> MovingScene | None:
        if random.random() < self.inputs.clip_share:
            clip = self._clips[int(random.integers(len(self._clips)))]
            return draw_clip_scene(clip, frames, longest_step, self._pad_value, random)
        return deformed_scene(
            self._canvases.draw(PICTURE_SIDE, random),
            frames,
            lambda: self._canvases.photo(random),
            self._pad_value,
            self.inputs.motion,
            random,
        )


def follow(
    scene: MovingScene, frames: int, inputs: VideoInputs, random: np.random.Generator
) -> _Example | None:
    """A scene on the tiles that a tracker would look at; None where its first frame shows nothing.

    A tile lies about where the thing was in the frame before. Where it was not seen, half of the
    time the tile stays; else the whole frame is looked at.
    """
    median, deviation = inputs.fill
    fill = median * np.exp(random.normal() * deviation)
    images, labels, tiles = [], [], []
    carried = np.zeros(frames, np.bool_)
    box: Box | None = scene.box
    for frame in range(frames):
        lost = bool(frame) and (box is None or random.random() < inputs.lost)
        if lost and (box is not None or random.random() < 0.5):
            tile = SquareTile(0.0, 0.0, float(max(scene.size)))
        elif box is not None:
            tile = _tile_about(scene, box, fill, inputs, random)
        image, drawn = scene.show(frame, tile, TILE_SIDE)
        carried[frame] = bool(frame) and not lost and random.random() >= inputs.forgotten
        images.append(_filmed(image, random))
        labels.append(drawn)
        tiles.append((tile.x, tile.y, tile.side))
        box = _box_on_frame(drawn == THING, tile)
        if frame == 0:
            truth = drawn == THING
            if truth.sum() < SEEN_AREA:
                return None
            if random.random() < inputs.perturbed:
                first = perturbed(truth, random)
            elif random.random() < inputs.mistaken:
                first = covered(mistaken(truth, drawn == OTHER, random))
            else:
                first = covered(truth)
    return _Example(
        np.stack(images), np.stack(labels), first, np.array(tiles, np.float32), carried
    )  # fmt: skip


def _tile_about(
    scene: MovingScene, box: Box, fill: float, inputs: VideoInputs, random: np.random.Generator
) -> SquareTile:
    (height, width), (x0, y0, x1, y1) = scene.size, box
    share = fill * np.exp(random.normal() * 0.1)
    longest = max(x1 - x0, y1 - y0)
    side = float(np.clip(longest / share, TILE_SIDE / inputs.enlargement, max(height, width)))

    def start(extent: int, middle: float) -> float:
        if side >= extent:
            return 0.0
        middle += random.normal() * inputs.displacement * side
        return float(np.clip(middle - side / 2, 0, extent - side))

    return SquareTile(start(width, (x0 + x1) / 2), start(height, (y0 + y1) / 2), side)


def _box_on_frame(mask: npt.NDArray[np.bool_], tile: SquareTile) -> Box | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    scale = tile.side / len(mask)
    return (
        tile.x + float(columns[0]) * scale, tile.y + float(rows[0]) * scale,
        tile.x + float(columns[-1] + 1) * scale, tile.y + float(rows[-1] + 1) * scale,
    )  # fmt: skip


def _filmed(image: Rgb, random: np.random.Generator) -> Rgb:
    """A frame as a camera takes it: some are darker or lighter than the last, some blurred."""
    gain, offset = 1 + random.normal() * 0.06, random.normal() * 6
    levels = np.clip(np.arange(256) * gain + offset, 0, 255).astype(int).tolist()
    picture = Image.fromarray(image).point(levels * 3)
    if random.random() < 0.15:
        picture = picture.filter(ImageFilter.BoxBlur(float(random.uniform(0.5, 2.5))))
    return np.asarray(picture)
