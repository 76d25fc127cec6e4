"""A run's folder: the state to resume from, the network, the log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from tracenet.model import TraceNet, check_weights, save_checkpoint
from tracenet_runtime.errors import TraceNetError, refuse_if_out_of_memory

_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What JSON raises that is none, or not what was written."""


class TrainingError(TraceNetError):
    """A run cannot start, resume, go on or be saved."""


def open_run(accelerator: Accelerator, out: Path, resume: bool) -> None:
    """Check, before anything is computed, that ``out`` is what ``resume`` says and can be written.

    Raises:
        TrainingError: it is not.
    """
    state, old = out / "state", out / "state.old"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if accelerator.is_main_process and old.exists() and not state.exists():
            old.rename(state)  # killed between the two renames of a save
    except OSError as error:
        raise TrainingError(f"{out} cannot be written: {error}") from error
    accelerator.wait_for_everyone()
    if state.exists() and not resume:
        raise TrainingError(f"{out} already holds a run; give --resume, or another --out")
    if resume and not state.exists():
        raise TrainingError(f"{out} holds no run to resume; leave --resume out")


def save_run(
    accelerator: Accelerator,
    network: TraceNet,
    out: Path,
    run: dict[str, Any],
    record: dict[str, float],
) -> None:
    """Write the state (with ``run`` as JSON), the network and a line of the log.

    Raises:
        TrainingError: ``out`` cannot be written; the state saved before is still there.
    """
    partial, state, old = out / "state.partial", out / "state", out / "state.old"
    try:
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if not accelerator.is_main_process:
            return
        (partial / "run.json").write_text(json.dumps(run))
        if state.exists():
            shutil.rmtree(old, ignore_errors=True)
            state.rename(old)
        partial.rename(state)
        shutil.rmtree(old, ignore_errors=True)
        save_checkpoint(network, out / "network.safetensors")
    except OSError as error:
        raise TrainingError(f"{out} cannot be written: {error}") from error
    append_log(out, record)


def append_log(out: Path, record: Mapping[str, float]) -> None:
    """Add a line to the log.

    Raises:
        TrainingError: it cannot be written.
    """
    try:
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
    except OSError as error:
        raise TrainingError(f"{out} cannot be written: {error}") from error


def load_state(
    accelerator: Accelerator,
    state: Path,
    settings: dict[str, Any],
    networks: Mapping[str, TraceNet],
) -> int:
    """Go back to a saved state; returns its step.

    Args:
        accelerator: what saved it.
        state: its folder.
        settings: of this run, by part; must be those of the saved one.
        networks: whose weights the state has, by what they are called in errors.

    Raises:
        TrainingError: it is damaged, or was saved by a run with other settings.
        CheckpointError: its weights are not finite or otherwise none.
    """
    try:
        run = json.loads((state / "run.json").read_text())
        step = int(run["step"])
        # Runs begun before they recorded a setting are not asked for it.
        changed = [
            name
            for part, values in json.loads(json.dumps(settings)).items()
            for name, value in values.items()
            if run.get(part, {}).get(name, value) != value
        ]
    except _DAMAGE as error:
        raise TrainingError(f"{state / 'run.json'} is damaged ({error!r}); start anew") from error
    if changed:
        raise TrainingError(
            f"the run was started with another {', '.join(changed)}; give the same settings, or "
            "another --out"
        )
    try:
        accelerator.load_state(str(state))
    # Damaged files raise nearly anything, and the optimiser of other parameters a ValueError.
    except Exception as error:
        refuse_if_out_of_memory(error, f"load {state}")
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"{state} is damaged or does not fit this network ({reason}); was the run started with "
            "--trunk or --init, and this call not, or the other way round?"
        ) from error
    for name, network in networks.items():
        tensors = network.state_dict()
        check_weights(state, {f"{key} ({name})": value for key, value in tensors.items()})
    return step
