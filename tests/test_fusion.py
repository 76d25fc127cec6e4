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
from tracenet.model import CheckpointError, load_checkpoint, with_fusion
from tracenet.model.config import TraceNetConfig
from tracenet.model.fusion import fused
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


def corrected(batch: VideoBatch, seed: int) -> VideoBatch:
    """The same clips, corrected elsewhere."""
    return dataclasses.replace(batch, seed=torch.tensor(seed))


def test_pairs_of_propagations() -> None:
    net = network(config=FUSING)
    batch = FusionTask(PHOTOS, [], INPUTS, PAD).dataset(0, 0, 1)[0]
    with torch.no_grad():
        frames = encoded(net, batch)
        forth, _ = propagated(net, frames, batch)
    places = set()
    for seed in range(8):
        times, old, new, planes, features = pairs(net, corrected(batch, seed))
        # Of two clips of four frames, all but the first and one that is corrected.
        (at,) = {1, 2, 3} - set(times)
        places.add(at)
        assert old.shape == new.shape == (4, 1, 128, 128)
        assert planes.shape == (4, 6, 64, 64)
        assert torch.equal(features.fine, torch.cat([frames[time].fine for time in times]))
        torch.testing.assert_close(old, torch.cat([forth[time - 1] for time in times]).sigmoid())
        assert torch.equal(planes[:, :1], plane(old))
        assert torch.equal(planes[:, 1:2], plane(new))
        # Distances to the corrected frame, and to the first, as shares of both.
        for index, time in enumerate(time for time in times for _ in range(2)):
            both = abs(time - at) + time
            for channel, share in ((4, abs(time - at) / both), (5, time / both)):
                expected = torch.full((64, 64), share)
                torch.testing.assert_close(planes[index, channel], expected)
        # What the correction adds is what the true mask has and the old one lacks.
        truth = torch.nn.functional.avg_pool2d(batch.truth[2 * at :][:2].float()[:, None], 4)
        difference = truth - plane(forth[at - 1].sigmoid())
        for channel, most in ((2, difference), (3, -difference)):
            bound = most.clamp(min=0).amax((1, 2, 3)).repeat(2)
            assert (planes[:, channel].amax((1, 2)) <= bound + 1e-5).all()
    assert places == {1, 2, 3}


def test_masks_after_a_correction_come_from_it() -> None:
    net = network(config=FUSING)
    batch = FusionTask(PHOTOS, [], INPUTS, PAD).dataset(0, 0, 1)[0]
    seed = next(s for s in range(99) if pairs(net, corrected(batch, s)).times == [1, 3])
    new = pairs(net, corrected(batch, seed)).new
    with torch.no_grad():
        frames = encoded(net, batch)
        given = torch.nn.functional.avg_pool2d(batch.truth[4:6].float()[:, None], 4)
        others = torch.nn.functional.avg_pool2d(batch.others.float()[:, None], 4)
        first = frames[0], torch.cat([batch.first[:, None], others[:2]], 1)
        for place, order, known in ((0, [2, 1], batch.carried[2]), (1, [2, 3], batch.carried[3])):
            part = dataclasses.replace(
                batch,
                others=torch.cat([batch.others[2 * time :][:2] for time in order]),
                first=given[:, 0],
                tile=batch.tile[order],
                carried=torch.stack([torch.zeros_like(known), known]),
            )
            (logits,), _ = propagated(net, [frames[time] for time in order], part, first)
            torch.testing.assert_close(new[2 * place :][:2], logits.sigmoid())


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


def test_learning_which_mask_is_right(tmp_path: Path) -> None:
    start = with_fusion(network())
    freeze_all_but(start, start.fusion)
    task = FusionTask(PHOTOS, [], INPUTS, PAD)
    batch = task.dataset(0, 0, 1)[0]
    first = float(task.loss(start, batch)["total"].detach())
    learn(start, task, tmp_path / "run", 40)
    assert float(task.loss(start.eval(), batch)["total"].detach()) < first
