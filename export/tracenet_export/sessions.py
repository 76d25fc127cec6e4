"""Sessions of random gestures, which calibration sees and the check compares with PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.strategies.guided import Guided
from tracenet_runtime.strategies.step import Step

SESSION_GESTURES = 10
"""Of each session that is compared."""

_SCRIBBLES, _BOXES = 0.2, 0.1
"""Shares of the gestures after the first."""


@dataclass(frozen=True)
class SessionParity:
    """How sessions compare with the same ones in PyTorch.

    Attributes:
        gestures: how many were made.
        iou_mean, iou_p5: IoU of the masks after each, mean and 5th percentile. Each side corrects
            its own mask, so that differences may add up.
    """

    gestures: int
    iou_mean: float
    iou_p5: float


def compare_sessions(
    guided: Guided, reference: Viewer, other: Viewer, photos: Sequence[Photo]
) -> SessionParity:
    """Make the same random gestures with two viewers, in one session on each photo."""
    ious = []
    for number, photo in enumerate(tqdm(photos, unit="session", desc="sessions against PyTorch")):
        gestures = random_gestures(photo.shape[:2], SESSION_GESTURES, np.random.default_rng(number))
        sessions = (make_session(guided, v, photo, gestures) for v in (reference, other))
        for one, two in zip(*sessions, strict=True):
            wanted, given = (step.result().mask for step in (one, two))
            union = np.count_nonzero(wanted | given)
            ious.append(np.count_nonzero(wanted & given) / union if union else 1.0)
    return SessionParity(len(ious), float(np.mean(ious)), float(np.percentile(ious, 5)))


def random_gestures(photo: Size, count: int, random: np.random.Generator) -> list[Gesture]:
    """A tap, then gestures anywhere near it, of a user who means a random ellipse about it.

    Gestures that contradict each other would leave masks unsure, which any rounding then turns.
    """
    height, width = photo
    middle = random.uniform(0.15, 0.85, 2) * (width, height)
    radii = random.uniform(0.1, 0.25, 2) * min(photo)

    def near(spread: float) -> tuple[float, float]:
        x, y = middle + random.normal(size=2) * spread
        return float(np.clip(x, 0, width - 1)), float(np.clip(y, 0, height - 1))

    def within(place: tuple[float, float]) -> bool:
        return float((((np.array(place) - middle) / radii) ** 2).sum()) < 1

    gestures: list[Gesture] = [Tap((float(middle[0]), float(middle[1])))]
    while len(gestures) < count:
        kind, place = random.random(), near(0.2 * min(photo))
        positive = within(place)
        if kind < _SCRIBBLES:
            others = [near(0.2 * min(photo)) for _ in range(4)]
            points = (place, *(at for at in others if within(at) == positive))
            gestures.append(Scribble(points, 0.02 * min(photo), positive))
        elif kind < _SCRIBBLES + _BOXES:
            x0, y0 = np.clip(middle - radii, 0, (width - 2, height - 2))
            x1, y1 = np.clip(middle + radii, (x0 + 1, y0 + 1), (width, height))
            gestures.append(Bounds((float(x0), float(y0), float(x1), float(y1))))
        else:
            gestures.append(Tap(place, positive))
    return gestures


def make_session(
    guided: Guided, viewer: Viewer, photo: Photo, gestures: Iterable[Gesture]
) -> Iterator[Step]:
    """What a thing is after each gesture."""
    view = guided.open(viewer, photo, {})
    step: Step | None = None
    for gesture in gestures:
        if step is None:
            step = view.begin(view.first(gesture, {}), {})
        else:
            step = view.correct(step, gesture, {})
        yield step
