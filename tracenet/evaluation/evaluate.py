"""One-tap evaluation of one photo: ask for masks, and score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracenet.data import AnnotatedPhoto
from tracenet.evaluation.answers import LevelMasks, PhotoAnswers, TapModel
from tracenet.evaluation.enlarge import Enlargement
from tracenet.evaluation.metrics import Mask, Truth
from tracenet.evaluation.protocol import Bands, Tap, band_sizes
from tracenet.evaluation.scores import InstanceScore, PhotoScore, TapScore

THRESHOLD = 0.7
"""mTA counts the pixels that give an IoU above this."""

ALL_PIXELS_BELOW = 32**2
"""Photo pixels; of smaller instances (COCO's small ones) every pixel is tapped for mTA."""


def score_photo(
    model: TapModel,
    index: int,
    example: AnnotatedPhoto,
    taps: Mapping[int, Sequence[Tap]],
    megapixels: float | None = None,
) -> PhotoScore[InstanceScore]:
    """The scores of some instances of a photo.

    Args:
        model: what to ask for masks; not asked for a photo without taps.
        index: of the photo in its dataset.
        example: the photo.
        taps: on each instance to score, by its place in the photo.
        megapixels: to which the photo and its masks are enlarged for the model; what is said of
            instances and taps stays that of the photo as it is.
    """
    if not taps:
        return PhotoScore(index, example.name, "nothing", ())
    larger = Enlargement.of(example.photo, megapixels)
    opened = model.open(larger.photo(example.photo), example.name)
    ignore = larger.mask(example.ignore)
    truths = {place: Truth(larger.mask(example.masks[place]), ignore) for place in taps}
    every_tap = [larger.tap(tap) for group in taps.values() for tap in group]
    answers = iter(opened.every_level(every_tap))
    instances = []
    for place, group in taps.items():
        mask, about = example.masks[place], example.instances[place]
        x, y = (np.array(column) for column in zip(*group, strict=True))
        numbers = Bands.of(mask).numbers(x, y)
        scored = tuple(
            _score(tap, int(band), next(answers), truths[place])
            for tap, band in zip(group, numbers, strict=True)
        )
        area, above = int(np.count_nonzero(mask)), None
        if opened.many and area < ALL_PIXELS_BELOW:
            above = _pixels_above(opened, truths[place], mask, larger)
        instances.append(
            InstanceScore(about.id, about.category, area, band_sizes(mask), scored, above)
        )
    return PhotoScore(index, example.name, opened.computed, tuple(instances))


def _score(tap: Tap, band: int, answer: LevelMasks, truth: Truth) -> TapScore:
    ious = [truth.iou(mask) for mask in answer.masks]
    return TapScore(
        *tap,
        band,
        answer.levels[answer.chosen] if answer.levels else None,
        ious[answer.chosen],
        max(ious) if len(ious) > 1 else None,
        truth.boundary_iou(answer.masks[answer.chosen]),
    )


def _pixels_above(opened: PhotoAnswers, truth: Truth, mask: Mask, larger: Enlargement) -> int:
    rows, columns = np.nonzero(mask)
    pixels = [larger.tap((int(x), int(y))) for x, y in zip(columns, rows, strict=True)]
    return sum(truth.iou(mask) > THRESHOLD for mask in opened.chosen_level(pixels))
