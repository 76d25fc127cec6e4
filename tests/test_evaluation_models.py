"""One-tap evaluation: how a photo is scored, and what can be: FullNet, replays, outside models."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from export_fixtures import CANVAS, OPEN_CANVAS, WARM_CANVAS, SmallExport
from runtime_fixtures import random_photo, write_tiny_bundle
from scenes import Scenes, annotated, make_scene

from tracenet.data import IGNORE, AnnotatedPhoto
from tracenet.evaluation.adapter import AdapterError, OutsideModel
from tracenet.evaluation.answers import LevelMasks, PhotoAnswers, TapModel
from tracenet.evaluation.evaluate import score_photo
from tracenet.evaluation.models import BundleReplay, FullNet
from tracenet.evaluation.protocol import Tap, TapProtocol, drawn_taps
from tracenet.evaluation.regions import RegionReplay
from tracenet.evaluation.scores import InstanceScore, PhotoScore
from tracenet.model import LEVELS, untrained_network
from tracenet_runtime import TapSegmenter
from tracenet_runtime.errors import BundleError
from tracenet_runtime.image.canvas import Canvas

Mask = npt.NDArray[np.bool_]


def answers_of(model: TapModel, photo: npt.NDArray[np.uint8], taps: list[Tap]) -> list[LevelMasks]:
    return list(model.open(photo, "photo").every_level(taps))


def evaluate(
    model: TapModel, photos: Scenes, protocol: TapProtocol
) -> list[PhotoScore[InstanceScore]]:
    return [
        score_photo(model, index, example, taps)
        for index, (example, taps) in enumerate(drawn_taps(photos, protocol))
    ]


# How a photo is scored


class FakeModel:
    """Answers every tap from the instance under it, shifted; notes what it was asked."""

    def __init__(self, photos: Scenes, shifts: Sequence[int], chosen: int, *, many: bool) -> None:
        self.photos, self.shifts, self.chosen, self.many = photos, shifts, chosen, many
        self.computed = "fake"
        self.all_levels: list[Tap] = []
        self.one_level: list[Tap] = []
        self.example: AnnotatedPhoto | None = None

    def open(self, photo: npt.NDArray[np.uint8], name: str) -> PhotoAnswers:
        (self.example,) = [e for e in self.photos if e.photo is photo]  # type: ignore[attr-defined]
        return self

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        self.all_levels += taps
        for tap in taps:
            names = tuple(f"level {n}" for n in range(len(self.shifts)))
            yield LevelMasks(names, tuple(self._masks(tap)), self.chosen)

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Mask]:
        self.one_level += taps
        for tap in taps:
            yield self._masks(tap)[self.chosen]

    def _masks(self, tap: Tap) -> list[Mask]:
        assert self.example is not None
        (truth,) = [mask for mask in self.example.masks if mask[tap[1], tap[0]]]
        return [np.roll(truth, shift, axis=1) for shift in self.shifts]


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
    scores = evaluate(
        FakeModel(photos, [0], 0, many=False), photos, TapProtocol(taps=4, scored_canvas=128)
    )
    assert [len(score.instances) for score in scores] == [len(example.masks) for example in photos]  # type: ignore[attr-defined]
    for score in scores:
        example = photos[score.index]
        assert score.photo == example.name
        for instance, about, mask in zip(
            score.instances, example.instances, example.masks, strict=True
        ):
            assert (instance.instance, instance.area) == (about.id, mask.sum())
            assert instance.above is None
            assert len(instance.taps) == 4
            assert all(mask[tap.y, tap.x] and tap.iou == 1.0 for tap in instance.taps)
            assert all(tap.oracle is None and tap.level == "level 0" for tap in instance.taps)


@pytest.mark.parametrize(
    ("shift", "ignore_from", "expected"),
    [(0, None, 1.0), (4, None, 28 / 36), (16, None, 16 / 48), (32, None, 0.0), (16, 56, 16 / 40)],
)
def test_a_shifted_mask_scores_what_it_should(
    shift: int, ignore_from: int | None, expected: float
) -> None:
    # A thing of 32 x 32 on columns 16 to 47; from 56 on, with ignore, nobody knows.
    photos = Scenes([square_scene(64, 32, ignore_from)])
    model = FakeModel(photos, [shift], 0, many=True)
    (score,) = evaluate(model, photos, TapProtocol(taps=3))
    assert [tap.iou for tap in score.instances[0].taps] == pytest.approx([expected] * 3)


def test_the_oracle_takes_the_best_level() -> None:
    photos = Scenes([square_scene(64, 32)])
    model = FakeModel(photos, [16, 0, 4], 2, many=False)
    (score,) = evaluate(model, photos, TapProtocol(taps=2))
    for tap in score.instances[0].taps:
        assert (tap.level, tap.iou, tap.oracle) == ("level 2", pytest.approx(28 / 36), 1.0)


@pytest.mark.parametrize(
    ("many", "size", "shift", "above"),
    [(True, 31, 1, 31**2), (True, 31, 31, 0), (True, 32, 1, None), (False, 31, 1, None)],
)
def test_all_pixels_of_small_instances(
    many: bool, size: int, shift: int, above: int | None
) -> None:
    photos = Scenes([square_scene(64, size)])
    model = FakeModel(photos, [0, shift], 1, many=many)
    (score,) = evaluate(model, photos, TapProtocol(taps=5))
    assert score.instances[0].above == above
    assert len(model.all_levels) == 5
    rows, columns = np.nonzero(photos[0].masks[0])
    every = set(zip(columns.tolist(), rows.tolist(), strict=True))
    assert set(model.one_level) == (set() if above is None else every)
    assert len(model.one_level) in (0, size**2)


# Our own networks


def test_fullnet_and_replay_agree(small: SmallExport) -> None:
    photo = make_scene(100, 140).photo
    taps = [(0, 0), (139, 99), (70, 50), (33, 71)]
    full = FullNet(small.source.network, Canvas(*CANVAS, small.source.network.pad_value))
    segmenter = TapSegmenter.load(small.folder, threads=1, schedule="all")
    replay = BundleReplay(segmenter.viewer, segmenter.strategy)
    pairs = zip(taps, answers_of(full, photo, taps), answers_of(replay, photo, taps), strict=True)
    for tap, whole, windowed in pairs:
        assert whole.levels == windowed.levels == tuple(level.name for level in LEVELS)
        assert whole.chosen == windowed.chosen
        result = segmenter.tap(photo, tap)
        assert result.level == windowed.levels[windowed.chosen]
        assert (result.mask == windowed.masks[windowed.chosen]).all()
        for mask, cut in zip(whole.masks, windowed.masks, strict=True):
            assert mask.shape == cut.shape == photo.shape[:2]
            # A window only takes away, but for pixels at 0.5 and at its rim.
            assert np.count_nonzero(cut & ~mask) <= 0.01 * mask.size
    assert not replay.open(photo, "").many
    assert replay.open(photo, "").computed == f"all on {CANVAS[0]} x {CANVAS[1]}"


@pytest.mark.parametrize(
    ("schedule", "canvas"), [("warm", WARM_CANVAS), ("full", CANVAS), ("P3", OPEN_CANVAS)]
)
def test_what_a_schedule_answers(
    small: SmallExport, schedule: str, canvas: tuple[int, int]
) -> None:
    """FullNet's masks of the asked levels: whole, or for P3 cut to their window."""
    photo = make_scene(90, 140, seed=4).photo
    taps = [(0, 0), (139, 89), (70, 50), (71, 50)]
    full = FullNet(small.source.network, Canvas(*canvas, small.source.network.pad_value))
    segmenter = TapSegmenter.load(small.folder, threads=1, schedule=schedule)
    replay = BundleReplay(segmenter.viewer, segmenter.strategy)
    answers = answers_of(replay, photo, taps)
    for whole, answer in zip(answers_of(full, photo, taps), answers, strict=True):
        asked = whole.masks[:1] if schedule == "P3" else whole.masks
        assert len(answer.masks) == len(asked)
        assert answer.chosen == (0 if schedule == "P3" else whole.chosen)
        for mask, expected in zip(answer.masks, asked, strict=True):
            if schedule != "P3":
                assert np.count_nonzero(mask != expected) <= 1 + mask.size // 1000
            assert np.count_nonzero(mask & ~expected) <= 0.01 * mask.size
    opened = replay.open(photo, "photo")
    assert opened.many == (schedule in ("warm", "full"))
    for mask, answer in zip(opened.chosen_level(taps), answers, strict=True):
        assert (mask == answer.masks[answer.chosen]).all()


def test_a_canvas_that_is_asked_for(small: SmallExport) -> None:
    photo = make_scene(30, 40).photo
    segmenter = TapSegmenter.load(small.folder, threads=1, schedule="P3", canvas=(128, 1152))
    (answer,) = answers_of(BundleReplay(segmenter.viewer, segmenter.strategy), photo, [(5, 5)])
    assert answer.masks[0].shape == (30, 40)
    with pytest.raises(BundleError, match="does not serve a canvas of 256 x 1152"):
        TapSegmenter.load(small.folder, threads=1, schedule="P3", canvas=(256, 1152))


def test_a_zoom_answers_with_what_it_gives_users(tmp_path: Path) -> None:
    rule = {
        "kind": "zoom", "first": 0, "tile": 0, "extent": 40, "enlarge": 4, "gain": 0.1,
        "inside": 0.8, "trust": 0.7,
    }  # fmt: skip
    segmenter = TapSegmenter.load(write_tiny_bundle(tmp_path / "bundle", rule), threads=1)
    photo = random_photo(2, 300, 400)
    taps = [(10, 20), (399, 150)]
    opened = BundleReplay(segmenter.viewer, segmenter.strategy).open(photo, "photo")
    assert not opened.many
    for tap, levels, chosen in zip(
        taps, opened.every_level(taps), opened.chosen_level(taps), strict=True
    ):
        mask = segmenter.tap(photo, tap).mask
        np.testing.assert_array_equal(levels.masks[levels.chosen], mask)
        np.testing.assert_array_equal(chosen, mask)
        assert len(levels.levels) > 1
        for name, other in zip(levels.levels, levels.masks, strict=True):
            np.testing.assert_array_equal(other, segmenter.tap(photo, tap, level=name).mask)


def test_many_taps_at_once_are_as_one_by_one() -> None:
    photo = make_scene(60, 60).photo
    taps = [(x, y) for x in range(0, 60, 5) for y in range(0, 60, 7)]
    assert len(taps) > 80
    network = untrained_network("mobilenetv2-fpn")
    opened = FullNet(network, Canvas(128, 128, network.pad_value)).open(photo, "photo")
    assert opened.many
    together = list(opened.every_level(taps))
    chosen = list(opened.chosen_level(taps))
    assert len(together) == len(chosen) == len(taps)
    for index in (0, 15, 16, 79, 80, len(taps) - 1):
        (alone,) = opened.every_level([taps[index]])
        assert alone.chosen == together[index].chosen
        for a, b in zip(alone.masks, together[index].masks, strict=True):
            assert np.count_nonzero(a != b) <= 2
    for mask, answer in zip(chosen, together, strict=True):
        assert np.count_nonzero(mask != answer.masks[answer.chosen]) <= 2


def test_the_replay_by_regions_is_fullnet_within_its_windows() -> None:
    network = untrained_network("mobilenetv2-fpn")
    canvas = Canvas(128, 256, network.pad_value)
    photo = make_scene(128, 256).photo
    taps = [(0, 0), (255, 127), (131, 40)]
    full, opened = FullNet(network, canvas), RegionReplay(network, canvas).open(photo, "photo")
    assert not opened.many
    x, y = np.arange(256), np.arange(128)[:, None]
    answers = list(opened.every_level(taps))
    for tap, whole, cut, chosen in zip(
        taps, answers_of(full, photo, taps), answers, opened.chosen_level(taps), strict=True
    ):
        assert (whole.levels, whole.chosen) == (cut.levels, cut.chosen)
        assert np.count_nonzero(chosen != cut.masks[cut.chosen]) <= 2
        for level, expected, mask in zip(LEVELS, whole.masks, cut.masks, strict=True):
            reach = level.size_of_interest
            inside = (abs(x - tap[0]) <= reach) & (abs(y - tap[1]) <= reach)
            assert np.count_nonzero((mask != expected) & inside) <= 2
            beyond = (abs(x - tap[0]) >= reach + 8) | (abs(y - tap[1]) >= reach + 8)
            assert not (mask & beyond).any()
    assert any(mask.any() for answer in answers for mask in answer.masks)


# Outside models


def test_an_outside_model(tmp_path: Path) -> None:
    file = tmp_path / "my_model.py"
    file.write_text(
        "def segment(image, tap):\n    return (image == image[tap[1], tap[0]]).all(axis=-1)\n"
    )
    photos = Scenes([make_scene(90, 120)])
    model = OutsideModel.load(f"{file}:segment")
    (score,) = evaluate(model, photos, TapProtocol(taps=3))
    assert score.computed == f"{file}:segment"
    for instance in score.instances:
        assert instance.above is None  # asked for the drawn taps alone
        for tap in instance.taps:
            assert (tap.iou, tap.oracle, tap.level) == (1.0, None, None)


def test_an_outside_model_as_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_model_module.py").write_text("def segment(image, tap): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["elsewhere"])
    with pytest.raises(AdapterError, match="gave NoneType for the tap"):
        answers_of(
            OutsideModel.load("their_model_module:segment"), np.zeros((4, 6, 3), np.uint8), [(0, 0)]
        )


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("my_model.py", "names no callable; give my_module:segment or my_model.py:segment"),
        (":segment", "names no callable"),
        ("nowhere.py:segment", "nowhere.py does not exist"),
        ("no_such_module_of_ours:segment", "cannot be imported: ModuleNotFoundError"),
        ("json:segment", "json has no callable 'segment'"),
        ("broken.py:segment", r"broken.py cannot be imported: ValueError: no weights .*, line 1"),
        ("script.py:segment", r"script.py cannot be imported: SystemExit: usage .*, line 1"),
    ],
)
def test_outside_models_that_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, said: str
) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('no weights')\n")
    (tmp_path / "script.py").write_text("raise SystemExit('usage')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdapterError, match=said):
        OutsideModel.load(where)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((4, 6)), "gave float64 4 x 6 for the tap"),
        (np.zeros((6, 4), np.bool_), "gave bool 6 x 4"),
        ([[True]], "gave list"),
        (None, "gave NoneType"),
    ],
)
def test_answers_that_are_no_masks(given: object, said: str) -> None:
    model = OutsideModel("theirs", lambda image, tap: given)
    with pytest.raises(AdapterError, match=rf"{said}.*it must give a numpy bool array, 4 x 6"):
        answers_of(model, np.zeros((4, 6, 3), np.uint8), [(0, 0)])


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_model_that_fails(kind: type[BaseException]) -> None:
    def segment(image: object, tap: object) -> Mask:
        raise kind("out of luck\nand more")

    with pytest.raises(
        AdapterError,
        match=rf"theirs failed for the tap \(1, 2\) on photo: {kind.__name__}: out of luck",
    ):
        answers_of(OutsideModel("theirs", segment), np.zeros((4, 6, 3), np.uint8), [(1, 2)])


def test_a_model_that_draws_on_the_photo() -> None:
    def segment(image: npt.NDArray[np.uint8], tap: Tap) -> Mask:
        image[tap[1], tap[0]] = 255
        return image[..., 0] == 255

    photo = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(AdapterError, match=r"theirs failed .*read-only"):
        answers_of(OutsideModel("theirs", segment), photo, [(1, 2)])
    assert photo.flags.writeable


SEGMENT_ANYTHING = """
import numpy as np

def _vit_b(checkpoint):
    return checkpoint

sam_model_registry = {"vit_b": _vit_b}
encoded = []

class SamPredictor:
    def __init__(self, model):
        pass

    def set_image(self, image):
        encoded.append(image)

    def predict(self, point_coords, point_labels, multimask_output):
        (x, y), (label,) = point_coords.astype(float)[0], point_labels
        colour = encoded[-1][int(y), int(x)]
        mask = (encoded[-1] == colour).all(-1)
        return mask[None], np.ones(1), np.zeros((1, 256, 256))
"""


def test_the_model_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "documented_model.py").write_text(example)
    (tmp_path / "segment_anything.py").write_text(SEGMENT_ANYTHING)  # found beside the model
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, "segment_anything", raising=False)
    photos = Scenes([make_scene(90, 120, seed) for seed in range(2)])
    model = OutsideModel.load(f"{tmp_path}/documented_model.py:segment")
    scores = evaluate(model, photos, TapProtocol(taps=3))
    assert all(tap.iou == 1 for score in scores for one in score.instances for tap in one.taps)
    assert len(sys.modules["segment_anything"].encoded) == 2  # each photo once
    monkeypatch.delitem(sys.modules, "segment_anything")
