"""A graph for a picture of another size is what would be captured of one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from scenes import TINY
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from tracenet.model import CONFIGS, TraceNet, TraceNetConfig
from tracenet.model.config import GUIDE_CHANNELS
from tracenet.rft import ConvGraph, TracerError, capture, resized
from tracenet.rft.graph import Node

THIN = {
    "fpn": TINY,
    "pan": dataclasses.replace(
        TINY,
        backbone="shufflenetv2",
        neck="ghost-pan",
        mask_stride=4,
        guide_channels=GUIDE_CHANNELS,
    ),
}


class Laterals(nn.Module):
    """Sizes that a forward reads from its tensors: of parts, resizes and ends of slices."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(4, 2, 3, stride=4, padding=1)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        fine = self.stem(picture).relu_()
        one, two = fine.chunk(2, dim=1)
        coarse = F.interpolate(self.coarse(fine), size=fine.shape[2:])
        inner = fine[:, :, 1 : fine.shape[2], : fine.shape[3] - 1]
        return {"joined": torch.cat((one, two + coarse), 1), "inner": inner}


def picture(height: int, width: int) -> tuple[Tensor]:
    return (torch.zeros(1, 3, height, width),)


def described(node: Node) -> dict[str, Any]:
    """All of a node but the functions that its rule made, and the weights, which follow."""
    fields = {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
    operation = fields.pop("operation")
    fields["fx_node"] = node.fx_node.name
    if operation is not None:
        call = operation.call
        arguments = pytree.tree_map(lambda v: None if isinstance(v, Tensor) else v, call.arguments)
        fields["call"] = call.operator, arguments, call.shape, call.channels_last
    return fields


def assert_same(one: ConvGraph, other: ConvGraph) -> None:
    assert list(one.nodes) == list(other.nodes)
    for name, node in one.nodes.items():
        assert described(node) == described(other.nodes[name])
        weights, wanted = (
            [] if v.operation is None else v.operation.call.constants
            for v in (node, other.nodes[name])
        )
        assert all(torch.equal(a, b) for a, b in zip(weights, wanted, strict=True)), name
    for field in ("input_name", "outputs", "input_shape", "input_dtype", "full_macs"):
        assert getattr(one, field) == getattr(other, field)


@pytest.mark.parametrize(
    "config",
    [
        *(pytest.param(config, id=f"thin {name}") for name, config in THIN.items()),
        *(pytest.param(v, id=name, marks=pytest.mark.slow) for name, v in CONFIGS.items()),
    ],
)
def test_of_a_network(config: TraceNetConfig) -> None:
    network = TraceNet(config)
    captured = capture(network, picture(256, 128))
    assert_same(resized(captured, 384, 640), capture(network, picture(384, 640)))


def test_of_sizes_that_a_forward_reads() -> None:
    module = Laterals()
    captured = capture(module, picture(32, 48))
    assert_same(resized(captured, 64, 24), capture(module, picture(64, 24)))
    assert_same(resized(captured, 32, 48), captured)


def test_of_a_picture_that_is_too_small() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(4))
    captured = capture(module, picture(16, 16))
    with pytest.raises(TracerError, match=r"max_pool2d.*does not run on a picture of 5 x 5"):
        resized(captured, 5, 5)
