"""ShuffleNetV2 and GhostPAN: no shuffle is run, and all is as if it were."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scenes import TINY, make_scene
from torch import Tensor
from torch.nn import functional as F

from tracenet.model import CONFIGS, CheckpointError, TraceNet, load_trunk
from tracenet.model.layers import Rectifier
from tracenet.model.shufflenet import stage_order
from tracenet.rft import capture

SHARED = Path(__file__).parents[2] / "shared" / "weights"
SHARED_WEIGHTS = {
    "shufflenetv2-pan": SHARED / "nanodet_plus_m_416.safetensors",
    "shufflenetv2-1.5x-pan": SHARED / "nanodet_plus_m_1.5x_416.safetensors",
}
MEAN_BGR, STD_BGR = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)


def network(name: str = "shufflenetv2", **changes: object) -> TraceNet:
    config = dataclasses.replace(
        TINY, backbone=name, neck="ghost-pan", mask_stride=4, pyramid_channels=8, **changes
    )  # type: ignore[arg-type]
    return TraceNet(config).double().eval()


class Original:
    """NanoDet-Plus's trunk and neck as published, with shuffles, by the names of its tensors."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}

    def features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """C3, C4, C5 and the neck's four outputs, of RGB 0-255."""
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (MEAN_BGR, STD_BGR))
        x = (image.flip(1) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        x = F.max_pool2d(activated(self.conv("trunk.stem", x, 2)), 3, 2, 1)
        stages = []
        for stage, units in enumerate((4, 8, 4)):
            for unit in range(units):
                x = self.unit(f"trunk.stages.{stage}.{unit}", x, first=unit == 0)
            stages.append(x)
        r3, r4, r5 = (
            activated(self.conv(f"neck.red.{level}", c)) for level, c in enumerate(stages)
        )
        m4 = self.ghost_block("neck.td.0", torch.cat([twice(r5), r4], 1))
        p3 = self.ghost_block("neck.td.1", torch.cat([twice(m4), r3], 1))
        p4 = self.ghost_block("neck.bu.0", torch.cat([self.down("neck.down.0", p3), m4], 1))
        p5 = self.ghost_block("neck.bu.1", torch.cat([self.down("neck.down.1", p4), r5], 1))
        p6 = self.down("neck.extra_in", r5) + self.down("neck.extra_out", p5)
        return stages, [p3, p4, p5, p6]

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        padding = weight.shape[2] // 2
        bias = self.tensors[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)

    def unit(self, name: str, x: Tensor, first: bool) -> Tensor:
        left, right = (x, x) if first else x.chunk(2, 1)
        if first:
            left = activated(self.conv(f"{name}.side_out", self.conv(f"{name}.side_dw", left, 2)))
        right = activated(self.conv(f"{name}.main_in", right))
        right = self.conv(f"{name}.main_dw", right, 2 if first else 1)
        right = activated(self.conv(f"{name}.main_out", right))
        joined = torch.stack([left, right], 2)
        return joined.flatten(1, 2)  # the shuffle: one of the left, one of the right

    def ghost_block(self, name: str, x: Tensor) -> Tensor:
        a = activated(self.conv(f"{name}.a", x))
        a = torch.cat([a, activated(self.conv(f"{name}.a_dw", a))], 1)
        b = self.conv(f"{name}.b", a)
        b = torch.cat([b, self.conv(f"{name}.b_dw", b)], 1)
        return b + self.conv(f"{name}.skip", self.conv(f"{name}.skip_dw", x))

    def down(self, name: str, x: Tensor) -> Tensor:
        return activated(self.conv(f"{name}.p", activated(self.conv(f"{name}.d", x, 2))))


def activated(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.1 * x)


def twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def random_weights(network: TraceNet) -> dict[str, Tensor]:
    """Under the names of NanoDet-Plus, with a part of its head, that activations neither die of."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for prefix, module in (("trunk", network.backbone), ("neck", network.pyramid.neck)):
        for name, tensor in module.state_dict().items():
            drawn = torch.randn(tensor.shape, generator=generator)
            gain = (2 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1
            tensors[f"{prefix}.{name}"] = gain * drawn
    return tensors | {"head.out.0.weight": torch.zeros(112, 96, 1, 1)}


def leaky(network: TraceNet) -> TraceNet:
    """As the original was trained."""
    for module in network.modules():
        if isinstance(module, Rectifier):
            module.slope = 0.1
    return network


def picture(height: int, width: int) -> Tensor:
    return torch.from_numpy(make_scene(height, width).photo).permute(2, 0, 1)[None].double()


def own_features(network: TraceNet, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    config = network.config
    mean, std = torch.tensor((config.pixel_mean, config.pixel_std), dtype=torch.float64)
    with torch.no_grad():
        _, *stages = network.backbone((image - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        return stages, network.pyramid(*stages)[:4]


@pytest.mark.parametrize("name", ["shufflenetv2", "shufflenetv2-1.5x"])
def test_the_shuffles_are_in_the_weights(name: str, tmp_path: Path) -> None:
    pixels = {"pixel_mean": MEAN_BGR[::-1], "pixel_std": STD_BGR[::-1]}
    own = leaky(network(name, **pixels))
    tensors = random_weights(own)
    save_file(tensors, tmp_path / "trunk.safetensors")
    load_trunk(own, tmp_path / "trunk.safetensors")
    image = picture(192, 128)
    stages, pyramid = Original(tensors).features(image)
    own_stages, own_pyramid = own_features(own, image)
    for stage, expected, found in zip(own.backbone.stages, stages, own_stages, strict=True):
        expected = expected[:, list(stage.order.output)]
        assert expected.std() > 0.1
        assert (found - expected).abs().max() < 1e-12 * expected.abs().max()
    for expected, found in zip(pyramid, own_pyramid, strict=True):
        assert expected.std() > 0.1
        assert (found - expected).abs().max() < 1e-12 * expected.abs().max()


@pytest.mark.parametrize("name", SHARED_WEIGHTS)
def test_pretrained_weights(name: str) -> None:
    path = SHARED_WEIGHTS[name]
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    own = leaky(TraceNet(CONFIGS[name]).double().eval())
    load_trunk(own, path)
    image = picture(128, 192)
    _, expected = Original(load_file(path)).features(image)
    _, found = own_features(own, image)
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.std() > 0.05
        assert (ours - theirs).abs().max() < 1e-10 * theirs.abs().max()


@given(st.integers(1, 40), st.integers(1, 9))
def test_every_channel_is_given_and_read_once(half: int, units: int) -> None:
    order = stage_order(2 * half, units)
    assert len(order.given) == units + 1
    assert all(sorted(channels) == list(range(half)) for channels in order.given)
    assert all(sorted(read) == list(range(half)) for read in order.read)
    assert sorted(order.output) == list(range(2 * half))
    read = [
        (part.source, channel)
        for slices in order.slices
        for part in slices
        for channel in range(part.start, part.stop)
    ]
    assert sorted(read) == [(source, c) for source in range(units + 1) for c in range(half)]
    for unit, slices in enumerate(order.slices[:-1]):
        assert all(part.source <= unit + 1 for part in slices)  # what is there by then
        assert sum(part.stop - part.start for part in slices) == half


def test_nothing_is_moved_but_slices() -> None:
    """No operator of the trunk permutes: each is a convolution, activation, slice or join."""
    with torch.device("meta"):
        built = TraceNet(CONFIGS["shufflenetv2-pan"]).eval()
    graph = capture(built, (torch.zeros(1, 3, 1, 1, device="meta").expand(1, 3, 256, 256),))
    trunk = [node for node in graph.nodes.values() if node.module_path.startswith("backbone.")]
    names = {node.operator for node in trunk}
    assert names == {
        "aten.conv2d.default", "aten.relu.default", "aten.max_pool2d.default",
        "aten.slice.Tensor", "aten.cat.default",
    }  # fmt: skip


def test_weights_of_another_network(tmp_path: Path) -> None:
    own, path = network(), tmp_path / "trunk.safetensors"
    good = random_weights(own)
    save_file(
        {name: t for name, t in good.items() if name != "trunk.stages.1.3.main_dw.bias"}, path
    )
    with pytest.raises(CheckpointError, match=r"no tensor 'trunk\.stages\.1\.3\.main_dw\.bias'"):
        load_trunk(own, path)
    save_file(good, path)
    with pytest.raises(
        CheckpointError, match=r"trunk\.stages\.0\.0\.main_in\.weight has the shape"
    ):
        load_trunk(network("shufflenetv2-1.5x"), path)
