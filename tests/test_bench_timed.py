"""What is made of a worker's answers; by workers that answer what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracenet_bench.measure import timed
from tracenet_bench.measure.configurations import Configuration
from tracenet_bench.measure.photos import DecodedPhoto
from tracenet_bench.measure.sampling import Sample, Tap
from tracenet_bench.measure.timed import TimedSubject, macs_per_second, measure_memory
from tracenet_bench.report.schema import Photo, Subject

SUBJECT = Subject(
    "a", "outside", "a.py:tap", None, None, None, None, {}, None, canvas=None, threads=1
)
CONFIGURATION = Configuration(SUBJECT, {}, ())
PHOTOS = [
    DecodedPhoto(Photo(name, height, 100), Path(f"{name}.npy"))
    for name, height in (("small", 100), ("large", 1000))
]
LARGE = 300_000
"""Bytes of the large photo."""


class FakeWorker:
    """Takes so long for a tap on each photo, and has had so much memory, each time it is asked."""

    def __init__(self, log: Path, milliseconds: dict[str, float], peaks: Iterator[int]) -> None:
        log.write_text("")
        self.log = log
        self.streamed: list[list[tuple[int, int]]] = []
        self._milliseconds, self._peaks = milliseconds, peaks

    def start(self) -> None:
        pass

    def ask(self, stage: str, command: str, **arguments: Any) -> dict[str, Any]:
        if command == "photo":
            self._photo = Path(arguments["path"]).stem
            return {}
        each = self._milliseconds.get(getattr(self, "_photo", ""), 0.0)
        if command == "stream":
            self.streamed.append(arguments["taps"])
            passes = max(1, round(1000 * arguments["seconds"] / each / len(arguments["taps"])))
            count = passes * len(arguments["taps"])
            return {"taps": count, "milliseconds": count * each}
        if command == "memory":
            return {"peak": next(self._peaks)}
        return {"milliseconds": each, "stages": {}, "macs": None, "engine_says": {}}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def taps_in_turn(count: int) -> list[Tap]:
    return [Tap(number % 2, (number, 0)) for number in range(count)]


@pytest.mark.parametrize("seconds", [5.0, 0.0])
def test_throughput_takes_every_tap_equally_often(
    log: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Equal seconds on each photo would make it (100 + 1) / 2 taps per second."""
    monkeypatch.setattr(timed, "STREAM_SECONDS", seconds)
    worker: Any = FakeWorker(log, {"small": 10.0, "large": 1000.0}, iter(()))
    subject = TimedSubject(CONFIGURATION, worker, PHOTOS)
    assert subject.taps_per_second(taps_in_turn(6)) == pytest.approx(2 / 1.01)
    assert worker.streamed == [[(0, 0), (2, 0), (4, 0)], [(1, 0), (3, 0), (5, 0)]]
    # Three on the small photo, and two on the large one.
    assert subject.taps_per_second(taps_in_turn(5)) == pytest.approx(5 / (3 * 0.01 + 2))


def test_throughput_is_of_so_many_taps_at_most(log: Path) -> None:
    worker: Any = FakeWorker(log, {"small": 1.0, "large": 1.0}, iter(()))
    TimedSubject(CONFIGURATION, worker, PHOTOS).taps_per_second(taps_in_turn(1000))
    assert sum(map(len, worker.streamed)) == timed.STREAM_TAPS


@pytest.mark.parametrize(
    ("loaded", "peak", "above"),
    [
        (1_000_000, 2_000_000, 2_000_000 - 50_000 - LARGE),
        (2_000_000, 2_000_000, 2_000_000 - 50_000),  # no photo was there yet
        (1_900_000, 2_000_000, 1_900_000 - 50_000),
        (60_000, 61_000, 10_000),  # not below zero
    ],
)
def test_memory_above_the_interpreter_and_the_photo_that_was_there(
    log: Path, loaded: int, peak: int, above: int
) -> None:
    worker: Any = FakeWorker(log, {}, iter((loaded, peak)))
    subject = TimedSubject(CONFIGURATION, worker, PHOTOS)
    memory = measure_memory(subject, worker, PHOTOS, taps_in_turn(4), interpreter=50_000)
    assert (memory.photo, memory.peak, memory.above_baseline) == (LARGE, peak, above)


def test_multiply_adds_per_second_are_of_each_tap() -> None:
    """A tap with few of them and one with many, at the same rate; and one that was disturbed."""
    samples = [Sample(10.0, {}, 10), Sample(50.0, {}, 50), Sample(900.0, {}, 50)]
    assert macs_per_second(samples) == 1000.0
    assert macs_per_second([Sample(10.0, {}, None)]) is None
