"""What a training step minimises."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scenes import Scenes
from torch import Tensor, nn
from training_fixtures import INPUTS, SCENES, tiny_network

from tracenet.data import TapBatch, TapDataset
from tracenet.data.taps import NOTHING
from tracenet.model import CONFIGS, LEVELS
from tracenet.model.network import HeadOutputs
from tracenet.model.score import tap_score
from tracenet.training.losses.boxes import box_loss
from tracenet.training.losses.masks import dice_loss, mask_iou, near_bce
from tracenet.training.losses.taps import (
    choice_loss,
    level_choice,
    level_target,
    level_weights,
    tap_losses,
)


def test_level_weights() -> None:
    reach = torch.tensor([1.0, 48, 63, 64, 96, 192, 384, 768, 5000, 96])
    level = torch.tensor([0, 0, 0, 1, 1, 2, 3, 4, 4, NOTHING])
    near, far = 1.5 - (1 - math.log2(63 / 48)), 1.5 - math.log2(64 / 48)
    expected = [
        [1, 0.5, 0, 0, 0],
        [1, 0.5, 0, 0, 0],
        [1, near, 0, 0, 0],
        [1 if far > 1 else far, 1, 0, 0, 0],
        [0.5, 1, 0.5, 0, 0],
        [0, 0.5, 1, 0.5, 0],
        [0, 0, 0.5, 1, 0.5],
        [0, 0, 0, 0.5, 1],
        [0, 0, 0, 0.5, 1],
        [0, 0, 0, 0, 0],
    ]
    torch.testing.assert_close(level_weights(reach, level), torch.tensor(expected))


def test_mask_iou_and_dice_against_numpy() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(5, 8, 6))
    target = random.random((5, 8, 6)) * (random.random((5, 8, 6)) < 0.6)
    known = random.random((5, 8, 6)) < 0.7
    known[4] = False
    tensors = [torch.from_numpy(array) for array in (logits, target, known)]
    iou, dice = mask_iou(*tensors), dice_loss(*tensors)
    for index in range(4):
        predicted, wanted = logits[index] > 0, target[index] > 0.5
        where = known[index]
        overlap = np.sum(predicted & wanted & where)
        assert iou[index] == pytest.approx(overlap / np.sum((predicted | wanted) & where))
        p, t = 1 / (1 + np.exp(-logits[index][where])), target[index][where]
        expected = 1 - 2 * (p @ t) / (p @ p + t @ t + 1e-4)
        assert dice[index] == pytest.approx(expected)
    assert iou[4] == 0
    assert dice[4] == 1


def test_near_bce() -> None:
    target = torch.zeros(1, 16, 16)
    target[0, 4:8, 4:8] = 1
    box = torch.tensor([[16.0, 16, 32, 32]])
    known = torch.ones(1, 16, 16, dtype=torch.bool)
    logits = torch.where(target > 0, 20.0, -20.0)
    assert near_bce(logits, target, known, box) < 1e-6

    # The box, 16 px wide, plus 16, counts twice: 32 px to each side of its centre at 24.
    for row, column, counts in ((0, 0, True), (13, 4, True), (14, 4, False), (4, 15, False)):
        wrong = logits.clone()
        wrong[0, row, column] *= -1
        loss = float(near_bce(wrong, target, known, box))
        assert loss == pytest.approx(20 / 14**2 if counts else 0, abs=1e-6)
    wrong = logits.clone()
    wrong[0, 5, 5] = -20
    known[0, 5, 5] = False
    assert near_bce(wrong, target, known, box) < 1e-6
    assert near_bce(logits, target, torch.zeros_like(known), box) == 0


def test_box_loss() -> None:
    target = torch.tensor([[10.0, 20, 30, 60]])
    weight = torch.tensor([[1.0, 0.5, 0, 0, 0]])
    boxes = target[:, None].repeat(1, 5, 1)
    boxes[:, 2:] = 999  # not counted
    assert box_loss(boxes, target, weight) == pytest.approx(0, abs=1e-6)

    # Apart: IoU 0; the hull is 60 x 40, of which 2 x 800 are covered; sides off by 40 of 40.
    boxes[0, 1] = torch.tensor([50.0, 20, 70, 60])
    apart = 1 + (2400 - 1600) / 2400 + (2 * (1 - 0.05)) / 4
    assert box_loss(boxes, target, weight) == pytest.approx(0.5 * apart / 1.5, rel=1e-5)
    assert box_loss(boxes, target, torch.zeros(1, 5)) == 0
    # Sides the wrong way round are pulled apart again.
    inverted = torch.tensor([[[30.0, 60, 10, 20]] * 5], requires_grad=True)
    box_loss(inverted, target, torch.ones(1, 5)).backward()
    assert inverted.grad is not None
    assert (inverted.grad[0, 0].sign() == torch.tensor([1, 1, -1, -1])).all()


class _Oracle(nn.Module):
    """Says of one tap on a 128 px canvas what is put into it, at every cell."""

    config = dataclasses.replace(CONFIGS["mobilenetv2-fpn"], mask_stride=8)

    def __init__(self, box: list[list[float]], mask_logit: float) -> None:
        super().__init__()
        sizes = [128 // level.stride for level in LEVELS]
        self.class_logits = [torch.full((1, 1, s, s), 30.0) for s in sizes]
        self.quality = [torch.full((1, 1, s, s), 30.0) for s in sizes]
        self.box = [
            torch.tensor(sides).view(1, 4, 1, 1).repeat(1, 1, s, s)
            for sides, s in zip(box, sizes, strict=True)
        ]
        self.filters = [torch.zeros(1, 169, s, s) for s in sizes]
        for filter in self.filters:
            filter[:, 168] = mask_logit  # the last layer's bias

    def predict(self, image: Tensor) -> tuple[HeadOutputs, Tensor]:
        heads = HeadOutputs(self.class_logits, self.quality, self.box, self.filters)
        return heads, torch.zeros(1, 8, 16, 16)


def oracle_and_batch() -> tuple[_Oracle, TapBatch]:
    """A thing that fills the canvas, tapped at (70, 40); every level's answer is perfect."""
    sides = []
    for level in LEVELS:
        x = (70 // level.stride + 0.5) * level.stride
        y = (40 // level.stride + 0.5) * level.stride
        sides.append([d / level.size_of_interest for d in (x, y, 128 - x, 128 - y)])
    batch = TapBatch(
        image=torch.zeros(1, 3, 128, 128, dtype=torch.uint8),
        image_index=torch.tensor([0]),
        taps=torch.tensor([[70, 40]]),
        level=torch.tensor([1]),
        reach=torch.tensor([87.5]),
        box=torch.tensor([[0.0, 0, 128, 128]]),
        mask=torch.ones(1, 32, 32),
        known=torch.ones(1, 32, 32, dtype=torch.bool),
    )
    return _Oracle(sides, 30.0), batch


def test_perfect_predictions_cost_nothing() -> None:
    oracle, batch = oracle_and_batch()
    losses = tap_losses(oracle, batch)  # type: ignore[arg-type]
    assert set(losses) == {"mask", "box", "level", "quality", "choice", "total", "iou"}
    for name, loss in losses.items():
        assert float(loss) == pytest.approx(1 if name == "iou" else 0, abs=1e-4), name


@pytest.mark.parametrize("mistake", ["mask", "box", "level", "quality", "choice"])
def test_every_mistake_costs(mistake: str) -> None:
    oracle, batch = oracle_and_batch()
    if mistake == "mask":
        for filter in oracle.filters:
            filter[:, 168] = -30
    elif mistake == "box":
        oracle.box[1][:, 2] = -0.1
    elif mistake == "level":
        oracle.class_logits[1] *= -1
    elif mistake == "quality":
        oracle.quality[4] *= -1
    else:
        oracle.filters[4][:, 168] = -30  # a bad mask, and its level is chosen once in five times
    losses = tap_losses(oracle, batch)  # type: ignore[arg-type]
    assert losses[mistake] > 0.1
    weights = {"mask": 1.0, "box": 0.5, "level": 2.0, "quality": 0.5, "choice": 1.0}
    total = sum(weight * float(losses[name]) for name, weight in weights.items())
    assert float(losses["total"]) == pytest.approx(total)
    if mistake == "choice":
        assert float(losses["choice"]) == pytest.approx(0.2)
        assert float(losses["iou"]) == pytest.approx(0.8)
    elif mistake != "mask":
        others = [n for n in weights if n != mistake]
        assert all(float(losses[n]) == pytest.approx(0, abs=1e-4) for n in others)


def test_the_loss_looks_at_the_tapped_cell_of_the_tapped_image() -> None:
    oracle, batch = oracle_and_batch()
    for level, maps in zip(LEVELS, oracle.class_logits, strict=True):
        elsewhere = torch.ones_like(maps, dtype=torch.bool)
        elsewhere[0, 0, 40 // level.stride, 70 // level.stride] = False
        maps[elsewhere] = 0
    assert tap_losses(oracle, batch)["level"] < 1e-4  # type: ignore[arg-type]
    moved = dataclasses.replace(batch, taps=torch.tensor([[40, 70]]))
    assert tap_losses(oracle, moved)["level"] > 0.5  # type: ignore[arg-type]


def test_the_level_that_answers_is_trained_even_if_it_is_the_wrong_one() -> None:
    oracle, batch = oracle_and_batch()
    batch = dataclasses.replace(batch, level=torch.tensor([0]), reach=torch.tensor([20.0]))
    oracle.filters[3][:, 168] = -30  # a bad mask, of a level three octaves too coarse
    for level, maps in enumerate(oracle.class_logits):
        maps.fill_(30.0 if level == 0 else -30.0)
    assert tap_losses(oracle, batch)["mask"] < 1e-4  # type: ignore[arg-type]
    oracle.class_logits[3].fill_(30.0)
    assert tap_losses(oracle, batch)["mask"] > 0.5  # type: ignore[arg-type]


def test_level_target_and_choice() -> None:
    iou = torch.tensor([[0.1, 0.6, 0.5, 0.0, 0.6]])
    expected = [math.exp(-5), 1.0, math.exp(-1), math.exp(-6), 1.0]
    torch.testing.assert_close(level_target(iou), torch.tensor([expected]))

    class_logit = torch.tensor([[-2.0, 0.0, 1.0, 3.0, 0.5]], requires_grad=True)
    quality_logit = torch.tensor([[0.0, 1.0, 0.0, -3.0, 2.0]])
    choice = level_choice(class_logit, quality_logit)
    squared = tap_score(class_logit, quality_logit).square()
    torch.testing.assert_close(choice, squared / squared.sum())
    loss = choice_loss(choice, iou)
    assert float(loss.detach()) == pytest.approx(0.6 - float((choice * iou).sum().detach()))
    loss.backward()
    assert class_logit.grad is not None
    assert (class_logit.grad[0, [1, 4]] < 0).all()  # the best levels' scores are to rise
    assert (class_logit.grad[0, [0, 3]] > 0).all()


def test_choice_still_learns_where_the_score_is_nearly_nothing() -> None:
    class_logit = torch.full((1, 5), -60.0, requires_grad=True)
    choice_loss(level_choice(class_logit, torch.zeros(1, 5)), torch.eye(5)[:1]).backward()
    assert class_logit.grad is not None
    assert class_logit.grad[0, 0] < -0.1


def test_gradients_reach_every_parameter() -> None:
    network = tiny_network()
    steps = TapDataset(Scenes(SCENES), INPUTS, network.pad_value, 0)
    batch = next(batch for batch in map(steps.__getitem__, range(20)) if NOTHING in batch.level)
    losses = tap_losses(network.train(), batch)
    losses["total"].backward()
    assert not losses["iou"].requires_grad
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert name.startswith("backbone.") or parameter.grad.any(), name
