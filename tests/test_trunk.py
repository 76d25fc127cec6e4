"""Trunks: their strides, and ImageNet weights in torchvision's layout."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scenes import TINY, make_scene
from torch import Tensor
from torch.nn import functional as F

from tracenet.model import CheckpointError, TraceNet, load_trunk
from tracenet.model.backbones import build_backbone

SHARED_TRUNK = (
    Path(__file__).parents[2] / "shared" / "weights" / "mobilenet_v2_imagenet.safetensors"
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET_PIXELS = {
    "pixel_mean": (123.675, 116.28, 103.53),
    "pixel_std": (58.395, 57.12, 57.375),
}
EXPANSION_CHANNELS_REPEATS_STRIDE = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)

BORDERS = (4, 9, 8)
"""Cells of C3, C4, C5, from the top and from the left, that MobileNetV2's first padding reaches."""


def network(**changes: object) -> TraceNet:
    return TraceNet(dataclasses.replace(TINY, **changes)).eval()  # type: ignore[arg-type]


def picture(size: int) -> Tensor:
    return torch.from_numpy(make_scene(size, size).photo).permute(2, 0, 1)[None].double()


def features(network: TraceNet, image: Tensor) -> tuple[Tensor, ...]:
    """C3, C4, C5 in float64."""
    with torch.no_grad():
        _, *stages = network.double().backbone(own_pixels(network, image))
    return tuple(stages)


def own_pixels(network: TraceNet, image: Tensor) -> Tensor:
    """As the network normalises, whose own buffers have the rounding of float32."""
    config = network.config
    mean, std = torch.tensor((config.pixel_mean, config.pixel_std), dtype=torch.float64)
    return (image - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def imagenet_pixels(image: Tensor) -> Tensor:
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (image / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def refused(network: TraceNet, path: Path, match: str) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=match) as caught:
        load_trunk(network, path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


class Layers:
    """Random convolutions with BatchNorm under torchvision's names, made when first run."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._dtype = dtype
        self._random = torch.Generator().manual_seed(0)

    def __call__(
        self,
        x: Tensor,
        conv: str,
        norm: str,
        channels: int,
        kernel: int,
        stride: int,
        groups: int = 1,
    ) -> Tensor:
        fan_in = x.shape[1] // groups * kernel**2
        shape = channels, x.shape[1] // groups, kernel, kernel
        weight = self._make(f"{conv}.weight", shape, 0, (2 / fan_in) ** 0.5)
        x = F.conv2d(x, weight, None, stride, kernel // 2, groups=groups)
        gamma = self._make(f"{norm}.weight", (channels,), 1, 0.2)
        beta = self._make(f"{norm}.bias", (channels,), 0.3, 0.5)
        mean = self._make(f"{norm}.running_mean", (channels,), 0, 0.5)
        variance = self._make(f"{norm}.running_var", (channels,), 1, 0.2).clamp(min=0.1)
        self.tensors[f"{norm}.running_var"] = variance.to(self._dtype)
        self.tensors[f"{norm}.num_batches_tracked"] = torch.tensor(1)
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)

    def _make(self, name: str, shape: tuple[int, ...], mean: float, deviation: float) -> Tensor:
        drawn = torch.randn(shape, generator=self._random, dtype=torch.float32) * deviation + mean
        self.tensors[name] = drawn.to(self._dtype)
        return self.tensors[name].double()


def torchvision_mobilenetv2(image: Tensor, layers: Layers) -> list[Tensor]:
    """C3, C4, C5."""
    x = F.relu6(layers(imagenet_pixels(image), "features.0.0", "features.0.1", 32, 3, 2))
    after, index = {}, 0
    for expansion, channels, repeats, first_stride in EXPANSION_CHANNELS_REPEATS_STRIDE:
        for repeat in range(repeats):
            index += 1
            stride = first_stride if repeat == 0 else 1
            block, at, y, hidden = f"features.{index}.conv", 0, x, x.shape[1] * expansion
            if expansion != 1:
                y = F.relu6(layers(y, f"{block}.0.0", f"{block}.0.1", hidden, 1, 1))
                at = 1
            y = layers(y, f"{block}.{at}.0", f"{block}.{at}.1", hidden, 3, stride, hidden)
            y = layers(F.relu6(y), f"{block}.{at + 1}", f"{block}.{at + 2}", channels, 1, 1)
            x = x + y if stride == 1 and x.shape[1] == channels else y
            after[index] = x
    layers(x, "features.18.0", "features.18.1", 1280, 1, 1)
    layers.tensors["classifier.1.weight"] = torch.zeros(1000, 1280)
    layers.tensors["classifier.1.bias"] = torch.zeros(1000)
    return [after[6], after[13], after[17]]


def torchvision_resnet(image: Tensor, depths: tuple[int, ...], layers: Layers) -> list[Tensor]:
    """C3, C4, C5."""
    x = F.relu(layers(imagenet_pixels(image), "conv1", "bn1", 64, 7, 2))
    x, stages = F.max_pool2d(x, 3, 2, 1), []
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for index in range(depth):
            block = f"layer{stage + 1}.{index}"
            stride = 2 if index == 0 and stage > 0 else 1
            y = F.relu(layers(x, f"{block}.conv1", f"{block}.bn1", width, 1, 1))
            y = F.relu(layers(y, f"{block}.conv2", f"{block}.bn2", width, 3, stride))
            y = layers(y, f"{block}.conv3", f"{block}.bn3", 4 * width, 1, 1)
            if index == 0:
                down = f"{block}.downsample"
                x = layers(x, f"{down}.0", f"{down}.1", 4 * width, 1, stride)
            x = F.relu(x + y)
        stages.append(x)
    layers.tensors["fc.weight"], layers.tensors["fc.bias"] = torch.zeros(9, 2048), torch.zeros(9)
    return stages[1:]


@pytest.fixture(scope="module")
def mobilenetv2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Tensor]]:
    """A file in torchvision's layout and the reference's features of the picture."""
    layers = Layers()
    stages = torchvision_mobilenetv2(picture(384), layers)
    path = tmp_path_factory.mktemp("trunk") / "mobilenet_v2.safetensors"
    save_file(layers.tensors, path)
    return path, stages


def test_mobilenetv2_with_batch_norm(mobilenetv2: tuple[Path, list[Tensor]]) -> None:
    path, expected = mobilenetv2
    own = network(**IMAGENET_PIXELS).double()
    load_trunk(own, path)
    for stage, reference in zip(features(own, picture(384)), expected, strict=True):
        assert reference.std() > 0.1
        torch.testing.assert_close(stage, reference, rtol=1e-10, atol=1e-10)


def test_mobilenetv2_with_batch_norm_for_other_pixels(
    mobilenetv2: tuple[Path, list[Tensor]],
) -> None:
    path, expected = mobilenetv2
    own = network().double()
    assert own.config.pixel_mean == (128, 128, 128)
    load_trunk(own, path)
    for stage, reference, border in zip(
        features(own, picture(384)), expected, BORDERS, strict=True
    ):
        inner = (..., slice(border, None), slice(border, None))
        torch.testing.assert_close(stage[inner], reference[inner], rtol=1e-9, atol=1e-9)
        assert (stage - reference).abs().max() > 1e-6  # the border is another


def test_mobilenetv2_in_single_precision(mobilenetv2: tuple[Path, list[Tensor]]) -> None:
    path, expected = mobilenetv2
    own = network(**IMAGENET_PIXELS)
    load_trunk(own, path)
    assert {parameter.dtype for parameter in own.parameters()} == {torch.float32}
    for stage, reference in zip(features(own, picture(384)), expected, strict=True):
        assert (stage - reference).abs().max() < 1e-4 * reference.abs().max()


@pytest.mark.parametrize(
    ("name", "depths"), [("resnet50", (3, 4, 6, 3)), ("resnet101", (3, 4, 23, 3))]
)
def test_resnet(name: str, depths: tuple[int, ...], tmp_path: Path) -> None:
    layers = Layers(torch.float16)  # a quarter of the file
    expected = torchvision_resnet(picture(64), depths, layers)
    path = tmp_path / "resnet.safetensors"
    save_file(layers.tensors, path)
    own = network(backbone=name, **IMAGENET_PIXELS).double()
    load_trunk(own, path)
    for stage, reference in zip(features(own, picture(64)), expected, strict=True):
        assert reference.std() > 0.1
        torch.testing.assert_close(stage, reference, rtol=1e-9, atol=1e-9)

    if name == "resnet101":
        refused(network(backbone="resnet50"), path, r"also has layer3\.10\.bn1.*a deeper ResNet")
    else:
        other = network(backbone=name).double()
        load_trunk(other, path)
        image = picture(64)
        ours, theirs = other.backbone.conv1, own.backbone.conv1
        with torch.no_grad():
            other_first = other.backbone.bn1(ours(own_pixels(other, image)))
            own_first = own.backbone.bn1(theirs(own_pixels(own, image)))
        inner = (..., slice(2, -1), slice(2, -1))
        torch.testing.assert_close(other_first[inner], own_first[inner], rtol=1e-9, atol=1e-9)
        refused(network(backbone="resnet101"), path, r"has no tensor 'layer3\.6\.conv1\.weight'")
    path.unlink()


def test_mobilenetv2_with_folded_batch_norm(
    mobilenetv2: tuple[Path, list[Tensor]], tmp_path: Path
) -> None:
    """Folded weights expect pixels in [-1, 1): for such a network they stay as they are."""
    made = network().double()
    load_trunk(made, mobilenetv2[0])
    folded = made.backbone.state_dict()
    save_file(folded, tmp_path / "folded.safetensors")
    own = network().double()
    load_trunk(own, tmp_path / "folded.safetensors")
    for name, tensor in own.backbone.state_dict().items():
        assert torch.equal(tensor, folded[name]), name

    other = network(**IMAGENET_PIXELS).double()
    load_trunk(other, tmp_path / "folded.safetensors")
    for stage, reference, border in zip(
        features(other, picture(384)), features(own, picture(384)), BORDERS, strict=True
    ):
        inner = (..., slice(border, None), slice(border, None))
        torch.testing.assert_close(stage[inner], reference[inner], rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(not SHARED_TRUNK.is_file(), reason=f"{SHARED_TRUNK} is not there")
def test_imagenet_trunk_of_mobilenetv2() -> None:
    own = network()
    load_trunk(own, SHARED_TRUNK)
    tensors = load_file(SHARED_TRUNK)
    assert set(own.backbone.state_dict()) <= set(tensors)
    for name, tensor in own.backbone.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    # Features of a picture that this trunk can see, of a trained network's scale.
    stages = features(own, picture(256))
    for channels, cells, stage in zip((32, 96, 320), (32, 16, 8), stages, strict=True):
        assert stage.shape == (1, channels, cells, cells)
        assert 0.3 < stage.std() < 10


def test_files_that_hold_no_such_trunk(
    mobilenetv2: tuple[Path, list[Tensor]], tmp_path: Path
) -> None:
    own, path = network(), tmp_path / "trunk.safetensors"
    good = load_file(mobilenetv2[0])
    name = "features.3.conv.1.1.running_var"
    refused(own, tmp_path / "nowhere", "nowhere does not exist; give")
    refused(own, tmp_path, "does not exist; give")
    path.write_bytes(b"junk")
    refused(own, path, "is not a usable .safetensors file: ")
    save_file({key: tensor for key, tensor in good.items() if key != name}, path)
    refused(own, path, r"has no tensor 'features\.3\.conv\.1\.1\.running_var' .* \"Trunks\"")
    save_file(good | {name: torch.ones(7)}, path)
    refused(own, path, rf"does not fit this trunk: {name} has the shape \[7\], .* has \[144\]")
    save_file({key: tensor for key, tensor in good.items() if key.endswith("weight")}, path)
    refused(own, path, r"has no tensor 'features\.0\.0\.bias'")
    save_file({f"backbone.{key}": tensor for key, tensor in good.items()}, path)
    refused(own, path, r"no tensor 'features\.0\.0\.weight' \(its first is 'backbone\.classifier")
    save_file({}, path)
    refused(own, path, r"has no tensor 'features\.0\.0\.weight' \(its first is None\)")
    refused(network(backbone="resnet50"), path, r"has no tensor 'conv1\.weight'")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("weight", torch.nan), ("bias", torch.inf), ("running_mean", torch.nan), ("running_var", -1)],
)
def test_trunk_weights_that_no_training_leaves_behind(
    mobilenetv2: tuple[Path, list[Tensor]], tmp_path: Path, kind: str, value: float
) -> None:
    path, name = tmp_path / "trunk.safetensors", f"features.3.conv.1.1.{kind}"
    tensors = load_file(mobilenetv2[0])
    tensors[name][5] = value
    save_file(tensors, path)
    refused(network(), path, rf"unusable weights: 1 of the 144 values of {name} are")


def test_strides_of_the_resnet() -> None:
    with torch.device("meta"):
        stages = build_backbone("resnet101")(torch.empty(1, 3, 64, 96))
    assert [tuple(stage.shape) for stage in stages] == [
        (1, 64, 32, 48),
        (1, 512, 8, 12),
        (1, 1024, 4, 6),
        (1, 2048, 2, 3),
    ]
