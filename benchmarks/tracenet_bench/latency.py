"""Times taps of two bundles in turn, so that the machine's drift cancels in their ratio."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet_runtime import TapSegmenter

Photo = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Latencies:
    """One bundle's taps.

    Attributes:
        milliseconds: of each tap, from photo to mask.
        stages: median milliseconds by stage; engine time is summed over programs.
        masks: how often each mask window was used.
    """

    milliseconds: tuple[float, ...]
    stages: Mapping[str, float]
    masks: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: median, p10 and p90 in milliseconds, stages, mask windows."""
        return {
            "median_ms": round(statistics.median(self.milliseconds), 2),
            "p10_ms": round(float(np.percentile(self.milliseconds, 10)), 2),
            "p90_ms": round(float(np.percentile(self.milliseconds, 90)), 2),
            "stages_ms": {name: round(value, 3) for name, value in self.stages.items()},
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
    """Time every tap on every bundle, in turn, after ``warm_up`` taps that are not counted."""
    times: dict[str, list[float]] = {name: [] for name in segmenters}
    stages: dict[str, list[dict[str, float]]] = {name: [] for name in segmenters}
    masks: dict[str, dict[str, int]] = {name: {} for name in segmenters}
    rounds = [*itertools.islice(itertools.cycle(taps), warm_up), *taps]
    for number, tap in enumerate(tqdm(rounds, unit="tap", desc="timing")):
        # Nobody always comes second, to caches that are warm and a clock that has dropped.
        for name in list(segmenters)[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            result = segmenters[name].tap(photo, tap)
            elapsed = 1000 * (time.perf_counter() - began)
            if number >= warm_up:
                times[name].append(elapsed)
                stages[name].append(_by_stage(result.timings_ms))
                counts = masks[name]
                counts[result.mask_schedule] = counts.get(result.mask_schedule, 0) + 1
    return {
        name: Latencies(
            tuple(times[name]),
            {
                stage: statistics.median(tap_stages[stage] for tap_stages in stages[name])
                for stage in stages[name][0]
            },
            masks[name],
        )
        for name in segmenters
    }


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
