"""Our own models: FullNet, its replay by regions, and the replay of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from tracenet.evaluation.answers import LevelMasks, Photo, PhotoAnswers
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.protocol import Tap
from tracenet.model import LEVELS, MaskProbability, TraceNet, answer_taps
from tracenet.model.fullnet import gather_cells, mask_head_inputs, mask_stride
from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Placement
from tracenet_runtime.image.mask import place_mask
from tracenet_runtime.strategies.strategy import Strategy, View

_LEVEL_NAMES = tuple(level.name for level in LEVELS)
_TAPS_AT_ONCE = 16


class FullNet:
    """The network on the whole canvas: once per photo, then the mask head for each tap."""

    def __init__(self, network: TraceNet, canvas: Canvas) -> None:
        self._network, self._canvas = network.eval(), canvas

    @torch.inference_mode()
    def open(self, photo: Photo, name: str) -> PhotoAnswers:
        """See :class:`~tracenet.evaluation.answers.TapModel`; each mask covers the whole photo."""
        return _FullNetAnswers(*run_on_canvas(self._network, self._canvas, photo), self._canvas)


def run_on_canvas(
    network: TraceNet, canvas: Canvas, photo: Photo
) -> tuple[Mapping[str, Tensor], Placement]:
    """The network's outputs for a photo on a canvas, and where the photo lies on it.

    The outputs are on the CPU, wherever the network is.
    """
    pixels, placement = canvas.fit(photo)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    image = image.contiguous(memory_format=torch.channels_last)
    outputs = network(image.to(next(network.parameters()).device))
    return {name: output.cpu() for name, output in outputs.items()}, placement


class _FullNetAnswers:
    many = True

    def __init__(self, outputs: Mapping[str, Tensor], placement: Placement, canvas: Canvas) -> None:
        self.computed = f"FullNet on {canvas.height} x {canvas.width}"
        self._outputs, self._placement = outputs, placement
        self._window = (0, 0, canvas.width, canvas.height)

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        for some in self._batches(taps, _TAPS_AT_ONCE):
            with torch.inference_mode():
                answers = answer_taps(self._outputs, some, probability=True)
            best = answers.score.argmax(dim=1).tolist()
            for chosen, levels in zip(best, answers.mask.numpy(), strict=True):
                masks = tuple(place_mask(v, self._window, self._placement) for v in levels)
                yield LevelMasks(_LEVEL_NAMES, masks, chosen)

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Mask]:
        for some in self._batches(taps, _TAPS_AT_ONCE * len(LEVELS)):
            with torch.inference_mode():
                masks = self._chosen_masks(some)
            for mask in masks.numpy():
                yield place_mask(mask[0], self._window, self._placement)

    def _chosen_masks(self, taps: Tensor) -> Tensor:
        """Probabilities, T x 1 x h x w, of the best level's masks for T canvas taps."""
        canvas_index = torch.zeros(len(taps), dtype=torch.long)

        def gather(kind: Literal["score", "filter"]) -> Tensor:
            maps = [self._outputs[level.output(kind)] for level in LEVELS]
            return gather_cells(maps, canvas_index, taps)

        best = gather("score").squeeze(-1).argmax(dim=1)
        rows = torch.arange(len(taps)) * len(LEVELS) + best
        stride = mask_stride(self._outputs)
        inputs = [values[rows] for values in mask_head_inputs(gather("filter"), taps, stride)]
        features = self._outputs["mask_features"].expand(len(taps), -1, -1, -1)
        masks: Tensor = MaskProbability(stride)(features, *inputs)
        return masks

    def _batches(self, taps: Sequence[Tap], size: int) -> Iterator[Tensor]:
        canvas_taps = [self._placement.to_canvas(*tap) for tap in taps]
        for start in range(0, len(canvas_taps), size):
            yield torch.tensor(canvas_taps[start : start + size])


class BundleReplay:
    """A bundle's strategy, tap by tap; each level's mask is cut to the window of its box.

    Of a zoom and of a guided look, they are the levels of the look that answers.
    """

    def __init__(self, viewer: Viewer, strategy: Strategy) -> None:
        self._viewer, self._strategy = viewer, strategy

    def open(self, photo: Photo, name: str) -> PhotoAnswers:
        """See :class:`~tracenet.evaluation.answers.TapModel`."""
        choice, *more = self._strategy.choices((photo.shape[0], photo.shape[1]))
        alone = f"{choice.schedule.name} on {choice.height} x {choice.width}"
        return _ViewAnswers(
            self._strategy.open(self._viewer, photo, {}),
            computed=self._strategy.name or alone,
            many=bool(choice.schedule.graph.photo) and not more,
        )


class _ViewAnswers:
    def __init__(self, view: View, computed: str, many: bool) -> None:
        self.computed, self.many = computed, many
        self._view = view

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        for tap in taps:
            look = self._view.look(tap, {})
            masks = tuple(look.result({}, level).mask for level in look.levels)
            yield LevelMasks(look.levels, masks, look.levels.index(look.level))

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Mask]:
        for tap in taps:
            yield self._view.look(tap, {}).result({}).mask
