"""Weights as safetensors, with the network's configuration as JSON beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from tracenet.model.backbones import Bottleneck
from tracenet.model.config import (
    CONFIGS,
    FUSION_CHANNELS,
    GUIDE_CHANNELS,
    TRACK_CHANNELS,
    TraceNetConfig,
)
from tracenet.model.guided import GUIDE_STRIDES
from tracenet.model.network import TraceNet
from tracenet.scene import generate_scene
from tracenet_runtime.errors import TraceNetError, refuse_if_out_of_memory
from tracenet_runtime.files import replacing, with_parents

SHIPPED = Path(__file__).parent.parent / "weights"
"""Where the checkpoints live that come with the package."""


# What damaged weights and senseless configurations raise.
_UNFIT = (ArithmeticError, OSError, RuntimeError, TypeError, ValueError, SafetensorError)

_NEVER_NEGATIVE = ("running_var", "num_batches_tracked")


class CheckpointError(TraceNetError):
    """A checkpoint is missing, damaged or made for another network."""


def build_network(name: str) -> TraceNet:
    """A network of a shipped configuration, with random weights.

    Raises:
        CheckpointError: no configuration has this name.
    """
    try:
        return TraceNet(CONFIGS[name])
    except KeyError:
        raise CheckpointError(
            f"there is no network {name!r}; choose one of {', '.join(CONFIGS)}"
        ) from None


def with_guided_look(network: TraceNet) -> TraceNet:
    """The network, and a guided look with random weights if it has none.

    Raises:
        CheckpointError: its mask branch does not reach stride 4.
    """
    if network.config.guide_channels:
        return network
    _check_mask_stride(network, "a guided look")
    return _extended(network, replace(network.config, guide_channels=GUIDE_CHANNELS))


def with_propagation(network: TraceNet) -> TraceNet:
    """The network, and a propagation with random weights if it has none.

    Raises:
        CheckpointError: its mask branch does not reach stride 4.
    """
    if network.config.track_channels:
        return network
    _check_mask_stride(network, "propagation")
    return _extended(network, replace(network.config, track_channels=TRACK_CHANNELS))


def with_fusion(network: TraceNet) -> TraceNet:
    """The network, and a fusion with random weights if it has none.

    Raises:
        CheckpointError: it has no propagation.
    """
    if network.config.fusion_channels:
        return network
    if not network.config.track_channels:
        raise CheckpointError(
            f"{network.config.name} has no propagation, whose masks a fusion merges; train one "
            "with `tracenet-train --task video` first"
        )
    return _extended(network, replace(network.config, fusion_channels=FUSION_CHANNELS))


def _check_mask_stride(network: TraceNet, reader: str) -> None:
    if network.config.mask_stride != GUIDE_STRIDES[0]:
        raise CheckpointError(
            f"{network.config.name} has mask features of stride {network.config.mask_stride}; "
            f"{reader} needs those of stride {GUIDE_STRIDES[0]}, take a network that has them"
        )


def _extended(network: TraceNet, config: TraceNetConfig) -> TraceNet:
    """A network of this configuration with the weights of one that has fewer parts."""
    extended = TraceNet(config)
    extended.load_state_dict(network.state_dict(), strict=False)
    return extended.train(network.training)


def without_guided_look(network: TraceNet) -> TraceNet:
    """The network with the same weights, and without a guided look."""
    if not network.config.guide_channels:
        return network
    plain = TraceNet(replace(network.config, guide_channels=()))
    plain.load_state_dict(network.state_dict(), strict=False)
    return plain.train(network.training).to(next(network.parameters()).dtype)


def save_checkpoint(
    network: TraceNet, path: Path, *, licence: str = "unspecified", half: bool = False
) -> None:
    """Write ``path`` (.safetensors) and, beside it, configuration and licence (.json).

    Each file is replaced atomically, and neither when the weights cannot be written.

    Args:
        network: what to save.
        path: ends in ``.safetensors``.
        licence: of the weights, in words; every bundle made from them carries it.
        half: store weights in fp16. BatchNorm's statistics stay in fp32: they are few, and
            variances do not fit fp16's range.
    """

    def stored(name: str, tensor: Tensor) -> Tensor:
        keep = not half or "running_" in name or not tensor.is_floating_point()
        return tensor.detach().cpu().contiguous().to(tensor.dtype if keep else torch.float16)

    tensors = {name: stored(name, tensor) for name, tensor in network.state_dict().items()}
    description = {"network": network.config.to_dict(), "licence": licence}
    beside_path = path.with_suffix(".json")
    with with_parents(path), replacing(beside_path) as beside, replacing(path) as file:
        beside.write(f"{json.dumps(description, indent=2)}\n".encode())
        # Not `save_file`, which makes files that only their owner can read.
        file.write(save(tensors))


def load_checkpoint(path: Path) -> TraceNet:
    """The network saved at ``path``, in fp32 and in eval mode.

    Raises:
        CheckpointError: a file is missing or damaged, does not fit its configuration, or holds
            values that no training leaves behind (:func:`check_weights`).
    """
    network_config, _ = _description(path)
    try:
        network = TraceNet(TraceNetConfig.from_dict(network_config))
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in read_tensors(path).items()
        }
        network.load_state_dict(tensors)
    except _UNFIT as error:
        refuse_if_out_of_memory(error, f"load {path}")
        raise CheckpointError(f"{path} is not a usable checkpoint: {_reason(error)}") from error
    check_weights(path, tensors)
    return network.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a .safetensors file, as it is there.

    Raises:
        OSError, SafetensorError: it cannot be read, or is damaged.
    """
    # Not `load_file`, which takes only those paths that are UTF-8.
    return load(path.read_bytes())


def check_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights with which a network computes nothing: it would run, and answer nonsense.

    Args:
        path: where they come from, for the error's sentence.
        tensors: by the names that they have there.

    Raises:
        CheckpointError: a value is NaN or infinite, also once it is fp32, which networks compute
            in; or a variance or a count of BatchNorm is below 0.
    """
    for name, tensor in tensors.items():
        values = tensor.float() if tensor.is_floating_point() else tensor
        wrong = ~torch.isfinite(values)
        what = "not finite (NaN or infinity)"
        if not wrong.any() and name.endswith(_NEVER_NEGATIVE):
            wrong, what = values < 0, "below 0, which BatchNorm's statistics cannot be"
        count = int(wrong.sum())
        if count:
            raise CheckpointError(
                f"{path} has unusable weights: {count} of the {tensor.numel()} values of {name} "
                f"are {what}; its training diverged or the file is damaged, take an earlier one"
            )


def checkpoint_licence(path: Path) -> str:
    """The licence of a checkpoint's weights, in words.

    Raises:
        CheckpointError: as :func:`load_checkpoint`.
    """
    return _description(path)[1]


def _description(path: Path) -> tuple[dict[str, Any], str]:
    # A folder may have no name that a suffix can be put to.
    beside = path.with_suffix(".json") if path.name else path
    for file in (path, beside):
        if not file.is_file():
            raise CheckpointError(
                f"{file} does not exist; a checkpoint is a .safetensors file with its "
                "configuration beside it as .json"
            )
    try:
        description = json.loads(beside.read_text())
        return dict(description["network"]), str(description["licence"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{beside} must hold the network's configuration and licence as JSON ({error!r})"
        ) from error


def _reason(error: Exception) -> str:
    """What went wrong on one line; torch lists every tensor that does not fit."""
    line = " ".join(str(error).split())
    return line if len(line) <= 200 else f"{line[:200]}..."


def shipped_checkpoint(name: str) -> Path:
    """Path of a checkpoint that comes with the package.

    Raises:
        CheckpointError: none is shipped for this network.
    """
    path = SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
        raise CheckpointError(
            f"no weights are shipped for {name!r} (shipped: {shipped}); give a checkpoint, or "
            f"train one with `tracenet-train --model {name}`"
        )
    return path


def untrained_network(name: str, seed: int = 0) -> TraceNet:
    """A network with random weights, for measuring costs and for tests.

    Its BatchNorm statistics are those of a generated scene, and a trunk with folded BatchNorm has
    the same folded in, so that what it computes has the scale of a trained network's features in
    every layer instead of dying away: it depends on the picture everywhere.

    Raises:
        CheckpointError: no configuration has this name.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(name)
        picture = torch.from_numpy(generate_scene(512, 512, seed)).permute(2, 0, 1)[None].float()
    modules = list(network.backbone.modules())
    for module in modules:
        if isinstance(module, Bottleneck):
            # Residual branches as strong as the trunk would amplify rounding from block to block.
            nn.init.constant_(module.bn3.weight, 0.25)
    folded = not any(isinstance(module, nn.BatchNorm2d) for module in modules)
    hooks = [
        module.register_forward_hook(_fold_norm)
        for module in modules
        if folded and isinstance(module, nn.Conv2d)
    ]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(picture)
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value
    for hook in hooks:
        hook.remove()
    return network.eval()


def _fold_norm(convolution: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Give a convolution's output mean 0 and deviation 1 in every channel, now and later."""
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    mean, scale = output.mean((0, 2, 3)), output.std((0, 2, 3)).clamp(min=1e-5)
    convolution.weight.div_(scale.view(-1, 1, 1, 1))
    convolution.bias.sub_(mean).div_(scale)
    return (output - mean.view(1, -1, 1, 1)) / scale.view(1, -1, 1, 1)
