"""Evaluation of clips in which a thing is painted over for some frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluation_clips import checkpoint  # noqa: F401 - a fixture
from test_video_data import write_clip
from tool_checks import run_json

from tracenet.data.clips import Clip, open_clips
from tracenet.evaluation import cli
from tracenet.evaluation.clips.presence import PresenceScore, painted_over, score_presence
from tracenet.evaluation.clips.presence_scoring import PresenceScoring
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.scores import PhotoScore


def clip_of(root: Path, frames: int) -> Clip:
    write_clip(root / "a", frames=frames, width=200)
    row = {"id": "a", "set": "squares", "frames": frames, "step": 1}
    (root / "index.jsonl").write_text(json.dumps(row))
    (clip,) = open_clips(root)
    return clip


@given(x=st.integers(0, 90), width=st.integers(1, 100), seed=st.integers(0, 9))
def test_painted_over_by_what_lies_beside_it(x: int, width: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 255, (20, 100, 3)).astype(np.uint8)
    mask = np.zeros((20, 100), np.bool_)
    mask[5:15, x : x + width] = True
    covered = painted_over(frame, mask)
    left, right = max(0, x - 4), max(0, 100 - (min(100, x + width) + 4))
    if max(left, right) < 8:
        assert covered is None
        return
    assert covered is not None
    np.testing.assert_array_equal(covered[0], frame[0])
    beside = frame[:, 100 - right :] if right >= left else frame[:, :left]
    for row in range(5, 15):
        colours = {tuple(colour) for colour in beside[row]}
        assert all(tuple(colour) in colours for colour in covered[row, x : x + width])


class BySight:
    """Sees what has the colour that the thing has in the first frame, but not in some frames."""

    computed = "sight"

    def __init__(self, blind: Sequence[int] = ()) -> None:
        self.blind = blind

    def tap(self, frame: np.ndarray, x: int, y: int) -> Mask:
        raise AssertionError("nothing is tapped")

    def follow(self, frames: Iterable[np.ndarray], masks: Sequence[Mask]) -> Iterator[list[Mask]]:
        (mask,) = masks
        shown = None
        for number, frame in enumerate(frames):
            if number == 0:
                shown = np.median(frame[mask], 0)
                continue
            near = (np.abs(frame.astype(int) - shown).max(2) < 15) & (number not in self.blind)
            yield [near if near.sum() > 300 else np.zeros_like(near)]


def test_what_is_gone_and_back(tmp_path: Path) -> None:
    clip = clip_of(tmp_path, 19)  # gone in frames 6 to 13
    score = score_presence(BySight(), 2, clip)
    square = score.instances[0]
    assert (score.index, score.computed, square.instance) == (2, "sight", 1)
    assert square.gone == (True,) * 8
    assert square.seen == (True,) * 5
    assert square.found
    short = Clip("b", "s", True, clip.frames[:18], clip.maps[:18])  # four frames after its return
    assert not score_presence(BySight(), 0, short).instances


@pytest.mark.parametrize(("blind", "found"), [((), True), (range(15, 20), False), ((15, 16), True)])
def test_found_again(tmp_path: Path, blind: Sequence[int], found: bool) -> None:
    clip = clip_of(tmp_path, 21)  # gone in frames 7 to 14
    square = score_presence(BySight(blind), 0, clip).instances[0]
    assert square.found is found
    assert len(square.seen) == 6


def test_figures() -> None:
    one = PresenceScore(1, 9, (True, False), (True,), True)
    two = PresenceScore(1, 9, (True, True), (False,), False)
    scores = [PhotoScore(0, "a", "sight", (one,)), PhotoScore(1, "b", "sight", (two,))]
    for score in scores:
        line = json.loads(json.dumps(score.to_dict()))
        assert PhotoScore.from_dict(line, PresenceScore) == score
    scoring = PresenceScoring(BySight(), 0)
    results = scoring.summarise(scores)
    assert (results["gone_told"], results["seen_told"], results["found"]) == (0.75, 0.5, 0.5)
    assert "| 2 | 0.750" in scoring.table({**results, "conditions": {}, "problems": {}})
    assert [json.loads(line)["clip"] for line in scoring.answers(scores)] == ["a", "b"]


def test_the_command(
    tmp_path: Path,
    checkpoint: Path,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip_of(tmp_path / "clips", 21)
    arguments = ["--checkpoint", str(checkpoint), "--clips", str(tmp_path / "clips")]
    arguments += ["--protocol", "presence", "--threads", "1", "--out", str(tmp_path / "out")]
    results = run_json(cli.main, arguments, capsys)
    assert results["instances"] >= 1
    assert all(0 <= results[name] <= 1 for name in ("gone_told", "seen_told", "found"))
    assert (tmp_path / "out" / "things.jsonl").is_file()
