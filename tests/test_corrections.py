"""Training of the guided look: its examples, its users, its loss."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import TINY, Scenes, make_scene
from training_fixtures import fresh_accelerate

from tracenet.data.copy_paste import CopyPaste
from tracenet.data.corrections import (
    COARSE,
    GIVEN,
    OWN,
    CorrectionDataset,
    CorrectionInputs,
    carried,
    covered,
    first_tap,
    mistaken,
    perturbed,
)
from tracenet.model import CheckpointError, TraceNet, load_checkpoint, with_guided_look
from tracenet.training.loop import train
from tracenet.training.losses.corrections import normalised_focal_loss, obedience_loss
from tracenet.training.optimization import Optimization, freeze_all_but
from tracenet.training.sessions import OwnMasks, Sessions
from tracenet.training.tasks import corrections
from tracenet.training.tasks.corrections import CorrectionTask

PAD = (128, 128, 128)
PHOTOS = Scenes([make_scene(300, 400, seed=seed) for seed in range(4)])
INPUTS = CorrectionInputs(tiles_per_step=4, copy_paste=CopyPaste(probability=0))
FINE = dataclasses.replace(TINY, mask_stride=4)
GUIDED = dataclasses.replace(FINE, guide_channels=(8, 8, 16, 16))


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:256, :256] + 0.5
    return np.hypot(columns - x, rows - y) < radius


def network(seed: int = 0) -> TraceNet:
    torch.manual_seed(seed)
    return TraceNet(GUIDED).eval()


# Examples


def test_batches_are_a_function_of_seed_and_step() -> None:
    batch, again, other = (CorrectionDataset(PHOTOS, INPUTS, PAD, seed)[3] for seed in (1, 1, 2))
    for name, values in vars(batch).items():
        assert torch.equal(values, vars(again)[name]), name
    assert not torch.equal(batch.image, other.image)
    assert batch.image.shape == (4, 3, 256, 256)
    assert batch.truth.dtype == batch.known.dtype == torch.bool
    assert batch.given.shape == (4, 64, 64)
    assert not (batch.truth & ~batch.known).any()
    for truth, (x, y) in zip(batch.truth, batch.tap.tolist(), strict=True):
        assert truth[y, x]
        assert truth.sum() >= 200


@pytest.mark.parametrize(
    ("kind", "begin"),
    [
        ("own", OWN),
        ("coarse", COARSE),
        ("empty", GIVEN),
        ("wrong", GIVEN),
        ("carried", GIVEN),
        ("mistaken", GIVEN),
    ],
)
def test_each_way_to_begin(kind: str, begin: int) -> None:
    kinds = ("own", "coarse", "empty", "wrong", "perturbed", "carried", "mistaken")
    none = dict.fromkeys(kinds, 0.0)
    batch = CorrectionDataset(PHOTOS, dataclasses.replace(INPUTS, **none | {kind: 1.0}), PAD, 0)[0]
    assert (batch.begin == begin).all()
    assert (batch.given.amax((1, 2)) > 0).any() == (kind in ("wrong", "carried", "mistaken"))
    assert (batch.box[:, 2] > 0).any() == (kind == "empty")


@given(
    x=st.floats(60, 200), y=st.floats(60, 200), radius=st.floats(20, 90), seed=st.integers(0, 999)
)
@settings(max_examples=60, deadline=None)
def test_masks_to_begin_with(x: float, y: float, radius: float, seed: int) -> None:
    truth, random = disc(x, y, radius), np.random.default_rng(seed)
    inside = covered(truth) > 0.5
    moved = perturbed(truth, random)
    iou = ((moved > 0.5) & inside).sum() / ((moved > 0.5) | inside).sum()
    assert 0.3 <= iou <= 1
    assert moved.dtype == np.float32
    cut = carried(inside.astype(np.float32), truth, random)
    assert 0 <= cut.min() <= cut.max() <= 1 + 1e-6
    lost = inside & (cut == 0)
    # What is lost lies beyond a straight line.
    rows, columns = (
        np.flatnonzero(lost.all(1) | ~inside.any(1)),
        np.flatnonzero(lost.all(0) | ~inside.any(0)),
    )
    assert lost.any()
    assert len(rows) or len(columns)
    tap_x, tap_y = first_tap(truth, random)
    assert truth[tap_y, tap_x]


@given(
    x=st.floats(60, 200), y=st.floats(60, 200), radius=st.floats(8, 50), seed=st.integers(0, 999)
)
@settings(max_examples=60, deadline=None)
def test_a_part_too_many_or_too_few(x: float, y: float, radius: float, seed: int) -> None:
    truth, random = disc(x, y, radius), np.random.default_rng(seed)
    others = disc(128, 128, 60) & ~truth
    mask = mistaken(truth, others, random)
    more, fewer = np.count_nonzero(mask & ~truth), np.count_nonzero(truth & ~mask)
    assert mask.any()
    assert (more > 0) != (fewer > 0)
    assert fewer < 0.75 * np.count_nonzero(truth)


def test_coverage_is_a_mean() -> None:
    mask = np.random.default_rng(0).random((16, 8)) < 0.5
    assert covered(mask)[1, 0] == mask[4:8, :4].mean()


# Users


def sessions_on(truth: np.ndarray, random: int = 0) -> Sessions:
    net = network()
    with torch.no_grad():
        features = net.features(torch.zeros(1, 3, 256, 256))
        own = OwnMasks(net.heads(features.pyramid), features, 4)
    known = torch.ones(1, 256, 256, dtype=torch.bool)
    return Sessions(torch.from_numpy(truth)[None], known, own, np.random.default_rng(random))


def test_a_user_taps_what_is_missing_and_what_is_too_much() -> None:
    truth, other = disc(80, 80, 40), disc(190, 190, 30)
    sessions = sessions_on(truth)
    sessions.prior = torch.from_numpy(covered(truth | other))[None]
    sessions.correct([0], deepest=True)
    planes = sessions.planes()[0]
    assert planes[1, 47, 47] == 1  # a negative disk at the other's middle
    assert not planes[0].any()
    assert planes[5].any()  # TraceNet's mask there speaks against
    sessions.prior = torch.zeros(1, 64, 64)
    sessions.correct([0], deepest=True)
    planes = sessions.planes()[0]
    assert planes[0, 19:21, 19:21].min() > 0.6
    assert planes[6, 20, 20] > 0.9  # the newest
    assert planes[1, 47, 47] == 1  # the earlier one is still there


def test_a_mask_to_start_from_says_what_is_meant() -> None:
    given_mask = torch.from_numpy(covered(disc(80, 80, 40)))
    sessions = sessions_on(disc(80, 80, 30))
    sessions.start_from(0, given_mask)
    sessions.prior[0] = given_mask
    sessions.correct([0], deepest=True)
    planes = sessions.planes()[0]
    assert not planes[0].any()  # what is too much was taken away
    assert torch.equal(planes[4], given_mask)


def test_a_mask_that_is_right_is_left_alone() -> None:
    truth = disc(128, 128, 50)
    sessions = sessions_on(truth)
    sessions.tap([0], torch.tensor([[128, 128]]))
    sessions.prior = torch.from_numpy(covered(truth))[None]
    before = sessions.planes()
    for _ in range(30):  # what rounding to cells leaves is soon clicked
        sessions.correct([0], deepest=True)
    wrong = sessions.masks()[0] != sessions.target[0].numpy()
    assert wrong.mean() < 0.01
    assert torch.equal(before[0, 3], sessions.planes()[0, 3])


def test_own_masks_are_those_of_the_level_that_answers() -> None:
    from tracenet.model import LEVELS, answer_taps

    net = network()
    image = torch.rand(1, 3, 256, 256) * 255
    with torch.no_grad():
        features = net.features(image)
        own = OwnMasks(net.heads(features.pyramid), features, 4)
        taps = torch.tensor([[10, 200], [128, 64]])
        score, masks = own(torch.tensor([0, 0]), taps)
        answers = answer_taps(net(image), taps, probability=True)
    best = answers.score.argmax(1)
    assert len(LEVELS) == answers.score.shape[1]
    for tap in range(2):
        assert score[tap] == pytest.approx(float(answers.score[tap, best[tap]]), abs=1e-6)
        wanted = torch.nn.functional.avg_pool2d(answers.mask[tap, best[tap]][None, None], 2)
        assert torch.allclose(masks[tap], wanted[0, 0], atol=1e-5)


# The loss


def test_normalised_focal_loss_by_hand() -> None:
    random = np.random.default_rng(0)
    logits, target, known = random.normal(size=(5, 6)) * 2, *(random.random((2, 5, 6)) < 0.6)
    p = 1 / (1 + np.exp(-logits))
    right = np.where(target, p, 1 - p)[known]
    weight = (1 - right) ** 2
    wanted = 0.5 * (weight * -np.log(right)).sum() / weight.sum()
    loss = normalised_focal_loss(
        torch.from_numpy(logits)[None],
        torch.from_numpy(target)[None],
        torch.from_numpy(known)[None],
    )
    assert float(loss) == pytest.approx(wanted, rel=1e-4)


# Networks with a guided look


def test_a_guided_look_leaves_taps_as_they_are(tmp_path: Path) -> None:
    plain = TraceNet(FINE).eval()
    guided = with_guided_look(plain)
    image = torch.rand(1, 3, 128, 128) * 255
    with torch.no_grad():
        before, after = plain(image), guided(image)
    for name, values in before.items():
        assert torch.equal(values, after[name]), name
    assert {name: after[name].shape[2] for name in after.keys() - before.keys()} == {
        "guide_4": 32,
        "guide_8": 16,
        "guide_16": 8,
        "guide_32": 4,
    }
    assert with_guided_look(guided) is guided
    with pytest.raises(CheckpointError, match="needs those of stride 4"):
        with_guided_look(TraceNet(TINY))


def test_only_the_guided_look_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "SCORED_TILES", 16)
    start = network()
    freeze_all_but(start, start.tile_encoder, start.guided_look)
    frozen = {k: v.clone() for k, v in start.state_dict().items()}
    task = CorrectionTask(PHOTOS, INPUTS, PAD, PHOTOS)
    with fresh_accelerate():
        summary = train(
            start,
            task,
            Optimization(steps=3, learning_rate=3e-3, warmup=1),
            tmp_path,
            seed=0,
            save_every=2,
            score_every=3,
            resume=False,
            precision="no",
            workers=0,
        )
    assert {"iou_begin", "iou_1", "iou_3", "total"} <= summary["losses"].keys()
    trained = load_checkpoint(tmp_path / "network.safetensors")
    assert trained.config.guide_channels
    for name, values in trained.state_dict().items():
        guided = name.startswith(("tile_encoder.", "guided_look."))
        if not guided:
            assert torch.equal(values, frozen[name]), name
    assert not torch.equal(
        trained.state_dict()["guided_look.predict.weight"], frozen["guided_look.predict.weight"]
    )


def test_clicked_cells_count_alone_in_obedience() -> None:
    logits = torch.tensor([[[2.0, -3.0], [0.5, 9.0]], [[4.0, 1.0], [1.0, 1.0]]])
    target = torch.tensor([[[True, False], [False, False]], [[False] * 2] * 2])
    touched = torch.tensor([[[True, False], [True, False]], [[False] * 2] * 2])
    right, wrong = math.log1p(math.exp(-2.0)), math.log1p(math.exp(0.5))
    losses = obedience_loss(logits, target, touched)
    assert losses.tolist() == pytest.approx([(right + wrong) / 2, 0.0])


def test_learning_to_obey(tmp_path: Path) -> None:
    """On a few scenes, a few steps make corrections better than none."""
    start = network()
    freeze_all_but(start, start.tile_encoder, start.guided_look)
    task = CorrectionTask(Scenes([make_scene(300, 400, seed=1)]), INPUTS, PAD)
    batch = task.dataset(7, 0, 1)[0]
    before = float(task.loss(start.train(), batch)["total"].detach())
    with fresh_accelerate():
        train(
            start,
            task,
            Optimization(steps=25, learning_rate=1e-2, warmup=2),
            tmp_path,
            seed=0,
            save_every=50,
            score_every=None,
            resume=False,
            precision="no",
            workers=0,
        )
    assert float(task.loss(start.train(), batch)["total"].detach()) < 0.9 * before
