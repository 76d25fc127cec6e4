"""The training loop: any task, resumable, on whatever accelerate finds."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from tracenet.model import TraceNet
from tracenet.training.interrupt import interrupt_asked
from tracenet.training.optimization import (
    Optimization,
    averaged_network,
    build_optimizer,
    learning_rate_factor,
    rectifier_slope,
    set_rectifier_slope,
    set_training_mode,
)
from tracenet.training.progress import Progress
from tracenet.training.rounding import SimulatedRounding
from tracenet.training.state import TrainingError, append_log, load_state, open_run, save_run
from tracenet.training.task import B, TrainingTask
from tracenet_runtime.errors import TraceNetError

GRADIENT_NORM = 5.0


def train(
    network: TraceNet,
    task: TrainingTask[B],
    optimization: Optimization,
    out: Path,
    *,
    seed: int,
    save_every: int,
    score_every: int | None,
    resume: bool,
    precision: str,
    workers: int,
) -> dict[str, Any]:
    """Train ``network``; ``out/network.safetensors`` (+ .json) is the average of its weights.

    ``out/state`` holds what a later call with ``resume`` needs, ``out/log.jsonl`` the losses and
    scores. State and network are replaced atomically. Ctrl-C saves first, when the step under way
    is done; so does a photo that cannot be read.

    Args:
        network: to train.
        task: on what.
        optimization: and how.
        out: folder of the run.
        seed: of everything random.
        save_every: steps between saves.
        score_every: steps between scores of the average, by the task's metrics; None for none.
        resume: go on with the run in ``out``.
        precision: ``no``, ``bf16`` or ``fp16``.
        workers: processes that load batches.

    Returns:
        ``steps``, ``seconds``, ``images_per_second`` of this call and the last mean losses.

    Raises:
        TrainingError: ``out`` holds a run and ``resume`` is false, or none and it is true; the
            saved run is damaged or had other settings; the precision is not to be had on this
            machine; the loss is not finite; or ``out`` cannot be written.
        KeyboardInterrupt: Ctrl-C.
    """
    set_seed(seed)
    accelerator = _accelerator(precision)
    open_run(accelerator, out, resume)
    settings = {  # "schedule" is what the runs that exist call it
        "schedule": {**asdict(optimization), "seed": seed},
        "inputs": {
            **task.settings,
            "network": network.config.to_dict(),
            "precision": precision,
        },
    }

    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(network, optimization)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, optimization)
    )
    objective, optimizer, scheduler = accelerator.prepare(
        _Objective(network, task), optimizer, scheduler
    )
    averaged = averaged_network(network, optimization)
    rounding = SimulatedRounding(network)  # of the network that learns, not of the average
    average = averaged.module
    assert isinstance(average, TraceNet)
    accelerator.register_for_checkpointing(averaged)
    networks = {"trained": network, "average": average}
    start = load_state(accelerator, out / "state", settings, networks) if resume else 0

    set_training_mode(network)
    average.eval()
    dataset = task.dataset(seed, accelerator.process_index, accelerator.num_processes)
    batches = tqdm(
        DataLoader(
            _ErrorsAsValues(dataset),
            batch_size=None,
            sampler=range(start, optimization.steps),
            num_workers=workers,
            worker_init_fn=_ignore_interrupt,
        ),
        initial=start,
        total=optimization.steps,
        unit="step",
        disable=not accelerator.is_main_process,
    )
    progress, saved = Progress(start), start
    between_steps, stopped = True, False

    def save() -> None:
        nonlocal saved
        saved = progress.step  # a save that fails is not tried again on the way out
        run = {"step": progress.step, **settings}
        save_run(accelerator, average, out, run, progress.record())

    try:
        with interrupt_asked() as asked:
            for batch in batches:
                if isinstance(batch, TraceNetError):
                    # A new one: raised itself, it would hold this frame, and the frame it.
                    raise type(batch)(*batch.args)
                between_steps = False
                set_rectifier_slope(network, rectifier_slope(progress.step, optimization))
                rounding.on = progress.step >= optimization.steps - optimization.rounded_steps
                losses = objective(batch.to(accelerator.device))
                accelerator.backward(losses["total"])
                accelerator.clip_grad_norm_(objective.parameters(), GRADIENT_NORM)
                optimizer.step()
                averaged.update_parameters(network)
                scheduler.step()
                optimizer.zero_grad()
                progress.learnt(losses)
                if progress.diverged:
                    raise TrainingError(
                        f"the loss of step {progress.step + 1} is not finite; lower "
                        "--learning-rate, or try another --precision (the state in "
                        f"{out} is the one saved before)"
                    )
                progress.step_done(len(batch.image) * accelerator.num_processes)
                between_steps = True
                if progress.step % save_every == 0:
                    save()
                if score_every and progress.step % score_every == 0 and accelerator.is_main_process:
                    progress.score(lambda: task.metrics(average))
                    append_log(out, {"step": progress.step, **progress.metrics})
                batches.set_postfix(progress.shown())
                # All processes stop after the same step.
                if asked.is_set():
                    accelerator.set_trigger()
                if accelerator.check_trigger():
                    stopped = True
                    break
    except BaseException:
        # Most often a damaged photo: what has been computed is not lost. Half a step is no state to
        # go on from, and other processes, which know of nothing, would be waited for in vain.
        if between_steps and progress.step > saved and accelerator.num_processes == 1:
            save()
        raise
    if progress.step > saved:
        save()
    if stopped:
        raise KeyboardInterrupt
    return progress.summary()


def _accelerator(precision: str) -> Accelerator:
    try:
        # The scheduler counts steps: left to itself it would count one per step and process.
        accelerator = Accelerator(mixed_precision=precision, step_scheduler_with_optimizer=False)
    except ValueError as error:
        raise TrainingError(f"precision {precision} is not to be had here: {error}") from error
    if precision == "fp16" and accelerator.device.type == "cpu":
        # accelerate would say nothing and train in fp32.
        raise TrainingError("precision fp16 is not to be had here: it needs a GPU; take bf16 or no")
    return accelerator


class _Objective(nn.Module, Generic[B]):
    """A network and its loss as one module, so that a data-parallel wrapper holds both."""

    def __init__(self, network: TraceNet, task: TrainingTask[B]) -> None:
        super().__init__()
        self.network, self._task = network, task

    def forward(self, batch: B) -> dict[str, Tensor]:
        return self._task.loss(self.network, batch)


class _ErrorsAsValues(Dataset[B | TraceNetError], Generic[B]):
    """Hands our errors on as values: raised in a worker, a traceback becomes their message."""

    def __init__(self, batches: Dataset[B]) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> B | TraceNetError:
        try:
            return self._batches[step]
        except TraceNetError as error:
            return error


def _ignore_interrupt(worker: int) -> None:
    """Ctrl-C reaches every process in the terminal; workers end when the loop does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
