"""One-tap evaluation of one photo: ask for masks, and score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracenet.data import AnnotatedPhoto
from tracenet.evaluation.answers import LevelMasks, PhotoAnswers, TapModel
from tracenet.evaluation.metrics import Truth
from tracenet.evaluation.protocol import Bands, Tap, band_sizes
from tracenet.evaluation.scores import InstanceScore, PhotoScore, TapScore

THRESHOLD = 0.7
"""mTA counts the pixels that give an IoU above this."""

ALL_PIXELS_BELOW = 32**2
"""Photo pixels; of smaller instances (COCO's small ones) every pixel is tapped for mTA."""


def score_photo(
    model: TapModel, index: int, example: AnnotatedPhoto, taps: Mapping[int, Sequence[Tap]]
) -> PhotoScore:
    """The scores of some instances of a photo.

    Args:
        model: what to ask for masks; not asked for a photo without taps.
        index: of the photo in its dataset.
        example: the photo.
        taps: on each instance to score, by its place in the photo.
    """
    if not taps:
        return PhotoScore(index, example.name, "nothing", ())
    opened = model.open(example.photo, example.name)
    truths = {place: Truth(example.masks[place], example.ignore) for place in taps}
    answers = iter(opened.every_level([tap for group in taps.values() for tap in group]))
    instances = []
    for place, group in taps.items():
        mask, about = example.masks[place], example.instances[place]
        x, y = (np.array(column) for column in zip(*group, strict=True))
        numbers = Bands.of(mask).numbers(x, y)
        scored = tuple(
            _score(tap, int(band), next(answers), truths[place])
            for tap, band in zip(group, numbers, strict=True)
        )
        above = None
        if opened.many and truths[place].area < ALL_PIXELS_BELOW:
            above = _pixels_above(opened, truths[place], example, place)
        instances.append(
            InstanceScore(
                about.id, about.category, truths[place].area, band_sizes(mask), scored, above
            )
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


def _pixels_above(opened: PhotoAnswers, truth: Truth, example: AnnotatedPhoto, place: int) -> int:
    rows, columns = np.nonzero(example.masks[place])
    pixels = [(int(x), int(y)) for x, y in zip(columns, rows, strict=True)]
    return sum(truth.iou(mask) > THRESHOLD for mask in opened.chosen_level(pixels))
