"""The best and the worst answers as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tracenet.data import AnnotatedPhoto
from tracenet.evaluation.answers import ClickModel, Photo, TapModel
from tracenet.evaluation.enlarge import Enlargement
from tracenet.evaluation.metrics import Mask, bounding_window
from tracenet.evaluation.protocol import Tap
from tracenet.evaluation.scores import InstanceScore, PhotoScore, SequenceScore, TapScore
from tracenet.evaluation.scoring import Examples
from tracenet_runtime.files import replacing

SHOWN = 16
_COLUMNS = 4
_TILE = 320
_CAPTION = 20
Colour = tuple[int, int, int]
_TINT: Colour = (30, 110, 255)
_TRUTH: Colour = (255, 215, 0)
_TAP: Colour = (255, 40, 60)
_POSITIVE: Colour = (40, 200, 80)
_NEGATIVE: Colour = (255, 40, 60)
_MARGIN = 0.25


@dataclass(frozen=True)
class _Shown:
    photo: PhotoScore[InstanceScore]
    instance: InstanceScore
    tap: TapScore


def write_tap_pictures(
    folder: Path,
    scores: Sequence[PhotoScore[InstanceScore]],
    photos: Examples[AnnotatedPhoto],
    model: TapModel,
    megapixels: float | None = None,
) -> None:
    """Write ``best.png`` and ``worst.png``: 16 taps each, no two on the same instance.

    The masks are computed again, on photos enlarged to as many ``megapixels`` as for the scores.
    Of equal IoUs the first in the dataset's order is shown.
    """
    for name, pick, sign in (("best.png", max, -1), ("worst.png", min, 1)):
        shown = [
            _Shown(photo, instance, pick(instance.taps, key=lambda tap: tap.iou))
            for photo in scores
            for instance in photo.instances
        ]
        shown.sort(key=lambda one: sign * one.tap.iou)
        write_grid(
            folder / name,
            [_tap_tile(one, photos[one.photo.index], model, megapixels) for one in shown[:SHOWN]],
        )


def _tap_tile(
    shown: _Shown, example: AnnotatedPhoto, model: TapModel, megapixels: float | None
) -> Image.Image:
    larger = Enlargement.of(example.photo, megapixels)
    photo, tap = larger.photo(example.photo), larger.tap((shown.tap.x, shown.tap.y))
    truth = larger.mask(example.masks[_place_of(shown.instance.instance, example)])
    (mask,) = model.open(photo, example.name).chosen_level([tap])
    level = f"{shown.tap.level}  " if shown.tap.level else ""
    caption = f"IoU {shown.tap.iou:.3f}  {level}{shown.photo.photo}"
    return _tile(photo, mask, truth, [(tap, _TAP)], caption)


def write_click_pictures(
    folder: Path,
    scores: Sequence[PhotoScore[SequenceScore]],
    photos: Examples[AnnotatedPhoto],
    model: ClickModel,
    megapixels: float | None = None,
) -> None:
    """Write ``worst.png``: the 16 instances whose masks had the least IoU over all their clicks.

    Each is clicked again, and shown after its last click; see `write_tap_pictures`.
    """
    shown = [(photo, instance) for photo in scores for instance in photo.instances]
    shown.sort(key=lambda one: fmean(click.iou for click in one[1].clicks))
    tiles = [
        _click_tile(instance, photos[photo.index], model, megapixels)
        for photo, instance in shown[:SHOWN]
    ]
    write_grid(folder / "worst.png", tiles)


def _click_tile(
    score: SequenceScore, example: AnnotatedPhoto, model: ClickModel, megapixels: float | None
) -> Image.Image:
    larger = Enlargement.of(example.photo, megapixels)
    photo = larger.photo(example.photo)
    truth = larger.mask(example.masks[_place_of(score.instance, example)])
    session = model.open(photo, example.name)
    session.clear()
    for click in score.clicks:
        mask = session.click(click.x, click.y, click.positive).mask
    dots = [((one.x, one.y), _POSITIVE if one.positive else _NEGATIVE) for one in score.clicks]
    ious = " ".join(f"{click.iou:.2f}" for click in score.clicks[:: max(1, len(score.clicks) // 4)])
    return _tile(photo, mask, truth, dots, f"{ious}  {example.name}")


def _place_of(instance: int, example: AnnotatedPhoto) -> int:
    """The place in a photo of the instance with an id."""
    return [one.id for one in example.instances].index(instance)


def _tile(
    photo: Photo, mask: Mask, truth: Mask, dots: Sequence[tuple[Tap, Colour]], caption: str
) -> Image.Image:
    """The instance with the mask tinted, the truth outlined, dots at pixels, and a caption."""
    return _drawn(photo, mask, truth, _box_around(truth | mask), dots, caption)


def _drawn(
    photo: Photo,
    mask: Mask,
    truth: Mask,
    box: tuple[int, int, int, int],
    dots: Sequence[tuple[Tap, Colour]],
    caption: str,
) -> Image.Image:
    left, top, right, bottom = box
    scale = _TILE / max(right - left, bottom - top)
    size = max(1, round(scale * (right - left))), max(1, round(scale * (bottom - top)))

    pixels = np.array(Image.fromarray(photo[top:bottom, left:right]).resize(size))
    given, true = (
        np.array(Image.fromarray(v[top:bottom, left:right]).resize(size, Image.Resampling.NEAREST))
        for v in (mask, truth)
    )
    pixels[given] = pixels[given] // 2 + np.array(_TINT, np.uint8) // 2
    pixels[true & ~_without_rim(true)] = _TRUTH

    tile = Image.new("RGB", (_TILE, _TILE + _CAPTION), "white")
    tile.paste(Image.fromarray(pixels), (0, _CAPTION))
    draw = ImageDraw.Draw(tile)
    for at, colour in dots:
        x, y = (at[0] + 0.5 - left) * scale, (at[1] + 0.5 - top) * scale + _CAPTION
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour, outline="white")
    draw.text((4, 4), caption[:52], fill="black")
    return tile


def _box_around(mask: Mask) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is in a mask, and a margin of the photo around it."""
    rows, columns = bounding_window(mask)
    margin = round(_MARGIN * max(rows.stop - rows.start, columns.stop - columns.start)) + 8
    return (
        max(0, columns.start - margin),
        max(0, rows.start - margin),
        min(mask.shape[1], columns.stop + margin),
        min(mask.shape[0], rows.stop + margin),
    )


def _without_rim(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask without its outermost two pixels."""
    inside = mask
    for _ in range(2):
        wide = np.pad(inside, 1)
        inside = inside & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside


def frame_tile(frame: Photo, mask: Mask, truth: Mask, caption: str) -> Image.Image:
    """All of a frame, with the mask tinted and the truth outlined."""
    return _drawn(frame, mask, truth, (0, 0, frame.shape[1], frame.shape[0]), [], caption)


def write_grid(path: Path, tiles: Sequence[Image.Image], columns: int = _COLUMNS) -> None:
    """Pictures of one size, row by row."""
    rows = -(-len(tiles) // columns)
    grid = Image.new("RGB", (columns * _TILE, rows * (_TILE + _CAPTION)), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        grid.paste(tile, (column * _TILE, row * (_TILE + _CAPTION)))
    with replacing(path) as file:
        grid.save(file, "PNG")
