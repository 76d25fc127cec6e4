"""Optimiser, learning rate, moving average, and what of the network is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tracenet.model import TraceNet
from tracenet.model.layers import Rectifier

SGD_MOMENTUM = 0.9
PRETRAINED_SLOPE = 0.1
"""Of NanoDet-Plus's LeakyReLU."""

_BATCH_NORM = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Optimization:
    """How the weights are found.

    Attributes:
        steps: optimiser steps of the whole run.
        learning_rate: peak, for all but the trunk.
        trunk_factor: the trunk's learning rate as a share of the peak. A neck that is pretrained
            with the trunk has twice as much.
        weight_decay: on weights of rank 2 and more.
        warmup: steps of linear warm-up.
        decay: share of the steps, the last ones, over which the learning rate falls.
        average: decay per step of the exponential moving average of the weights, which is what a
            run leaves behind; early on it forgets faster.
        optimizer: AdamW, or SGD with momentum.
        milestones: steps at which the learning rate is divided by ten, instead of ``decay``.
        leaky_steps: steps over which a pretrained trunk's LeakyReLU becomes ReLU.
        rounded_steps: steps, the last ones, that see activations as int8 rounds them.
    """

    steps: int
    learning_rate: float = 1e-3
    trunk_factor: float = 0.2
    weight_decay: float = 0.02
    warmup: int = 200
    decay: float = 0.3
    average: float = 0.998
    optimizer: Literal["adamw", "sgd"] = "adamw"
    milestones: tuple[int, ...] = ()
    leaky_steps: int = 0
    rounded_steps: int = 0


def rectifier_slope(step: int, optimization: Optimization) -> float:
    """The slope below 0 of a pretrained trunk's activations: the one it knows, falling to 0.

    Networks whose LeakyReLU is replaced at once lose much of what they know.
    """
    if step >= optimization.leaky_steps:
        return 0.0
    return PRETRAINED_SLOPE * (1 - step / optimization.leaky_steps)


def set_rectifier_slope(network: TraceNet, slope: float) -> None:
    """Of all activations that may have one."""
    for module in network.modules():
        if isinstance(module, Rectifier):
            module.slope = slope


def learning_rate_factor(step: int, optimization: Optimization) -> float:
    """Linear warm-up, the peak, and a cosine down to 1 % over the last steps.

    As good as a cosine over the whole run (arXiv 2405.18392), and a run can be prolonged, or be
    brought to an end from any of its checkpoints (``--init``). With milestones, a tenth from each
    of them on in place of the cosine.
    """
    if step < optimization.warmup:
        return (step + 1) / optimization.warmup
    if optimization.milestones:
        return 0.1 ** sum(step >= milestone for milestone in optimization.milestones)
    decay = optimization.decay * optimization.steps
    progress = 1 - min(decay, max(0, optimization.steps - step)) / decay
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(network: TraceNet, optimization: Optimization) -> list[dict[str, Any]]:
    """The optimiser's groups: trunk, its neck and the rest, with and without weight decay."""
    pretrained = {
        "backbone.": optimization.trunk_factor,
        "pyramid.neck.": min(1.0, 2 * optimization.trunk_factor),
    }
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            factor = next((f for part, f in pretrained.items() if name.startswith(part)), 1.0)
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": optimization.learning_rate * factor,
            "weight_decay": optimization.weight_decay if decay else 0.0,
        }
        for (factor, decay), parameters in groups.items()
    ]


def build_optimizer(network: TraceNet, optimization: Optimization) -> torch.optim.Optimizer:
    """The optimiser of the parameters that are not frozen."""
    groups = parameter_groups(network, optimization)
    if optimization.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=SGD_MOMENTUM)
    return torch.optim.AdamW(groups)


def averaged_network(network: TraceNet, optimization: Optimization) -> AveragedModel:
    """A moving average of the weights and BatchNorm's statistics, at first the weights themselves.

    Few photos make the last steps' gradients noisy; their average generalises better.
    """

    def average(
        averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int
    ) -> None:
        decay = min(optimization.average, (1 + int(updates)) / (10 + int(updates)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:  # BatchNorm's count of batches
                mean.copy_(value)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def freeze_early_layers(network: TraceNet) -> None:
    """Keep a pretrained trunk's early layers as they are.

    Edges and colours are the same everywhere, and much of a training step's time is theirs.
    """
    for module in network.backbone.early_layers():
        module.requires_grad_(False)


def freeze_all_but(network: TraceNet, *parts: nn.Module | None) -> None:
    """Train these parts of a network, and keep all else as it is."""
    network.requires_grad_(False)
    for part in parts:
        if part is not None:
            part.requires_grad_(True)


def set_training_mode(network: TraceNet) -> None:
    """BatchNorm of frozen layers keeps its statistics; all else is in training mode."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, _BATCH_NORM):
            layer.train(any(parameter.requires_grad for parameter in layer.parameters()))
