"""Random scale, crop, flip and colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from tracenet.data.annotated import AnnotatedPhoto
from tracenet.data.tiles import TileAugmentation, tile_view
from tracenet.data.view import View

KEPT_AREA = 32
"""Canvas pixels; what a canvas shows of a thing is no target below this."""


@dataclass(frozen=True)
class Crop:
    """A square training canvas.

    Attributes:
        photo: uint8 S x S x 3, RGB.
        masks: bool K x S x S, one per thing, each of at least ``KEPT_AREA`` pixels.
        ignore: bool S x S, pixels that count neither as thing nor as background, among them those
            beside the photo.
        complete: every thing of interest has a mask, so the rest is known to be background.
        tapped: bool K, the things that taps are drawn on.
    """

    photo: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_]
    complete: bool
    tapped: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Augmentation:
    """How photos vary in training.

    Attributes:
        scale: the photo's long side becomes this many times the canvas's side (low, high;
            log-uniform): the large-scale jitter of arXiv 2012.07177. At 1 the photo fits its
            canvas, as it does in use, and everything around the thing is seen.
        colour: brightness, contrast and saturation each vary by up to this share.
    """

    scale: tuple[float, float] = (0.5, 1.6)
    colour: float = 0.3


def random_crop(
    example: AnnotatedPhoto,
    size: int,
    pad_value: tuple[int, int, int],
    augmentation: Augmentation,
    random: np.random.Generator,
    tiles: TileAugmentation | None = None,
) -> Crop:
    """A size x size canvas of the photo that shows at least part of one of its things.

    The photo is scaled, flipped and recoloured at random. The crop is placed so that a random
    pixel of a random thing lies on it; a photo smaller than the canvas lies on it at random. With
    ``tiles``, some canvases are tiles about that thing instead.
    """
    view, tapped = _random_view(example, size, augmentation, tiles or TileAugmentation(), random)
    photo = view.resize(Image.fromarray(example.photo), Image.Resampling.BILINEAR)
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = pad_value
    canvas[view.place] = np.asarray(recolour(photo, augmentation.colour, random))

    def resized(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return np.asarray(view.resize(Image.fromarray(mask), Image.Resampling.NEAREST))

    stacked = np.zeros((len(example.masks), size, size), np.bool_)
    for out, mask in zip(stacked, example.masks, strict=True):
        out[view.place] = resized(mask)
    # What lies beside the photo too: a thing at its border ends there for no reason that is seen.
    ignore = np.ones((size, size), np.bool_)
    ignore[view.place] = resized(example.ignore)
    if random.random() < 0.5:
        canvas, stacked, ignore = canvas[:, ::-1], stacked[:, :, ::-1], ignore[:, ::-1]
    return drop_specks(Crop(canvas, stacked, ignore, example.complete, tapped))


def _random_view(
    example: AnnotatedPhoto,
    size: int,
    augmentation: Augmentation,
    tiles: TileAugmentation,
    random: np.random.Generator,
) -> tuple[View, npt.NDArray[np.bool_]]:
    """What the canvas shows, and which of the photo's things are tapped."""
    height, width = example.photo.shape[:2]
    low, high = np.log(augmentation.scale)
    factor = np.exp(random.uniform(low, high)) * size / max(height, width)
    scaled = max(1, round(height * factor)), max(1, round(width * factor))

    focus = scaled[0] / 2, scaled[1] / 2
    tapped = np.ones(len(example.masks), np.bool_)
    if len(tapped):
        thing = random.integers(len(tapped))
        rows, columns = np.nonzero(example.masks[thing])
        pixel = random.integers(len(rows))
        x, y = columns[pixel] + 0.5, rows[pixel] + 0.5
        if tiles.chosen(size, len(rows), random):
            box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
            if random.random() < tiles.alone:
                tapped = np.arange(len(tapped)) == thing
            return tile_view((height, width), box, (x, y), size, tiles, random), tapped
        focus = y * factor, x * factor
    top, left = (_start(extent, size, at, random) for extent, at in zip(scaled, focus, strict=True))
    return View(size, scaled, (top, left)), tapped


def drop_specks(crop: Crop) -> Crop:
    """The crop without the things of which too little is seen.

    Their pixels become ignored: they are not background either.
    """
    kept = np.count_nonzero(crop.masks, (1, 2)) >= KEPT_AREA
    if kept.all():
        return crop
    return replace(
        crop,
        masks=crop.masks[kept],
        ignore=crop.ignore | crop.masks[~kept].any(0),
        tapped=crop.tapped[kept],
    )


def _start(extent: int, size: int, focus: float, random: np.random.Generator) -> int:
    """Where the canvas starts on the scaled photo (negative: the photo starts on the canvas)."""
    if extent <= size:
        return -int(random.integers(size - extent + 1))
    low = max(0, int(focus) - size + 1)
    high = min(extent - size, int(focus))
    return int(random.integers(low, high + 1)) if high >= low else min(low, extent - size)


def recolour(photo: Image.Image, amount: float, random: np.random.Generator) -> Image.Image:
    """The photo with brightness, contrast and saturation each changed by up to ``amount``."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        photo = enhance(photo).enhance(random.uniform(1 - amount, 1 + amount))
    return photo
