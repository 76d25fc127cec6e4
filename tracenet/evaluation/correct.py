"""Evaluation by clicks on one photo: correct each thing's mask, and score what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tracenet.data import AnnotatedPhoto
from tracenet.data.clicks import next_click
from tracenet.evaluation.answers import ClickModel, ClickSession
from tracenet.evaluation.enlarge import Enlargement
from tracenet.evaluation.metrics import Mask, Truth
from tracenet.evaluation.scores import ClickScore, PhotoScore, SequenceScore


def score_clicks(
    model: ClickModel,
    index: int,
    example: AnnotatedPhoto,
    places: Sequence[int],
    max_clicks: int,
    megapixels: float | None = None,
) -> PhotoScore[SequenceScore]:
    """The scores of some instances of a photo.

    Args:
        model: what is corrected; not asked for a photo without instances to score.
        index: of the photo in its dataset.
        example: the photo.
        places: of the instances in the photo.
        max_clicks: on each of them.
        megapixels: to which the photo and its masks are enlarged before; clicks are then pixels of
            the enlarged photo.
    """
    if not places:
        return PhotoScore(index, example.name, "nothing", ())
    larger = Enlargement.of(example.photo, megapixels)
    session = model.open(larger.photo(example.photo), example.name)
    ignore = larger.mask(example.ignore)
    instances = []
    for place in places:
        mask, about = example.masks[place], example.instances[place]
        session.clear()
        clicks = tuple(_corrected(session, larger.mask(mask), ignore, max_clicks))
        area = int(np.count_nonzero(mask))
        instances.append(SequenceScore(about.id, about.category, area, clicks))
    return PhotoScore(index, example.name, session.computed, tuple(instances))


def _corrected(
    session: ClickSession, truth: Mask, ignore: Mask, max_clicks: int
) -> Iterator[ClickScore]:
    """The clicks of a user who does not tire, until nothing is wrong or their number is reached."""
    known, compared = truth | ~ignore, Truth(truth, ignore)
    mask = np.zeros_like(truth)
    clicked: list[tuple[int, int]] = []
    while len(clicked) < max_clicks and (click := next_click(mask, truth, known, clicked)):
        answer = session.click(click.x, click.y, click.positive)
        mask, obeyed = answer.mask, answer.obeyed
        if obeyed is None:
            obeyed = bool(mask[click.y, click.x]) == click.positive
        clicked.append((click.x, click.y))
        yield ClickScore(click.x, click.y, click.positive, obeyed, compared.iou(mask))
