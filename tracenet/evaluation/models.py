"""What can be evaluated: FullNet from a checkpoint, and the replay of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from tracenet.evaluation.evaluate import LevelMasks
from tracenet.model import TraceNet, answer_taps
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.canvas import Canvas, place_mask
from tracenet_runtime.choose import choose, loadable_schedules
from tracenet_runtime.consistency import checked_table
from tracenet_runtime.engines import load_engine
from tracenet_runtime.replay import Replay

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
    """A bundle's schedule, tap by tap; each level's mask is cut to the window of its box.

    Args:
        bundle: the bundle.
        engine, threads: what runs it.
        schedule, canvas: as :meth:`tracenet_runtime.TapSegmenter.load` takes them.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: str,
        threads: int,
        schedule: str | None = None,
        canvas: tuple[int, int] | None = None,
    ) -> None:
        self._manifest = bundle.manifest
        self._asked_canvas = canvas
        self._schedules = loadable_schedules(bundle.manifest.schedules, schedule, canvas)
        programs = frozenset[str]().union(*(v.programs() for v in self._schedules))
        self._engine = load_engine(engine, bundle, threads, sorted(programs))

    def masks(
        self, photo: npt.NDArray[np.uint8], taps: Sequence[tuple[int, int]]
    ) -> Iterator[LevelMasks]:
        """See :class:`~tracenet.evaluation.evaluate.TapModel`."""
        choice = choose(self._schedules, (photo.shape[0], photo.shape[1]), self._asked_canvas)
        size = choice.height, choice.width
        table = checked_table(self._manifest, choice.schedule, *size)
        replay = Replay(self._manifest, choice.schedule, *size, table, self._engine)
        image = Canvas(*size, self._manifest.pad_value).open(photo)
        arrays = replay.encode(image)
        for tap in taps:
            query = replay.answer_query(arrays, image.placement.to_canvas(*tap))
            masks = []
            for level in range(len(query.levels)):
                window = replay.choose_mask(query, level)
                answer = replay.compute_mask(query, level, window)
                masks.append(place_mask(answer.probability, answer.window, image.placement))
            yield LevelMasks(tuple(masks), query.best_level)
