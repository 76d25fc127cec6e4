"""golden.json: gestures on the golden photo with the answers that a correct replay gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.errors import BundleError
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.image.rle import decode_rle

# How far a replay may be from a golden tap: (score, IoU), as docs/bundle.md says.
_TOLERANCES = {"fp32": (0.001, 0.995), "fp16": (0.01, 0.98), "int8": (0.05, 0.9)}

_MAX_PHOTO_SIDE = 1 << 30
_MAX_POINTS = 1 << 12


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
class GoldenGesture:
    """A gesture of a session on the golden photo, and the mask after it."""

    gesture: Gesture
    mask_size: tuple[int, int]
    mask_counts: str


@dataclass(frozen=True)
class Golden:
    """Golden taps: those of each schedule on its own canvas, in order, and the strategy's.

    ``sessions`` are of a guided look.
    """

    schedules: tuple[tuple[GoldenTap, ...], ...]
    strategy: tuple[GoldenTap, ...]
    sessions: tuple[tuple[GoldenGesture, ...], ...]


def parse_golden(root: JsonValue, schedules: int) -> Golden:
    """Golden taps, at least one of each schedule and of the strategy.

    Raises ``BundleError`` when they are malformed.
    """
    return Golden(
        tuple(_golden_taps(taps) for taps in root["schedules"].tuple_of(schedules)),
        _golden_taps(root["strategy"]),
        tuple(
            tuple(_golden_gesture(v) for v in session.elements(minimum=1))
            for session in root["sessions"].elements()
        ),
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


def check_golden_session(
    session: Sequence[GoldenGesture],
    photo: Photo,
    make: Callable[[Gesture], TapResult],
    precision: str,
) -> None:
    """Raise ``BundleError`` for the first gesture of a golden session that is answered otherwise.

    ``make`` makes a gesture in a session on the golden photo.
    """
    _, minimum_iou = _TOLERANCES[precision]
    for number, golden in enumerate(session):
        if golden.mask_size != photo.shape[:2]:
            raise BundleError(
                "A golden session does not fit the golden photo; export the bundle again."
            )
        iou = _mask_iou(golden.mask_size, golden.mask_counts, make(golden.gesture))
        if iou < minimum_iou:
            raise BundleError(
                f"The gesture number {number + 1} of a golden session gives a mask that overlaps "
                f"the golden one by {iou:.3f} (IoU); this engine does not reproduce the bundle: "
                "export it again or use another engine."
            )


def _difference(golden: GoldenTap, result: TapResult, precision: str) -> str | None:
    """How a replay differs from a golden answer, or None when it is right in this precision."""
    score_tolerance, minimum_iou = _TOLERANCES[precision]
    if result.level != golden.level:
        return f"level {result.level} instead of {golden.level}"
    if not abs(result.score - golden.score) <= score_tolerance:
        return f"a score of {result.score:.4f} instead of {golden.score:.4f}"
    iou = _mask_iou(golden.mask_size, golden.mask_counts, result)
    if iou < minimum_iou:
        return f"a mask that overlaps the golden one by {iou:.3f} (IoU)"
    common_box = _area(
        (*map(max, result.box[:2], golden.box[:2]), *map(min, result.box[2:], golden.box[2:]))
    )
    union_box = _area(result.box) + _area(golden.box) - common_box
    if common_box < minimum_iou * union_box:
        return f"a box that overlaps the golden one by {common_box / union_box:.3f} (IoU)"
    return None


def _mask_iou(size: tuple[int, int], counts: str, result: TapResult) -> float:
    """Of a golden mask and a result's; two empty ones are the same."""
    try:
        expected = decode_rle(*size, counts)
    except ValueError as error:
        raise BundleError(
            f"The golden mask cannot be decoded ({error}); export the bundle again."
        ) from error
    union = np.count_nonzero(result.mask | expected)
    return np.count_nonzero(result.mask & expected) / union if union else 1.0


def _area(box: Sequence[float]) -> float:
    x0, y0, x1, y1 = box
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def _golden_taps(taps: JsonValue) -> tuple[GoldenTap, ...]:
    return tuple(_golden_tap(tap) for tap in taps.elements(minimum=1))


def _golden_tap(tap: JsonValue) -> GoldenTap:
    x, y = tap["at"].tuple_of(2)
    x0, y0, x1, y1 = (side.number() for side in tap["box"].tuple_of(4))
    mask_size, mask_counts = _mask_rle(tap["mask_rle"])
    return GoldenTap(
        at=(x.integer(0, _MAX_PHOTO_SIDE), y.integer(0, _MAX_PHOTO_SIDE)),
        level=tap["level"].text(),
        score=tap["score"].number(),
        box=(x0, y0, x1, y1),
        mask_size=mask_size,
        mask_counts=mask_counts,
    )


def _mask_rle(rle: JsonValue) -> tuple[tuple[int, int], str]:
    height, width = rle["size"].tuple_of(2)
    size = height.integer(1, _MAX_PHOTO_SIDE), width.integer(1, _MAX_PHOTO_SIDE)
    return size, rle["counts"].text()


def _golden_gesture(value: JsonValue) -> GoldenGesture:
    kind = value["kind"].text_among("tap", "scribble", "box")
    gesture: Gesture
    if kind == "tap":
        x, y = (v.number() for v in value["at"].tuple_of(2))
        gesture = Tap((x, y), value["positive"].truth())
    elif kind == "scribble":
        points = []
        for point in value["points"].elements(minimum=1, maximum=_MAX_POINTS):
            x, y = (v.number() for v in point.tuple_of(2))
            points.append((x, y))
        gesture = Scribble(
            tuple(points), value["width"].positive_number(), value["positive"].truth()
        )
    else:
        x0, y0, x1, y1 = (v.number() for v in value["box"].tuple_of(4))
        gesture = Bounds((x0, y0, x1, y1))
    return GoldenGesture(gesture, *_mask_rle(value["mask_rle"]))
