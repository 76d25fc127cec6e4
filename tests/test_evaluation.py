"""Evaluation: taps, IoU, and tracenet-eval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from export_fixtures import SmallExport
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from scenes import scene_map, write_folder
from tool_checks import assert_one_sentence, run_json

from tracenet.data import FolderDataset
from tracenet.evaluation import cli as eval_cli
from tracenet.evaluation.evaluate import LevelMasks, draw_taps, evaluate
from tracenet.evaluation.metrics import mask_iou, summarise

masks = hnp.arrays(np.bool_, st.tuples(st.just(7), st.just(9)))


@settings(deadline=None)
@given(masks, masks)
def test_iou_is_that_of_pycocotools(one: npt.NDArray[np.bool_], two: npt.NDArray[np.bool_]) -> None:
    runs = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in (one, two)]
    expected = float(coco_mask.iou(runs[:1], runs[1:], [0])[0, 0]) if (one | two).any() else 0.0
    assert mask_iou(one, two, np.zeros_like(one)) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(masks, masks, masks)
def test_ignored_pixels_do_not_count(
    mask: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], unknown: npt.NDArray[np.bool_]
) -> None:
    ignore = unknown & ~truth  # a pixel of an instance map is either
    union = np.count_nonzero((mask | truth) & ~ignore)
    expected = np.count_nonzero(mask & truth) / union if union else 0.0
    assert mask_iou(mask, truth, ignore) == pytest.approx(expected)


class Shifted:
    """Answers with the truth on the second level and an empty mask on the first."""

    def __init__(self, photos: FolderDataset, chosen: int) -> None:
        self.examples = [photos[index] for index in range(len(photos))]
        self.chosen = chosen

    def masks(
        self, photo: npt.NDArray[np.uint8], taps: Sequence[tuple[int, int]]
    ) -> Iterator[LevelMasks]:
        example = next(e for e in self.examples if np.array_equal(e.photo, photo))
        for x, y in taps:
            truth = next(mask for mask in example.masks if mask[y, x])
            yield LevelMasks((np.zeros_like(truth), truth), self.chosen)


def test_evaluation_scores_the_truth_with_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", [scene_map(96, 128, seed) for seed in range(3)])
    photos = FolderDataset(tmp_path / "photos")
    right, wrong = (
        summarise(evaluate(Shifted(photos, chosen), photos, 640, taps=3, seed=0))
        for chosen in (1, 0)
    )
    assert right.miou_t == right.miou_t_oracle_level == right.share_above_0_7 == 1.0
    assert wrong.miou_t == wrong.share_above_0_7 == 0.0
    assert wrong.miou_t_oracle_level == 1.0
    assert right.taps == 3 * right.instances > 0


def test_taps_are_uniform_over_the_mask() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[3, 4], mask[10:12, 20:25] = True, True
    taps = draw_taps(mask, 11_000, np.random.default_rng(0))
    counts = np.zeros(mask.shape)
    for x, y in taps:
        counts[y, x] += 1
    assert not counts[~mask].any()
    assert counts[mask].min() > 850
    assert counts[mask].max() < 1150


def test_eval_of_checkpoint_and_bundle(
    small: SmallExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "photos", [scene_map(96, 128, seed) for seed in range(3)])
    data = ["--data", str(tmp_path / "photos"), "--taps", "1", "--threads", "1"]
    checkpoint = ["--checkpoint", str(small.checkpoint), "--canvas", "128"]
    for what in (checkpoint, ["--bundle", str(small.folder)]):
        report = run_json(eval_cli.main, [*what, *data], capsys)
        assert 0 <= report["miou_t"] <= report["miou_t_oracle_level"] <= 1
        assert 0 <= report["share_above_0.7"] <= 1
        assert report["taps"] == report["instances"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "nowhere"], "does not exist"),
        (["--data", "nowhere", "--bundle", "nowhere"], "nowhere"),
    ],
)
def test_eval_mistakes(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_sentence(eval_cli.main, arguments, expected, capsys)
