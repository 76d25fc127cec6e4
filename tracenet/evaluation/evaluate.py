"""One-tap evaluation: draw taps on every instance, ask for masks, score them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet.data import AnnotatedPhoto, PhotoDataset
from tracenet.evaluation.metrics import InstanceScore, Mask, mask_iou
from tracenet_runtime.canvas import Canvas

MINIMUM_AREA = 200
"""Canvas pixels; smaller instances are not scored."""


@dataclass(frozen=True)
class LevelMasks:
    """One tap's masks.

    Attributes:
        masks: one per asked level, finest first, in photo resolution.
        chosen: index of the level that answers.
    """

    masks: tuple[Mask, ...]
    chosen: int


class TapModel(Protocol):
    """What can be evaluated."""

    def masks(
        self, photo: npt.NDArray[np.uint8], taps: Sequence[tuple[int, int]]
    ) -> Iterator[LevelMasks]:
        """The masks for each tap (x, y), photo pixels, on one photo (uint8 H x W x 3, RGB)."""
        ...


def draw_taps(mask: Mask, count: int, random: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """``count`` taps (x, y), uniform over the mask's pixels, with replacement."""
    pixels = np.flatnonzero(mask)
    rows, columns = np.divmod(pixels[random.integers(len(pixels), size=count)], mask.shape[1])
    return tuple((int(x), int(y)) for x, y in zip(columns, rows, strict=True))


def drawn_taps(
    photos: PhotoDataset, canvas_size: int, taps: int, seed: int
) -> Iterator[tuple[AnnotatedPhoto, dict[int, tuple[tuple[int, int], ...]]]]:
    """Every photo, with taps (x, y) on each of its instances, by instance index.

    Args:
        photos: annotated photos.
        canvas_size: side of the square canvas of which an instance must cover at least 200 pixels.
        taps: per instance.
        seed: of the taps; they depend on it and on the photo alone.
    """
    canvas = Canvas(canvas_size, canvas_size, (0, 0, 0))
    for index in range(len(photos)):
        example = photos[index]
        random = np.random.default_rng((seed, index))
        yield (
            example,
            {
                instance: draw_taps(mask, taps, random)
                for instance, mask in enumerate(example.masks)
                if _canvas_area(mask, canvas) >= MINIMUM_AREA
            },
        )


def evaluate(
    model: TapModel, photos: PhotoDataset, canvas_size: int, taps: int, seed: int
) -> list[InstanceScore]:
    """Scores of every instance that covers at least 200 pixels of the canvas.

    Args:
        model: what to ask for masks.
        photos, canvas_size, taps, seed: as for `drawn_taps`.
    """
    scores = []
    drawn = drawn_taps(photos, canvas_size, taps, seed)
    for index, (example, groups) in enumerate(
        tqdm(drawn, total=len(photos), unit="photo", desc="evaluating")
    ):
        answers = iter(
            model.masks(example.photo, [tap for group in groups.values() for tap in group])
        )
        for instance, group in groups.items():
            scores.append(_score(example, index, instance, group, answers))
    return scores


def _canvas_area(mask: Mask, canvas: Canvas) -> float:
    placement = canvas.place(*mask.shape)
    share = placement.content_height * placement.content_width / mask.size
    return float(np.count_nonzero(mask) * share)


def _score(
    example: AnnotatedPhoto,
    photo: int,
    instance: int,
    taps: tuple[tuple[int, int], ...],
    answers: Iterator[LevelMasks],
) -> InstanceScore:
    iou, by_level = [], []
    for _ in taps:
        answer = next(answers)
        levels = tuple(
            mask_iou(mask, example.masks[instance], example.ignore) for mask in answer.masks
        )
        iou.append(levels[answer.chosen])
        by_level.append(levels)
    return InstanceScore(photo, instance, taps, tuple(iou), tuple(by_level))
