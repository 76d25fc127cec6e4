"""Training examples: taps, the things under them, and the level that should answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tracenet.data.annotated import PhotoDataset
from tracenet.data.augment import Augmentation
from tracenet.data.canvases import CanvasSource
from tracenet.data.copy_paste import CopyPaste
from tracenet.data.tiles import TileAugmentation
from tracenet.model.config import LEVELS

NOTHING = -1
"""Level of a tap on background: no level should answer."""

TARGET_STRIDE = 4
"""Canvas pixels per cell of the masks that the loss compares."""

CENTRE_RADIUS = 1.5
"""Half the side of a centre region, in cells of the level that answers at the box's centre."""


@dataclass(frozen=True)
class TapBatch:
    """N canvases and T taps on them.

    Attributes:
        image: uint8 N x 3 x S x S, RGB.
        image_index: int64 T, the canvas of each tap.
        taps: int64 T x 2, (x, y) canvas pixels.
        level: int64 T, index into ``LEVELS`` or ``NOTHING``.
        reach: float T, the largest distance from the tap to a side of the thing's box, pixels.
        box: float T x 4, the thing's box (x0, y0, x1, y1).
        mask: float T x S/4 x S/4 in [0, 1], the share of each cell that the thing covers.
        known: bool T x S/4 x S/4, False where the annotation says nothing.
    """

    image: Tensor
    image_index: Tensor
    taps: Tensor
    level: Tensor
    reach: Tensor
    box: Tensor
    mask: Tensor
    known: Tensor

    def to(self, device: torch.device) -> TapBatch:
        """The same batch on another device."""
        return TapBatch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


def level_of(reach: float) -> int:
    """The level whose range holds this reach: the first whose size of interest exceeds it."""
    for index, level in enumerate(LEVELS[:-1]):
        if reach < level.size_of_interest:
            return index
    return len(LEVELS) - 1


@dataclass(frozen=True)
class TapInputs:
    """What a training step is made of.

    Attributes:
        pixels: canvas pixels per step, whatever the canvas size.
        canvas_sizes: square canvas sizes; each step draws one.
        taps_per_megapixel: taps on things, per megapixel of canvas.
        background_share: taps on background per tap on a thing, on completely annotated photos.
        tap_region: where on a thing its taps lie. ``centre`` is the centre sampling of FCOS (arXiv
            2006.09214): within ``CENTRE_RADIUS`` cells of the centre of its box.
        augmentation: how photos vary.
        copy_paste: how things of other photos are pasted.
        tiles: which canvases are tiles about a thing.
    """

    pixels: int = 16 * 320 * 320
    canvas_sizes: tuple[int, ...] = (320,)
    taps_per_megapixel: float = 60.0
    background_share: float = 0.15
    tap_region: Literal["anywhere", "centre"] = "anywhere"
    augmentation: Augmentation = Augmentation()  # noqa: RUF009 - frozen
    copy_paste: CopyPaste = CopyPaste()  # noqa: RUF009 - frozen
    tiles: TileAugmentation = TileAugmentation()  # noqa: RUF009 - frozen


class TapDataset(Dataset[TapBatch]):
    """One whole batch per training step, a function of (seed, step, process) alone.

    A run that resumes at step k, or one with more loader workers, sees the same batches.

    Args:
        photos: where examples come from.
        inputs: what a step is made of.
        pad_value: RGB colour beside a photo.
        seed: of everything random.
        process, processes: this process's index and the number of them; each draws its own photos.

    Raises:
        DataError: a photo is missing or damaged, or hardly any photo has a thing on it.
    """

    def __init__(
        self,
        photos: PhotoDataset,
        inputs: TapInputs,
        pad_value: tuple[int, int, int],
        seed: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.inputs = inputs
        self.seed, self.process, self.processes = seed, process, processes
        self._canvases = CanvasSource(
            photos, pad_value, inputs.augmentation, inputs.copy_paste, inputs.tiles
        )

    def __getitem__(self, step: int) -> TapBatch:
        # The size is common to all processes, so that they take equally long.
        size_random = np.random.default_rng((self.seed, step))
        size = int(size_random.choice(self.inputs.canvas_sizes))
        # Not (seed, step, 0), whose stream is that of (seed, step).
        random = np.random.default_rng((self.seed, step, self.process + 1))
        count = max(1, round(self.inputs.pixels / size**2))
        taps_per_photo = max(1, round(self.inputs.taps_per_megapixel * size**2 / 1e6))
        images: list[npt.NDArray[np.uint8]] = []
        taps: list[_Tap] = []
        while len(images) < count:
            crop = self._canvases.draw(size, random)
            targets = crop.masks[crop.tapped]
            for _ in range(taps_per_photo):
                thing = targets[random.integers(len(targets))]
                taps.append(
                    _tap_on(thing, len(images), crop.ignore, self.inputs.tap_region, random)
                )
            background = ~(crop.masks.any(axis=0) | crop.ignore)
            if crop.complete and background.any():
                for _ in range(random.binomial(taps_per_photo, self.inputs.background_share)):
                    taps.append(_tap_beside(background, len(images), random))
            images.append(np.ascontiguousarray(crop.photo.transpose(2, 0, 1)))
        return _collate(images, taps)


@dataclass(frozen=True)
class _Tap:
    image_index: int
    x: int
    y: int
    level: int
    reach: float
    box: tuple[int, int, int, int]
    mask: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]


def _random_pixel(mask: npt.NDArray[np.bool_], random: np.random.Generator) -> tuple[int, int]:
    pixels = np.flatnonzero(mask)
    y, x = divmod(int(pixels[random.integers(len(pixels))]), mask.shape[1])
    return x, y


def _tap_on(
    thing: npt.NDArray[np.bool_],
    image_index: int,
    ignore: npt.NDArray[np.bool_],
    region: Literal["anywhere", "centre"],
    random: np.random.Generator,
) -> _Tap:
    rows, columns = np.flatnonzero(thing.any(1)), np.flatnonzero(thing.any(0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    x, y = _random_pixel(thing if region == "anywhere" else _centre(thing, box), random)
    reach = max(x + 0.5 - box[0], y + 0.5 - box[1], box[2] - x - 0.5, box[3] - y - 0.5)
    known = _shrink(ignore & ~thing) < 0.5
    return _Tap(image_index, x, y, level_of(reach), reach, box, _shrink(thing), known)


def _centre(thing: npt.NDArray[np.bool_], box: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """The thing's pixels in its centre region, or its pixel nearest to the box's centre."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    level = level_of(max(box[2] - box[0], box[3] - box[1]) / 2)
    radius = CENTRE_RADIUS * LEVELS[level].stride
    rows, columns = np.nonzero(thing)
    dx, dy = np.abs(columns + 0.5 - x), np.abs(rows + 0.5 - y)
    inside = (dx < radius) & (dy < radius)
    if not inside.any():
        inside[np.argmin(dx**2 + dy**2)] = True
    out = np.zeros_like(thing)
    out[rows[inside], columns[inside]] = True
    return out


def _tap_beside(
    background: npt.NDArray[np.bool_], image_index: int, random: np.random.Generator
) -> _Tap:
    x, y = _random_pixel(background, random)
    shape = background.shape[0] // TARGET_STRIDE, background.shape[1] // TARGET_STRIDE
    return _Tap(
        image_index, x, y, NOTHING, 1.0, (x, y, x + 1, y + 1),
        np.zeros(shape, np.float32), np.zeros(shape, np.bool_),
    )  # fmt: skip


def _shrink(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Mean over TARGET_STRIDE x TARGET_STRIDE cells."""
    # Adding strided slices is several times as fast as a mean over axes.
    counts = mask.astype(np.uint8)
    counts = sum(
        (counts[i::TARGET_STRIDE] for i in range(1, TARGET_STRIDE)), counts[::TARGET_STRIDE]
    )
    counts = sum(
        (counts[:, i::TARGET_STRIDE] for i in range(1, TARGET_STRIDE)), counts[:, ::TARGET_STRIDE]
    )
    return counts.astype(np.float32) / np.float32(TARGET_STRIDE**2)


def _collate(images: Sequence[npt.NDArray[np.uint8]], taps: Sequence[_Tap]) -> TapBatch:
    return TapBatch(
        image=torch.from_numpy(np.stack(images)),
        image_index=torch.tensor([tap.image_index for tap in taps]),
        taps=torch.tensor([(tap.x, tap.y) for tap in taps]),
        level=torch.tensor([tap.level for tap in taps]),
        reach=torch.tensor([tap.reach for tap in taps]),
        box=torch.tensor([tap.box for tap in taps], dtype=torch.float32),
        mask=torch.from_numpy(np.stack([tap.mask for tap in taps])),
        known=torch.from_numpy(np.stack([tap.known for tap in taps])),
    )
