"""The learning rate, the optimiser and the moving average."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Literal

import pytest
import torch
from scenes import TINY
from training_fixtures import tiny_network

from tracenet.model import TraceNet
from tracenet.model.config import NeckName
from tracenet.model.layers import Rectifier
from tracenet.training.optimization import (
    Optimization,
    averaged_network,
    build_optimizer,
    freeze_early_layers,
    learning_rate_factor,
    parameter_groups,
    rectifier_slope,
)


def test_learning_rate() -> None:
    optimization = Optimization(steps=1000, warmup=100, decay=0.3)
    factors = [learning_rate_factor(step, optimization) for step in range(1001)]
    assert factors[0] == 0.01
    assert factors[49] == 0.5
    assert all(factor == 1 for factor in factors[99:701])
    assert all(earlier > later for earlier, later in pairwise(factors[700:]))
    assert factors[850] == pytest.approx(0.505)
    assert factors[1000] == pytest.approx(0.01)
    assert learning_rate_factor(9999, optimization) == pytest.approx(0.01)
    assert learning_rate_factor(0, Optimization(steps=1, warmup=0)) == 1


def test_learning_rate_with_milestones() -> None:
    optimization = Optimization(steps=100, warmup=4, milestones=(20, 50))
    factors = [learning_rate_factor(step, optimization) for step in range(100)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:20] == [1.0] * 16
    assert factors[20:50] == pytest.approx([0.1] * 30)
    assert factors[50:] == pytest.approx([0.01] * 50)


def test_leaky_relu_becomes_relu() -> None:
    optimization = Optimization(steps=10, leaky_steps=4)
    slopes = [rectifier_slope(step, optimization) for step in range(7)]
    assert slopes == pytest.approx([0.1, 0.075, 0.05, 0.025, 0, 0, 0])
    assert rectifier_slope(0, Optimization(steps=10)) == 0
    x = torch.tensor([-2.0, 3.0])
    rectifier = Rectifier()
    assert rectifier(x.clone()).tolist() == [0, 3]
    rectifier.slope = 0.25
    assert rectifier(x.clone()).tolist() == [-0.5, 3]


@pytest.mark.parametrize(("optimizer", "rates"), [("adamw", 1 + 1), ("sgd", 1 + 1.9)])
def test_two_steps_of_the_same_gradient(optimizer: Literal["adamw", "sgd"], rates: float) -> None:
    network = tiny_network()
    freeze_early_layers(network)
    built = build_optimizer(network, Optimization(steps=2, learning_rate=0.01, optimizer=optimizer))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for _ in range(2):
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        built.step()
    for name, parameter in network.named_parameters():
        moved = before[name] - parameter.detach()
        if not parameter.requires_grad:
            assert not moved.any(), name
        elif parameter.ndim == 1:  # which weight decay leaves alone
            rate = 0.002 if name.startswith("backbone.") else 0.01
            torch.testing.assert_close(
                moved, torch.full_like(moved, rate * rates), rtol=1e-3, atol=1e-6
            )


def test_averaged_network() -> None:
    network = tiny_network()
    averaged = averaged_network(network, Optimization(steps=1, average=0.2))
    expected = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    # The first update copies; early on 2 / 11 is less than 0.2, and the third time 0.2 is less.
    for decay in (0.0, 2 / 11, 0.2):
        for tensor in network.state_dict().values():
            tensor.add_(1 if tensor.dtype == torch.int64 else torch.rand_like(tensor))
        averaged.update_parameters(network)
        for name, tensor in network.state_dict().items():
            old = expected[name]
            expected[name] = (
                tensor.clone() if tensor.dtype == torch.int64 else old.lerp(tensor, 1 - decay)
            )
    assert set(averaged.module.state_dict()) == set(expected)
    for name, tensor in averaged.module.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    assert any("running_mean" in name for name in expected)


@pytest.mark.parametrize(
    ("trunk", "neck", "expected"),
    [(0.25, "fpn", 1.0), (0.25, "ghost-pan", 0.5), (0.8, "ghost-pan", 1.0)],
)
def test_learning_rate_of_the_neck(trunk: float, neck: NeckName, expected: float) -> None:
    """A pretrained one learns at twice the trunk's rate, a random one like the rest."""
    config = dataclasses.replace(TINY, backbone="shufflenetv2", neck=neck)
    network = TraceNet(config)
    optimization = Optimization(steps=1, learning_rate=1.0, trunk_factor=trunk)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"]
        for group in parameter_groups(network, optimization)
        for parameter in group["params"]
    }
    assert rates["pyramid.p7.0.weight"] == rates["heads.box.weight"] == 1.0
    assert rates["backbone.stem.weight"] == trunk
    name = "lateral.0" if neck == "fpn" else "neck.red.0"
    assert rates[f"pyramid.{name}.weight"] == expected


def test_parameter_groups() -> None:
    network = tiny_network()
    freeze_early_layers(network)
    optimization = Optimization(steps=1, learning_rate=1.0, trunk_factor=0.25, weight_decay=0.5)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    seen = set()
    for group in parameter_groups(network, optimization):
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.add(name)
            assert group["lr"] == (0.25 if name.startswith("backbone.") else 1.0)
            assert group["weight_decay"] == (0.5 if parameter.ndim > 1 else 0.0)
    frozen = set(names.values()) - seen
    assert {name.split(".")[2] for name in frozen} == {"0", "1", "2", "3"}  # to stride 4
    assert all(name.startswith("backbone.features.") for name in frozen)
