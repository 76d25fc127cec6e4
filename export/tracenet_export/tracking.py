"""What carries masks through clips, as programs: docs/bundle.md, "tracking"."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from tracenet.model import TraceNet
from tracenet.model.fusion import Fusion
from tracenet.model.propagation import FrameFeatures, MaskDecoder, ValueEncoder
from tracenet_export.assemble import Assembly
from tracenet_export.programs import Program, local_macs
from tracenet_runtime.tracking.check import FEATURES, tensors_of
from tracenet_runtime.tracking.records import Tracking
from tracenet_runtime.tracking.tile import FollowRule


class _Frame(nn.Module):
    """A tile's pixels -> edges, fine, coarse, deep and key."""

    def __init__(self, network: TraceNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        propagation = self.network.propagation
        assert propagation is not None
        seen = self.network.features(image)
        frame: FrameFeatures = propagation.frame(
            seen.c1, seen.pyramid, seen.coarse_mask, seen.fine_mask
        )
        return tuple(frame)


class _Value(nn.Module):
    """fine, coarse, deep, masks -> value."""

    def __init__(self, encoder: ValueEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *inputs: Tensor) -> tuple[Tensor]:
        *features, masks = inputs
        return (self.encoder(_features(features), masks),)


class _Decode(nn.Module):
    """edges, fine, coarse, deep, read, prior -> mask and presence, as probabilities."""

    def __init__(self, decoder: MaskDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        edges, *features, read, prior = inputs
        mask, presence = self.decoder(_features(features, edges), read, prior)
        return mask.sigmoid(), presence.sigmoid()


class _Fuse(nn.Module):
    """fine, planes -> the new mask's share."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, fine: Tensor, planes: Tensor) -> tuple[Tensor]:
        return (self.fusion(_features([fine]), planes).sigmoid(),)


def _features(features: list[Tensor], edges: Tensor | None = None) -> FrameFeatures:
    """Fine, coarse and deep, as many as are read, for those who read no key."""
    unread = torch.empty(0)
    fine, coarse, deep, *_ = [*features, unread, unread]
    return FrameFeatures(unread if edges is None else edges, fine, coarse, deep, key=unread)


def tracking_programs(network: TraceNet) -> tuple[Tracking | None, tuple[Program, ...]]:
    """What a bundle says of tracking, and the programs; none where the network does not track.

    It tracks if it has propagation and fusion.

    Raises:
        UnsupportedOperator: an operator is not local.
    """
    propagation, fusion = network.propagation, network.fusion
    if propagation is None or fusion is None:
        return None, ()
    modules: dict[str, nn.Module] = {
        "frame": _Frame(network),
        "value": _Value(propagation.value),
        "decode": _Decode(propagation.decoder),
        "fuse": _Fuse(fusion),
    }
    names = {part: f"track_{part}" for part in modules}
    tensors = tensors_of(dict(zip(FEATURES, network.config.track_channels, strict=True)))
    programs = tuple(
        Program(
            names[part],
            module.eval(),
            inputs=tuple(tensors[part][0]),
            outputs=tuple(tensors[part][1]),
            macs=local_macs(module, tensors[part][0]),
            of_clips=True,
        )
        for part, module in modules.items()
    )
    return Tracking(**names, rule=FollowRule()), programs


def with_tracking(assembly: Assembly, network: TraceNet) -> Assembly:
    """What plans became, and what carries masks where the network does that."""
    tracking, programs = tracking_programs(network)
    return replace(assembly, programs=(*assembly.programs, *programs), tracking=tracking)
