"""Times taps of two schedules in turn, so that the machine's drift cancels in their ratio."""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet_runtime import TapResult, TapSegmenter
from tracenet_runtime.schedule import Macs

Photo = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Latencies:
    """One schedule's taps.

    Attributes:
        schedule: its name.
        canvas: height and width.
        milliseconds: of each tap, from photo to mask.
        stages: median milliseconds by stage; engine time is summed over programs.
        outside_engine: median share of a tap that is not the engine's.
        macs: multiply-adds of each tap, what the mask window needs included.
        masks: how often each mask window was used.
    """

    schedule: str
    canvas: tuple[int, int]
    milliseconds: tuple[float, ...]
    stages: Mapping[str, float]
    outside_engine: float
    macs: tuple[int, ...]
    masks: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: median, p10 and p90 in milliseconds, stages, mask windows."""
        return {
            "schedule": self.schedule,
            "canvas": list(self.canvas),
            "median_ms": round(statistics.median(self.milliseconds), 2),
            "p10_ms": round(float(np.percentile(self.milliseconds, 10)), 2),
            "p90_ms": round(float(np.percentile(self.milliseconds, 90)), 2),
            "stages_ms": {name: round(value, 3) for name, value in self.stages.items()},
            "outside_engine": round(self.outside_engine, 4),
            "macs_mean": round(statistics.mean(self.macs)),
            "mask_windows": dict(self.masks),
        }


def random_taps(photo: Photo, count: int, seed: int) -> list[tuple[int, int]]:
    """``count`` taps (x, y), uniform over the photo."""
    random = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    return [(int(random.integers(width)), int(random.integers(height))) for _ in range(count)]


def time_taps(
    segmenters: Mapping[str, TapSegmenter],
    photo: Photo,
    taps: Sequence[tuple[int, int]],
    warm_up: int,
) -> dict[str, Latencies]:
    """Time every tap on every segmenter, in turn, after ``warm_up`` taps that are not counted."""
    results: dict[str, list[tuple[float, TapResult]]] = {name: [] for name in segmenters}
    rounds = [*itertools.islice(itertools.cycle(taps), warm_up), *taps]
    for number, tap in enumerate(tqdm(rounds, unit="tap", desc="timing")):
        # Nobody always comes second, to caches that are warm and a clock that has dropped.
        for name in list(segmenters)[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            result = segmenters[name].tap(photo, tap)
            elapsed = 1000 * (time.perf_counter() - began)
            if number >= warm_up:
                results[name].append((elapsed, result))
    return {
        name: _latencies(segmenter.choice(*photo.shape[:2]).schedule.macs, results[name])
        for name, segmenter in segmenters.items()
    }


def _latencies(macs: Macs, timed: Sequence[tuple[float, TapResult]]) -> Latencies:
    first = timed[0][1]
    stages = [_by_stage(result.timings_ms) for _, result in timed]
    return Latencies(
        schedule=first.schedule,
        canvas=first.canvas,
        milliseconds=tuple(elapsed for elapsed, _ in timed),
        stages={
            name: statistics.median(tap_stages[name] for tap_stages in stages) for name in stages[0]
        },
        outside_engine=statistics.median(
            1 - tap_stages["engine"] / elapsed
            for (elapsed, _), tap_stages in zip(timed, stages, strict=True)
        ),
        # Of a tap on a photo that was not encoded before.
        macs=tuple(
            macs.encode + macs.query + macs.masks[result.mask_schedule] for _, result in timed
        ),
        masks=Counter(result.mask_schedule for _, result in timed),
    )


def median_ratio(numerator: Latencies, denominator: Latencies) -> float:
    """Median over taps of the ratio of the two times of the same tap."""
    pairs = zip(numerator.milliseconds, denominator.milliseconds, strict=True)
    return statistics.median(a / b for a, b in pairs)


def _by_stage(timings: Mapping[str, float]) -> dict[str, float]:
    stages: dict[str, float] = {}
    for name, value in timings.items():
        stage = name.split("/")[0]
        if stage != "total":
            stages[stage] = stages.get(stage, 0.0) + value
    return stages
