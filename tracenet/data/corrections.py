"""Training examples of corrections: tiles, the thing that is meant, and a mask to begin with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.ndimage import binary_erosion, distance_transform_edt, label
from scipy.special import expit
from torch import Tensor
from torch.utils.data import Dataset

from tracenet.data.annotated import PhotoDataset
from tracenet.data.augment import Augmentation, Crop
from tracenet.data.canvases import CanvasSource
from tracenet.data.clicks import next_click
from tracenet.data.copy_paste import CopyPaste
from tracenet.data.tiles import TileAugmentation
from tracenet_runtime.contract import GUIDE_STRIDE

TILE_SIDE = 256
"""Canvas pixels."""

CORRECTED_AREA = 200
"""Canvas pixels; smaller things are not corrected."""

OWN, COARSE, GIVEN = range(3)
"""Where an example begins: TraceNet's mask on the tile; its mask of the tile at half its size, as a
first look at a photo gives one; or the mask that comes with the example."""

_FloatArray = npt.NDArray[np.float32]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CorrectionInputs:
    """What a training step is made of.

    Attributes:
        tiles_per_step: N.
        own, coarse, empty, wrong, perturbed, carried, mistaken: weights of the ways to begin.
            ``wrong`` is another thing's mask, or a part of this one's; ``perturbed`` has a border
            that is moved at random; ``carried`` comes from another tile: coarser, and cut off where
            that ended; ``mistaken`` has a part too many or one too few.
        box: share of the empty beginnings whose first gesture is a box.
        augmentation: how photos vary.
        copy_paste: how things of other photos are pasted.
        tiles: how a tile lies about its thing.
    """

    tiles_per_step: int = 16
    own: float = 0.44
    coarse: float = 0.12
    empty: float = 0.14
    wrong: float = 0.08
    perturbed: float = 0.08
    carried: float = 0.08
    mistaken: float = 0.06
    box: float = 0.4
    augmentation: Augmentation = Augmentation((0.7, 1.4))  # noqa: RUF009 - frozen
    copy_paste: CopyPaste = CopyPaste()  # noqa: RUF009 - frozen
    tiles: TileAugmentation = TileAugmentation(  # noqa: RUF009 - frozen
        {TILE_SIDE: 0.9}, reach=(0.17, 0.65), enlargement=6.0, displacement=0.1, alone=1.0
    )


@dataclass(frozen=True)
class CorrectionBatch:
    """N tiles, each with one thing.

    Attributes:
        image: uint8 N x 3 x S x S, RGB.
        truth: bool N x S x S, the thing.
        known: bool N x S x S, False where the annotation says nothing.
        begin: int64 N, ``OWN``, ``COARSE`` or ``GIVEN``.
        given: float N x S/4 x S/4 in [0, 1], the mask to begin with where it is ``GIVEN``.
        tap: int64 N x 2, (x, y) on the thing.
        box: float N x 4, (x0, y0, x1, y1) about the thing, or zeros where the first gesture is no
            box.
        seed: int64 scalar, of what the user then does.
    """

    image: Tensor
    truth: Tensor
    known: Tensor
    begin: Tensor
    given: Tensor
    tap: Tensor
    box: Tensor
    seed: Tensor

    def to(self, device: torch.device) -> CorrectionBatch:
        """The same batch on another device."""
        return CorrectionBatch(
            **{k: v.to(device, non_blocking=True) for k, v in vars(self).items()}
        )


@dataclass(frozen=True)
class _Example:
    """One row of a batch, whose fields these are."""

    image: npt.NDArray[np.uint8]
    truth: _Mask
    known: _Mask
    begin: int
    given: _FloatArray
    tap: tuple[int, int]
    box: _FloatArray


class CorrectionDataset(Dataset[CorrectionBatch]):
    """One whole batch per training step, a function of (seed, step, process) alone.

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
        inputs: CorrectionInputs,
        pad_value: tuple[int, int, int],
        seed: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.inputs = inputs
        self.seed, self.process = seed, process
        self._canvases = CanvasSource(
            photos, pad_value, inputs.augmentation, inputs.copy_paste, inputs.tiles
        )

    def __getitem__(self, step: int) -> CorrectionBatch:
        random = np.random.default_rng((self.seed, step, self.process + 1))
        examples = [self._example(random) for _ in range(self.inputs.tiles_per_step)]
        columns = {
            name: torch.from_numpy(np.stack([vars(example)[name] for example in examples]))
            for name in vars(examples[0])
        }
        return CorrectionBatch(**columns, seed=torch.tensor(int(random.integers(2**31))))

    def _example(self, random: np.random.Generator) -> _Example:
        inputs = self.inputs
        crop, thing = self._thing(random)
        truth = crop.masks[thing]
        known = ~(crop.ignore & ~truth)
        weights = {
            kind: getattr(inputs, kind)
            for kind in ("own", "coarse", "empty", "wrong", "perturbed", "carried", "mistaken")
        }
        shares = np.array(list(weights.values()))
        kind = random.choice(list(weights), p=shares / shares.sum())
        given = np.zeros((TILE_SIDE // GUIDE_STRIDE,) * 2, np.float32)
        box = np.zeros(4, np.float32)
        if kind == "empty" and random.random() < inputs.box:
            box = _loose_box(truth, random)
        elif kind == "wrong":
            given = covered(_wrong(crop.masks, thing, random))
        elif kind == "perturbed":
            given = perturbed(truth, random)
        elif kind == "carried":
            given = carried(perturbed(truth, random), truth, random)
        elif kind == "mistaken":
            others = np.delete(crop.masks, thing, 0).any(0) & ~truth
            given = covered(mistaken(truth, others, random))
        begin = {"own": OWN, "coarse": COARSE}.get(kind, GIVEN)
        return _Example(
            np.ascontiguousarray(crop.photo.transpose(2, 0, 1)),
            truth,
            known,
            begin,
            given,
            first_tap(truth, random),
            box,
        )

    def _thing(self, random: np.random.Generator) -> tuple[Crop, int]:
        while True:
            crop = self._canvases.draw(TILE_SIDE, random)
            large = np.count_nonzero(crop.masks, (1, 2)) >= CORRECTED_AREA
            things = np.flatnonzero(crop.tapped & large)
            if len(things):
                return crop, int(random.choice(things))


def first_tap(truth: _Mask, random: np.random.Generator) -> tuple[int, int]:
    """A pixel (x, y) of the thing: half of the time any, else one that lies deep in it."""
    click = next_click(
        np.zeros_like(truth),
        truth,
        np.ones_like(truth),
        random=random,
        depth=1e-6 if random.random() < 0.5 else 0.6,
    )
    assert click is not None
    return click.x, click.y


def covered(mask: _Mask) -> _FloatArray:
    """The share of each cell of ``GUIDE_STRIDE`` pixels that a mask covers."""
    height, width = (side // GUIDE_STRIDE for side in mask.shape)
    cells = mask.reshape(height, GUIDE_STRIDE, width, GUIDE_STRIDE)
    shares: _FloatArray = cells.mean((1, 3), dtype=np.float32)
    return shares


def perturbed(truth: _Mask, random: np.random.Generator) -> _FloatArray:
    """The thing with its border moved smoothly at random, as probabilities of cells.

    Its IoU with the thing is between 0.4 and 0.95, where some tries find such a border.
    """
    inside = covered(truth) > 0.5
    depth: _FloatArray = np.subtract(*map(distance_transform_edt, (inside, ~inside)))
    for _ in range(8):
        waves = random.normal(size=(int(random.integers(3, 10)),) * 2).astype(np.float32)
        smooth = np.asarray(
            Image.fromarray(waves).resize(inside.shape[::-1], Image.Resampling.BICUBIC)
        )
        moved = depth + smooth * random.uniform(1, 6) + random.normal() * 1.2
        other = moved > 0
        iou = (inside & other).sum() / max(int((inside | other).sum()), 1)
        if 0.4 <= iou <= 0.95:
            break
    softness = random.uniform(0.3, 1.0)
    probability: _FloatArray = expit(moved / softness).astype(np.float32)
    return probability


def mistaken(truth: _Mask, others: _Mask, random: np.random.Generator) -> _Mask:
    """The thing with a part too many, another thing or what lies beside it, or with one too few.

    Args:
        truth: the thing, of a pixel at least.
        others: other things.
        random: of everything random.
    """
    parts, count = label(others)
    if count and random.random() < 0.3:
        both: _Mask = truth | (parts == 1 + random.integers(count))
        return both
    rows, columns = np.nonzero(truth & ~binary_erosion(truth))
    place = random.integers(len(rows))
    y, x = np.ogrid[: truth.shape[0], : truth.shape[1]]
    radius = random.uniform(0.2, 0.5) * np.sqrt(np.count_nonzero(truth))
    disc = (y - rows[place]) ** 2 + (x - columns[place]) ** 2 <= radius**2
    more: _Mask = truth | disc
    fewer: _Mask = truth & ~disc
    return fewer if random.random() < 0.5 and fewer.any() else more


def carried(probability: _FloatArray, truth: _Mask, random: np.random.Generator) -> _FloatArray:
    """A mask as another tile leaves it: coarser, and empty beyond a side at which it ended."""
    height, width = probability.shape
    factor = random.uniform(1, 3.5)
    small = max(1, round(width / factor)), max(1, round(height / factor))
    image = Image.fromarray(probability).resize(small, Image.Resampling.BOX)
    coarse = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    axis = int(random.integers(2))
    lines = np.flatnonzero(covered(truth).any(1 - axis))
    cut = round(lines[0] + random.uniform(0.2, 0.9) * (lines[-1] + 1 - lines[0]))
    beyond = (
        slice(cut, None)
        if random.random() < 0.5
        else slice(0, max(lines[0] + lines[-1] + 1 - cut, 0))
    )
    coarse[(slice(None),) * axis + (beyond,)] = 0
    return coarse


def _wrong(masks: _Mask, thing: int, random: np.random.Generator) -> _Mask:
    """Another thing, or a part of this one."""
    others = np.delete(np.arange(len(masks)), thing)
    if len(others) and random.random() < 0.6:
        other: _Mask = masks[random.choice(others)]
        return other | masks[thing] if random.random() < 0.25 else other
    y, x = np.nonzero(masks[thing])
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    kept = along > np.quantile(along, random.uniform(0.3, 0.8))
    part: _Mask = np.zeros_like(masks[thing])
    part[y[kept], x[kept]] = True
    return part


def _loose_box(truth: _Mask, random: np.random.Generator) -> _FloatArray:
    """The thing's box as a finger draws it."""
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    sides = np.array([x1 - x0, y1 - y0] * 2)
    box = np.array([x0, y0, x1, y1]) + random.normal(size=4) * 0.04 * sides
    loose: _FloatArray = box.clip(0, TILE_SIDE).astype(np.float32)
    return loose
