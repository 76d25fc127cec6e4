"""Small training runs for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from scenes import TINY, Scenes, make_scene

from tracenet.data import Augmentation, PhotoDataset, TapBatch, TapDataset, TapInputs
from tracenet.model import TraceNet
from tracenet.training.loop import train
from tracenet.training.optimization import Optimization
from tracenet.training.tasks.taps import TapTask

INPUTS = TapInputs(
    pixels=2 * 64 * 64,
    canvas_sizes=(64,),
    taps_per_megapixel=1000,
    augmentation=Augmentation((0.75, 1.5), 0.1),
)
OPTIMIZATION = Optimization(steps=6, learning_rate=3e-3, warmup=2)
SCENES = [make_scene(60, 80, seed) for seed in range(3)]


@contextmanager
def fresh_accelerate() -> Iterator[None]:
    """Every run chooses its precision, as in a process of its own."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def tiny_network(seed: int = 0) -> TraceNet:
    torch.manual_seed(seed)
    return TraceNet(TINY)


def run(
    out: Path,
    *,
    network: TraceNet | None = None,
    photos: PhotoDataset | None = None,
    inputs: TapInputs = INPUTS,
    held_out: PhotoDataset | None = None,
    optimization: Optimization = OPTIMIZATION,
    **changes: Any,
) -> dict[str, Any]:
    network = network or tiny_network()
    task = TapTask(photos or Scenes(SCENES), inputs, network.pad_value, held_out)
    arguments = {
        "seed": 0,
        "save_every": 4,
        "score_every": None,
        "resume": False,
        "precision": "no",
        "workers": 0,
    }
    return train(network, task, optimization, out, **arguments | changes)  # type: ignore[arg-type]


def saved_step(out: Path) -> int:
    return int(json.loads((out / "state" / "run.json").read_text())["step"])


def before_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    """Do something while the batch of a step (from 0) is loaded."""
    load = TapDataset.__getitem__

    def acting(self: TapDataset, at: int) -> TapBatch:
        if at == step:
            action()
        return load(self, at)

    monkeypatch.setattr(TapDataset, "__getitem__", acting)


def same_tensors(one: Path, two: Path) -> bool:
    first, second = load_file(one), load_file(two)
    return set(first) == set(second) and all(
        torch.equal(tensor, second[name]) for name, tensor in first.items()
    )
