"""Training runs that stop, go on and end the same, and their folders."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from scenes import TINY, Scenes, make_scene
from training_fixtures import (
    INPUTS,
    OPTIMIZATION,
    SCENES,
    before_step,
    fresh_accelerate,
    run,
    same_tensors,
    saved_step,
    tiny_network,
)

from tracenet.data import DataError, TapDataset, TapInputs, TileAugmentation
from tracenet.model import CheckpointError, TraceNet, load_checkpoint
from tracenet.training import state
from tracenet.training.losses.taps import tap_losses
from tracenet.training.optimization import (
    Optimization,
    freeze_early_layers,
    learning_rate_factor,
)
from tracenet.training.state import TrainingError


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    with fresh_accelerate():
        yield


# Runs


def test_training_learns(tmp_path: Path) -> None:
    optimization = Optimization(steps=15, learning_rate=5e-3, warmup=2)
    photos = Scenes(SCENES[:1])
    batch = TapDataset(photos, INPUTS, (128, 128, 128), 99)[0]
    network = tiny_network()
    before = tap_losses(tiny_network().train(), batch)
    summary = run(tmp_path, optimization=optimization, network=network, photos=photos)
    after = tap_losses(network.train(), batch)
    assert after["total"] < 0.85 * before["total"]
    assert after["mask"] < before["mask"]

    assert summary["steps"] == 15
    names = {"mask", "box", "level", "quality", "choice", "total", "iou"}
    assert set(summary["losses"]) == names
    trained = load_checkpoint(tmp_path / "network.safetensors")
    assert trained.config == TINY
    # What is left behind is the average, which lags behind the weights.
    assert not torch.equal(trained.heads.box.weight, network.heads.box.weight)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "log.jsonl",
        "network.json",
        "network.safetensors",
        "state",
    ]


@pytest.mark.parametrize(
    ("optimization", "inputs"),
    [
        (OPTIMIZATION, INPUTS),
        (
            dataclasses.replace(
                OPTIMIZATION, optimizer="sgd", weight_decay=1e-4, milestones=(2, 5)
            ),
            dataclasses.replace(INPUTS, tiles=TileAugmentation({64: 0.5})),
        ),
    ],
    ids=["adamw", "sgd and tiles"],
)
def test_resuming_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimization: Optimization, inputs: TapInputs
) -> None:
    how = {"optimization": optimization, "inputs": inputs}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(whole, **how)["steps"] == 6
    with monkeypatch.context() as patch:
        before_step(patch, 3, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(parts, **how)
    assert saved_step(parts) == 3
    assert load_checkpoint(parts / "network.safetensors").config == TINY
    assert not same_tensors(whole / "network.safetensors", parts / "network.safetensors")
    rate = torch.load(parts / "state" / "optimizer.bin")["param_groups"][0]["lr"]
    trunk = optimization.learning_rate * optimization.trunk_factor
    assert rate == pytest.approx(trunk * learning_rate_factor(3, optimization))

    torch.manual_seed(123)
    np.random.seed(123)
    summary = run(parts, resume=True, network=tiny_network(seed=9), **how)
    assert summary["steps"] == 6
    assert same_tensors(whole / "network.safetensors", parts / "network.safetensors")
    assert same_tensors(whole / "state/model.safetensors", parts / "state/model.safetensors")
    logged = [json.loads(line) for line in (parts / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged] == [3, 4, 6]
    logged = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged] == [4, 6]
    assert all(math.isfinite(record["total"]) for record in logged)

    # A run that is over stays as it is.
    assert run(parts, resume=True, **how)["steps"] == 6
    assert same_tensors(whole / "network.safetensors", parts / "network.safetensors")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A shell's background jobs, such as these tests may be, ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_waits_for_the_end_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    step = torch.optim.AdamW.step
    calls = 0

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts")
    assert calls == 2
    assert saved_step(tmp_path / "parts") == 2
    assert signal.getsignal(signal.SIGINT) is handler
    assert "stopping after this step" in capsys.readouterr().err
    run(tmp_path / "parts", resume=True)
    run(tmp_path / "whole")
    assert same_tensors(
        tmp_path / "parts" / "network.safetensors", tmp_path / "whole" / "network.safetensors"
    )


@pytest.mark.usefixtures("_interruptible")
def test_a_second_ctrl_c_stops_at_once_and_keeps_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def interrupted(*arguments: Any, **keywords: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, save_every=1)
    assert saved_step(tmp_path) == 1


def test_training_outside_the_main_thread(tmp_path: Path) -> None:
    results = []
    optimization = dataclasses.replace(OPTIMIZATION, steps=1)
    thread = threading.Thread(
        target=lambda: results.append(run(tmp_path, optimization=optimization))
    )
    thread.start()
    thread.join()
    assert results[0]["steps"] == 1


def test_a_damaged_photo_ends_the_run_but_not_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_step(monkeypatch, 2, lambda: (_ for _ in ()).throw(DataError("photo 7 is damaged")))
    # With a worker process, whose traceback must not become the message.
    with pytest.raises(DataError, match=r"^photo 7 is damaged$"):
        run(tmp_path, workers=1)
    assert saved_step(tmp_path) == 2


def test_a_held_out_photo_that_cannot_be_scored_ends_the_run_but_not_the_work(
    tmp_path: Path,
) -> None:
    held_out = Scenes([make_scene(60, 80, things=0)])
    with pytest.raises(DataError, match="no thing on the photos that are held out is large enough"):
        run(tmp_path, held_out=held_out, score_every=3)
    assert saved_step(tmp_path) == 3


def test_workers_change_nothing(tmp_path: Path) -> None:
    optimization = dataclasses.replace(OPTIMIZATION, steps=2)
    run(tmp_path / "none", optimization=optimization)
    run(tmp_path / "two", optimization=optimization, workers=2)
    assert same_tensors(
        tmp_path / "none" / "network.safetensors", tmp_path / "two" / "network.safetensors"
    )


def test_a_loss_that_is_not_finite_does_not_replace_the_state(tmp_path: Path) -> None:
    optimization = Optimization(steps=4, learning_rate=1e30, warmup=1)
    with pytest.raises(TrainingError, match="the loss of step 2 is not finite; lower"):
        run(tmp_path, optimization=optimization, save_every=1)
    assert saved_step(tmp_path) == 1


def test_half_precision(tmp_path: Path) -> None:
    optimization = dataclasses.replace(OPTIMIZATION, steps=2)
    inputs = dataclasses.replace(INPUTS, canvas_sizes=(160,))
    summary = run(tmp_path, optimization=optimization, inputs=inputs, precision="bf16")
    assert math.isfinite(summary["losses"]["total"])
    tensors = load_file(tmp_path / "network.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int64}


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="has fp16"
)
def test_precision_that_is_not_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="precision fp16 is not to be had here: "):
        run(tmp_path, precision="fp16")
    assert not list(tmp_path.iterdir())


def test_frozen_layers_stay_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = TraceNet(dataclasses.replace(TINY, backbone="resnet50"))
    freeze_early_layers(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run(tmp_path, network=network, optimization=Optimization(steps=1, warmup=0))
    early = ("backbone.conv1.", "backbone.bn1.", "backbone.layer1.")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(early), name


# A run's folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    run(out, optimization=dataclasses.replace(OPTIMIZATION, steps=1))
    return out


def test_refuses_what_does_not_fit_the_folder(finished: Path, tmp_path: Path) -> None:
    one_step = dataclasses.replace(OPTIMIZATION, steps=1)
    with pytest.raises(TrainingError, match="already holds a run; give --resume"):
        run(finished, optimization=one_step)
    with pytest.raises(TrainingError, match="holds no run to resume; leave --resume out"):
        run(tmp_path, resume=True)
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(TrainingError, match=r"file/run cannot be written"):
        run(blocked / "run")

    weighted = Scenes(SCENES)
    weighted.weights[0] = 2
    other_network = TraceNet(dataclasses.replace(TINY, tower_depth=2))
    tiles = TileAugmentation({64: 0.5})
    for optimization, changes, named in (
        (dataclasses.replace(one_step, steps=2), {"seed": 1}, "steps, seed"),
        (dataclasses.replace(one_step, optimizer="sgd"), {}, "optimizer"),
        (dataclasses.replace(one_step, milestones=(1,)), {}, "milestones"),
        (one_step, {"inputs": dataclasses.replace(INPUTS, pixels=64 * 64)}, "pixels"),
        (one_step, {"inputs": dataclasses.replace(INPUTS, tiles=tiles)}, "tiles"),
        (one_step, {"photos": weighted}, "photos"),
        (one_step, {"network": other_network}, "network"),
        (one_step, {"precision": "bf16"}, "precision"),
    ):
        AcceleratorState._reset_state(True)
        with pytest.raises(TrainingError, match=f"started with another {named}; give the same"):
            run(finished, resume=True, optimization=optimization, **changes)
    AcceleratorState._reset_state(True)
    assert run(finished, resume=True, optimization=one_step, save_every=7)["steps"] == 1


def test_resuming_with_other_frozen_layers_or_damaged_files(tmp_path: Path, finished: Path) -> None:
    one_step = dataclasses.replace(OPTIMIZATION, steps=1)
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    frozen = tiny_network()
    freeze_early_layers(frozen)
    with pytest.raises(TrainingError, match="was the run started with --trunk or --init"):
        run(out, resume=True, optimization=one_step, network=frozen)
    good = (out / "state" / "run.json").read_text()
    for text in ("", "[]", "{}", '{"step": 1, "schedule": 3}', '{"step": 1e999}', "[" * 100_000):
        (out / "state" / "run.json").write_text(text)
        with pytest.raises(TrainingError, match=r"run\.json is damaged"):
            run(out, resume=True, optimization=one_step)
    (out / "state" / "run.json").write_text(good)
    for name in ("optimizer.bin", "model.safetensors"):
        data = (out / "state" / name).read_bytes()
        (out / "state" / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(TrainingError, match="state is damaged or does not fit") as caught:
            run(out, resume=True, optimization=one_step)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "which"), [("model.safetensors", "trained"), ("custom_checkpoint_0.pkl", "average")]
)
def test_resuming_with_weights_that_are_not_finite(
    finished: Path, tmp_path: Path, name: str, which: str
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    path = out / "state" / name
    load, save = (load_file, save_file) if which == "trained" else (torch.load, torch.save)
    tensors = load(path)
    key = next(key for key in tensors if key.endswith("heads.box.bias"))
    tensors[key][0] = math.nan
    save(tensors, path)
    with pytest.raises(CheckpointError, match=rf"values of heads\.box\.bias \({which}\) are not"):
        run(out, resume=True, optimization=dataclasses.replace(OPTIMIZATION, steps=1))


def test_a_state_is_what_earlier_states_are(finished: Path) -> None:
    """So that runs go on under a later version of the code."""
    assert {path.name for path in (finished / "state").iterdir()} == {
        "custom_checkpoint_0.pkl",
        "model.safetensors",
        "optimizer.bin",
        "random_states_0.pkl",
        "run.json",
        "scheduler.bin",
    }
    names = tiny_network().state_dict()
    assert set(load_file(finished / "state" / "model.safetensors")) == {
        f"network.{name}" for name in names
    }
    assert set(torch.load(finished / "state" / "custom_checkpoint_0.pkl")) == {
        "n_averaged",
        *(f"module.{name}" for name in names),
    }
    run = json.loads((finished / "state" / "run.json").read_text())
    assert set(run) == {"step", "schedule", "inputs"}
    assert {"steps", "learning_rate", "optimizer", "leaky_steps", "seed"} <= set(run["schedule"])
    assert {"pixels", "tiles", "network", "precision", "photos"} <= set(run["inputs"])


def test_resumes_runs_that_recorded_less(finished: Path, tmp_path: Path) -> None:
    one_step = dataclasses.replace(OPTIMIZATION, steps=1)
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    path = out / "state" / "run.json"
    record = json.loads(path.read_text())
    del record["inputs"], record["schedule"]["optimizer"], record["schedule"]["milestones"]
    path.write_text(json.dumps(record))
    assert run(out, resume=True, optimization=one_step)["steps"] == 1


def test_a_save_that_was_killed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_steps = dataclasses.replace(OPTIMIZATION, steps=3)
    rename = Path.rename

    class Killed(BaseException):
        pass

    def killed(self: Path, target: Path) -> Path:
        if self.name == "state.partial" and (tmp_path / "network.safetensors").exists():
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(Killed):
            run(tmp_path, optimization=three_steps, save_every=1)
    assert not (tmp_path / "state").exists()
    with pytest.raises(TrainingError, match="already holds a run"):
        run(tmp_path, optimization=three_steps, save_every=1)
    assert saved_step(tmp_path) == 1
    assert run(tmp_path, optimization=three_steps, save_every=1, resume=True)["steps"] == 3
    assert saved_step(tmp_path) == 3
    assert not list(tmp_path.glob("state.*"))


def test_a_full_disk_is_an_error_of_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save_checkpoint", full)
    with pytest.raises(TrainingError, match=r"cannot be written: .*No space left"):
        run(tmp_path, optimization=dataclasses.replace(OPTIMIZATION, steps=1))
    assert saved_step(tmp_path) == 1
