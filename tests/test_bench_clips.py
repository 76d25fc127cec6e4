"""Frames of clips in the benchmark: what counts for which stage; never how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_reports import realistic
from runtime_fixtures import MACS, NumpyEngine, random_photo, write_tiny_bundle

from tracenet_bench.measure import clips
from tracenet_bench.measure.choice import choose_configurations
from tracenet_bench.measure.clips import ClipOfPhoto, TimedClip, memory_of_clip, read_macs
from tracenet_bench.measure.configurations import Wanted
from tracenet_bench.measure.derived import operations_of
from tracenet_bench.measure.sampling import Sample, Tap
from tracenet_bench.measure.timed import TimedSubject
from tracenet_bench.report.file import report_from_dict, report_to_dict
from tracenet_bench.report.html import html
from tracenet_bench.report.markdown import markdown
from tracenet_bench.report.schema import ClipMemory, Photo
from tracenet_runtime import TapSegmenter
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.graph.program import Program
from tracenet_runtime.tracking.check import FEATURES, check_tracking, tensors_of
from tracenet_runtime.tracking.records import Tracking
from tracenet_runtime.tracking.tile import FollowRule

TRACKING = Tracking("frame", "value", "decode", "fuse", FollowRule())
WIDTHS = dict.fromkeys(FEATURES, 2)
COSTS = {"frame": 1000, "value": 200, "decode": 300, "fuse": 40}


class Following(NumpyEngine):
    """Finds things in the middle of their tile, whatever it is shown."""

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if program not in COSTS:
            return super().run(program, inputs)
        self.calls.append(program)
        outputs = {
            spec.name: np.full(spec.shape, 0.1, np.float32)
            for spec in tensors_of(WIDTHS)[program][1]
        }
        if program == "decode":
            # Each thing of a frame in rows of its own.
            row = 40 + 16 * (self.calls[::-1].index("frame") - 1)
            outputs["mask"][..., row : row + 16, 40:88] = outputs["presence"][..., 8, 8] = 0.9
        return outputs


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle", guided=True)
    opened = Bundle.open(folder)
    programs = {
        name: Program(COSTS[name], *({v.name: v for v in specs} for specs in tensors))
        for name, tensors in tensors_of(WIDTHS).items()
    }
    manifest = replace(
        opened.manifest, tracking=TRACKING, programs={**opened.manifest.programs, **programs}
    )
    check_tracking(TRACKING, manifest.programs)
    return replace(opened, manifest=manifest)


@pytest.mark.parametrize("size", [(300, 500), (900, 400), (2000, 3000)])
def test_a_photo_as_a_clip(size: tuple[int, int]) -> None:
    clip = ClipOfPhoto(random_photo(1, *size))
    assert clip.size == ((480, 854) if size[1] >= size[0] else (854, 480))
    frames = [clip[number] for number in (0, 7, 20, 40)]
    assert all(frame.shape == (*clip.size, 3) for frame in frames)
    assert np.array_equal(frames[0], frames[3])
    assert not np.array_equal(frames[0], frames[1])
    assert np.array_equal(clip[33], clip[7])  # on its way back
    x, y = clip.corner(20)
    assert np.array_equal(clip.pixels[y:, x:], frames[2])
    assert clip.corner(0) == (0, 0)
    assert clip.tapped == (clip.size[1] // 2, clip.size[0] // 2)


def test_what_a_frame_takes(bundle: Bundle) -> None:
    engine = Following()
    clip = TimedClip(TapSegmenter(bundle, engine), random_photo(4, 300, 500))
    engine.calls.clear()
    took = clip.next()
    assert engine.calls == [
        "frame", "decode", "value",
        "frame", *["decode"] * 3, *["value"] * 3,
        "fuse",
    ]  # fmt: skip
    # The memory is full but for slots of touched frames: one, the ring's four, and the last.
    similarities, means = 256 * 6 * 256 * 64, 256 * 20 * 128
    assert {name: it.macs for name, it in took.items()} == {
        "frame": 1500 + similarities + means,
        "frame_of_three": 2500 + similarities + 3 * means,
        "fusion": 40 + 256 * 256 * 64,
    }
    assert read_macs(6, 3) == similarities + 3 * means
    frame = {"cut", "frame", "read", "decode", "value", "other", "paste"}
    assert {name: set(it.stages) for name, it in took.items()} == {
        "frame": frame,
        "frame_of_three": frame,
        "fusion": {"read", "fuse"},
    }
    assert all(0 < sum(it.stages.values()) <= it.milliseconds for it in took.values())
    assert MACS not in {it.macs for it in took.values()}


def test_memory_is_looked_at_twice(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Following()
    segmenter = TapSegmenter(bundle, engine)
    monkeypatch.setattr(clips, "FRAME", (48, 86))
    found = memory_of_clip(segmenter, random_photo(4, 60, 100), (2, 9))
    assert len(found) == 2
    assert min(found) > 1e6
    assert engine.calls.count("value") == 10  # of the tapped frame, too


class FakeWorker:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, stage: str, command: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append(f"{stage}/{command}")
        took = {"milliseconds": 2.0, "stages": {}, "macs": 3}
        if command == "clip_memory":
            return {"resident": [arguments["frames"][0], arguments["frames"][1] + 7]}
        if command == "track":
            return dict.fromkeys(("frame", "frame_of_three", "fusion"), took)
        return {"place": None} if command == "place" else took


def test_frames_go_with_taps(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bundle, "open", lambda folder: bundle)

    def planned(**asked: Any) -> list[bool]:
        found = choose_configurations(Wanted((bundle.folder,), **asked), [Photo("a", 300, 500)])
        return [one.tracks for one in found]

    assert planned(schedules=("guided", "zoom")) == [True, False]
    (one,) = choose_configurations(Wanted((bundle.folder,)), [Photo("a", 300, 500)])
    worker: Any = FakeWorker()
    subject = TimedSubject(one, worker, [])
    subject._photo = 0
    sample = subject.tap_and_more(Tap(0, (3, 4)))
    assert worker.asked == ["tap/tap", "correction/place", "clip/track"]
    assert sample.operations.keys() == {"frame", "frame_of_three", "fusion"}
    assert subject.clip_memory() == ClipMemory(30, 3000, 30, 3007)


def test_operations_that_go_with_some_taps_only() -> None:
    def sample(*names: str) -> Sample:
        return Sample(10.0, {}, 9, {name: Sample(5.0, {"read": 1.0}, 7) for name in names})

    found = operations_of([sample("undo", "frame"), sample("frame")] * 3, 2, seed=0)
    assert [(it.name, it.taps, len(it.samples)) for it in found] == [
        ("undo", 1, 3),
        ("frame", 2, 6),
    ]
    assert found[1].of_tap == pytest.approx(0.5)


def test_a_report_shows_them(tmp_path: Path) -> None:
    found = realistic()
    taken = [Sample(10.0, {}, 9, {"frame": Sample(5.0, {"read": 1.0}, 7)})] * 6
    first = replace(
        found.measured[0],
        operations=operations_of(taken, 2, seed=0),
        clip_memory=ClipMemory(30, 3000, 200_000_000, 201_500_000),
    )
    found = replace(found, measured=(first, *found.measured[1:]))
    assert report_from_dict(report_to_dict(found), "it") == found
    text = markdown(found)
    assert "## Frames of clips" in text
    assert "a frame with one thing" in text
    assert "| 30 to 3000 |" in text
    assert "+1.5" in text
    assert "Frames of clips" in html(found)
