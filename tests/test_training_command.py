"""tracenet-train: the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scenes import TINY, scene_map, write_folder
from training_fixtures import before_step, fresh_accelerate, same_tensors, tiny_network

from tracenet.evaluation import cli as evaluation_cli
from tracenet.model import load_checkpoint, save_checkpoint
from tracenet.options import DEFAULT_NETWORK
from tracenet.training import cli
from tracenet.training.tasks.taps import SCORED_TAPS


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    with fresh_accelerate():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maps = [scene_map(60, 80, seed) for seed in range(3)]
    return write_folder(tmp_path_factory.mktemp("data") / "photos", maps)


@pytest.fixture
def _tiny_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracenet.model import CONFIGS

    monkeypatch.setitem(CONFIGS, DEFAULT_NETWORK, dataclasses.replace(TINY, name="tiny"))


def arguments(folder: Path, out: Path, *more: str) -> list[str]:
    common = {
        "--data": folder,
        "--out": out,
        "--canvas": 160,
        "--pixels": 160 * 160 / 1e6,
        "--workers": 0,
        "--precision": "no",
        "--steps": 2,
    }
    return [str(part) for pair in common.items() for part in pair] + ["--json", *more]


@pytest.mark.usefixtures("_tiny_default")
def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, seed in (("one", "0"), ("two", "0"), ("three", "1")):
        assert cli.main(arguments(folder, tmp_path / out, "--seed", seed)) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["steps"] == 2
        torch.manual_seed(torch.seed() % 2**31)  # the command must seed for itself
    one, two, three = (tmp_path / out / "network.safetensors" for out in ("one", "two", "three"))
    assert same_tensors(one, two)
    assert not same_tensors(one, three)
    assert cli.main(arguments(folder, tmp_path / "one", "--resume")) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2

    assert cli.main(arguments(folder, tmp_path / "one")) == 2
    assert cli.main(arguments(folder, tmp_path / "four", "--init", str(one), "--steps", "1")) == 0
    early, start = load_file(tmp_path / "four" / "network.safetensors"), load_file(one)
    name = "backbone.features.0.0.weight"
    assert torch.equal(early[name], start[name])  # frozen
    capsys.readouterr()
    assert cli.main(arguments(folder, tmp_path / "five", "--init", str(one), "--model", "r50")) == 2
    assert "is a tiny, not a r50; give --model tiny" in capsys.readouterr().err


@pytest.mark.usefixtures("_tiny_default")
def test_scores_of_photos_that_are_held_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = ["--held-out", "3", "--precision", "no"]
    plain = arguments(folder, tmp_path / "plain", *held_out)
    scored = arguments(folder, tmp_path / "scored", *held_out, "--score-every", "2")
    assert cli.main(plain) == cli.main(scored) == 0
    bar = capsys.readouterr().err.splitlines()[-1]
    networks = [tmp_path / name / "network.safetensors" for name in ("plain", "scored")]
    assert same_tensors(*networks)  # to be scored changes nothing

    (line,) = [
        record
        for record in map(json.loads, (tmp_path / "scored" / "log.jsonl").read_text().splitlines())
        if "miou_t" in record
    ]
    assert line.pop("step") == 2
    assert f"miou_t={line['miou_t']:.3f}" in bar
    # As by tracenet-eval; with fewer photos and things than a run scores, only the taps are fewer.
    evaluated = ["--checkpoint", str(networks[1]), "--data", str(folder), "--held-out", "3"]
    assert evaluation_cli.main([*evaluated, "--taps", str(SCORED_TAPS), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert line == {name: pytest.approx(figures[name], abs=1e-4) for name in line}
    assert set(line) == {"miou_t", "miou_t_oracle_level", "boundary_iou_t", "mta_0.7"}


@pytest.mark.usefixtures("_tiny_default")
def test_command_stopped(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for step, advice in ((0, "stopped; nothing is saved yet"), (1, "stopped; --resume goes on")):
        with monkeypatch.context() as patch:
            before_step(patch, step, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
            assert cli.main(arguments(folder, tmp_path / "run")) == 130
        captured = capsys.readouterr()
        assert advice in captured.err
        assert captured.out == ""
    assert cli.main(arguments(folder, tmp_path / "run", "--resume")) == 0


def test_command_refuses_in_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    checkpoint = tmp_path / "net.safetensors"
    save_checkpoint(tiny_network(), checkpoint)
    for line, match in (
        (arguments(tmp_path / "nowhere", out), "index.jsonl does not exist; give"),
        (arguments(folder, out, "--set-weight", "old=1"), "has no set old; its sets are even, odd"),
        (arguments(folder, out, "--model", "r51"), "no network 'r51'; choose one of"),
        (arguments(folder, out, "--trunk", str(tmp_path / "no")), "no does not exist; give"),
        (arguments(folder, out, "--trunk", str(checkpoint)), "has no tensor"),
        (arguments(folder, out, "--init", str(tmp_path / "no")), "no does not exist"),
        (arguments(folder, out, "--resume"), "holds no run to resume"),
    ):
        assert cli.main(line) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("tracenet-train: ")
        assert match in captured.err
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["--steps", "0"],
        ["--steps", "-3"],
        ["--steps", "many"],
        ["--save-every", "0"],
        ["--score-every", "0", "--held-out", "3"],
        ["--score-every", "2"],
        ["--workers", "-1"],
        ["--seed", "-1"],
        ["--seed", str(2**32)],
        ["--pixels", "0"],
        ["--pixels", "nan"],
        ["--learning-rate", "-0.1"],
        ["--learning-rate", "inf"],
        ["--learning-rate", "fast"],
        ["--weight-decay", "-0.1"],
        ["--trunk-factor", "0"],
        ["--optimizer", "adam"],
        ["--milestones", "0,3"],
        ["--milestones", "3,"],
        ["--milestones", "many"],
        ["--canvas", "100"],
        ["--canvas", "128"],
        ["--canvas", "-32"],
        ["--canvas", "320,"],
        ["--set-weight", "even"],
        ["--set-weight", "even=x"],
        ["--coco", "a.json", "images"],
        ["--trunk", "a", "--init", "b"],
    ],
)
def test_wrong_command_lines(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments(tmp_path, tmp_path / "out", *wrong))
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err.splitlines()[-1]  # above it all options are listed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("missing", "match"),
    [("--data", "one of --data, --coco, --lvis is needed"), ("--out", "--out is needed")],
)
def test_what_must_be_given(
    missing: str, match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = arguments(tmp_path, tmp_path / "out")
    at = line.index(missing)
    with pytest.raises(SystemExit) as caught:
        cli.main(line[:at] + line[at + 2 :])
    assert caught.value.code == 2
    assert match in capsys.readouterr().err


def test_set_weights_need_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--coco", "a.json", "b", "--out", str(tmp_path / "out"), "--set-weight", "a=1"])
    assert "--set-weight needs --data" in capsys.readouterr().err


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, tracenet.training.cli\n"
        "try: tracenet.training.cli.main(['--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
        == 0
    )


@pytest.mark.slow
def test_two_processes(folder: Path, tmp_path: Path) -> None:
    """One step of the learning rate per step, one line on stdout, one state that can be resumed."""
    out = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--standalone", "-m", "tracenet.training.cli"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}

    def call(*more: str) -> str:
        line = launch + arguments(folder, out, *more)
        return subprocess.run(
            line, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert json.loads(call())["steps"] == 2
    scheduler = torch.load(out / "state" / "scheduler.bin")
    assert scheduler["last_epoch"] == 2
    assert (out / "state" / "random_states_1.pkl").exists()
    load_checkpoint(out / "network.safetensors")
    assert json.loads(call("--resume"))["steps"] == 2
