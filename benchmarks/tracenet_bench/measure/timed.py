"""One configuration in its worker: opened, tapped, and what its samples come to."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tracenet_bench.measure.configurations import Configuration
from tracenet_bench.measure.memory import arenas_logged
from tracenet_bench.measure.photos import DecodedPhoto
from tracenet_bench.measure.sampling import Sample, Tap
from tracenet_bench.measure.worker import Worker
from tracenet_bench.report.schema import ClipMemory, Memory, Subject

MEMORY_FRAMES = (30, 3000)
"""After which the memory of a clip is looked at."""

STREAM_SECONDS = 5.0
"""Of all photos together, for the throughput; longer where its taps take longer once."""

STREAM_TAPS = 20
"""Different ones at most, or one per photo: each has its turn, however slow the configuration."""


@dataclass(frozen=True)
class Opened:
    """A configuration that is loaded, as it then describes itself, and how long that took."""

    subject: Subject
    load: float


class TimedSubject:
    """A configuration in its own process; each method raises ``WorkerFailed``."""

    def __init__(
        self, configuration: Configuration, worker: Worker, photos: Sequence[DecodedPhoto]
    ) -> None:
        self._configuration, self._worker, self._photos = configuration, worker, photos
        self._photo: int | None = None
        self._places: dict[Tap, Any] = {}

    def load(self, observed: bool = False) -> Opened:
        """Load it; ``observed`` for a process that times nothing, see ``models.open_model``."""
        self._worker.start()
        reply = self._worker.ask("load", "load", model=self._configuration.model, observed=observed)
        subject = self._configuration.subject
        canvas = reply.get("canvas", subject.canvas)
        described = replace(
            subject,
            engine_says=reply["engine_says"],
            source=reply.get("source", subject.source),
            canvas=None if canvas is None else (canvas[0], canvas[1]),
        )
        return Opened(described, reply["milliseconds"])

    def check(self) -> None:
        """Does it give what it should?"""
        self._worker.ask("check", "check")

    def tap(self, tap: Tap, stage: str = "tap") -> Sample:
        """One tap, on a photo that is in memory before the clock starts."""
        self._take_photo(tap.photo)
        reply = self._worker.ask(stage, "tap", at=tap.at)
        return Sample(reply["milliseconds"], reply["stages"], reply["macs"])

    def tap_and_more(self, tap: Tap) -> Sample:
        """One tap; then, where it can be corrected on its tile, what corrections take, and where
        things are tracked, what a frame of a clip of the photo does.
        """
        sample = self.tap(tap)
        took = self._correct(tap) if self._configuration.corrects else {}
        if self._configuration.tracks:
            took |= self._worker.ask("clip", "track")
        return replace(sample, operations={name: Sample(**each) for name, each in took.items()})

    def _correct(self, tap: Tap) -> dict[str, Any]:
        if tap not in self._places:
            self._places[tap] = self._worker.ask("correction", "place", at=tap.at)["place"]
        place = self._places[tap]
        if place is None:
            return {}
        return self._worker.ask("correction", "correct", at=tap.at, place=place)

    def clip_memory(self) -> ClipMemory | None:
        """Of a long clip of the first photo; None where nothing is tracked."""
        if not self._configuration.tracks:
            return None
        self._take_photo(0)
        reply = self._worker.ask("clip", "clip_memory", frames=MEMORY_FRAMES)
        return ClipMemory(*MEMORY_FRAMES, *reply["resident"])

    def taps_per_second(self, taps: Sequence[Tap]) -> float:
        """Over a stream that takes every tap equally often, on one photo after the other.

        Each photo has an equal part of the time, and counts by its number of taps, so that quick
        photos weigh no more than slow ones.
        """
        photos = dict.fromkeys(tap.photo for tap in taps)
        taps = taps[: max(STREAM_TAPS, len(photos))]
        milliseconds = 0.0
        for photo in photos:
            self._take_photo(photo)
            on_photo = [tap.at for tap in taps if tap.photo == photo]
            seconds = STREAM_SECONDS / len(photos)
            reply = self._worker.ask("stream", "stream", taps=on_photo, seconds=seconds)
            milliseconds += len(on_photo) * reply["milliseconds"] / reply["taps"]
        return 1000 * len(taps) / milliseconds

    def peak_memory(self) -> int:
        """Bytes, until now."""
        peak: int = self._worker.ask("memory", "memory")["peak"]
        return peak

    def _take_photo(self, photo: int) -> None:
        if photo != self._photo:
            self._worker.ask("photo", "photo", path=str(self._photos[photo].path))
            self._photo = photo


def measure_memory(
    subject: TimedSubject,
    worker: Worker,
    photos: Sequence[DecodedPhoto],
    taps: Sequence[Tap],
    interpreter: int,
) -> Memory:
    """Load and tap, with a worker that is for nothing else.

    Raises:
        WorkerFailed: at a call of the engine, where it got that far.
    """
    subject.load(observed=True)
    loaded = subject.peak_memory()
    for tap in taps:
        subject.tap(tap)
    peak = subject.peak_memory()
    photo = max(photo.bytes for photo in photos)
    return Memory(
        interpreter=interpreter,
        photo=photo,
        peak=peak,
        # Loading may take more than any tap, and no photo is in memory then.
        above_baseline=max(loaded, peak - photo) - interpreter,
        arena=arenas_logged(worker.log),
    )


def stage_shares(samples: Sequence[Sample]) -> Mapping[str, float] | None:
    """Share of the time by stage, over all samples; None where nothing tells of its stages."""
    total = sum(sample.milliseconds for sample in samples)
    stages: dict[str, float] = {}
    for sample in samples:
        for name, milliseconds in sample.stages.items():
            stages[name] = stages.get(name, 0.0) + milliseconds
    if not stages:
        return None
    shares = {name: milliseconds / total for name, milliseconds in stages.items()}
    return shares | {"other": max(0.0, 1 - sum(shares.values()))}


def macs_per_second(samples: Sequence[Sample]) -> float | None:
    """Median over the taps; None where nothing tells."""
    rates = [1000 * it.macs / it.milliseconds for it in samples if it.macs is not None]
    return statistics.median(rates) if rates else None


def mean_macs(samples: Sequence[Sample]) -> float | None:
    """Of a tap; None where nothing tells."""
    known: list[Any] = [sample.macs for sample in samples if sample.macs is not None]
    return sum(known) / len(known) if known else None
