"""The fusion network, what it is trained on, and its training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import Scenes, make_scene
from test_propagation import FINE, PAD, TRACKING, learn, network

from tracenet.data import CopyPaste
from tracenet.data.video import VideoBatch, VideoInputs
from tracenet.evaluation.propagator import TorchPropagation
from tracenet.model import CheckpointError, TraceNet, load_checkpoint, with_fusion
from tracenet.model.config import TraceNetConfig
from tracenet.model.fusion import fused
from tracenet.model.propagation import FrameFeatures
from tracenet.training.optimization import freeze_all_but
from tracenet.training.tasks import fusion
from tracenet.training.tasks.fusion import FusionTask, pairs
from tracenet.training.tasks.video import encoded, plane, propagated

FUSING = dataclasses.replace(TRACKING, fusion_channels=8)
PHOTOS = Scenes([make_scene(300, 400, seed=seed) for seed in range(3)])
INPUTS = VideoInputs(
    frames_per_step=8, lengths=(4,), steps=10, copy_paste=CopyPaste(probability=0), perturbed=0.5
)


def test_shares_of_two_masks() -> None:
    old, new = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    assert torch.equal(fused(old, new, torch.full_like(old, -100)), old)
    torch.testing.assert_close(fused(old, new, torch.full_like(old, 100)), new)
    # Where they agree nothing changes.
    torch.testing.assert_close(fused(old, old, torch.randn_like(old)), old)


def test_a_network_without_one_gets_one() -> None:
    tracking = network()
    fusing = with_fusion(tracking)
    assert with_fusion(fusing) is fusing
    for name, values in tracking.state_dict().items():
        assert torch.equal(values, fusing.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="has no propagation, whose masks a fusion merges"):
        with_fusion(network(config=FINE))
    with pytest.raises(ValueError, match="fusion_channels are for a network with track_channels"):
        TraceNetConfig.from_dict(FINE.to_dict() | {"fusion_channels": 8})
    with pytest.raises(CheckpointError, match="has no fusion; train one"):
        TorchPropagation(tracking).fuse(None, np.zeros((6, 64, 64), np.float32))  # type: ignore[arg-type]


def test_pairs_of_propagations() -> None:
    net = network(config=FUSING)
    batch = FusionTask(PHOTOS, [], INPUTS, PAD).dataset(0, 0, 1)[0]
    old, new, planes, features = pairs(net, batch)
    # Two frames between the first and the last, of two clips.
    assert old.shape == new.shape == (4, 1, 128, 128)
    assert planes.shape == (4, 6, 64, 64)
    assert features.fine.shape[0] == 4
    with torch.no_grad():
        frames = encoded(net, batch)
        forth, _ = propagated(net, frames, batch)
    torch.testing.assert_close(old, torch.cat(forth[:2]).sigmoid())
    assert torch.equal(planes[:, :1], plane(old))
    assert torch.equal(planes[:, 1:2], plane(new))
    # Distances to the last frame, which is corrected, and to the first.
    for index, (distance, other) in enumerate([(2 / 3, 1 / 3)] * 2 + [(1 / 3, 2 / 3)] * 2):
        torch.testing.assert_close(planes[index, 4], torch.full((64, 64), distance))
        torch.testing.assert_close(planes[index, 5], torch.full((64, 64), other))
    # What the correction adds is what the true mask has and the old one lacks, a mean of cells.
    truth = torch.nn.functional.avg_pool2d(batch.truth[6:].float()[:, None], 2)
    most = (truth - forth[2].sigmoid()).clamp(min=0).amax((1, 2, 3))
    assert (planes[:, 2].amax((1, 2)) <= most.repeat(2) + 1e-5).all()


def test_only_the_fusion_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "SCORED_STEPS", 1)
    start = with_fusion(network())
    freeze_all_but(start, start.fusion)
    before = {k: v.clone() for k, v in start.state_dict().items()}
    task = FusionTask(PHOTOS, [], INPUTS, PAD)
    summary = learn(start, task, tmp_path / "run", 2, score_every=2)
    assert {"total", "bce", "dice", "iou_old", "iou_new", "iou", "moved", "spoilt"} <= summary[
        "losses"
    ].keys()
    trained = load_checkpoint(tmp_path / "run" / "network.safetensors")
    for name, values in trained.state_dict().items():
        if name.startswith("fusion.") and name.endswith(".weight"):
            assert not torch.equal(values, before[name]), name
        elif not name.startswith("fusion."):
            assert torch.equal(values, before[name]), name


def test_learning_which_mask_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the nearer of two touched frames tells it, which an untrained fusion cannot know."""
    monkeypatch.setattr(fusion, "pairs", right_where_near)
    start = with_fusion(network())
    freeze_all_but(start, start.fusion)
    task = FusionTask(PHOTOS, [], INPUTS, PAD)
    batch = task.dataset(0, 0, 1)[0]
    first = task.loss(start, batch)
    learn(start, task, tmp_path / "run", 20)
    last = task.loss(start.eval(), batch)
    assert float(first["iou_old"]) < 0.7
    assert float(first["iou_new"]) < 0.7
    assert float(first["iou"]) < 0.8
    assert float(last["iou"]) > 0.95
    assert float(last["total"].detach()) < 0.5 * float(first["total"].detach())


def right_where_near(
    net: TraceNet, batch: VideoBatch
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, FrameFeatures]:
    """In place of ``pairs``: old masks that are right next to the first frame, new ones next to
    the last; the others are the right ones upside down."""
    length, count = batch.carried.shape
    assert length == 4
    frames = encoded(net, batch)
    truth = torch.nn.functional.avg_pool2d(batch.truth[count : 3 * count].float()[:, None], 2)
    wrong = truth.flip(2)
    old = torch.cat([truth[:count], wrong[count:]])
    new = torch.cat([wrong[:count], truth[count:]])
    unchanged = torch.zeros(2 * count, 2, 64, 64)
    to_last = torch.tensor([2 / 3] * count + [1 / 3] * count).view(-1, 1, 1, 1)
    distances = torch.cat([to_last, 1 - to_last], 1).expand(-1, -1, 64, 64)
    planes = torch.cat([plane(old), plane(new), unchanged, distances], 1)
    between = [torch.cat(x) for x in zip(*frames[1:-1], strict=True)]
    return old, new, planes, FrameFeatures(*between)
