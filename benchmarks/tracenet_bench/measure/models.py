"""What a worker can tap: a bundle, a model from outside, a network that is there for its cost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracenet_bench.measure.clips import TimedClip, memory_of_clip
from tracenet_bench.measure.corrections import Took, correct, place_to_correct, stages_of
from tracenet_bench.measure.shown import Shown, show
from tracenet_runtime.bundle.choice import choose_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import EngineSettings, LoadedEngine, engine_for, load_engine
from tracenet_runtime.segmenter import TapSegmenter, programs_of

Photo = npt.NDArray[np.uint8]
At = tuple[int, int]
Stages = Mapping[str, float]
Observe = Callable[[str], None]
"""Told of a stage before it begins."""


class Model(Protocol):
    """A model in the process that measures it.

    ``about`` is JSON-ready: ``engine_says``, and what else the subject of a report learns only from
    the loaded model.
    """

    @property
    def about(self) -> Mapping[str, Any]:
        """See above."""
        ...

    def check(self) -> None:
        """Raise a ``TraceNetError`` if it does not give what it should."""
        ...

    def tap(self, photo: Photo, at: At) -> Any:
        """What is timed: a tap at (x, y), from photo to mask."""
        ...

    def figures(self, photo: Photo, result: Any) -> tuple[Stages, int | None]:
        """Of what ``tap`` gave: milliseconds by stage, and multiply-adds.

        Asked when the tap has been timed: what it takes itself is in no figure.
        """
        ...


def open_model(wanted: Mapping[str, Any], observe: Observe | None = None) -> Model:
    """The model that a configuration wants (``configurations.Configuration.model``).

    ``observe`` is told of every call of a bundle's engine, for processes that time nothing.
    """
    kind = wanted["kind"]
    if kind == "bundle":
        return BundleModel(wanted, observe)
    return Outside(wanted) if kind == "outside" else CostOnlyModel(wanted)


class BundleModel:
    """A bundle on an engine."""

    def __init__(self, wanted: Mapping[str, Any], observe: Observe | None = None) -> None:
        self._wanted = wanted
        bundle = Bundle.open(wanted["bundle"])
        engine = wanted["engine"] or engine_for(bundle.manifest.target)
        if observe and engine == "onnxruntime":
            let_onnxruntime_tell_of_its_arenas()
        canvas = tuple(wanted["canvas"]) if wanted["canvas"] else None
        strategy = choose_strategy(bundle.manifest, wanted["schedule"], canvas)
        settings = EngineSettings(wanted["threads"])
        loaded, report = load_engine(engine, bundle.program_files, settings, programs_of(strategy))
        self._segmenter = TapSegmenter(
            bundle, _ObservedEngine(loaded, observe) if observe else loaded, strategy
        )
        self.about = {"engine_says": dict(report.actual)}

    def check(self) -> None:
        """Replay the golden taps; not part of loading, whose first tap would no longer be one."""
        self._segmenter.check_golden()

    def tap(self, photo: Photo, at: At) -> Shown:
        """See :class:`Model`; the mask is of :func:`shown.shown_size`."""
        return show(lambda: self._segmenter.tap(photo, at), photo)

    def figures(self, photo: Photo, result: Shown) -> tuple[Stages, int | None]:
        """Multiply-adds are those of a photo that was not encoded before."""
        return stages_of(result.answer) | {"paste": result.paste}, result.answer.macs

    def tracker(self, photo: Photo) -> TimedClip:
        """A clip of this photo; of a bundle that tracks only."""
        return TimedClip(self._tracking, photo)

    def memory_of_clip(self, photo: Photo, frames: Sequence[int]) -> list[int]:
        """See :func:`clips.memory_of_clip`."""
        return memory_of_clip(self._tracking, photo, frames)

    @functools.cached_property
    def _tracking(self) -> TapSegmenter:
        """Opened again, by an app's own way, when a first clip is: taps' memory is without it."""
        wanted = self._wanted
        return TapSegmenter.load(
            wanted["bundle"], engine=wanted["engine"], threads=wanted["threads"], verify=False
        )

    def place_to_correct(self, photo: Photo, at: At) -> At | None:
        """See :func:`corrections.place_to_correct`; for a guided look only."""
        return place_to_correct(self._segmenter, photo, at)

    def correct(self, photo: Photo, at: At, place: At) -> dict[str, Took]:
        """See :func:`corrections.correct`."""
        return correct(self._segmenter, photo, at, place)


class _ObservedEngine:
    def __init__(self, engine: LoadedEngine, observe: Observe) -> None:
        self._engine, self._observe = engine, observe

    def run(self, program: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Any:
        """As the engine does, but said before."""
        self._observe(f"engine/{program}")
        return self._engine.run(program, inputs)


class Outside:
    """A callable ``segment(image, (x, y)) -> mask`` of somebody else's."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        from tracenet.evaluation.adapter import OutsideModel

        self._model = OutsideModel.load(wanted["where"])
        self.about: Mapping[str, Any] = {"engine_says": {}}

    def check(self) -> None:
        """There is nothing to compare it with."""

    def tap(self, photo: Photo, at: At) -> Any:
        """See :class:`Model`."""
        (mask,) = self._model.open(photo, "the photo").chosen_level([at])
        return mask

    def figures(self, photo: Photo, result: Any) -> tuple[Stages, int | None]:
        """It says nothing of itself."""
        return {}, None


class CostOnlyModel:
    """A network with random weights at its own input size."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        from tracenet_bench.measure.sam import open_cost_only

        self._model = open_cost_only(wanted["name"], wanted["threads"])
        self.about = {
            "engine_says": {},
            "source": self._model.source,
            "canvas": list(self._model.input_size),
        }

    def check(self) -> None:
        """Random weights give nothing that could be checked."""

    def tap(self, photo: Photo, at: At) -> Stages:
        """See :class:`Model`."""
        return self._model.tap(photo, at)

    def figures(self, photo: Photo, result: Stages) -> tuple[Stages, int | None]:
        """See :class:`Model`."""
        return result, self._model.macs


def let_onnxruntime_tell_of_its_arenas() -> None:
    """Have it log, on standard error, what ``memory.arenas_logged`` reads."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(1)  # INFO; sessions have severities of their own
