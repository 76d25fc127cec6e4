"""One small network that tracks and corrects: a bundle, exported once for all that need one."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from export_fixtures import few_programs
from scenes import TINY
from torch import nn

from tracenet.model import TraceNet, load_checkpoint, save_checkpoint, with_guided_look
from tracenet.scene import generate_scene
from tracenet_export import check, cli
from tracenet_export.photos import parity_photos

TRACKING = dataclasses.replace(
    TINY, mask_stride=4, track_channels=(6, 8, 16, 24), fusion_channels=16
)


class TrackingExport:
    """An ONNX bundle in fp32, what it was made from, and what the exporter said.

    Args:
        made: the folder that ``export_tracking`` filled.
    """

    def __init__(self, made: Path) -> None:
        self.folder, self.checkpoint = made / "bundle", made / "network.safetensors"
        self.report: dict[str, Any] = json.loads((made / "report.json").read_text())

    @cached_property
    def network(self) -> TraceNet:
        """Of ``TRACKING``, with a guided look."""
        return load_checkpoint(self.checkpoint)

    @property
    def manifest(self) -> dict[str, Any]:
        """As written, not as the runtime parses it."""
        content: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return content


def normalised(network: TraceNet) -> TraceNet:
    """With statistics of a scene, so that what it computes depends on the picture everywhere."""
    picture = torch.from_numpy(generate_scene(256, 256, 3)).permute(2, 0, 1)[None].float()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    network.train()
    propagation, fusion = network.propagation, network.fusion
    assert propagation is not None
    assert fusion is not None
    with torch.no_grad():
        seen = network.features(picture)
        network.heads(seen.pyramid)
        frame = propagation.frame(seen.c1, seen.pyramid, seen.coarse_mask, seen.fine_mask)
        masks = (torch.rand(1, 2, 64, 64) < 0.3).float()
        value = propagation.value(frame, masks)
        propagation.decoder(frame, value, masks[:, :1])
        fusion(frame, torch.rand(1, 6, 64, 64))
        # Masks of about half of the cells.
        assert propagation.decoder.predict.bias is not None
        propagation.decoder.predict.bias.zero_()
        propagation.decoder.predict.weight *= 4
        propagation.decoder.predict_edges.weight.normal_(std=0.2)
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def export_tracking(folder: Path) -> None:
    """What ``TrackingExport`` reads; the exporter's check takes one photo and a short clip."""
    torch.manual_seed(2)
    checkpoint = folder / "network.safetensors"
    network = with_guided_look(normalised(TraceNet(TRACKING)))
    save_checkpoint(network, checkpoint, licence="none")
    arguments = ["--checkpoint", str(checkpoint), "--threads", "1", "--json"]
    stdout = io.StringIO()
    with (
        few_programs(),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
    ):
        patch.setattr(check, "parity_photos", lambda: parity_photos()[:1])
        patch.setattr(check, "REPLAYED_TAPS", 8)
        patch.setattr(check, "_CLIPS", 1)
        patch.setattr(check, "CLIP_FRAMES", 6)
        assert cli.main([*arguments, "--out", str(folder / "bundle")]) == 0
    (folder / "report.json").write_text(stdout.getvalue())
