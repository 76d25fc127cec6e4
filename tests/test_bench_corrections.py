"""Corrections in the benchmark: they stay on their tile, and go with taps; never how long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runtime_fixtures import MACS, NumpyEngine, random_photo, write_tiny_bundle

from tracenet_bench import cli
from tracenet_bench.measure import benchmark, corrections, environment, timed
from tracenet_bench.measure.choice import choose_configurations
from tracenet_bench.measure.configurations import Wanted
from tracenet_bench.measure.corrections import PLACES, correct, place_to_correct
from tracenet_bench.measure.derived import operations_of
from tracenet_bench.measure.sampling import Sample, Tap
from tracenet_bench.measure.statistics import paired_ratio
from tracenet_bench.measure.timed import TimedSubject
from tracenet_bench.report.file import read_report
from tracenet_bench.report.schema import Photo
from tracenet_runtime import TapSegmenter
from tracenet_runtime.bundle.files import Bundle

PHOTO = random_photo(4, 300, 500)


class SmallThings(NumpyEngine):
    """The tiny network with boxes so small that its tiles are parts of the photo.

    When it corrects, it sees the thing in the middle of the tile, and ``beside`` around it.
    """

    beside = 0.1

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().run(program, inputs)
        if "box" in outputs:
            outputs["box"] = outputs["box"] * np.float32(0.02)
        if program == "correction":
            mask = np.full_like(outputs["mask_state"], self.beside)
            height, width = mask.shape[2:]
            mask[..., height // 4 : -height // 4, width // 4 : -width // 4] = 0.9
            outputs["mask_state"] = mask
        return outputs


class Greedy(SmallThings):
    beside = 0.9


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle", guided=True))


def on_its_tile(
    segmenter: TapSegmenter, at: tuple[int, int], place: tuple[int, int]
) -> tuple[float, float]:
    """Where a place is on the tile of a tap, as shares of its width and height."""
    x0, y0, x1, y1 = segmenter.tap(PHOTO, at).tile or (0, 0, 500, 300)
    assert (x1 - x0, y1 - y0) != (500, 300)
    return (place[0] - x0) / (x1 - x0), (place[1] - y0) / (y1 - y0)


@pytest.mark.parametrize("at", [(250, 150), (0, 0), (499, 10)])
def test_a_correction_stays_on_its_tile(bundle: Bundle, at: tuple[int, int]) -> None:
    segmenter = TapSegmenter(bundle, SmallThings())
    place = place_to_correct(segmenter, PHOTO, at)
    assert place is not None
    assert on_its_tile(segmenter, at, place) == pytest.approx(PLACES[0], abs=0.02)
    with segmenter.open(PHOTO) as session:
        tile = session.tap(at).tile
        corrected = session.tap(place, positive=False)
    assert corrected.tile == tile
    assert "encode" not in corrected.timings_ms


def test_a_place_that_moves_the_tile_is_passed_over(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "PLACES", ((0.0, 0.0), (0.99, 0.5), (0.5, 0.5)))
    segmenter, at = TapSegmenter(bundle, SmallThings()), (250, 150)
    place = place_to_correct(segmenter, PHOTO, at)
    assert place is not None
    assert on_its_tile(segmenter, at, place) == pytest.approx((0.5, 0.5), abs=0.02)


def test_a_mask_that_spills_has_no_correction_on_its_tile(bundle: Bundle) -> None:
    assert place_to_correct(TapSegmenter(bundle, Greedy()), PHOTO, (250, 150)) is None


def test_what_a_correction_takes(bundle: Bundle) -> None:
    """A call of the trunk encodes; a correction looks at two levels, asks a mask, corrects."""
    segmenter, at = TapSegmenter(bundle, SmallThings()), (250, 150)
    place = place_to_correct(segmenter, PHOTO, at)
    assert place is not None
    with segmenter.open(PHOTO) as session:
        session.tap(at)
        macs = session.tap(place, positive=False).macs
    took = correct(segmenter, PHOTO, at, place)
    assert {name: (it.macs, set(it.stages)) for name, it in took.items()} == {
        "encode": (MACS, {"canvas", "encode"}),
        "correction": (macs, {"tap", "mask", "correction", "paste"}),
        "undo": (0, {"paste"}),
    }
    assert all(0 < sum(it.stages.values()) <= it.milliseconds for it in took.values())


# In turn with taps


class FakeWorker:
    """Tells the place of taps in the left half, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def ask(self, stage: str, command: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append((command, arguments.get("place", arguments.get("at"))))
        took = {"milliseconds": 2.0, "stages": {}, "macs": 3}
        if command == "place":
            return {"place": [1, 1] if arguments["at"][0] < 50 else None}
        return dict.fromkeys(("encode", "undo"), took) if command == "correct" else took


def test_a_place_is_asked_for_once(bundle: Bundle) -> None:
    (configuration,) = choose_configurations(Wanted((bundle.folder,)), [Photo("a", 300, 500)])
    worker: Any = FakeWorker()
    subject = TimedSubject(configuration, worker, [])
    subject._photo = 0
    left, right = Tap(0, (10, 0)), Tap(0, (90, 0))
    samples = [subject.tap_and_more(tap) for tap in (left, right) * 2]
    assert [set(it.operations) for it in samples] == [{"encode", "undo"}, set()] * 2
    assert samples[0].operations["undo"] == Sample(2.0, {}, 3)
    assert worker.asked == [
        ("tap", (10, 0)), ("place", (10, 0)), ("correct", [1, 1]),
        ("tap", (90, 0)), ("place", (90, 0)),
        ("tap", (10, 0)), ("correct", [1, 1]), ("tap", (90, 0)),
    ]  # fmt: skip


def test_only_a_guided_look_is_corrected(bundle: Bundle) -> None:
    def corrects(**asked: Any) -> bool:
        (found,) = choose_configurations(Wanted((bundle.folder,), **asked), [Photo("a", 300, 500)])
        return found.corrects

    assert corrects()
    assert corrects(schedules=("guided",))
    assert not corrects(schedules=("zoom",))


def test_operations_are_compared_with_the_taps_that_they_went_with() -> None:
    """Of three taps the slow one has none."""

    def sample(milliseconds: float, correction: float) -> Sample:
        took = Sample(correction, {"mask": correction / 2}, 7)
        names = ("encode", "correction", "undo")
        return Sample(milliseconds, {}, 9, dict.fromkeys(names, took))

    taken = [sample(10.0, 2.0), Sample(900.0, {}, 9), sample(20.0, 6.0)] * 5
    encode, correction, undo = operations_of(taken, 3, seed=0)
    assert (encode.name, correction.name, undo.name) == ("encode", "correction", "undo")
    assert (correction.taps, correction.samples) == (2, (2.0, 6.0) * 5)
    assert (correction.p50, correction.macs) == (4.0, 7.0)
    ratio = paired_ratio((2.0, 6.0) * 5, (10.0, 20.0) * 5, 2, 0)
    assert (correction.of_tap, correction.of_tap_interval) == ratio
    assert correction.of_tap == pytest.approx(0.25)
    assert correction.shares == pytest.approx({"mask": 0.5, "other": 0.5})
    assert operations_of([Sample(1.0, {}, 9)] * 6, 3, seed=0) == ()


def test_a_report_has_corrections(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(environment, "WATCHED_SECONDS", 0.01)
    monkeypatch.setattr(timed, "STREAM_SECONDS", 0.0)
    monkeypatch.setattr(benchmark, "measure_ceilings", lambda *_: ({1: 1e9}, {1: 1e9}))
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        Image.fromarray(random_photo(number, 90, 120)).save(photos / f"{number}.png")
    out = tmp_path / "out.json"
    arguments = ["--photos", str(photos), "--taps", "3", "--warm-up", "0", "--limit-taps", "7"]
    arguments += ["--bundle", str(bundle.folder), "--schedule", "guided", "zoom"]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    guided, zoom = read_report(out).measured
    assert zoom.steady is not None
    assert zoom.operations == ()
    assert guided.steady is not None
    assert [operation.name for operation in guided.operations] == ["encode", "correction", "undo"]
    for operation in guided.operations:
        assert (operation.taps, len(operation.samples)) == (3, 7)
        assert operation.shares is not None
        assert sum(operation.shares.values()) == pytest.approx(1)
        times = operation.samples, guided.steady.samples
        assert (operation.of_tap, operation.of_tap_interval) == paired_ratio(*times, 3, 0)
    assert "## Corrections" in capsys.readouterr().out
