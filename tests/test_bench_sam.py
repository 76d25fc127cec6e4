"""The cost of a SAM for small devices."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from tracenet_bench.measure import sam
from tracenet_bench.measure.sam import COST_ONLY, CostOnlyError, open_cost_only

MISSING = [name for name in sam._PACKAGES if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def edgetam() -> Any:
    if MISSING:
        pytest.skip(f"the extra sam is not installed: {' and '.join(MISSING)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        return open_cost_only("edgetam", threads=1)


def test_edgetam_is_as_large_as_published(edgetam: Any) -> None:
    """RepViT-M1 has 0.8 G multiply-adds at 224 x 224, thus 17 G at 1024 x 1024 without its head."""
    assert edgetam.input_size == (1024, 1024)
    assert edgetam.source.endswith(": EdgeTamModel")
    assert 17e9 < edgetam.macs < 26e9


def test_a_tap_tells_its_stages(edgetam: Any) -> None:
    photo = np.zeros((60, 80, 3), np.uint8)
    stages = edgetam.tap(photo, (79, 0))
    assert set(stages) == {"resize", "image encoder", "prompt and mask decoder"}
    assert min(stages.values()) > 0


def test_multiply_adds_are_not_counted_before_they_are_asked_for() -> None:
    """Counting is a tap: neither the loading nor the memory nor the first tap may have it."""
    began = []

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        began.append(tuple(pixels.shape))
        return torch.nn.functional.conv2d(pixels, torch.ones(2, 3, 1, 1))

    def decode(embeddings: torch.Tensor, x: float, y: float) -> torch.Tensor:
        return embeddings[:, :1]

    model = sam.CostOnly("some", (4, 6), encode, decode)
    model.tap(np.zeros((60, 80, 3), np.uint8), (79, 0))
    assert len(began) == 1
    assert model.macs == model.macs == 4 * 6 * 3 * 2
    assert began[1:] == [(1, 3, 4, 6)]


def test_a_network_that_there_is_not() -> None:
    with pytest.raises(CostOnlyError, match="no cost-only network 'sam9'; there is edgetam"):
        open_cost_only("sam9", threads=1)


@pytest.mark.parametrize("name", COST_ONLY)
def test_what_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda v: None if v == "timm" else find_spec(v)
    )
    with pytest.raises(CostOnlyError, match=r"needs .*timm; run: pip install 'tracenet\[sam\]'"):
        open_cost_only(name, threads=1)


def test_a_torchvision_for_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> Any:
        raise RuntimeError(f"operator {name}::nms does not exist")

    monkeypatch.setattr(sam, "_PACKAGES", ())
    monkeypatch.setattr(importlib, "import_module", fails)
    with pytest.raises(CostOnlyError, match=r"does not fit torch .*install both again"):
        open_cost_only("edgetam", threads=1)
