"""The training loop: optimiser, schedule, resumable, on whatever accelerate finds."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from tracenet.data import PhotoDataset, Recipe, StepDataset, StepSampler, TapBatch
from tracenet.model import TraceNet
from tracenet.model.layers import Rectifier
from tracenet.training.losses import TapLoss
from tracenet.training.state import TrainingError, load_state, open_run, save_run
from tracenet_runtime.errors import TraceNetError

GRADIENT_NORM = 5.0
SGD_MOMENTUM = 0.9
PRETRAINED_SLOPE = 0.1
"""Of NanoDet-Plus's LeakyReLU."""

_BATCH_NORM = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Schedule:
    """How a run goes.

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
        save_every: steps between checkpoints.
        seed: of everything random.
        optimizer: AdamW, or SGD with momentum.
        milestones: steps at which the learning rate is divided by ten, instead of ``decay``.
        leaky_steps: steps over which a pretrained trunk's LeakyReLU becomes ReLU.
    """

    steps: int
    learning_rate: float = 1e-3
    trunk_factor: float = 0.2
    weight_decay: float = 0.02
    warmup: int = 200
    decay: float = 0.3
    average: float = 0.998
    save_every: int = 250
    seed: int = 0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    milestones: tuple[int, ...] = ()
    leaky_steps: int = 0


def rectifier_slope(step: int, schedule: Schedule) -> float:
    """The slope below 0 of a pretrained trunk's activations: the one it knows, falling to 0.

    Networks whose LeakyReLU is replaced at once lose much of what they know.
    """
    if step >= schedule.leaky_steps:
        return 0.0
    return PRETRAINED_SLOPE * (1 - step / schedule.leaky_steps)


def learning_rate_factor(step: int, schedule: Schedule) -> float:
    """Linear warm-up, the peak, and a cosine down to 1 % over the last steps.

    As good as a cosine over the whole run (arXiv 2405.18392), and a run can be prolonged, or be
    brought to an end from any of its checkpoints (``--init``). With milestones, a tenth from each
    of them on in place of the cosine.
    """
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    if schedule.milestones:
        return 0.1 ** sum(step >= milestone for milestone in schedule.milestones)
    decay = schedule.decay * schedule.steps
    progress = 1 - min(decay, max(0, schedule.steps - step)) / decay
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(network: TraceNet, schedule: Schedule) -> list[dict[str, Any]]:
    """The optimiser's groups: trunk, its neck and the rest, with and without weight decay."""
    pretrained = {
        "backbone.": schedule.trunk_factor,
        "pyramid.neck.": min(1.0, 2 * schedule.trunk_factor),
    }
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            factor = next((f for part, f in pretrained.items() if name.startswith(part)), 1.0)
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": schedule.learning_rate * factor,
            "weight_decay": schedule.weight_decay if decay else 0.0,
        }
        for (factor, decay), parameters in groups.items()
    ]


def build_optimizer(network: TraceNet, schedule: Schedule) -> torch.optim.Optimizer:
    """The schedule's optimiser of the parameters that are not frozen."""
    groups = parameter_groups(network, schedule)
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=SGD_MOMENTUM)
    return torch.optim.AdamW(groups)


def averaged_network(network: TraceNet, schedule: Schedule) -> AveragedModel:
    """A moving average of the weights and BatchNorm's statistics, at first the weights themselves.

    Few photos make the last steps' gradients noisy; their average generalises better.
    """

    def average(
        averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int
    ) -> None:
        decay = min(schedule.average, (1 + int(updates)) / (10 + int(updates)))
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
    """Train ``network``; ``out/network.safetensors`` (+ .json) is the average of its weights.

    ``out/state`` holds what a later call with ``resume`` needs, ``out/log.jsonl`` the losses. State
    and network are replaced atomically. Ctrl-C saves first, when the step under way is done; so
    does a photo that cannot be read.

    Returns:
        ``steps``, ``seconds``, ``images_per_second`` of this call and the last mean losses.

    Raises:
        TrainingError: ``out`` holds a run and ``resume`` is false, or none and it is true; the
            saved run is damaged or had other settings; the precision is not to be had on this
            machine; the loss is not finite; or ``out`` cannot be written.
        KeyboardInterrupt: Ctrl-C.
    """
    set_seed(schedule.seed)
    try:
        # The scheduler counts steps: left to itself it would count one per step and process.
        accelerator = Accelerator(mixed_precision=precision, step_scheduler_with_optimizer=False)
    except ValueError as error:
        raise TrainingError(f"precision {precision} is not to be had here: {error}") from error
    if precision == "fp16" and accelerator.device.type == "cpu":
        # accelerate would say nothing and train in fp32.
        raise TrainingError("precision fp16 is not to be had here: it needs a GPU; take bf16 or no")
    open_run(accelerator, out, resume)
    settings = {
        "schedule": asdict(schedule),
        "inputs": {
            **asdict(recipe),
            "network": network.config.to_dict(),
            "precision": precision,
            "photos": [len(photos), zlib.crc32(photos.weights.tobytes())],
        },
    }

    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(network, schedule)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, schedule)
    )
    module, optimizer, scheduler = accelerator.prepare(TapLoss(network), optimizer, scheduler)
    averaged = averaged_network(network, schedule)
    averaged_weights = averaged.module
    assert isinstance(averaged_weights, TraceNet)
    accelerator.register_for_checkpointing(averaged)
    networks = {"trained": network, "average": averaged_weights}
    start = load_state(accelerator, out / "state", settings, networks) if resume else 0

    dataset = StepDataset(
        photos,
        recipe,
        network.pad_value,
        schedule.seed,
        accelerator.process_index,
        accelerator.num_processes,
    )
    loader = DataLoader(
        _ErrorsAsValues(dataset),
        batch_size=None,
        sampler=StepSampler(start, schedule.steps),
        num_workers=workers,
        worker_init_fn=_ignore_interrupt,
    )
    module.train()
    rectifiers = [part for part in network.modules() if isinstance(part, Rectifier)]
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
    began, images, step, saved = time.perf_counter(), 0, start, start
    means: dict[str, float] = {}
    between_steps, stopped = True, False

    def save() -> None:
        nonlocal saved
        saved = step  # a save that fails is not tried again on the way out
        rate = images / (time.perf_counter() - began)
        record = {"step": step, "images_per_second": round(rate, 2)}
        record |= {name: round(value, 4) for name, value in means.items()}
        save_run(accelerator, averaged_weights, out, {"step": step, **settings}, record)

    try:
        with _interrupt_asked() as asked:
            for batch in bar:
                if isinstance(batch, TraceNetError):
                    # A new one: raised itself, it would hold this frame, and the frame it.
                    raise type(batch)(*batch.args)
                between_steps = False
                for rectifier in rectifiers:
                    rectifier.slope = rectifier_slope(step, schedule)
                losses = module(batch.to(accelerator.device))
                accelerator.backward(losses["total"])
                accelerator.clip_grad_norm_(module.parameters(), GRADIENT_NORM)
                optimizer.step()
                averaged.update_parameters(network)
                scheduler.step()
                optimizer.zero_grad()
                for name, loss in losses.items():
                    value = float(loss.detach())
                    means[name] = means.get(name, value) * 0.98 + value * 0.02
                if not math.isfinite(means["total"]):
                    raise TrainingError(
                        f"the loss of step {step + 1} is not finite; lower --learning-rate, or try "
                        f"another --precision (the state in {out} is the one saved before)"
                    )
                step += 1
                between_steps = True
                images += len(batch.image) * accelerator.num_processes
                rate = images / (time.perf_counter() - began)
                postfix = {k: f"{v:.3f}" for k, v in means.items()}
                bar.set_postfix(postfix | {"img/s": f"{rate:.1f}"})
                if step % schedule.save_every == 0:
                    save()
                # All processes stop after the same step.
                if asked.is_set():
                    accelerator.set_trigger()
                if accelerator.check_trigger():
                    stopped = True
                    break
    except BaseException:
        # Most often a damaged photo: what has been computed is not lost. Half a step is no state to
        # go on from, and other processes, which know of nothing, would be waited for in vain.
        if between_steps and step > saved and accelerator.num_processes == 1:
            save()
        raise
    if step > saved:
        save()
    if stopped:
        raise KeyboardInterrupt
    seconds = time.perf_counter() - began
    return {
        "steps": step,
        "seconds": round(seconds, 1),
        "images_per_second": round(images / max(seconds, 1e-9), 2),
        "losses": {name: round(value, 4) for name, value in means.items()},
    }


class _ErrorsAsValues(Dataset[TapBatch | TraceNetError]):
    """Hands our errors on as values: raised in a worker, a traceback becomes their message."""

    def __init__(self, batches: StepDataset) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> TapBatch | TraceNetError:
        try:
            return self._batches[step]
        except TraceNetError as error:
            return error


def _ignore_interrupt(worker: int) -> None:
    """Ctrl-C reaches every process in the terminal; workers end when the loop does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _interrupt_asked() -> Iterator[threading.Event]:
    """Let Ctrl-C set an event instead of breaking off a step; a second Ctrl-C breaks it off."""
    asked = threading.Event()
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        asked.set()
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
