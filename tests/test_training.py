"""Training: its losses, its schedule, and runs that stop, go on and end the same."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from scenes import TINY, Scenes, make_scene, scene_map, write_folder
from torch import Tensor, nn

from tracenet.data import Augmentation, DataError, Recipe, StepDataset, TapBatch
from tracenet.data.taps import NOTHING
from tracenet.model import LEVELS, TraceNet, load_checkpoint, save_checkpoint
from tracenet.model.network import HeadOutputs
from tracenet.model.score import tap_score
from tracenet.training import cli, state
from tracenet.training.loop import (
    Schedule,
    averaged_network,
    freeze_early_layers,
    learning_rate_factor,
    parameter_groups,
    train,
)
from tracenet.training.losses import (
    TapLoss,
    box_loss,
    choice_loss,
    dice_loss,
    level_choice,
    level_target,
    level_weights,
    mask_iou,
    near_bce,
)
from tracenet.training.state import TrainingError

RECIPE = Recipe(
    pixels=2 * 64 * 64,
    canvas_sizes=(64,),
    taps_per_megapixel=1000,
    augmentation=Augmentation((48, 96), 0.1),
)
SCHEDULE = Schedule(steps=6, learning_rate=3e-3, warmup=2, save_every=4)
SCENES = [make_scene(60, 80, seed) for seed in range(3)]


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    """Every run chooses its precision, as in a process of its own; one thread repeats exactly."""
    torch.set_num_threads(1)
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def tiny_network(seed: int = 0) -> TraceNet:
    torch.manual_seed(seed)
    return TraceNet(TINY)


def run(
    out: Path, *, resume: bool = False, schedule: Schedule = SCHEDULE, **changes: Any
) -> dict[str, Any]:
    arguments = {
        "network": tiny_network(),
        "photos": Scenes(SCENES),
        "recipe": RECIPE,
        "schedule": schedule,
        "out": out,
        "resume": resume,
        "precision": "no",
        "workers": 0,
    }
    return train(**arguments | changes)  # type: ignore[arg-type]


def saved_step(out: Path) -> int:
    return int(json.loads((out / "state" / "run.json").read_text())["step"])


def before_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    """Do something while the batch of a step (from 0) is loaded."""
    load = StepDataset.__getitem__

    def acting(self: StepDataset, at: int) -> TapBatch:
        if at == step:
            action()
        return load(self, at)

    monkeypatch.setattr(StepDataset, "__getitem__", acting)


def same_tensors(one: Path, two: Path) -> bool:
    first, second = load_file(one), load_file(two)
    return set(first) == set(second) and all(
        torch.equal(tensor, second[name]) for name, tensor in first.items()
    )


# Losses


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
    losses = TapLoss(oracle)(batch)  # type: ignore[arg-type]
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
    losses = TapLoss(oracle)(batch)  # type: ignore[arg-type]
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
    assert TapLoss(oracle)(batch)["level"] < 1e-4  # type: ignore[arg-type]
    moved = dataclasses.replace(batch, taps=torch.tensor([[40, 70]]))
    assert TapLoss(oracle)(moved)["level"] > 0.5  # type: ignore[arg-type]


def test_the_level_that_answers_is_trained_even_if_it_is_the_wrong_one() -> None:
    oracle, batch = oracle_and_batch()
    batch = dataclasses.replace(batch, level=torch.tensor([0]), reach=torch.tensor([20.0]))
    oracle.filters[3][:, 168] = -30  # a bad mask, of a level three octaves too coarse
    for level, maps in enumerate(oracle.class_logits):
        maps.fill_(30.0 if level == 0 else -30.0)
    assert TapLoss(oracle)(batch)["mask"] < 1e-4  # type: ignore[arg-type]
    oracle.class_logits[3].fill_(30.0)
    assert TapLoss(oracle)(batch)["mask"] > 0.5  # type: ignore[arg-type]


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
    assert float(loss) == pytest.approx(0.6 - float((choice * iou).sum()))
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
    batch = StepDataset(Scenes(SCENES), RECIPE, network.pad_value, 0)[0]
    assert (batch.level == NOTHING).any()
    losses = TapLoss(network).train()(batch)
    losses["total"].backward()
    assert not losses["iou"].requires_grad
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert name.startswith("backbone.") or parameter.grad.any(), name


# The schedule


def test_learning_rate() -> None:
    schedule = Schedule(steps=1000, warmup=100, decay=0.3)
    factors = [learning_rate_factor(step, schedule) for step in range(1001)]
    assert factors[0] == 0.01
    assert factors[49] == 0.5
    assert all(factor == 1 for factor in factors[99:701])
    assert all(earlier > later for earlier, later in pairwise(factors[700:]))
    assert factors[850] == pytest.approx(0.505)
    assert factors[1000] == pytest.approx(0.01)
    assert learning_rate_factor(9999, schedule) == pytest.approx(0.01)
    assert learning_rate_factor(0, Schedule(steps=1, warmup=0)) == 1


def test_averaged_network() -> None:
    network = tiny_network()
    averaged = averaged_network(network, Schedule(steps=1, average=0.2))
    expected = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    # The first update copies; early on 2 / 11 is less than 0.2, and the third time 0.2 is less.
    for decay in (0.0, 2 / 11, 0.2):
        for tensor in network.state_dict().values():
            tensor.add_(1 if tensor.dtype == torch.int64 else torch.rand_like(tensor))
        averaged.update_parameters(network)
        for name, tensor in network.state_dict().items():
            old = expected[name]
            expected[name] = (
                tensor.clone() if tensor.dtype == torch.int64 else old.lerp(tensor, 1 - decay)
            )
    assert set(averaged.module.state_dict()) == set(expected)
    for name, tensor in averaged.module.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    assert any("running_mean" in name for name in expected)


def test_parameter_groups() -> None:
    network = tiny_network()
    freeze_early_layers(network)
    schedule = Schedule(steps=1, learning_rate=1.0, trunk_factor=0.25, weight_decay=0.5)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    seen = set()
    for group in parameter_groups(network, schedule):
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.add(name)
            assert group["lr"] == (0.25 if name.startswith("backbone.") else 1.0)
            assert group["weight_decay"] == (0.5 if parameter.ndim > 1 else 0.0)
    frozen = set(names.values()) - seen
    assert {name.split(".")[2] for name in frozen} == {"0", "1", "2", "3"}  # to stride 4
    assert all(name.startswith("backbone.features.") for name in frozen)


# Runs


def test_training_learns(tmp_path: Path) -> None:
    schedule = Schedule(steps=15, learning_rate=5e-3, warmup=2, save_every=100)
    photos = Scenes(SCENES[:1])
    batch = StepDataset(photos, RECIPE, (128, 128, 128), 99)[0]
    network = tiny_network()
    before = TapLoss(tiny_network()).train()(batch)
    summary = run(tmp_path, schedule=schedule, network=network, photos=photos)
    after = TapLoss(network).train()(batch)
    assert after["total"] < 0.85 * before["total"]
    assert after["mask"] < before["mask"]

    assert summary["steps"] == 15
    names = {"mask", "box", "level", "quality", "choice", "total", "iou"}
    assert set(summary["losses"]) == names
    trained = load_checkpoint(tmp_path / "network.safetensors")
    assert trained.config == TINY
    # What is left behind is the average, which lags behind the weights.
    assert not torch.equal(trained.heads.box.weight, network.heads.box.weight)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "log.jsonl",
        "network.json",
        "network.safetensors",
        "state",
    ]


def test_resuming_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(whole)["steps"] == 6
    with monkeypatch.context() as patch:
        before_step(patch, 3, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(parts)
    assert saved_step(parts) == 3
    assert load_checkpoint(parts / "network.safetensors").config == TINY
    assert not same_tensors(whole / "network.safetensors", parts / "network.safetensors")
    rate = torch.load(parts / "state" / "optimizer.bin")["param_groups"][0]["lr"]
    trunk = SCHEDULE.learning_rate * SCHEDULE.trunk_factor
    assert rate == pytest.approx(trunk * learning_rate_factor(3, SCHEDULE))

    torch.manual_seed(123)
    np.random.seed(123)
    summary = run(parts, resume=True, network=tiny_network(seed=9))
    assert summary["steps"] == 6
    assert same_tensors(whole / "network.safetensors", parts / "network.safetensors")
    assert same_tensors(whole / "state/model.safetensors", parts / "state/model.safetensors")
    logged = [json.loads(line) for line in (parts / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged] == [3, 4, 6]
    logged = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged] == [4, 6]
    assert all(math.isfinite(record["total"]) for record in logged)

    # A run that is over stays as it is.
    assert run(parts, resume=True)["steps"] == 6
    assert same_tensors(whole / "network.safetensors", parts / "network.safetensors")


def test_ctrl_c_waits_for_the_end_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    step = torch.optim.AdamW.step
    calls = 0

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts")
    assert calls == 2
    assert saved_step(tmp_path / "parts") == 2
    assert signal.getsignal(signal.SIGINT) is handler
    assert "stopping after this step" in capsys.readouterr().err
    run(tmp_path / "parts", resume=True)
    run(tmp_path / "whole")
    assert same_tensors(
        tmp_path / "parts" / "network.safetensors", tmp_path / "whole" / "network.safetensors"
    )


def test_a_second_ctrl_c_stops_at_once_and_keeps_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def interrupted(*arguments: Any, **keywords: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, schedule=dataclasses.replace(SCHEDULE, save_every=1))
    assert saved_step(tmp_path) == 1


def test_training_outside_the_main_thread(tmp_path: Path) -> None:
    results = []
    schedule = dataclasses.replace(SCHEDULE, steps=1)
    thread = threading.Thread(target=lambda: results.append(run(tmp_path, schedule=schedule)))
    thread.start()
    thread.join()
    assert results[0]["steps"] == 1


def test_a_damaged_photo_ends_the_run_but_not_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_step(monkeypatch, 2, lambda: (_ for _ in ()).throw(DataError("photo 7 is damaged")))
    # With a worker process, whose traceback must not become the message.
    with pytest.raises(DataError, match=r"^photo 7 is damaged$"):
        run(tmp_path, workers=1)
    assert saved_step(tmp_path) == 2


def test_workers_change_nothing(tmp_path: Path) -> None:
    schedule = dataclasses.replace(SCHEDULE, steps=2)
    run(tmp_path / "none", schedule=schedule)
    run(tmp_path / "two", schedule=schedule, workers=2)
    assert same_tensors(
        tmp_path / "none" / "network.safetensors", tmp_path / "two" / "network.safetensors"
    )


def test_a_loss_that_is_not_finite_does_not_replace_the_state(tmp_path: Path) -> None:
    schedule = Schedule(steps=4, learning_rate=1e30, warmup=1, save_every=1)
    with pytest.raises(TrainingError, match="the loss of step 2 is not finite; lower"):
        run(tmp_path, schedule=schedule)
    assert saved_step(tmp_path) == 1


def test_half_precision(tmp_path: Path) -> None:
    schedule = dataclasses.replace(SCHEDULE, steps=2)
    recipe = dataclasses.replace(RECIPE, canvas_sizes=(160,))
    summary = run(tmp_path, schedule=schedule, recipe=recipe, precision="bf16")
    assert math.isfinite(summary["losses"]["total"])
    tensors = load_file(tmp_path / "network.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int64}


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="has fp16"
)
def test_precision_that_is_not_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="precision fp16 is not to be had here: "):
        run(tmp_path, precision="fp16")
    assert not list(tmp_path.iterdir())


def test_frozen_layers_stay_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = TraceNet(dataclasses.replace(TINY, backbone="resnet50"))
    freeze_early_layers(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run(tmp_path, network=network, schedule=Schedule(steps=1, warmup=0))
    early = ("backbone.conv1.", "backbone.bn1.", "backbone.layer1.")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(early), name


# A run's folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    torch.set_num_threads(1)
    run(out, schedule=dataclasses.replace(SCHEDULE, steps=1))
    return out


def test_refuses_what_does_not_fit_the_folder(finished: Path, tmp_path: Path) -> None:
    one_step = dataclasses.replace(SCHEDULE, steps=1)
    with pytest.raises(TrainingError, match="already holds a run; give --resume"):
        run(finished, schedule=one_step)
    with pytest.raises(TrainingError, match="holds no run to resume; leave --resume out"):
        run(tmp_path, resume=True)
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(TrainingError, match=r"file/run cannot be written"):
        run(blocked / "run")

    weighted = Scenes(SCENES)
    weighted.weights[0] = 2
    other_network = TraceNet(dataclasses.replace(TINY, tower_depth=2))
    for schedule, changes, named in (
        (dataclasses.replace(one_step, steps=2, seed=1), {}, "steps, seed"),
        (one_step, {"recipe": dataclasses.replace(RECIPE, pixels=64 * 64)}, "pixels"),
        (one_step, {"photos": weighted}, "photos"),
        (one_step, {"network": other_network}, "network"),
        (one_step, {"precision": "bf16"}, "precision"),
    ):
        AcceleratorState._reset_state(True)
        with pytest.raises(TrainingError, match=f"started with another {named}; give the same"):
            run(finished, resume=True, schedule=schedule, **changes)
    AcceleratorState._reset_state(True)
    assert run(finished, resume=True, schedule=one_step)["steps"] == 1


def test_resuming_with_other_frozen_layers_or_damaged_files(tmp_path: Path, finished: Path) -> None:
    one_step = dataclasses.replace(SCHEDULE, steps=1)
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    frozen = tiny_network()
    freeze_early_layers(frozen)
    with pytest.raises(TrainingError, match="was the run started with --trunk or --init"):
        run(out, resume=True, schedule=one_step, network=frozen)
    good = (out / "state" / "run.json").read_text()
    for text in ("", "[]", "{}", '{"step": 1, "schedule": 3}'):
        (out / "state" / "run.json").write_text(text)
        with pytest.raises(TrainingError, match=r"run\.json is damaged"):
            run(out, resume=True, schedule=one_step)
    (out / "state" / "run.json").write_text(good)
    for name in ("optimizer.bin", "model.safetensors"):
        data = (out / "state" / name).read_bytes()
        (out / "state" / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(TrainingError, match="state is damaged or does not fit") as caught:
            run(out, resume=True, schedule=one_step)
        assert "\n" not in str(caught.value)


def test_resumes_runs_that_recorded_less(finished: Path, tmp_path: Path) -> None:
    one_step = dataclasses.replace(SCHEDULE, steps=1)
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    path = out / "state" / "run.json"
    record = json.loads(path.read_text())
    del record["inputs"]
    path.write_text(json.dumps(record))
    assert run(out, resume=True, schedule=one_step)["steps"] == 1


def test_a_save_that_was_killed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = dataclasses.replace(SCHEDULE, save_every=1, steps=3)
    rename = Path.rename

    class Killed(BaseException):
        pass

    def killed(self: Path, target: Path) -> Path:
        if self.name == "state.partial" and (tmp_path / "network.safetensors").exists():
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(Killed):
            run(tmp_path, schedule=every)
    assert not (tmp_path / "state").exists()
    with pytest.raises(TrainingError, match="already holds a run"):
        run(tmp_path, schedule=every)
    assert saved_step(tmp_path) == 1
    assert run(tmp_path, schedule=every, resume=True)["steps"] == 3
    assert saved_step(tmp_path) == 3
    assert not list(tmp_path.glob("state.*"))


def test_a_full_disk_is_an_error_of_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save_checkpoint", full)
    with pytest.raises(TrainingError, match=r"cannot be written: .*No space left"):
        run(tmp_path, schedule=dataclasses.replace(SCHEDULE, steps=1))
    assert saved_step(tmp_path) == 1


# The command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maps = [scene_map(60, 80, seed) for seed in range(3)]
    return write_folder(tmp_path_factory.mktemp("data") / "photos", maps)


@pytest.fixture
def _tiny_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracenet.model import CONFIGS

    monkeypatch.setitem(CONFIGS, "mobilenetv2-fpn", dataclasses.replace(TINY, name="tiny"))


def arguments(folder: Path, out: Path, *more: str) -> list[str]:
    common = {
        "--data": folder,
        "--out": out,
        "--canvas": 160,
        "--pixels": 160 * 160 / 1e6,
        "--workers": 0,
        "--precision": "no",
        "--steps": 2,
    }
    return [str(part) for pair in common.items() for part in pair] + list(more)


@pytest.mark.usefixtures("_tiny_default")
def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, seed in (("one", "0"), ("two", "0"), ("three", "1")):
        assert cli.main(arguments(folder, tmp_path / out, "--seed", seed)) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["steps"] == 2
        torch.manual_seed(torch.seed() % 2**31)  # the command must seed for itself
    one, two, three = (tmp_path / out / "network.safetensors" for out in ("one", "two", "three"))
    assert same_tensors(one, two)
    assert not same_tensors(one, three)
    assert cli.main(arguments(folder, tmp_path / "one", "--resume")) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2

    assert cli.main(arguments(folder, tmp_path / "one")) == 2
    assert cli.main(arguments(folder, tmp_path / "four", "--init", str(one), "--steps", "1")) == 0
    early, start = load_file(tmp_path / "four" / "network.safetensors"), load_file(one)
    name = "backbone.features.0.0.weight"
    assert torch.equal(early[name], start[name])  # frozen
    capsys.readouterr()
    assert cli.main(arguments(folder, tmp_path / "five", "--init", str(one), "--model", "r50")) == 2
    assert "is a tiny, not a r50; leave --model out" in capsys.readouterr().err


@pytest.mark.usefixtures("_tiny_default")
def test_command_stopped(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for step, advice in ((0, "stopped; nothing is saved yet"), (1, "stopped; --resume goes on")):
        with monkeypatch.context() as patch:
            before_step(patch, step, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
            assert cli.main(arguments(folder, tmp_path / "run")) == 130
        captured = capsys.readouterr()
        assert advice in captured.err
        assert captured.out == ""
    assert cli.main(arguments(folder, tmp_path / "run", "--resume")) == 0


def test_command_refuses_in_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    checkpoint = tmp_path / "net.safetensors"
    save_checkpoint(tiny_network(), checkpoint)
    for line, match in (
        (arguments(tmp_path / "nowhere", out), "index.jsonl does not exist; give"),
        (arguments(folder, out, "--set-weight", "old=1"), "has no set old; its sets are even, odd"),
        (arguments(folder, out, "--model", "r51"), "no network 'r51'; choose one of"),
        (arguments(folder, out, "--trunk", str(tmp_path / "no")), "no does not exist; give"),
        (arguments(folder, out, "--trunk", str(checkpoint)), "has no tensor"),
        (arguments(folder, out, "--init", str(tmp_path / "no")), "no does not exist"),
        (arguments(folder, out, "--resume"), "holds no run to resume"),
    ):
        assert cli.main(line) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("tracenet-train: ")
        assert match in captured.err
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["--steps", "0"],
        ["--steps", "-3"],
        ["--steps", "many"],
        ["--save-every", "0"],
        ["--workers", "-1"],
        ["--seed", "-1"],
        ["--seed", str(2**32)],
        ["--pixels", "0"],
        ["--pixels", "nan"],
        ["--learning-rate", "-0.1"],
        ["--learning-rate", "inf"],
        ["--canvas", "100"],
        ["--canvas", "128"],
        ["--canvas", "-32"],
        ["--canvas", "320,"],
        ["--set-weight", "even"],
        ["--set-weight", "even=x"],
        ["--coco", "a.json", "images"],
        ["--trunk", "a", "--init", "b"],
    ],
)
def test_wrong_command_lines(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments(tmp_path, tmp_path / "out", *wrong))
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_set_weights_need_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--coco", "a.json", "b", "--out", str(tmp_path / "out"), "--set-weight", "a=1"])
    assert "--set-weight needs --data" in capsys.readouterr().err


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, tracenet.training.cli as cli; cli.build_parser().format_help(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_two_processes(folder: Path, tmp_path: Path) -> None:
    """One step of the schedule per step, one line on stdout, one state that can be resumed."""
    out = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--standalone", "-m", "tracenet.training.cli"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}

    def call(*more: str) -> str:
        line = launch + arguments(folder, out, *more)
        return subprocess.run(
            line, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert json.loads(call())["steps"] == 2
    scheduler = torch.load(out / "state" / "scheduler.bin")
    assert scheduler["last_epoch"] == 2
    assert (out / "state" / "random_states_1.pkl").exists()
    load_checkpoint(out / "network.safetensors")
    assert json.loads(call("--resume"))["steps"] == 2
