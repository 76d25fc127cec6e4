"""SUEM copy-paste (arXiv 2303.05620): simple, union, exclusion and image mixing.

The paper trains one object per picture. Here a crop holds all its things, so every mode says what
becomes of each mask, of what is ignored, and of which things taps are drawn on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from tracenet.data.annotated import AnnotatedPhoto
from tracenet.data.augment import (
    KEPT_AREA,
    Augmentation,
    Crop,
    drop_specks,
    random_crop,
    recolour,
)

MAXIMUM_ENLARGEMENT = 2.0
"""Times its size in its photo; beyond it a pasted thing would be told by its blur."""

PLACEMENT_TRIES = 8
"""Places tried for a thing that should hide another in part."""


@dataclass(frozen=True)
class CopyPaste:
    """How often, and in which mode, things of another photo are pasted onto a crop.

    Every pasted thing takes the pixels that it covers from all other things and from what is
    ignored. ``complete`` stays as it was: what is pasted is annotated, whatever its photo is.

    Attributes:
        probability: that a crop is changed; 0 turns copy-paste off.
        simple: weight of the mode that pastes ``things`` of one photo anywhere. All things on the
            canvas are tapped.
        union: weight of the mode that pastes a thing onto another, of which it hides a part; both
            become one thing. All things are tapped.
        exclusion: weight of the mode that pastes a thing onto another, of which it hides a part.
            Only what it hides a part of is tapped.
        mixing: weight of the mode that blends another photo into the canvas. The canvas's own
            things are tapped; ``complete`` becomes False, because the other photo's shine through.
        things: how many things ``simple`` pastes (low, high; uniform).
        extent: the longer side of a pasted thing, as a share of the canvas's side (low, high;
            log-uniform).
        share: the other photo's share in ``mixing`` (low, high; uniform). Below a half, the
            canvas's own things remain the ones that are plainly seen.
    """

    probability: float = 0.5
    simple: float = 0.5
    union: float = 0.1
    exclusion: float = 0.25
    mixing: float = 0.15
    things: tuple[int, int] = (1, 3)
    extent: tuple[float, float] = (0.1, 0.9)
    share: tuple[float, float] = (0.1, 0.4)


def copy_paste(
    crop: Crop,
    draw: Callable[[], AnnotatedPhoto],
    pad_value: tuple[int, int, int],
    augmentation: Augmentation,
    settings: CopyPaste,
    random: np.random.Generator,
) -> Crop:
    """The crop, by chance with things of another photo on it, or blended with it.

    Where no thing of the crop can be hidden in part, ``union`` and ``exclusion`` paste as
    ``simple`` does; a photo without things large enough leaves the crop as it is.

    Args:
        crop: the canvas to paste on; it is not changed.
        draw: gives the other photo; called only if one is needed.
        pad_value: RGB colour beside a photo.
        augmentation: how the other photo varies in colour, and when mixed also in scale.
        settings: how often and how to paste.
        random: of everything random.
    """
    if random.random() >= settings.probability:
        return crop
    weights = np.array([settings.simple, settings.union, settings.exclusion, settings.mixing])
    mode = random.choice(["simple", "union", "exclusion", "mixing"], p=weights / weights.sum())
    source = draw()
    if mode == "mixing":
        return _mix(crop, source, pad_value, augmentation, settings, random)

    low, high = settings.things
    count = int(random.integers(low, high + 1)) if mode == "simple" else 1
    cutouts = [
        cut_out(source, thing, len(crop.photo), augmentation, settings, random)
        for thing in random.permutation(len(source.masks))[:count]
    ]
    for cutout in cutouts:
        if cutout.mask.sum() >= KEPT_AREA:
            crop = _paste(crop, cutout, mode, random)
    return crop


@dataclass(frozen=True)
class Cutout:
    """A thing ready to be pasted, in canvas pixels: RGB h x w x 3, its mask and its opacity."""

    photo: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    opacity: npt.NDArray[np.uint8]


def cut_out(
    source: AnnotatedPhoto,
    thing: int,
    size: int,
    augmentation: Augmentation,
    settings: CopyPaste,
    random: np.random.Generator,
) -> Cutout:
    """A thing of a photo, scaled, flipped and recoloured at random."""
    mask = source.masks[thing]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    height, width = mask[box].shape
    low, high = np.log(settings.extent)
    # Two pixels less than the canvas, for the margin of the soft edge.
    extent = min(size * np.exp(random.uniform(low, high)), size - 2)
    factor = min(extent / max(height, width), MAXIMUM_ENLARGEMENT)
    target = max(1, round(width * factor)), max(1, round(height * factor))

    photo = Image.fromarray(source.photo[box]).resize(target, Image.Resampling.BILINEAR)
    coverage = Image.fromarray(mask[box].astype(np.uint8) * 255)
    colours = np.pad(
        np.asarray(recolour(photo, augmentation.colour, random)), ((1, 1), (1, 1), (0, 0)), "edge"
    )
    cut = np.pad(np.asarray(coverage.resize(target, Image.Resampling.BILINEAR)) >= 128, 1)
    if random.random() < 0.5:
        colours, cut = colours[:, ::-1], cut[:, ::-1]
    # A hard edge would give pasted things away. Blended are the outermost pixels of the thing and
    # the ones next to them.
    opacity = Image.fromarray(cut.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(1))
    return Cutout(colours, cut, np.asarray(opacity))


def _paste(crop: Crop, cutout: Cutout, mode: str, random: np.random.Generator) -> Crop:
    # Without a victim, whatever the mode, the thing simply lies on the canvas.
    victim, corner = None, _anywhere(cutout, len(crop.photo), random)
    if mode != "simple":
        victim, corner = _partly_over(crop, cutout, random) or (victim, corner)

    canvas = Image.fromarray(crop.photo)
    canvas.paste(Image.fromarray(cutout.photo), corner, Image.fromarray(cutout.opacity))
    covered = _on_canvas(cutout.mask, corner, len(crop.photo))
    masks = crop.masks & ~covered
    if victim is not None and mode == "union":
        masks[victim] |= covered
        tapped = crop.tapped
    else:
        masks = np.concatenate([masks, covered[None]])
        hidden = (crop.masks & covered).any((1, 2))
        tapped = np.append(crop.tapped, True) if victim is None else np.append(hidden, False)
    return drop_specks(
        Crop(np.asarray(canvas), masks, crop.ignore & ~covered, crop.complete, tapped)
    )


def _anywhere(cutout: Cutout, size: int, random: np.random.Generator) -> tuple[int, int]:
    """Left and top of a place wholly on the canvas, of a cutout that is not larger."""
    height, width = cutout.mask.shape
    return int(random.integers(size - width + 1)), int(random.integers(size - height + 1))


def _partly_over(
    crop: Crop, cutout: Cutout, random: np.random.Generator
) -> tuple[int, tuple[int, int]] | None:
    """A thing and a place (left, top) where the cutout hides a part of it, if one is found.

    A random pixel of the cutout lies on a random pixel of the thing; so they touch, and the rest
    of the cutout may lie beyond the canvas.
    """
    if not len(crop.masks):
        return None
    own = np.argwhere(cutout.mask)
    for _ in range(PLACEMENT_TRIES):
        victim = int(random.integers(len(crop.masks)))
        pixels = np.argwhere(crop.masks[victim])
        top, left = pixels[random.integers(len(pixels))] - own[random.integers(len(own))]
        corner = int(left), int(top)
        covered = _on_canvas(cutout.mask, corner, len(crop.photo))
        if (crop.masks[victim] & ~covered).sum() >= KEPT_AREA:
            return victim, corner
    return None


def _on_canvas(
    mask: npt.NDArray[np.bool_], corner: tuple[int, int], size: int
) -> npt.NDArray[np.bool_]:
    """The part of a mask, placed with its corner at (left, top), that the canvas shows."""
    canvas = Image.new("L", (size, size))
    canvas.paste(Image.fromarray(mask.astype(np.uint8)), corner)
    return np.asarray(canvas).astype(np.bool_)


def _mix(
    crop: Crop,
    source: AnnotatedPhoto,
    pad_value: tuple[int, int, int],
    augmentation: Augmentation,
    settings: CopyPaste,
    random: np.random.Generator,
) -> Crop:
    # Only the photo is wanted, so its masks need not be cropped.
    bare = replace(source, masks=source.masks[:0], instances=())
    other = random_crop(bare, len(crop.photo), pad_value, augmentation, random)
    share = random.uniform(*settings.share)
    blended = Image.blend(Image.fromarray(crop.photo), Image.fromarray(other.photo), share)
    return replace(crop, photo=np.asarray(blended), complete=False)
