"""The training loop: AdamW, warm-up and cosine, resumable, on whatever accelerate finds."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from tracenet.data import PhotoDataset, Recipe, StepDataset, StepSampler
from tracenet.model import TraceNet, save_checkpoint
from tracenet.training.losses import TapLoss
from tracenet_runtime.errors import TraceNetError

GRADIENT_NORM = 5.0
_BATCH_NORM = nn.modules.batchnorm._BatchNorm


class TrainingError(TraceNetError):
    """A run cannot start or resume."""


@dataclass(frozen=True)
class Schedule:
    """How a run goes.

    Attributes:
        steps: optimiser steps of the whole run.
        learning_rate: peak, for all but the trunk.
        trunk_factor: the trunk's learning rate as a share of the peak.
        weight_decay: AdamW's, on weights of rank 2 and more.
        warmup: steps of linear warm-up.
        save_every: steps between checkpoints.
        seed: of everything random.
    """

    steps: int
    learning_rate: float = 1e-3
    trunk_factor: float = 0.2
    weight_decay: float = 0.02
    warmup: int = 200
    save_every: int = 250
    seed: int = 0


def learning_rate_factor(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine down to 1 % at the last step."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    progress = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def parameter_groups(network: TraceNet, schedule: Schedule) -> list[dict[str, Any]]:
    """AdamW's groups: trunk and rest, with and without weight decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = name.startswith("backbone."), parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": schedule.learning_rate * (schedule.trunk_factor if trunk else 1.0),
            "weight_decay": schedule.weight_decay if decay else 0.0,
        }
        for (trunk, decay), parameters in groups.items()
    ]


def freeze_early_layers(network: TraceNet) -> None:
    """Keep a pretrained trunk's layers up to stride 4 as they are: edges and colours are the same
    everywhere, and a third of a training step's time is theirs.
    """
    for module in network.backbone.early_layers():
        module.requires_grad_(False)


def train(
    network: TraceNet,
    photos: PhotoDataset,
    recipe: Recipe,
    schedule: Schedule,
    out: Path,
    *,
    resume: bool,
    precision: str,
    workers: int,
) -> dict[str, Any]:
    """Train ``network`` and leave ``out/network.safetensors`` (+ .json).

    ``out/state`` holds what a later call with ``resume`` needs, ``out/log.jsonl`` the losses. All
    are replaced atomically; Ctrl-C saves first.

    Returns:
        ``steps``, ``seconds``, ``images_per_second`` of this call and the last mean losses.

    Raises:
        TrainingError: ``out`` holds a run and ``resume`` is false, or none and it is true, or the
            saved run had other settings.
    """
    set_seed(schedule.seed)
    accelerator = Accelerator(mixed_precision=precision)
    state = out / "state"
    if state.exists() and not resume:
        raise TrainingError(f"{out} already holds a run; give --resume, or another --out")
    if resume and not state.exists():
        raise TrainingError(f"{out} holds no run to resume; leave --resume out")

    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(parameter_groups(network, schedule))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, schedule)
    )
    module, optimizer, scheduler = accelerator.prepare(TapLoss(network), optimizer, scheduler)
    start = _load_state(accelerator, state, schedule) if resume else 0

    pad_value = tuple(round(v) for v in network.config.pixel_mean)
    dataset = StepDataset(
        photos,
        recipe,
        pad_value,  # type: ignore[arg-type]
        schedule.seed,
        accelerator.process_index,
        accelerator.num_processes,
    )
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=StepSampler(start, schedule.steps),  # type: ignore[arg-type]
        num_workers=workers,
        persistent_workers=False,
    )
    module.train()
    for part in network.backbone.early_layers():
        frozen = not any(parameter.requires_grad for parameter in part.parameters())
        for layer in part.modules():
            if frozen and isinstance(layer, _BATCH_NORM):
                layer.eval()

    bar = tqdm(
        loader,
        initial=start,
        total=schedule.steps,
        unit="step",
        disable=not accelerator.is_main_process,
    )
    began, images, means, step = time.perf_counter(), 0, {}, start
    try:
        for batch in bar:
            losses = module(batch.to(accelerator.device))
            accelerator.backward(losses["total"])
            accelerator.clip_grad_norm_(module.parameters(), GRADIENT_NORM)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step += 1
            images += len(batch.image) * accelerator.num_processes
            for name, loss in losses.items():
                value = float(loss.detach())
                means[name] = means.get(name, value) * 0.98 + value * 0.02
            rate = images / (time.perf_counter() - began)
            bar.set_postfix({k: f"{v:.3f}" for k, v in means.items()} | {"img/s": f"{rate:.1f}"})
            if step % schedule.save_every == 0 and step < schedule.steps:
                _save(accelerator, network, out, step, schedule, means, rate)
    finally:
        # Also on Ctrl-C: what has been computed is not lost.
        if step > start:
            rate = images / (time.perf_counter() - began)
            _save(accelerator, network, out, step, schedule, means, rate)
    seconds = time.perf_counter() - began
    return {
        "steps": step,
        "seconds": round(seconds, 1),
        "images_per_second": round(images / max(seconds, 1e-9), 2),
        "losses": {name: round(value, 4) for name, value in means.items()},
    }


def _save(
    accelerator: Accelerator,
    network: TraceNet,
    out: Path,
    step: int,
    schedule: Schedule,
    means: dict[str, float],
    rate: float,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    partial, state, old = out / "state.partial", out / "state", out / "state.old"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return
    (partial / "run.json").write_text(json.dumps({"step": step, "schedule": vars(schedule)}))
    shutil.rmtree(old, ignore_errors=True)
    if state.exists():
        os.replace(state, old)
    os.replace(partial, state)
    shutil.rmtree(old, ignore_errors=True)
    save_checkpoint(network, out / "network.safetensors")
    with (out / "log.jsonl").open("a") as log:
        record = {"step": step, "images_per_second": round(rate, 2)}
        log.write(json.dumps(record | {k: round(v, 4) for k, v in means.items()}) + "\n")


def _load_state(accelerator: Accelerator, state: Path, schedule: Schedule) -> int:
    saved = json.loads((state / "run.json").read_text())
    if saved["schedule"] != vars(schedule):
        changed = [k for k, v in vars(schedule).items() if saved["schedule"].get(k) != v]
        raise TrainingError(
            f"the run was started with another {', '.join(changed)}; give the same settings, or "
            "another --out"
        )
    accelerator.load_state(str(state))
    return int(saved["step"])
