"""golden.json: taps on the golden photo with the answers that a correct replay gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.errors import BundleError
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.image.rle import decode_rle

# How far a replay may be from a golden tap: (score, IoU), as docs/bundle.md says.
_TOLERANCES = {"fp32": (0.001, 0.995), "fp16": (0.01, 0.98), "int8": (0.05, 0.9)}

_MAX_PHOTO_SIDE = 1 << 30


@dataclass(frozen=True)
class GoldenTap:
    """A tap on the golden photo and the answer a correct replay gives, in photo pixels."""

    at: tuple[int, int]
    level: str
    score: float
    box: tuple[float, float, float, float]
    mask_size: tuple[int, int]
    mask_counts: str


@dataclass(frozen=True)
class Golden:
    """Golden taps: those of each schedule on its own canvas, in order, and the strategy's."""

    schedules: tuple[tuple[GoldenTap, ...], ...]
    strategy: tuple[GoldenTap, ...]


def parse_golden(root: JsonValue, schedules: int) -> Golden:
    """Golden taps, at least one of each schedule and of the strategy.

    Raises ``BundleError`` when they are malformed.
    """
    return Golden(
        tuple(_golden_taps(taps) for taps in root["schedules"].tuple_of(schedules)),
        _golden_taps(root["strategy"]),
    )


def check_golden_taps(
    taps: Sequence[GoldenTap],
    name: str,
    photo: Photo,
    answer: Callable[[tuple[int, int]], TapResult],
    precision: str,
) -> None:
    """Raise ``BundleError`` for the first golden tap that is answered otherwise.

    ``photo`` is the golden photo, and ``answer`` gives what ``name`` says of one of its pixels
    (x, y).
    """
    for tap in taps:
        x, y = tap.at
        if x >= photo.shape[1] or y >= photo.shape[0] or tap.mask_size != photo.shape[:2]:
            raise BundleError(
                f"The golden tap ({x}, {y}) does not fit the golden photo; export the bundle again."
            )
        difference = _difference(tap, answer(tap.at), precision)
        if difference is not None:
            raise BundleError(
                f"The golden tap ({x}, {y}) of {name} gives {difference}; this engine does not "
                "reproduce the bundle: export it again or use another engine."
            )


def _difference(golden: GoldenTap, result: TapResult, precision: str) -> str | None:
    """How a replay differs from a golden answer, or None when it is right in this precision."""
    score_tolerance, minimum_iou = _TOLERANCES[precision]
    if result.level != golden.level:
        return f"level {result.level} instead of {golden.level}"
    if not abs(result.score - golden.score) <= score_tolerance:
        return f"a score of {result.score:.4f} instead of {golden.score:.4f}"
    try:
        expected = decode_rle(*golden.mask_size, golden.mask_counts)
    except ValueError as error:
        raise BundleError(
            f"The golden mask cannot be decoded ({error}); export the bundle again."
        ) from error
    union = np.count_nonzero(result.mask | expected)
    common = np.count_nonzero(result.mask & expected)
    if common < minimum_iou * union:
        return f"a mask that overlaps the golden one by {common / union:.3f} (IoU)"
    common_box = _area(
        (*map(max, result.box[:2], golden.box[:2]), *map(min, result.box[2:], golden.box[2:]))
    )
    union_box = _area(result.box) + _area(golden.box) - common_box
    if common_box < minimum_iou * union_box:
        return f"a box that overlaps the golden one by {common_box / union_box:.3f} (IoU)"
    return None


def _area(box: Sequence[float]) -> float:
    x0, y0, x1, y1 = box
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def _golden_taps(taps: JsonValue) -> tuple[GoldenTap, ...]:
    return tuple(_golden_tap(tap) for tap in taps.elements(minimum=1))


def _golden_tap(tap: JsonValue) -> GoldenTap:
    x, y = tap["at"].tuple_of(2)
    x0, y0, x1, y1 = (side.number() for side in tap["box"].tuple_of(4))
    rle = tap["mask_rle"]
    height, width = rle["size"].tuple_of(2)
    return GoldenTap(
        at=(x.integer(0, _MAX_PHOTO_SIDE), y.integer(0, _MAX_PHOTO_SIDE)),
        level=tap["level"].text(),
        score=tap["score"].number(),
        box=(x0, y0, x1, y1),
        mask_size=(height.integer(1, _MAX_PHOTO_SIDE), width.integer(1, _MAX_PHOTO_SIDE)),
        mask_counts=rle["counts"].text(),
    )
