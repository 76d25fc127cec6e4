"""The propagation network, and its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scenes import TINY, Scenes, make_scene
from test_video_data import write_clips
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from training_fixtures import fresh_accelerate

from tracenet.data import CopyPaste, DataError
from tracenet.data.clips import held_back, open_clips, trained_on
from tracenet.data.video import VideoInputs
from tracenet.evaluation.propagator import TorchPropagation
from tracenet.model import (
    CheckpointError,
    TraceNet,
    build_network,
    load_checkpoint,
    with_fusion,
    with_propagation,
)
from tracenet.model.config import TraceNetConfig
from tracenet.options import DEFAULT_NETWORK
from tracenet.training.loop import train
from tracenet.training.losses.video import bootstrapped_bce, presence_loss
from tracenet.training.optimization import Optimization, freeze_all_but
from tracenet.training.tasks import video
from tracenet.training.tasks.fusion import FusionTask
from tracenet.training.tasks.video import VideoTask
from tracenet_runtime.image.geometry import PlacedTile
from tracenet_runtime.tracking.contract import KEY_CHANNELS, TOP_K, VALUE_CHANNELS
from tracenet_runtime.tracking.memory import CELLS, SLOTS, memory_nbytes
from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.tracking.tile import carried as carried_on_host

PAD = (128, 128, 128)
FINE = dataclasses.replace(TINY, mask_stride=4)
TRACKING = dataclasses.replace(FINE, track_channels=(4, 8, 16, 24))
PHOTOS = Scenes([make_scene(300, 400, seed=seed) for seed in range(3)])
INPUTS = VideoInputs(
    frames_per_step=6, steps=10, copy_paste=CopyPaste(probability=0), interrupted=0, lost=0
)
NAMES = list("abcde")


def network(seed: int = 0, config: TraceNetConfig = TRACKING) -> TraceNet:
    torch.manual_seed(seed)
    return TraceNet(config).eval()


def task_of(root: Path) -> VideoTask:
    clips = open_clips(write_clips(root, NAMES))
    return VideoTask(PHOTOS, trained_on(clips), INPUTS, PAD, held_back(clips))


def learn(
    start: TraceNet, task: VideoTask | FusionTask, out: Path, steps: int, **changes: object
) -> dict:
    arguments = {"seed": 0, "save_every": 99, "score_every": None, "resume": False}
    with fresh_accelerate():
        return train(
            start,
            task,
            Optimization(steps=steps, learning_rate=1e-2, warmup=2),
            out,
            **arguments | changes,  # type: ignore[arg-type]
            precision="no",
            workers=0,
        )


# The network


def test_its_outputs() -> None:
    net = network()
    propagation = net.propagation
    assert propagation is not None
    seen = net.features(torch.zeros(2, 3, 256, 256))
    features = propagation.frame(seen.c1, seen.pyramid, seen.coarse_mask, seen.fine_mask)
    assert [tuple(x.shape[1:]) for x in features] == [
        (4, 128, 128), (8, 64, 64), (16, 32, 32), (24, 16, 16), (64, 16, 16),
    ]  # fmt: skip
    value = propagation.value(features, torch.zeros(2, 2, 64, 64))
    assert value.shape == (2, 128, 16, 16)
    mask, presence = propagation.decoder(features, value, torch.zeros(2, 1, 64, 64))
    assert mask.shape == (2, 1, 128, 128)
    assert presence.shape == (2, 1, 16, 16)


def test_a_network_without_one_gets_one() -> None:
    plain = network(config=FINE)
    tracking = with_propagation(plain)
    assert tracking.propagation is not None
    assert with_propagation(tracking) is tracking
    picture = torch.rand(1, 3, 128, 128) * 255
    for name, values in plain(picture).items():
        assert torch.equal(values, tracking(picture)[name]), name
    with pytest.raises(CheckpointError, match="propagation needs those of stride 4"):
        with_propagation(network(config=TINY))
    with pytest.raises(CheckpointError, match="has no propagation; train one"):
        TorchPropagation(plain)
    assert "track_channels" not in FINE.to_dict()
    for config in (FINE, TRACKING):
        assert TraceNetConfig.from_dict(config.to_dict()) == config
    values = FINE.to_dict() | {"track_channels": [8, 16]}
    with pytest.raises(ValueError, match="track_channels are four numbers"):
        TraceNetConfig.from_dict(values)


def test_budget() -> None:
    """A frame of one thing, features and memory counted: at most 0.9 G multiply-adds."""
    net = with_fusion(with_propagation(build_network(DEFAULT_NETWORK))).eval()
    propagation, fusion = net.propagation, net.fusion
    assert propagation is not None
    assert fusion is not None
    masks = torch.zeros(1, 2, 64, 64)

    def counted(run: Callable[[], Any]) -> tuple[Any, float]:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            result = run()
        return result, counter.get_total_flops() / 2e6

    costs = {}
    seen, costs["features"] = counted(lambda: net.features(torch.zeros(1, 3, 256, 256)))
    parts = seen.c1, seen.pyramid, seen.coarse_mask, seen.fine_mask
    features, costs["frame"] = counted(lambda: propagation.frame(*parts))
    value, costs["value"] = counted(lambda: propagation.value(features, masks))
    _, costs["mask"] = counted(lambda: propagation.decoder(features, value, masks[:, :1]))
    # All slots: similarities, and a mean of TOP_K values, for each cell.
    costs["read"] = CELLS * (SLOTS * CELLS * KEY_CHANNELS + TOP_K * VALUE_CHANNELS) / 1e6
    assert sum(costs.values()) < 900
    # A further thing: a value, a mask and a mean of values more.
    further = costs["value"] + costs["mask"] + CELLS * TOP_K * VALUE_CHANNELS / 1e6
    assert further < 0.2 * sum(costs.values())
    _, costs["fusion"] = counted(lambda: fusion(features, torch.zeros(1, 6, 64, 64)))
    assert costs["fusion"] < 50
    numbers = [sum(p.numel() for p in m.parameters()) for m in (propagation, fusion)]
    assert sum(numbers) < 2.5e6  # 5 MB in fp16
    print({name: round(cost, 1) for name, cost in costs.items()}, numbers, memory_nbytes(1))


# Its training


@given(
    box=st.tuples(*[st.floats(0, 400)] * 4), other=st.tuples(*[st.floats(0, 400)] * 4)
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_masks_are_carried_as_on_the_host(box: tuple[float, ...], other: tuple[float, ...]) -> None:
    rule = FollowRule()

    def placed(b: tuple[float, ...]) -> PlacedTile:
        x0, x1 = sorted(b[:2])
        y0, y1 = sorted(b[2:])
        return rule.tile((500, 500), (x0, y0, x1 + 1, y1 + 1))

    before, now = placed(box), placed(other)
    mask = np.random.default_rng(0).random((64, 64), np.float32)
    tiles = [
        torch.tensor([[float(v.tile[0]), float(v.tile[1]), float(v.tile[2] - v.tile[0])]])
        for v in (before, now)
    ]
    twin = video.carried(torch.from_numpy(mask)[None, None], *tiles)[0, 0]
    np.testing.assert_allclose(twin, carried_on_host(mask, before, now), atol=2e-3)


@given(seed=st.integers(0, 99), share=st.floats(0.05, 1))
@settings(max_examples=30, deadline=None)
def test_the_worst_cells_count(seed: int, share: float) -> None:
    torch.manual_seed(seed)
    logits, target = torch.randn(2, 5, 7) * 3, torch.rand(2, 5, 7) < 0.4
    known = torch.rand(2, 5, 7) < 0.9
    said = bootstrapped_bce(logits, target, known, share)
    for k in range(2):
        losses = [
            float(F.binary_cross_entropy_with_logits(x, t.float())) if w else 0.0
            for x, t, w in zip(
                logits[k].flatten(), target[k].flatten(), known[k].flatten(), strict=True
            )
        ]
        count = 35 if share == 1 else max(1, round(share * 35))
        assert float(said[k]) == pytest.approx(np.mean(sorted(losses)[-count:]), abs=1e-5)


@given(seed=st.integers(0, 99), gone=st.booleans())
@settings(max_examples=30, deadline=None)
def test_presence_is_told_of_every_cell(seed: int, gone: bool) -> None:
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(size=(1, 3, 4)))
    truth = random.random((1, 12, 16)) < (0 if gone else 0.1)
    known = random.random((1, 12, 16)) < 0.97
    said = presence_loss(logits, torch.from_numpy(truth.astype(float)), torch.from_numpy(known))
    shares = {
        (i, j): truth[0, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean()
        for i in range(3)
        for j in range(4)
    }
    there, beside = [], []
    for (i, j), share in shares.items():
        logit = float(logits[0, i, j])
        if share > 0 and share >= max(shares.values()) / 2:
            there.append(np.log1p(np.exp(-logit)))
        elif share == 0 and known[0, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].all():
            beside.append(np.log1p(np.exp(logit)))
    wanted = (sum(there) / max(1, len(there)) + sum(beside) / max(1, len(beside))) / 2
    assert float(said) == pytest.approx(wanted, abs=1e-5)


def test_every_part_learns_and_nothing_else(tmp_path: Path) -> None:
    start = network()
    freeze_all_but(start, start.propagation)
    before = {k: v.clone() for k, v in start.state_dict().items()}
    task = task_of(tmp_path / "clips")
    summary = learn(start, task, tmp_path / "run", 2, score_every=2)
    assert {"total", "bce", "dice", "presence", "iou", "told"} <= summary["losses"].keys()
    assert '"j"' in (tmp_path / "run" / "log.jsonl").read_text()
    trained = load_checkpoint(tmp_path / "run" / "network.safetensors")
    assert trained.config == TRACKING
    for name, values in trained.state_dict().items():
        same = torch.equal(values, before[name])
        # What BatchNorm counts, and the shift before it, may stay.
        if name.startswith("propagation.") and name.endswith(".weight"):
            assert not same, name
        elif not name.startswith("propagation."):
            assert same, name


def test_learning_to_follow(tmp_path: Path) -> None:
    start = network()
    freeze_all_but(start, start.propagation)
    task = task_of(tmp_path / "clips")
    batch = task.dataset(0, 0, 1)[0]
    first = task.loss(start.train(), batch)
    learn(start, task, tmp_path / "run", 40)
    last = task.loss(start.train(), batch)
    assert float(last["total"].detach()) < 0.8 * float(first["total"].detach())
    assert float(last["iou"]) > float(first["iou"]) + 0.1


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="give --clips"):
        VideoTask(PHOTOS, [], INPUTS, PAD).metrics(network())


def test_clips_that_begin_with_nothing_are_not_scored(tmp_path: Path) -> None:
    bare, whole = open_clips(write_clips(tmp_path, ["a", "b"]))
    Image.new("L", (120, 90)).save(bare.maps[0])
    with pytest.raises(DataError, match="shows a thing in its first frame"):
        VideoTask(PHOTOS, [], INPUTS, PAD, [bare]).metrics(network())
    both = VideoTask(PHOTOS, [], INPUTS, PAD, [bare, whole]).metrics(network())
    assert both == VideoTask(PHOTOS, [], INPUTS, PAD, [whole]).metrics(network())
