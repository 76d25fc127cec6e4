"""One-tap evaluation: the score of a mask, the taps, the means, and what can be evaluated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from export_fixtures import CANVAS, OPEN_CANVAS, WARM_CANVAS, SmallExport
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from scenes import Scenes, annotated, make_scene, scene_map, write_folder
from tool_checks import assert_one_sentence, run_json

from tracenet.data import AnnotatedPhoto
from tracenet.data.examples import IGNORE
from tracenet.evaluation import cli
from tracenet.evaluation.evaluate import LevelMasks, draw_taps, evaluate
from tracenet.evaluation.metrics import InstanceScore, mask_iou, summarise
from tracenet.evaluation.models import BundleReplay, FullNet
from tracenet.model import LEVELS
from tracenet_runtime import TapSegmenter
from tracenet_runtime.canvas import Canvas
from tracenet_runtime.errors import BundleError

Mask = npt.NDArray[np.bool_]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# The score of a mask


@st.composite
def masks(draw: st.DrawFn, count: int) -> list[Mask]:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    return [draw(hnp.arrays(np.bool_, shape)) for _ in range(count)]


@settings(deadline=None)
@given(pair=masks(2))
def test_without_ignored_pixels_it_is_that_of_coco(pair: list[Mask]) -> None:
    mask, truth = pair
    a, b = (coco.encode(np.asfortranarray(m, np.uint8)) for m in pair)
    assert mask_iou(mask, truth, np.zeros_like(mask)) == coco.iou([a], [b], [0])[0, 0]


@settings(deadline=None)
@given(triple=masks(3))
def test_ignored_pixels_are_left_out_of_the_union(triple: list[Mask]) -> None:
    mask, truth, anything = triple
    ignore = anything & ~truth  # an instance map says one thing of each pixel
    union = intersection = 0
    for given_, true, ignored in zip(mask.flat, truth.flat, ignore.flat, strict=True):
        union += bool(given_ or true) and not ignored
        intersection += bool(given_ and true)
    expected = intersection / union if union else 0.0
    assert mask_iou(mask, truth, ignore) == expected
    # What a mask says there changes nothing.
    assert mask_iou(mask ^ ignore, truth, ignore) == expected


def test_a_known_score() -> None:
    mask, truth, ignore = np.zeros((3, 4, 8), np.bool_)
    truth[:, 2:6] = True
    mask[:, 4:] = True
    assert mask_iou(mask, truth, ignore) == 8 / 24
    ignore[:, 7] = True
    assert mask_iou(mask, truth, ignore) == 8 / 20
    assert mask_iou(truth, truth, ignore) == 1.0
    assert mask_iou(~truth, truth, ignore) == 0.0


# Taps


def test_taps_are_uniform_on_the_mask() -> None:
    mask = np.zeros((7, 9), np.bool_)
    mask[1, 2:5] = mask[4:6, 8] = mask[6, 0] = True
    count = 6000
    taps = draw_taps(mask, count, np.random.default_rng(0))
    assert len(taps) == count
    hits = np.zeros(mask.shape, int)
    for x, y in taps:
        hits[y, x] += 1
    assert (hits[~mask] == 0).all()
    expected = count / 6
    assert (np.abs(hits[mask] - expected) < 5 * np.sqrt(expected)).all()


# Means


class FakeModel:
    """Answers every tap from the instance under it; notes what it was asked."""

    def __init__(self, photos: Scenes, shifts: Sequence[int], chosen: int) -> None:
        self.photos, self.shifts, self.chosen = photos, shifts, chosen
        self.asked: list[list[tuple[int, int]]] = []

    def masks(
        self, photo: npt.NDArray[np.uint8], taps: Sequence[tuple[int, int]]
    ) -> Iterator[LevelMasks]:
        self.asked.append(list(taps))
        (example,) = [e for e in self.photos if e.photo is photo]  # type: ignore[attr-defined]
        for x, y in taps:
            (truth,) = [mask for mask in example.masks if mask[y, x]]
            levels = [np.roll(truth, shift, axis=1) for shift in self.shifts]
            yield LevelMasks(tuple(levels), self.chosen)


def square_scene(side: int, size: int, ignore_from: int | None = None) -> AnnotatedPhoto:
    """A square thing in the middle of a square photo."""
    instances = np.zeros((side, side), np.uint8)
    start = (side - size) // 2
    instances[start : start + size, start : start + size] = 1
    if ignore_from is not None:
        instances[:, ignore_from:][instances[:, ignore_from:] == 0] = IGNORE
    return annotated(instances)


def test_the_truth_scores_one() -> None:
    photos = Scenes([make_scene(90, 120, seed) for seed in range(3)])
    scores = evaluate(FakeModel(photos, [0], 0), photos, 128, taps=4, seed=0)
    assert [(s.photo, s.instance) for s in scores] == [
        (photo, instance) for photo in range(3) for instance in range(len(photos[photo].masks))
    ]
    for score in scores:
        assert len(score.taps) == len(score.iou) == 4
        assert all(photos[score.photo].masks[score.instance][y, x] for x, y in score.taps)
    summary = summarise(scores)
    assert summary.to_dict() == {
        "miou_t": 1.0, "miou_t_oracle_level": 1.0, "share_above_0.7": 1.0,
        "instances": len(scores), "taps": 4 * len(scores),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shift", "ignore_from", "expected"),
    [(0, None, 1.0), (4, None, 28 / 36), (16, None, 16 / 48), (32, None, 0.0), (16, 56, 16 / 40)],
)
def test_a_shifted_mask_scores_what_it_should(
    shift: int, ignore_from: int | None, expected: float
) -> None:
    # A thing of 32 x 32 on columns 16 to 47; from 56 on, with ignore, nobody knows.
    photos = Scenes([square_scene(64, 32, ignore_from)])
    summary = summarise(evaluate(FakeModel(photos, [shift], 0), photos, 128, taps=3, seed=0))
    assert summary.miou_t == pytest.approx(expected)
    assert summary.miou_t_oracle_level == pytest.approx(expected)
    assert summary.share_above_0_7 == (1.0 if expected > 0.7 else 0.0)


def test_the_oracle_takes_the_best_level() -> None:
    photos = Scenes([square_scene(64, 32)])
    scores = evaluate(FakeModel(photos, [16, 0, 4], 2), photos, 128, taps=2, seed=0)
    (score,) = scores
    assert score.iou == pytest.approx((28 / 36,) * 2)
    assert score.iou_by_level[0] == pytest.approx((16 / 48, 1.0, 28 / 36))
    summary = summarise(scores)
    assert summary.miou_t_oracle_level == 1.0 > summary.miou_t == pytest.approx(28 / 36)


def test_means_are_of_instances_not_of_taps() -> None:
    scores = [
        InstanceScore(0, 0, ((0, 0),) * 4, (1.0,) * 4, ((1.0,),) * 4),
        InstanceScore(0, 1, ((0, 0),), (0.0,), ((0.5,),)),
    ]
    summary = summarise(scores)
    assert (summary.miou_t, summary.miou_t_oracle_level) == (0.5, 0.75)
    assert (summary.share_above_0_7, summary.instances, summary.taps) == (0.5, 2, 5)
    at_the_limit = InstanceScore(0, 0, ((0, 0),), (0.7,), ((0.7,),))
    assert summarise([at_the_limit]).share_above_0_7 == 0.0


@pytest.mark.parametrize(
    ("side", "size", "scored"),
    [
        (64, 8, True),  # 64 photo pixels are 256 of the canvas
        (64, 7, False),  # 49 are 196
        (256, 28, False),  # 784 are 196
        (256, 29, True),  # 841 are 210
    ],
)
def test_small_instances_are_not_scored(side: int, size: int, scored: bool) -> None:
    photos = Scenes([square_scene(side, size), square_scene(64, 32)])
    model = FakeModel(photos, [0], 0)
    scores = evaluate(model, photos, 128, taps=2, seed=0)
    assert [s.photo for s in scores] == ([0, 1] if scored else [1])


def test_taps_do_not_depend_on_the_model() -> None:
    photos = Scenes([make_scene(90, 120, seed) for seed in range(3)])
    asked = []
    for shifts, chosen, seed in (([0], 0, 0), ([7, 3, 1], 2, 0), ([0], 0, 1)):
        model = FakeModel(photos, shifts, chosen)
        evaluate(model, photos, 128, taps=5, seed=seed)
        asked.append(model.asked)
    assert asked[0] == asked[1] != asked[2]
    # Nor on the photos before: each has its own.
    model = FakeModel(photos, [0], 0)
    fewer = Scenes([annotated(np.zeros((90, 120), np.uint8)), photos[1]])
    evaluate(model, fewer, 128, taps=5, seed=0)
    assert model.asked == [asked[0][1]]


# What can be evaluated


def test_fullnet_and_replay_agree(small: SmallExport) -> None:
    photo = make_scene(100, 140).photo
    taps = [(0, 0), (139, 99), (70, 50), (33, 71)]
    full = FullNet(small.source.network, Canvas(*CANVAS, small.source.network.pad_value))
    segmenter = TapSegmenter.load(small.folder, threads=1, schedule="all")
    replay = BundleReplay(segmenter)
    answers = list(zip(full.masks(photo, taps), replay.masks(photo, taps), strict=True))
    assert len(answers) == len(taps)
    for tap, (whole, windowed) in zip(taps, answers, strict=True):
        assert len(whole.masks) == len(windowed.masks) == len(LEVELS)
        assert whole.chosen == windowed.chosen
        result = segmenter.tap(photo, tap)
        assert result.level == LEVELS[windowed.chosen].name
        assert (result.mask == windowed.masks[windowed.chosen]).all()
        for mask, cut in zip(whole.masks, windowed.masks, strict=True):
            assert mask.shape == cut.shape == photo.shape[:2]
            # A window only takes away, but for pixels at 0.5 and at its rim.
            assert np.count_nonzero(cut & ~mask) <= 0.01 * mask.size


@pytest.mark.parametrize(
    ("schedule", "canvas"), [("warm", WARM_CANVAS), ("full", CANVAS), ("P3", OPEN_CANVAS)]
)
def test_what_a_schedule_answers(
    small: SmallExport, schedule: str, canvas: tuple[int, int]
) -> None:
    """FullNet's masks of the asked levels: whole, or for P3 cut to their window."""
    photo = make_scene(90, 140, seed=4).photo
    taps = [(0, 0), (139, 89), (70, 50)]
    full = FullNet(small.source.network, Canvas(*canvas, small.source.network.pad_value))
    replay = BundleReplay(TapSegmenter.load(small.folder, threads=1, schedule=schedule))
    for whole, answer in zip(full.masks(photo, taps), replay.masks(photo, taps), strict=True):
        asked = whole.masks[:1] if schedule == "P3" else whole.masks
        assert len(answer.masks) == len(asked)
        assert answer.chosen == (0 if schedule == "P3" else whole.chosen)
        for mask, expected in zip(answer.masks, asked, strict=True):
            if schedule != "P3":
                assert np.count_nonzero(mask != expected) <= 1 + mask.size // 1000
            assert np.count_nonzero(mask & ~expected) <= 0.01 * mask.size


def test_a_canvas_that_is_asked_for(small: SmallExport) -> None:
    photo = make_scene(30, 40).photo
    segmenter = TapSegmenter.load(small.folder, threads=1, schedule="P3", canvas=(128, 1152))
    wide = BundleReplay(segmenter)
    (answer,) = wide.masks(photo, [(5, 5)])
    assert answer.masks[0].shape == (30, 40)
    with pytest.raises(BundleError, match="does not serve a canvas of 256 x 1152"):
        TapSegmenter.load(small.folder, threads=1, schedule="P3", canvas=(256, 1152))


def test_many_taps_at_once_are_as_one_by_one(small: SmallExport) -> None:
    photo = make_scene(60, 60).photo
    taps = [(x, y) for x in range(0, 60, 15) for y in range(0, 60, 11)]
    assert len(taps) > 16
    model = FullNet(small.source.network, Canvas(128, 128, small.source.network.pad_value))
    together = list(model.masks(photo, taps))
    assert len(together) == len(taps)
    for index in (0, 15, 16, len(taps) - 1):
        (alone,) = model.masks(photo, [taps[index]])
        assert alone.chosen == together[index].chosen
        for a, b in zip(alone.masks, together[index].masks, strict=True):
            assert np.count_nonzero(a != b) <= 2


# The command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maps = [scene_map(72, 100, seed, things=2) for seed in range(2)]
    return write_folder(tmp_path_factory.mktemp("data") / "photos", maps)


KEYS = {
    "miou_t", "miou_t_oracle_level", "share_above_0.7", "instances", "taps", "evaluated",
    "scored_on_canvas", "seconds",
}  # fmt: skip


def test_a_checkpoint(small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--checkpoint", str(small.checkpoint), "--data", str(folder), "--canvas", "128"]
    arguments += ["--taps", "3", "--threads", "1"]
    report = run_json(cli.main, arguments, capsys)
    assert set(report) == KEYS
    assert report["evaluated"] == str(small.checkpoint)
    assert (report["scored_on_canvas"], report["instances"], report["taps"]) == (128, 4, 12)
    assert 0 < report["miou_t"] <= report["miou_t_oracle_level"] <= 1
    assert 0 <= report["share_above_0.7"] <= 1
    report.pop("seconds")
    again = run_json(cli.main, arguments, capsys)
    assert report.items() <= again.items()
    other = run_json(cli.main, [*arguments, "--seed", "1"], capsys)
    assert other["miou_t"] != report["miou_t"]


def test_a_bundle(small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--bundle", str(small.folder), "--data", str(folder), "--canvas", "128"]
    report = run_json(cli.main, [*arguments, "--taps", "1", "--threads", "1"], capsys)
    assert set(report) == KEYS
    assert report["evaluated"] == str(small.folder)
    assert (report["instances"], report["taps"]) == (4, 4)
    assert 0 <= report["miou_t"] <= report["miou_t_oracle_level"] <= 1


def test_the_warm_schedule_scores_what_fullnet_scores(
    small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(folder), "--canvas", str(WARM_CANVAS[0]), "--taps", "4"]
    arguments += ["--threads", "1"]
    fullnet, warm = (
        run_json(cli.main, [*what, *arguments], capsys)
        for what in (
            ["--checkpoint", str(small.checkpoint)],
            ["--bundle", str(small.folder), "--schedule", "warm"],
        )
    )
    for key in ("scored_on_canvas", "instances", "taps"):
        assert warm[key] == fullnet[key]
    assert fullnet["miou_t"] > 0
    for key in ("miou_t", "miou_t_oracle_level", "share_above_0.7"):
        # Rounding may move a pixel over 0.5.
        assert warm[key] == pytest.approx(fullnet[key], abs=1e-3)


def test_readable(small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--bundle", str(small.folder), "--data", str(folder), "--taps", "1"]
    assert cli.main([*arguments, "--canvas", "128", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "miou_t_oracle_level" in said
    assert "share_above_0.7" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere"], "index.jsonl does not exist"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--bundle", "nowhere"], "no bundle folder at nowhere"),
        (["--bundle", "nowhere", "--schedule", "all"], "no bundle folder at nowhere"),
        (["--canvas", "100"], "--canvas 100 does not fit; give a multiple of 128"),
        (["--canvas", "-128"], "does not fit"),
        (["--canvas", "16512"], "does not fit"),
    ],
)
def test_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert_one_sentence(cli.main, ["--data", str(folder), *arguments], said, capsys)


def test_an_unknown_schedule(
    small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--bundle", str(small.folder), "--schedule", "cold", "--data", str(folder)]
    said = "no schedule 'cold'; it has all, P3, warm, full"
    assert_one_sentence(cli.main, arguments, said, capsys)


def test_an_unknown_engine(
    small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--bundle", str(small.folder), "--engine", "warp", "--data", str(folder)]
    assert_one_sentence(cli.main, arguments, "no engine 'warp'", capsys)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        ("photo gone", "no photo at"),
        ("photo damaged", "not a picture"),
        ("map of another size", "of the photo's size"),
        ("index damaged", "line 2, is damaged"),
    ],
)
def test_damaged_data(
    small: SmallExport, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    break_it: str, said: str,
) -> None:  # fmt: skip
    data = tmp_path / "photos"
    shutil.copytree(folder, data)
    if break_it == "photo gone":
        (data / "scene_1.jpg").unlink()
    elif break_it == "photo damaged":
        (data / "scene_1.jpg").write_bytes(b"no picture")
    elif break_it == "map of another size":
        other = write_folder(tmp_path / "other", [scene_map(30, 40)] * 2)
        shutil.copy(other / "scene_1.png", data)
    else:
        with (data / "index.jsonl").open("r+") as file:
            lines = file.readlines()
            file.seek(0)
            file.write(lines[0] + "{" + lines[1])
    arguments = ["--checkpoint", str(small.checkpoint), "--data", str(data), "--taps", "1"]
    arguments += ["--canvas", "128", "--threads", "1"]
    assert_one_sentence(cli.main, arguments, said, capsys)


def test_nothing_to_score(
    small: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "photos", [np.zeros((20, 20), np.uint8)])
    arguments = ["--checkpoint", str(small.checkpoint), "--data", str(data), "--canvas", "128"]
    assert_one_sentence(cli.main, arguments, "no instance of at least 200 pixels", capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--taps", "0"],
        ["--threads", "0"],
        ["--seed", "-1"],
        ["--checkpoint", "a.safetensors", "--bundle", "b"],
        ["--schedule", "warm"],
        ["--schedule", "warm", "--checkpoint", "a.safetensors"],
    ],
)
def test_mistakes_that_argparse_finds(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--data", str(folder), *arguments])
    assert caught.value.code == 2


def test_shared_photos(small: SmallExport, capsys: pytest.CaptureFixture[str]) -> None:
    data = Path(__file__).parents[2] / "shared" / "data" / "val"
    if not data.is_dir():
        pytest.skip("the photos of ../shared/data are not here")
    from tracenet.data import FolderDataset

    photos = FolderDataset(data)
    some = Scenes([photos[index] for index in range(2)])
    canvas = Canvas(256, 256, small.source.network.pad_value)
    scores = evaluate(FullNet(small.source.network, canvas), some, 640, taps=2, seed=0)
    assert len(scores) >= 2
    assert all(0 <= iou <= max(levels) <= 1 for s in scores
               for iou, levels in zip(s.iou, s.iou_by_level, strict=True))  # fmt: skip
