"""A tap in, a mask out: the whole of the runtime behind one class."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet_runtime.bundle import Bundle
from tracenet_runtime.canvas import place_mask
from tracenet_runtime.engines import load_engine
from tracenet_runtime.errors import BundleError
from tracenet_runtime.manifest import GoldenTap
from tracenet_runtime.photo import load_photo
from tracenet_runtime.replay import Engine, Replay
from tracenet_runtime.rle import decode_rle, encode_rle
from tracenet_runtime.timing import Timings, timed

Box = tuple[float, float, float, float]

# How far a replay may be from a golden tap: (score, IoU), as docs/bundle.md says.
_GOLDEN_TOLERANCES = {"fp32": (0.001, 0.995), "fp16": (0.01, 0.98)}


@dataclass(frozen=True)
class Candidate:
    """What one level says; ``box`` is (x0, y0, x1, y1) in photo pixels, clipped to the photo."""

    level: str
    score: float
    box: Box


@dataclass(frozen=True, eq=False)
class TapResult:
    """The thing under a tap.

    ``mask`` is bool, H x W, in photo pixels. ``score`` (in [0, 1]), ``level`` and ``box`` ((x0,
    y0, x1, y1), photo pixels, clipped to the photo) are those of the level that answered, and
    ``candidates`` has every level, the best first. ``mask_schedule`` names the mask alternative
    that was run. ``timings_ms`` has milliseconds by stage: ``canvas``, ``cut``,
    ``engine/<program>``, ``mask``, ``paste``, and ``total``, which covers them all.
    """

    mask: npt.NDArray[np.bool_]
    score: float
    level: str
    box: Box
    candidates: tuple[Candidate, ...]
    mask_schedule: str
    timings_ms: Mapping[str, float]

    @property
    def area(self) -> int:
        """The number of photo pixels in the mask."""
        return int(np.count_nonzero(self.mask))

    def rle(self) -> dict[str, Any]:
        """The mask as a COCO RLE: {"size": [H, W], "counts": text}."""
        return encode_rle(self.mask)


class TapSegmenter:
    """Answers taps with one bundle on one engine. Nothing is kept between taps."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle = bundle
        self._replay = Replay(bundle.manifest, bundle.table, engine)

    @classmethod
    def load(
        cls,
        bundle_dir: str | os.PathLike[str],
        engine: str = "onnxruntime",
        threads: int = 2,
        verify: bool = True,
    ) -> "TapSegmenter":
        """Open a bundle on an engine, with ``threads`` threads for each program.

        With ``verify`` the first golden tap is replayed. Raises ``BundleError`` when the bundle is
        missing, damaged, malformed or does not give the golden answer, and ``EngineUnavailable``
        when the engine is unknown, not installed, or for another kind of bundle.
        """
        bundle = Bundle.open(bundle_dir)
        segmenter = cls(bundle, load_engine(engine, bundle, threads))
        if verify:
            segmenter._check_golden(bundle.golden_taps()[:1])
        return segmenter

    def check_golden(self) -> None:
        """Replay every golden tap; ``BundleError`` for the first that gives another answer."""
        self._check_golden(self.bundle.golden_taps())

    def tap(self, photo: npt.NDArray[np.uint8], at: tuple[float, float]) -> TapResult:
        """The mask of the thing at a photo pixel.

        ``photo`` is uint8, H x W x 3, RGB, upright; ``at`` is (x, y) in photo pixels, where x is
        the column and (0, 0) the top left pixel. Raises ``PhotoError`` for any other array and
        ``TapOutsidePhoto`` for a tap that is not on the photo.
        """
        timings: Timings = {}
        with timed(timings, "total"):
            with timed(timings, "canvas"):
                canvas, placement = self.bundle.canvas.fit(photo)
                canvas_tap = placement.to_canvas(*at)
            query = self._replay.answer_query(canvas, canvas_tap, timings)
            best = query.best_level
            mask_index = self._replay.choose_mask(query, best)
            answer = self._replay.compute_mask(query, best, mask_index, timings)
            with timed(timings, "paste"):
                mask = place_mask(answer.probability, answer.window, placement)
        candidates = sorted(
            (Candidate(v.level.name, v.score, placement.box_to_photo(v.box)) for v in query.levels),
            key=lambda candidate: -candidate.score,
        )
        return TapResult(
            mask=mask,
            score=candidates[0].score,
            level=candidates[0].level,
            box=candidates[0].box,
            candidates=tuple(candidates),
            mask_schedule=self.bundle.manifest.schedule.masks[mask_index].name,
            timings_ms=timings,
        )

    def _check_golden(self, taps: tuple[GoldenTap, ...]) -> None:
        photo = load_photo(self.bundle.golden_photo)
        for tap in taps:
            x, y = tap.at
            if x >= photo.shape[1] or y >= photo.shape[0] or tap.mask_size != photo.shape[:2]:
                raise BundleError(
                    f"The golden tap ({x}, {y}) does not fit the golden photo; "
                    "export the bundle again."
                )
            difference = self._golden_difference(self.tap(photo, tap.at), tap)
            if difference is not None:
                raise BundleError(
                    f"The golden tap ({x}, {y}) gives {difference}; this engine does not "
                    "reproduce the bundle: export it again or use another engine."
                )

    def _golden_difference(self, result: TapResult, golden: GoldenTap) -> str | None:
        score_tolerance, minimum_iou = _GOLDEN_TOLERANCES[self.bundle.manifest.precision]
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
        return None
