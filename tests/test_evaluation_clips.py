"""Evaluation of clips: DAVIS's measures by plain loops, its protocols, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from test_propagation import FINE, TRACKING, network
from test_video_data import write_clips
from tool_checks import assert_one_sentence, run_json

from tracenet.data import DataError
from tracenet.data.clips import open_clips
from tracenet.evaluation import cli
from tracenet.evaluation.clips.follow import score_clip
from tracenet.evaluation.clips.measures import boundary, boundary_f, decay, jaccard, recall
from tracenet.evaluation.clips.models import PropagatingNetwork
from tracenet.evaluation.clips.scores import ObjectScore
from tracenet.evaluation.clips.scoring import ClipScoring, summarise_clips
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.scores import PhotoScore
from tracenet.model import save_checkpoint

FIGURES = ("jf", "j", "f", "j_recall", "j_decay", "f_recall", "f_decay")
MASKS = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)


def pairs() -> st.SearchStrategy[tuple[Mask, Mask]]:
    return MASKS.flatmap(lambda shape: st.tuples(*[arrays(np.bool_, shape)] * 2))


# Measures


@given(masks=pairs())
def test_j_by_plain_loops(masks: tuple[Mask, Mask]) -> None:
    a, b = ({tuple(p) for p in np.argwhere(mask)} for mask in masks)
    assert jaccard(*masks) == (len(a & b) / len(a | b) if a | b else 1.0)


def looped_boundary(mask: Mask) -> set[tuple[int, int]]:
    height, width = mask.shape
    found = set()
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x), (y + 1, x + 1)):
                # Beyond the edge the frame goes on as it ends.
                if mask[min(v, height - 1), min(u, width - 1)] != mask[y, x]:
                    found.add((y, x))
    return found


@given(masks=pairs(), enlarged=st.sampled_from([1, 9, 30]))
@settings(max_examples=60, deadline=None)
def test_f_by_plain_loops(masks: tuple[Mask, Mask], enlarged: int) -> None:
    mask, truth = (np.kron(m, np.ones((enlarged, 1), np.bool_)) for m in masks)
    given_pixels, true = looped_boundary(mask), looped_boundary(truth)
    assert {tuple(p) for p in np.argwhere(boundary(mask))} == given_pixels
    if not given_pixels or not true:
        assert boundary_f(mask, truth) == (1.0 if given_pixels == true else 0.0)
        return
    tolerance = math.ceil(0.008 * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2))

    def share(some: set[tuple[int, int]], others: set[tuple[int, int]]) -> float:
        near = [
            p for p in some
            if any((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 <= tolerance**2 for q in others)
        ]  # fmt: skip
        return len(near) / len(some)

    precision, recalled = share(given_pixels, true), share(true, given_pixels)
    both = precision + recalled
    wanted = 2 * precision * recalled / both if both else 0.0
    assert boundary_f(mask, truth) == pytest.approx(wanted)


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_recall_and_decay_by_plain_loops(values: list[float]) -> None:
    assert recall(values) == pytest.approx(sum(v > 0.5 for v in values) / len(values))
    ends = [math.floor((len(values) - 1) * quarter / 4 + 0.5) for quarter in range(5)]
    first = [values[i] for i in range(len(values)) if i <= ends[1]]
    last = [values[i] for i in range(len(values)) if i >= ends[3]]
    assert decay(values) == pytest.approx(sum(first) / len(first) - sum(last) / len(last))


def test_decay_of_a_line() -> None:
    assert decay(np.linspace(1, 0, 41).tolist()) == pytest.approx(0.75)
    assert decay([0.5] * 7) == 0
    assert boundary_f(np.eye(9, dtype=bool), np.eye(9, dtype=bool)) == 1


# Protocols


class Known:
    """Gives what its maps have, from some frame on nothing; records what it is given."""

    computed = "known"

    def __init__(self, maps: Sequence[np.ndarray], lost_from: int = 99) -> None:
        self.maps, self.lost_from = maps, lost_from
        self.tapped: list[tuple[int, int]] = []
        self.given: list[Mask] = []

    def tap(self, frame: np.ndarray, x: int, y: int) -> Mask:
        self.tapped.append((x, y))
        return self.maps[0] == self.maps[0][y, x]

    def follow(self, frames: Iterable[np.ndarray], masks: Sequence[Mask]) -> Iterator[list[Mask]]:
        self.given = list(masks)
        things = [int(np.median(self.maps[0][mask])) for mask in masks]
        for number, frame in enumerate(frames):
            assert frame.shape[:2] == self.maps[number].shape
            if number:
                yield [(self.maps[number] == t) & (number < self.lost_from) for t in things]


@pytest.mark.parametrize("beginning", ["first-mask", "tap"])
def test_a_clip(tmp_path: Path, beginning: str) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    maps = [clip.instance_map(number) for number in range(4)]
    model = Known(maps, lost_from=2)
    score = score_clip(model, 3, clip, beginning)  # type: ignore[arg-type]
    assert (score.index, score.photo, score.computed) == (3, "a", "known")
    # Four frames, of which the first and the last do not count.
    assert [one.instance for one in score.instances] == [1, 2]
    for one in score.instances:
        assert one.j == one.f == (1.0, 0.0)
        assert one.area == np.count_nonzero(maps[0] == one.instance)
    for thing, mask in zip((1, 2), model.given, strict=True):
        np.testing.assert_array_equal(mask, maps[0] == thing)
    if beginning == "tap":
        assert [maps[0][y, x] for x, y in model.tapped] == [1, 2]
    else:
        assert not model.tapped


def test_unknown_pixels_do_not_count(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    maps = [clip.instance_map(number) for number in range(4)]
    spilt = [np.where(m == 255, 1, m).astype(np.uint8) for m in maps]
    score = score_clip(Known([maps[0], *spilt[1:]]), 0, clip, "first-mask")
    assert score.instances[0].j == (1.0, 1.0)


def test_a_later_map_of_another_size(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    maps = [clip.instance_map(number) for number in range(4)]
    Image.new("L", (60, 90)).save(clip.maps[2])
    with pytest.raises(DataError, match=r"00002\.png must have the size of its frame, 120 x 90"):
        score_clip(Known(maps), 0, clip, "first-mask")


def test_clips_with_nothing_to_score(tmp_path: Path) -> None:
    root = write_clips(tmp_path, ["a"])
    (clip,) = open_clips(root)
    Image.new("L", (120, 90)).save(clip.maps[0])
    assert not score_clip(Known([]), 0, clip, "first-mask").instances


def test_figures() -> None:
    long = ObjectScore(1, 50, "s", (0.9, 0.9, 0.3, 0.1), (1.0, 1.0, 0.0, 0.0))
    short = ObjectScore(2, 9, "s", (0.6,), (0.4,))
    other = ObjectScore(1, 9, "t", (0.2, 0.4), (0.4, 0.8))
    scores = [
        PhotoScore(0, "a", "known", (long, short)),
        PhotoScore(1, "b", "known", (other,)),
        PhotoScore(2, "c", "nothing", ()),
    ]
    for score in scores:
        line = json.loads(json.dumps(score.to_dict()))
        assert PhotoScore.from_dict(line, ObjectScore) == score
    results = summarise_clips(scores, seed=0)
    # Means of each thing first, then over things.
    assert results["j"] == pytest.approx((0.55 + 0.6 + 0.3) / 3, abs=1e-6)
    assert results["f"] == pytest.approx((0.5 + 0.4 + 0.6) / 3, abs=1e-6)
    assert results["jf"] == pytest.approx((results["j"] + results["f"]) / 2, abs=1e-6)
    assert results["j_recall"] == pytest.approx((0.5 + 1 + 0) / 3, abs=1e-6)
    assert results["f_recall"] == pytest.approx((0.5 + 0 + 0.5) / 3, abs=1e-6)
    assert results["instances"] == 3
    assert results["frames"] == 7
    assert set(results["clips"]) == {"a", "b"}
    assert results["sets"]["s"] == {**results["clips"]["a"]}
    assert results["sets"]["t"]["instances"] == 1
    assert results["clips"]["b"]["j"] == pytest.approx(0.3)
    low, high = results["jf_interval"]
    assert low <= results["jf"] <= high
    assert ClipScoring(Known([]), 0, "first-mask").table(
        {**results, "conditions": {}, "problems": {}}
    ).count("\n| clip") == 2  # fmt: skip


# The command


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    save_checkpoint(network(), path)
    return path


@pytest.mark.parametrize("protocol", ["first-mask", "tap"])
def test_the_command(
    tmp_path: Path, checkpoint: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = write_clips(tmp_path / "clips", list("abcde"))
    arguments = ["--checkpoint", str(checkpoint), "--clips", str(clips), "--threads", "1"]
    arguments += ["--protocol", protocol]
    out = tmp_path / "out"
    results = run_json(cli.main, [*arguments, "--held-back", "--out", str(out)], capsys)
    assert results["instances"] == 2
    assert set(results["clips"]) == {"e"}
    assert {*FIGURES, *(f"{name}_interval" for name in FIGURES)} <= results.keys()
    assert all(0 <= results[name] <= 1 for name in ("jf", "j", "f", "j_recall", "f_recall"))
    assert results["conditions"]["clips"]["protocol"] == protocol
    lines = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert [(line["instance"], line["frame"]) for line in lines] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    with Image.open(out / "worst.png") as sheet:
        assert sheet.width == 6 * 320
    again = run_json(cli.main, [*arguments, "--held-back", "--out", str(out), "--resume"], capsys)
    assert again["clips"] == results["clips"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "x", "--protocol", "clicks"], "is for photos; of --clips take first-mask"),
        (["--clips", "x", "--taps", "5"], "--taps is for photos"),
        (["--clips", "x", "--protocol", "interactive"], "--protocol interactive takes --bundle"),
        (["--clips", "x", "--checkpoint", "c", "--model", "m"], "exclude each other"),
        (["--data", "x", "--protocol", "tap"], "--protocol tap is for --clips; of photos take"),
        (["--data", "x", "--held-back"], "--held-back is for --clips"),
        (["--data", "x", "--clips", "y"], "not allowed with"),
    ],
)
def test_wrong_pairs(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert message in capsys.readouterr().err


def test_what_cannot_be_scored(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = write_clips(tmp_path / "clips", ["a"])
    given = ["--checkpoint", str(checkpoint), "--clips"]
    assert_one_sentence(cli.main, [*given, str(tmp_path)], "holds no clips", capsys)
    assert_one_sentence(cli.main, [*given, str(clips), "--held-back"], "none of the clips", capsys)
    plain = tmp_path / "plain.safetensors"
    save_checkpoint(network(config=FINE), plain)
    given = ["--checkpoint", str(plain), "--clips", str(clips)]
    assert_one_sentence(cli.main, given, "has no propagation; train one", capsys)


def test_a_network_follows(tmp_path: Path) -> None:
    """Its masks are frames high and wide, one per thing, in every frame but the first."""
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    model = PropagatingNetwork(network(config=TRACKING))
    first = clip.instance_map(0)
    frames = [clip.photo(number) for number in range(4)]
    with torch.no_grad():
        masks = list(model.follow(frames, [first == 1, first == 2]))
    assert [[mask.shape for mask in two] for two in masks] == [[(90, 120)] * 2] * 3
    assert all(not (one & two).any() for one, two in masks)
    assert model.tap(frames[0], 20, 30).shape == (90, 120)
