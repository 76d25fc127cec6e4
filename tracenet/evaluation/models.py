"""What can be evaluated: FullNet from a checkpoint, and the replay of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from tracenet.evaluation.evaluate import LevelMasks
from tracenet.model import TraceNet, answer_taps
from tracenet_runtime.canvas import Canvas, place_mask
from tracenet_runtime.segmenter import TapSegmenter

_TAPS_AT_ONCE = 16


class FullNet:
    """The network on the whole canvas."""

    def __init__(self, network: TraceNet, canvas: Canvas) -> None:
        self._network, self._canvas = network.eval(), canvas

    @torch.inference_mode()
    def masks(
        self, photo: npt.NDArray[np.uint8], taps: Sequence[tuple[int, int]]
    ) -> Iterator[LevelMasks]:
        """See :class:`~tracenet.evaluation.evaluate.TapModel`; each mask covers the whole photo."""
        pixels, placement = self._canvas.fit(photo)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        outputs = self._network(image.contiguous(memory_format=torch.channels_last))
        window = (0, 0, self._canvas.width, self._canvas.height)
        canvas_taps = torch.tensor([placement.to_canvas(x, y) for x, y in taps])
        for some in torch.split(canvas_taps, _TAPS_AT_ONCE):
            answers = answer_taps(outputs, some, probability=True)
            for score, levels in zip(answers.score, answers.mask.numpy(), strict=True):
                yield LevelMasks(
                    tuple(place_mask(level, window, placement) for level in levels),
                    int(score.argmax()),
                )


class BundleReplay:
    """A bundle's schedule, tap by tap; each level's mask is cut to the window of its box."""

    def __init__(self, segmenter: TapSegmenter) -> None:
        self._segmenter = segmenter

    def masks(
        self, photo: npt.NDArray[np.uint8], taps: Sequence[tuple[int, int]]
    ) -> Iterator[LevelMasks]:
        """See :class:`~tracenet.evaluation.evaluate.TapModel`."""
        choice = self._segmenter.choice(photo.shape[0], photo.shape[1])
        replay = self._segmenter.replay(choice)
        pad_value = self._segmenter.bundle.manifest.pad_value
        image = Canvas(choice.height, choice.width, pad_value).open(photo)
        arrays = replay.encode(image)
        for tap in taps:
            query = replay.answer_query(arrays, image.placement.to_canvas(*tap))
            masks = []
            for level in range(len(query.levels)):
                window = replay.choose_mask(query, level)
                answer = replay.compute_mask(query, level, window)
                masks.append(place_mask(answer.probability, answer.window, image.placement))
            yield LevelMasks(tuple(masks), query.best_level)
