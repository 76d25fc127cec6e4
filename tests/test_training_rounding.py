"""Activations rounded as in int8, while training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from training_fixtures import OPTIMIZATION, fresh_accelerate, run, same_tensors

from tracenet.model import TraceNet
from tracenet.model.config import CONFIGS
from tracenet.model.layers import Rectifier
from tracenet.training.rounding import SimulatedRounding, rounded_to_8_bits


@given(
    st.integers(0, 2**32 - 1),
    st.floats(1e-3, 1e3),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_a_rounded_tensor(seed: int, size: float, dtype: torch.dtype) -> None:
    values = torch.from_numpy(np.random.default_rng(seed).normal(0.3, size, (2, 3, 5, 7))).to(dtype)
    result = rounded_to_8_bits(values)
    assert result.dtype == dtype
    step = float(values.max().clamp(min=0) - values.min().clamp(max=0)) / 255
    error = (result.float() - values.float()).abs().max()
    representable = 0.0 if dtype == torch.float32 else float(values.abs().max()) / 256
    assert float(error) <= 0.51 * step + 1e-6 * size + representable
    if dtype == torch.float32:
        assert len(result.unique()) <= 256


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_a_constant_stays(value: float) -> None:
    result = rounded_to_8_bits(torch.full((1, 2, 3, 3), value))
    assert torch.allclose(result, torch.tensor(value), rtol=1e-6)


def test_gradients_pass() -> None:
    values = torch.linspace(-1, 2, 30).reshape(1, 2, 3, 5).requires_grad_()
    weights = torch.arange(30.0).reshape(values.shape)
    (rounded_to_8_bits(values) * weights).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, weights)


def test_rounds_while_it_is_on() -> None:
    torch.manual_seed(0)
    network = TraceNet(CONFIGS["shufflenetv2-pan"]).eval()
    image = torch.rand(1, 3, 128, 128) * 255
    seen: list[Tensor] = []
    exact = network(image)
    rounding = SimulatedRounding(network)
    for module in network.modules():
        if isinstance(module, Rectifier):  # after the rounding's own hook
            module.register_forward_hook(lambda _, inputs, output: seen.append(output))
    same = network(image)
    assert all(torch.equal(exact[name], same[name]) for name in exact)
    assert any(len(output.unique()) > 256 for output in seen)
    seen.clear()
    rounding.on = True
    rounded = network(image)
    assert seen
    assert all(len(output.unique()) <= 256 for output in seen)
    assert not torch.equal(exact["mask_features"], rounded["mask_features"])
    assert torch.allclose(exact["mask_features"], rounded["mask_features"], rtol=0.1, atol=0.5)


def test_the_last_steps_are_rounded(tmp_path: Path) -> None:
    losses = []
    for steps in (0, 2):
        out = tmp_path / str(steps)
        optimization = dataclasses.replace(OPTIMIZATION, rounded_steps=steps)
        with fresh_accelerate():
            run(out, optimization=optimization, save_every=1)
        records = map(json.loads, (out / "log.jsonl").read_text().splitlines())
        losses.append([record["total"] for record in records])
    assert losses[0][:4] == losses[1][:4]
    networks = (tmp_path / name / "network.safetensors" for name in ("0", "2"))
    assert not same_tensors(*networks)
