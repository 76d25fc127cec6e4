"""Starting a trunk, and where it has one its neck, from pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tracenet.model.backbones import MobileNetV2, ResNet
from tracenet.model.checkpoint import CheckpointError, check_weights, read_tensors
from tracenet.model.config import TraceNetConfig
from tracenet.model.ghost_pan import PathAggregationPyramid
from tracenet.model.network import TraceNet
from tracenet.model.shufflenet import ShuffleNetV2, Stage
from tracenet_runtime.errors import refuse_if_out_of_memory

BATCH_NORM_EPSILON = 1e-5
"""What torchvision's trunks add to a variance."""


@dataclass(frozen=True)
class PixelScale:
    """Weights see ``(rgb - mean) / deviation`` of 0-255 values."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


IMAGENET = PixelScale((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""What torchvision's weights were trained on."""

SYMMETRIC = PixelScale((128.0, 128.0, 128.0), (128.0, 128.0, 128.0))
"""What MobileNetV2's weights with folded BatchNorm come with: pixels in [-1, 1)."""


def load_trunk(network: TraceNet, path: Path) -> None:
    """Start a network's trunk from pretrained weights (.safetensors).

    ResNet and MobileNetV2 start from ImageNet weights in torchvision's tensor names. ResNet is read
    as torchvision has it, MobileNetV2 in two layouts: torchvision's, whose BatchNorm is folded into
    the convolutions here, and the same names with BatchNorm folded already. The layout says which
    pixels the weights were trained on: ``IMAGENET`` with BatchNorm, ``SYMMETRIC`` without. For a
    network that normalises its pixels in another way the first convolution is rewritten. Its
    features are then the same but at the border of the canvas, where zero padding stands for the
    network's mean colour and no longer for that of the weights.

    ShuffleNetV2 and GhostPAN start from NanoDet-Plus, trained on COCO: ``trunk.`` and ``neck.`` in
    front of the names of our layers, BatchNorm folded, BGR pixels scaled as ``IMAGENET``. Channels
    are put into the order in which our layers give and read them (see ``shufflenet.py``).

    Tensors of layers that the network does not have (a classifier, a detector's head) are passed
    over.

    Raises:
        CheckpointError: the file is missing or damaged, lacks a tensor of the trunk, or has one of
            another shape or with values that are no weights
            (:func:`~tracenet.model.checkpoint.check_weights`).
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give a .safetensors file of trunk weights")
    try:
        source = _Source(path, read_tensors(path))
    except (OSError, SafetensorError) as error:
        refuse_if_out_of_memory(error, f"load {path}")
        raise CheckpointError(f"{path} is not a usable .safetensors file: {error}") from error
    backbone = network.backbone
    if isinstance(backbone, ShuffleNetV2):
        weights, orders = _shufflenet_weights(source, backbone, network.config)
        if isinstance(network.pyramid, PathAggregationPyramid):
            neck = network.pyramid.neck
            neck.load_state_dict(_neck_weights(source, neck, orders))
    elif isinstance(backbone, ResNet):
        weights = _resnet_weights(source, backbone, network.config)
    elif source.has_batch_norm:
        weights = _unfolded_mobilenet_weights(source, backbone, network.config)
    else:
        weights = _folded_mobilenet_weights(source, backbone, network.config)
    # Not strict: BatchNorm's counts of batches are not asked for.
    backbone.load_state_dict(weights, strict=False)


@dataclass(frozen=True)
class _Source:
    """The tensors of a file."""

    path: Path
    tensors: dict[str, Tensor]

    @property
    def has_batch_norm(self) -> bool:
        return any(name.endswith(".running_mean") for name in self.tensors)

    def take(self, name: str, shape: torch.Size) -> Tensor:
        """The tensor of this name, which must have this shape and usable values."""
        if name not in self.tensors:
            raise CheckpointError(
                f"{self.path} has no tensor {name!r} (its first is "
                f"{min(self.tensors, default=None)!r}); it must hold this trunk in the names that "
                'docs/training.md, "Trunks", tells'
            )
        tensor = self.tensors[name]
        if tensor.shape != shape:
            raise CheckpointError(
                f"{self.path} does not fit this trunk: {name} has the shape {list(tensor.shape)}, "
                f"the trunk's has {list(shape)}"
            )
        check_weights(self.path, {name: tensor})
        return tensor


def _resnet_weights(source: _Source, backbone: ResNet, config: TraceNetConfig) -> dict[str, Tensor]:
    own = backbone.state_dict()
    deeper = min(
        (name for name in source.tensors.keys() - own if name[:5] == "layer"), default=None
    )
    if deeper is not None:
        # ResNet-101's tensors hold all of ResNet-50's, with other features.
        raise CheckpointError(
            f"{source.path} does not fit this trunk: it also has {deeper}, as a deeper ResNet has"
        )
    weights = {
        name: source.take(name, tensor.shape)
        for name, tensor in own.items()
        if not name.endswith("num_batches_tracked")
    }
    weights["conv1.weight"], shift = _for_pixels(weights["conv1.weight"], IMAGENET, config)
    weights["bn1.running_mean"] = weights["bn1.running_mean"] - shift
    return weights


def _shufflenet_weights(
    source: _Source, backbone: ShuffleNetV2, config: TraceNetConfig
) -> tuple[dict[str, Tensor], list[Sequence[int]]]:
    """The trunk's weights, and for each stage the original's channels in the order of ours."""
    weights = {
        name: source.take(f"trunk.{name}", tensor.shape)
        for name, tensor in backbone.state_dict().items()
    }
    stem, shift = _for_pixels(weights["stem.weight"].flip(1), IMAGENET, config)
    weights |= {"stem.weight": stem, "stem.bias": weights["stem.bias"] + shift}

    def reorder(name: str, outputs: Sequence[int] | None, inputs: Sequence[int] | None) -> None:
        if outputs is not None:
            weights[f"{name}.weight"] = weights[f"{name}.weight"][list(outputs)]
            weights[f"{name}.bias"] = weights[f"{name}.bias"][list(outputs)]
        if inputs is not None:
            weights[f"{name}.weight"] = weights[f"{name}.weight"][:, list(inputs)]

    orders: list[Sequence[int]] = []
    inputs: Sequence[int] = range(backbone.stem_channels)
    for number, stage in enumerate(backbone.stages):
        assert isinstance(stage, Stage)
        order, prefix = stage.order, f"stages.{number}"
        reorder(f"{prefix}.0.side_dw", inputs, None)
        reorder(f"{prefix}.0.side_out", order.given[0], inputs)
        for unit, read in enumerate((inputs, *order.read)):
            reorder(f"{prefix}.{unit}.main_in", None, read)
            reorder(f"{prefix}.{unit}.main_out", order.given[unit + 1], None)
        inputs = order.output
        orders.append(inputs)
    return weights, orders


def _neck_weights(
    source: _Source, neck: nn.Module, orders: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    weights = {
        name: source.take(f"neck.{name}", tensor.shape)
        for name, tensor in neck.state_dict().items()
    }
    for level, order in enumerate(orders):
        name = f"red.{level}.weight"
        weights[name] = weights[name][:, list(order)]
    return weights


def _folded_mobilenet_weights(
    source: _Source, backbone: MobileNetV2, config: TraceNetConfig
) -> dict[str, Tensor]:
    weights = {
        name: source.take(name, tensor.shape) for name, tensor in backbone.state_dict().items()
    }
    return _with_first_rewritten(weights, SYMMETRIC, config)


def _unfolded_mobilenet_weights(
    source: _Source, backbone: MobileNetV2, config: TraceNetConfig
) -> dict[str, Tensor]:
    """With every BatchNorm in the convolution before it.

    Both layouts number a block's layers from 0: ``conv.1.0`` is followed by ``conv.1.1``, and
    ``conv.2`` by ``conv.3``.
    """
    weights: dict[str, Tensor] = {}
    for name, convolution in backbone.named_modules():
        if not isinstance(convolution, nn.Conv2d):
            continue
        parent, _, index = name.rpartition(".")
        norm = f"{parent}.{int(index) + 1}"
        channels = torch.Size([convolution.out_channels])
        weight = source.take(f"{name}.weight", convolution.weight.shape)
        gamma, beta, mean, variance = (
            source.take(f"{norm}.{kind}", channels).double()
            for kind in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / (variance + BATCH_NORM_EPSILON).sqrt()
        weights[f"{name}.weight"] = weight.double() * scale.view(-1, 1, 1, 1)
        weights[f"{name}.bias"] = beta - mean * scale
    return _with_first_rewritten(weights, IMAGENET, config)


def _with_first_rewritten(
    weights: dict[str, Tensor], trained_on: PixelScale, config: TraceNetConfig
) -> dict[str, Tensor]:
    weight, shift = _for_pixels(weights["features.0.0.weight"], trained_on, config)
    bias = weights["features.0.0.bias"] + shift
    return weights | {"features.0.0.weight": weight, "features.0.0.bias": bias}


def _for_pixels(
    weight: Tensor, trained_on: PixelScale, config: TraceNetConfig
) -> tuple[Tensor, Tensor]:
    """A first convolution for the network's pixels, and what to add to each output channel.

    Where the weights saw ``(rgb - m) / d``, the network has ``x = (rgb - mean) / std``, so they are
    to see ``x * std / d + (mean - m) / d``.

    Args:
        weight: C x 3 x k x k.
        trained_on: the pixels that it expects.
        config: the network's.

    Returns:
        C x 3 x k x k and C, float64; unchanged and 0 if both agree.
    """
    mean, deviation, own_mean, own_deviation = torch.tensor(
        (trained_on.mean, trained_on.deviation, config.pixel_mean, config.pixel_std),
        dtype=torch.float64,
    )
    weight = weight.double()
    shift = (weight.sum((2, 3)) * ((own_mean - mean) / deviation)).sum(1)
    return weight * (own_deviation / deviation).view(1, 3, 1, 1), shift
