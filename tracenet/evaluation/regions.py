"""The paper's replay of a checkpoint: for each tap, every layer on the tap's region only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from tracenet.evaluation.answers import LevelMasks, Photo, PhotoAnswers
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.protocol import Tap
from tracenet.model import LEVELS, MaskProbability, TraceNet
from tracenet.rft import ReceptiveFieldTracer, Rect
from tracenet_runtime.contract import PROBABILITY_STRIDE
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Placement
from tracenet_runtime.image.mask import place_mask

_QUERIED: tuple[Literal["score", "filter"], ...] = ("score", "filter")


class RegionReplay:
    """AutoCropping and AutoPadding (arXiv 2406.14874, section 3): the reference, and slow.

    Each tap runs the network twice on regions: for the levels' cells under the tap, then for the
    mask features up to a level's size of interest from the tap to each side. Inside that window
    the mask is FullNet's; outside it is empty.
    """

    def __init__(self, network: TraceNet, canvas: Canvas) -> None:
        self._canvas, self._mask_stride = canvas, network.config.mask_stride
        example = torch.zeros(1, 3, canvas.height, canvas.width)
        self._tracer = ReceptiveFieldTracer(network.eval(), (example,))

    def open(self, photo: Photo, name: str) -> PhotoAnswers:
        """See :class:`~tracenet.evaluation.answers.TapModel`."""
        pixels, placement = self._canvas.fit(photo)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        return _RegionAnswers(self._tracer, image, self._canvas, placement, self._mask_stride)


class _RegionAnswers:
    many = False

    def __init__(
        self,
        tracer: ReceptiveFieldTracer,
        image: Tensor,
        canvas: Canvas,
        placement: Placement,
        mask_stride: int,
    ) -> None:
        self.computed = f"replay by regions on {canvas.height} x {canvas.width}"
        self._tracer, self._image, self._canvas = tracer, image, canvas
        self._placement, self._mask_head = placement, MaskProbability(mask_stride)

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        for tap in taps:
            canvas_tap, scores, filters = self._query(tap)
            windows = [self._window(canvas_tap, level) for level in range(len(LEVELS))]
            features = self._features(windows[-1])  # the coarsest level's holds all others
            masks = tuple(
                self._mask(canvas_tap, level, filters[level], window, features, windows[-1])
                for level, window in enumerate(windows)
            )
            yield LevelMasks(
                tuple(level.name for level in LEVELS), masks, scores.index(max(scores))
            )

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Mask]:
        for tap in taps:
            canvas_tap, scores, filters = self._query(tap)
            level = scores.index(max(scores))
            window = self._window(canvas_tap, level)
            features = self._features(window)
            yield self._mask(canvas_tap, level, filters[level], window, features, window)

    def _query(self, tap: Tap) -> tuple[Tap, list[float], list[Tensor]]:
        """The canvas tap, and each level's score and filter (1 x 169 x 1 x 1) there."""
        x, y = self._placement.to_canvas(*tap)
        wanted = {}
        for level in LEVELS:
            row, column = y // level.stride, x // level.stride
            for kind in _QUERIED:
                cell = Rect(row, row + 1, column, column + 1)
                wanted[level.output(kind)] = cell
        outputs = self._tracer.trace(wanted).run(self._image)
        scores = [float(outputs[level.output("score")].item()) for level in LEVELS]
        return (x, y), scores, [outputs[level.output("filter")] for level in LEVELS]

    def _window(self, tap: Tap, level: int) -> Rect:
        """Cells of the mask features that a level's mask may fill."""
        reach, stride = LEVELS[level].size_of_interest, self._mask_head.stride
        (left, right), (top, bottom) = (
            (max(0, at - reach) // stride, -(-min(side, at + reach + 1) // stride))
            for at, side in zip(tap, (self._canvas.width, self._canvas.height), strict=True)
        )
        return Rect(top, bottom, left, right)

    def _features(self, window: Rect) -> Tensor:
        """The mask features of a window and the cells around it, which its borders mix in."""
        wanted = {"mask_features": self._grown(window)}
        return self._tracer.trace(wanted).run(self._image)["mask_features"]

    def _grown(self, window: Rect) -> Rect:
        stride = self._mask_head.stride
        return Rect(
            max(0, window.y0 - 1),
            min(self._canvas.height // stride, window.y1 + 1),
            max(0, window.x0 - 1),
            min(self._canvas.width // stride, window.x1 + 1),
        )

    def _mask(
        self, tap: Tap, level: int, filter: Tensor, window: Rect, features: Tensor, held: Rect
    ) -> Mask:
        """A level's mask, bool H x W; ``features`` are those of the window ``held``."""
        grown, have = self._grown(window), self._grown(held)
        part = features[
            ..., grown.y0 - have.y0 : grown.y1 - have.y0, grown.x0 - have.x0 : grown.x1 - have.x0
        ]
        stride = self._mask_head.stride
        offset = [
            (start + 0.5) * stride - (at + 0.5)
            for start, at in zip((grown.x0, grown.y0), tap, strict=True)
        ]
        with torch.inference_mode():
            probability = self._mask_head(
                part,
                filter,
                torch.tensor(offset).view(1, 2, 1, 1),
                torch.tensor(1 / LEVELS[level].size_of_interest).view(1, 1, 1, 1),
            )[0, 0]
        finer = stride // PROBABILITY_STRIDE
        top, left = (finer * (a - b) for a, b in ((window.y0, grown.y0), (window.x0, grown.x0)))
        height, width = finer * window.height, finer * window.width
        return place_mask(
            probability[top : top + height, left : left + width].numpy(),
            (stride * window.x0, stride * window.y0, stride * window.x1, stride * window.y1),
            self._placement,
        )
