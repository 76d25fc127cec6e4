"""Evaluation of one clip: begin in the first frame, follow, and score every frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from tracenet.data import IGNORE
from tracenet.data.clicks import next_click
from tracenet.data.clips import Clip
from tracenet.evaluation.answers import Photo
from tracenet.evaluation.clips.measures import boundary_f, jaccard
from tracenet.evaluation.clips.models import ClipModel
from tracenet.evaluation.clips.scores import ObjectScore
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.scores import PhotoScore

Beginning = Literal["first-mask", "tap"]
"""What the first frame gives: the masks, or a tap on each thing where it is deepest."""

LEAST_FRAMES = 3
"""The first and the last are not scored."""


def score_clip(
    model: ClipModel, index: int, clip: Clip, beginning: Beginning
) -> PhotoScore[ObjectScore]:
    """The scores of the things that a clip's first frame shows.

    Args:
        model: what is asked.
        index: of the clip in its folder.
        clip: at least ``LEAST_FRAMES`` long, else nothing is scored.
        beginning: what the model is given.
    """
    first = clip.instance_map(0)
    things = [int(value) for value in np.unique(first) if value not in (0, IGNORE)]
    if not things or len(clip) < LEAST_FRAMES:
        return PhotoScore(index, clip.id, "nothing", ())
    j: list[list[float]] = [[] for _ in things]
    f: list[list[float]] = [[] for _ in things]
    for number, masks in followed(model, clip, things, beginning):
        if number == len(clip) - 1:
            break
        numbers = clip.instance_map(number)
        known = numbers != IGNORE
        for place, (thing, mask) in enumerate(zip(things, masks, strict=True)):
            j[place].append(jaccard(mask & known, numbers == thing))
            f[place].append(boundary_f(mask & known, numbers == thing))
    scores = [
        ObjectScore(thing, int(np.count_nonzero(first == thing)), clip.set, tuple(js), tuple(fs))
        for thing, js, fs in zip(things, j, f, strict=True)
    ]
    return PhotoScore(index, clip.id, model.computed, tuple(scores))


def followed(
    model: ClipModel, clip: Clip, things: list[int], beginning: Beginning
) -> Iterator[tuple[int, list[Mask]]]:
    """The number of every frame but the first, and the masks of some things in it.

    Raises:
        DataError: a frame or map is missing or damaged, or they do not fit each other.
    """
    first = clip.instance_map(0)
    frame = clip.photo(0)
    masks = [first == thing for thing in things]
    if beginning == "tap":
        masks = [_tapped(model, frame, mask) for mask in masks]
    frames = (clip.photo(number) for number in range(len(clip)))
    yield from enumerate(model.follow(frames, masks), 1)


def _tapped(model: ClipModel, frame: Photo, mask: Mask) -> Mask:
    click = next_click(np.zeros_like(mask), mask, np.ones_like(mask))
    assert click is not None  # a thing has pixels
    return model.tap(frame, click.x, click.y)
