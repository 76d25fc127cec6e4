"""golden.json: gestures on the golden photo with the answers that a correct replay gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.bundle.golden_clip import GoldenClip, parse_golden_clip
from tracenet_runtime.bundle.golden_masks import (
    MAX_PHOTO_SIDE,
    TOLERANCES,
    GoldenMask,
    parse_golden_mask,
)
from tracenet_runtime.errors import BundleError
from tracenet_runtime.image.pixels import Photo

_MAX_POINTS = 1 << 12


@dataclass(frozen=True)
class GoldenTap:
    """A tap on the golden photo and the answer a correct replay gives, in photo pixels."""

    at: tuple[int, int]
    level: str
    score: float
    box: tuple[float, float, float, float]
    mask: GoldenMask


@dataclass(frozen=True)
class GoldenGesture:
    """A gesture of a session on the golden photo, and the mask after it."""

    gesture: Gesture
    mask: GoldenMask


@dataclass(frozen=True)
class Golden:
    """Golden taps: those of each schedule on its own canvas, in order, and the strategy's.

    ``sessions`` are of a guided look, ``clips`` of what carries masks.
    """

    schedules: tuple[tuple[GoldenTap, ...], ...]
    strategy: tuple[GoldenTap, ...]
    sessions: tuple[tuple[GoldenGesture, ...], ...]
    clips: tuple[GoldenClip, ...]


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
        tuple(parse_golden_clip(clip) for clip in root["clips"].elements()),
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
        if x >= photo.shape[1] or y >= photo.shape[0] or tap.mask.size != photo.shape[:2]:
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
    _, minimum_iou = TOLERANCES[precision]
    for number, golden in enumerate(session):
        if golden.mask.size != photo.shape[:2]:
            raise BundleError(
                "A golden session does not fit the golden photo; export the bundle again."
            )
        iou = golden.mask.iou(make(golden.gesture).mask)
        if iou < minimum_iou:
            raise BundleError(
                f"The gesture number {number + 1} of a golden session gives a mask that overlaps "
                f"the golden one by {iou:.3f} (IoU); this engine does not reproduce the bundle: "
                "export it again or use another engine."
            )


def _difference(golden: GoldenTap, result: TapResult, precision: str) -> str | None:
    """How a replay differs from a golden answer, or None when it is right in this precision."""
    score_tolerance, minimum_iou = TOLERANCES[precision]
    if result.level != golden.level:
        return f"level {result.level} instead of {golden.level}"
    if not abs(result.score - golden.score) <= score_tolerance:
        return f"a score of {result.score:.4f} instead of {golden.score:.4f}"
    iou = golden.mask.iou(result.mask)
    if iou < minimum_iou:
        return f"a mask that overlaps the golden one by {iou:.3f} (IoU)"
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
    return GoldenTap(
        at=(x.integer(0, MAX_PHOTO_SIDE), y.integer(0, MAX_PHOTO_SIDE)),
        level=tap["level"].text(),
        score=tap["score"].number(),
        box=(x0, y0, x1, y1),
        mask=parse_golden_mask(tap["mask_rle"]),
    )


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
    return GoldenGesture(gesture, parse_golden_mask(value["mask_rle"]))
