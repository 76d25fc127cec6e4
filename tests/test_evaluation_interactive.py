"""Evaluation of clips by rounds: the scribbling robot, and what becomes of the masks."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from test_tracking import ByColour
from test_video_data import write_clips

from tracenet.data.clips import Clip, open_clips
from tracenet.evaluation.clips.interactive import (
    ROUNDS,
    RoundsScore,
    score_rounds,
)
from tracenet.evaluation.clips.interactive_scoring import InteractiveScoring, summarise_rounds
from tracenet.evaluation.clips.measures import jaccard
from tracenet.evaluation.clips.robot import line_on, longest_path, opened, scribbles
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.scores import PhotoScore
from tracenet_runtime.tracking.passes import ClipPasses

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


# The robot


@given(region=MASKS, enlarged=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_opening_by_plain_loops(region: Mask, enlarged: int) -> None:
    region = np.kron(region, np.ones((enlarged, enlarged), np.bool_))
    assume(region.any())
    places = [tuple(p) for p in np.argwhere(region)]
    outside = {tuple(p - 1) for p in np.argwhere(~np.pad(region, 1))}

    def distance(p: tuple[int, ...], others: Any) -> float:
        return min(math.hypot(p[0] - q[0], p[1] - q[1]) for q in others)

    depth = {p: distance(p, outside) for p in places}
    radius = min(0.15 * math.sqrt(len(places)) / 2, 16)
    while not (kept := [p for p in places if depth[p] > radius]):
        radius *= 0.9
    wanted = {p for p in places if distance(p, kept) <= radius}
    assert {tuple(p) for p in np.argwhere(opened(region))} == wanted


@given(pixels=MASKS)
@settings(max_examples=60, deadline=None)
def test_the_longest_path_is_one(pixels: Mask) -> None:
    assume(pixels.any())
    path = longest_path(pixels)
    assert all(pixels[tuple(p)] for p in path)
    assert len({tuple(p) for p in path}) == len(path)
    assert all(abs(a - b).max() == 1 for a, b in pairwise(path))


def test_the_longest_path_of_a_tree() -> None:
    pixels = np.zeros((20, 30), np.bool_)
    pixels[10, 2:28] = True  # a trunk
    pixels[4:10, 12] = True  # a branch that is shorter than either side of it
    pixels[0, 0] = True  # and a speck
    path = longest_path(pixels)
    assert {tuple(p) for p in path} == {(10, x) for x in range(2, 28)}


@given(
    x=st.integers(0, 60), y=st.integers(0, 40), width=st.integers(1, 90), height=st.integers(1, 50)
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_line_lies_on_what_is_wrong(x: int, y: int, width: int, height: int) -> None:
    region = np.zeros((80, 120), np.bool_)
    region[y : y + height, x : x + width] = True
    points = line_on(region)
    for at_x, at_y in points:
        # A rectangle's middle line, smoothed, stays in it.
        assert region[int(at_y), int(at_x)]


def test_a_region_has_the_same_line_each_time() -> None:
    region = np.zeros((60, 80), np.bool_)
    region[5:45, 8:70] = region[40:58, 20:40] = True
    assert len({line_on(region) for _ in range(8)}) == 1


def test_a_line_runs_along_a_long_region() -> None:
    region = np.zeros((80, 120), np.bool_)
    region[30:50, 10:110] = True
    xs, ys = np.array(line_on(region)).T
    assert xs.max() - xs.min() > 70
    assert abs(np.median(ys) - 40) < 3


def test_lines_on_both_kinds_of_errors() -> None:
    truth, mask = np.zeros((60, 60), np.bool_), np.zeros((60, 60), np.bool_)
    truth[:, :30], mask[:30] = True, True
    known = np.ones_like(truth)
    more, less = scribbles(mask, truth, known)
    assert more.positive
    assert all(truth[int(y), int(x)] and not mask[int(y), int(x)] for x, y in more.points)
    assert not less.positive
    assert all(mask[int(y), int(x)] and not truth[int(y), int(x)] for x, y in less.points)
    assert not scribbles(truth, truth, known)
    assert not scribbles(mask, truth, mask == truth)


# Rounds


class HalfRight:
    """Each correction gives a half of what lacks; the passes see colours, and find all of it."""

    computed = "known"

    def __init__(self) -> None:
        self.corrected: list[float] = []

    def open(self, clip: Clip) -> ClipPasses[Any]:
        frames = [np.full((90, 120, 3), 100, np.uint8) for _ in range(len(clip))]
        for number, frame in enumerate(frames):
            frame[clip.instance_map(number) == 1] = (250, 0, 0)
        return ClipPasses(ByColour(), frames)

    def correct(self, frame: Any, mask: Mask, truth: Mask, known: Mask) -> Mask | None:
        self.corrected.append(jaccard(mask & known, truth))
        if (mask == truth).all():
            return None
        better = mask | truth
        rows = np.flatnonzero(truth.any(1))
        better[rows[len(rows) // 2 :]] = truth[rows[len(rows) // 2 :]]
        return better & truth


def test_rounds(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    maps = [np.where(clip.instance_map(n) == 1, 1, 0).astype(np.uint8) for n in range(4)]
    for path, numbers in zip(clip.maps, maps, strict=True):
        Image.fromarray(numbers).save(path)
    model = HalfRight()
    score = score_rounds(model, 5, clip)  # type: ignore[arg-type]
    (thing,) = score.instances
    assert (score.index, score.computed, thing.instance) == (5, "known", 1)
    assert len(thing.j) == len(thing.f) == len(thing.frames) == ROUNDS
    # The first frame first, of which nothing is known; then the worst, each but once.
    assert thing.frames[0] == 0
    assert model.corrected[0] == 0
    given_frames = [frame for frame in thing.frames if frame is not None]
    assert len(set(given_frames)) == len(given_frames)
    assert thing.frames[-1] is None  # four frames, eight rounds
    assert thing.j[0] > 0.6
    assert thing.j[-1] >= thing.j[0]
    fall, frames = thing.spoilt
    assert frames > 0
    assert abs(fall) / frames < 0.05


def test_figures() -> None:
    def rising(start: float) -> tuple[float, ...]:
        return tuple(start + 0.01 * n for n in range(ROUNDS))

    frames = (0, 3, *[None] * (ROUNDS - 2))
    one = RoundsScore(1, 50, rising(0.5), rising(0.7), frames, (0.4, 10))
    two = RoundsScore(2, 50, rising(0.7), rising(0.7), frames, (0.0, 30))
    scores = [PhotoScore(0, "a", "known", (one,)), PhotoScore(1, "b", "known", (two,))]
    for score in scores:
        line = json.loads(json.dumps(score.to_dict()))
        assert PhotoScore.from_dict(line, RoundsScore) == score
    results = summarise_rounds(scores, 0)
    assert results["jf@1"] == pytest.approx(0.65)
    assert results["j@8"] == pytest.approx(0.67)
    assert results["gain"] == pytest.approx(0.07)
    assert results["spoilt"] == pytest.approx(0.4 / 40)
    assert results["frames_right"] == 40
    scoring = InteractiveScoring(HalfRight(), 0)  # type: ignore[arg-type]
    table = scoring.table({**results, "conditions": {}, "problems": {}})
    assert table.count("\n| ") == ROUNDS + 1
    assert len(list(scoring.answers(scores))) == 2 * ROUNDS
    none_right = [PhotoScore(0, "a", "known", (RoundsScore(1, 9, one.j, one.f, frames, (0.0, 0)),))]
    assert summarise_rounds(none_right, 0)["spoilt"] is None
