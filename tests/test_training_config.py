"""tracenet-train: options from a TOML file."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes import TINY, scene_map, write_folder
from training_fixtures import fresh_accelerate

from tracenet.model import CONFIGS
from tracenet.options import DEFAULT_NETWORK
from tracenet.training import cli
from tracenet.training.config_file import SHIPPED, ConfigError
from tracenet.training.options import parse_options

DOCUMENTATION = Path(__file__).parent.parent / "docs" / "training.md"

EVERYTHING = """
task = "video"
model = "r50-fpn"
data = "photos"
init = "network.safetensors"
clips = "filmed"
clip-share = 0.5
lengths = [3, 6]
out = "runs/one"
resume = true
steps = 7
optimizer = "sgd"
learning-rate = 1
trunk-factor = 0.5
weight-decay = 0.0
milestones = [3, 5]
leaky-steps = 4
rounded-steps = 2
canvas = [320, 640]
pixels = 0.5
held-out = 20
tap-at = "centre"
json = true
copy-paste = 0.25
tiles = "320:0.7,640:0.35"
precision = "no"
workers = 0
save-every = 3
score-every = 6
seed = 9

[set-weight]
even = 2
"odd ones" = 0.5
"""

PARSED = {
    "task": "video",
    "model": "r50-fpn",
    "data": Path("photos"),
    "init": Path("network.safetensors"),
    "clips": Path("filmed"),
    "clip_share": 0.5,
    "lengths": (3, 6),
    "out": Path("runs/one"),
    "resume": True,
    "steps": 7,
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "trunk_factor": 0.5,
    "weight_decay": 0.0,
    "milestones": (3, 5),
    "leaky_steps": 4,
    "rounded_steps": 2,
    "canvas": (320, 640),
    "pixels": 0.5,
    "held_out": 20,
    "tap_at": "centre",
    "json": True,
    "copy_paste": 0.25,
    "tiles": {320: 0.7, 640: 0.35},
    "precision": "no",
    "workers": 0,
    "save_every": 3,
    "score_every": 6,
    "seed": 9,
    "set_weight": {"even": 2.0, "odd ones": 0.5},
}


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    with fresh_accelerate():
        yield


def options(path: Path, text: str, *more: str) -> dict[str, Any]:
    path.write_text(text)
    return vars(parse_options(["--config", str(path), *more]))


def test_every_option_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    found = options(path, EVERYTHING)
    assert found == PARSED | {"config": str(path), "coco": None, "lvis": None, "trunk": None}
    sources = options(path, 'coco = ["a.json", "b"]\nout = "c"\ninit = "d"\ncanvas = 640')
    assert sources["coco"] == [Path("a.json"), Path("b")]
    assert sources["init"] == Path("d")
    assert sources["canvas"] == (640,)
    assert sources["steps"] == 4000
    assert sources["resume"] is False


def test_the_command_line_overrides(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    more = ["--steps", "5", "--milestones", "2", "--init", "net", "--resume"]
    found = options(path, EVERYTHING, *more, "--set-weight", "even=3", "--set-weight", "new=1")
    changed: dict[str, Any] = {"steps": 5, "milestones": (2,), "init": Path("net")}
    changed["set_weight"] = {"even": 3.0, "odd ones": 0.5, "new": 1.0}
    beside = {"config": str(path), "coco": None, "lvis": None, "trunk": None}
    assert found == PARSED | beside | changed
    # Even by what is the default, and by another source.
    found = options(path, 'data = "a"\nsteps = 7\nout = "b"', "--steps", "4000", "--lvis", "c", "d")
    assert found["steps"] == 4000
    assert found["data"] is None
    assert found["lvis"] == [Path("c"), Path("d")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_as_editors_save_it(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('data = "\u00e9"\r\nout = "b"\r\n', encoding=encoding, newline="")
    assert parse_options(["--config", str(path)]).data == Path("\u00e9")


def test_tiles_of_canvases_that_are_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--data", "a", "--out", "b", "--canvas", "256,320"]
    assert parse_options([*line, "--tiles", "256:0.7,320:0"]).tiles == {256: 0.7}
    assert parse_options(line).tiles == {}
    with pytest.raises(SystemExit):
        parse_options([*line, "--tiles", "256:0.7,384:0.35"])
    assert "--tiles names 384, which --canvas does not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--task", "video"], "--task video needs --init, the network whose features are read"),
        (["--task", "clicks"], "--task clicks needs --init, the network whose masks are"),
        (["--clips", "c"], "--clips is for --task video and fusion"),
        (["--task", "video", "--init", "d", "--clip-share", "0.5"], "--clip-share needs --clips"),
        (["--task", "video", "--init", "d", "--score-every", "5"], "needs --clips, of which some"),
        (["--task", "video", "--init", "d", "--lengths", "1"], "number of at least 2"),
        (["--task", "fusion", "--init", "d", "--lengths", "4,2"], "--lengths of 3 at least"),
        (["--lengths", "3"], "--lengths is for --task video and fusion"),
        (["--task", "clicks", "--init", "d", "--lengths", "5"], "--lengths is for --task video"),
        (["--score-every", "5"], "--score-every needs --held-out"),
    ],
)
def test_options_that_need_others(
    more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_options(["--data", "a", "--out", "b", *more])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (f"steps = {'[' * 100_000}", "cannot be read as TOML"),
        ('out = "a\\u0000b"', "out has a character of code 0"),
        ('coco = ["a\\u0000b", "c"]', "coco has a character of code 0"),
        ("stepz = 3", "sets stepz; it may set canvas, clip-share, clips, coco, "),
        ('config = "x"', "sets config; it may set"),
        ("help = true", "sets help; it may set"),
        ("steps = ", "cannot be read as TOML"),
        ("steps = 0", "argument --steps: '0' is not a whole number of at least 1"),
        ("steps = 2.5", "argument --steps: '2.5' is not a whole number"),
        ('steps = "20"', "steps must be a number, not '20'"),
        ("steps = true", "argument --steps: "),
        ("steps = false", "steps must be a number, not False"),
        ("steps = 2024-01-01", "'2024-01-01' is not a whole number"),
        ("steps = {a = 1}", "'a=1' is not a whole number"),
        ("learning-rate = inf", "'inf' is not a number above 0"),
        ("canvas = [320, 100]", "'100' is no canvas to train on; give the side of a square"),
        ('canvas = "320"', "canvas must be a whole number or a list of them, not '320'"),
        ('milestones = ["3"]', "milestones must be a whole number or a list of them"),
        ('coco = ["a"]', "argument --coco: expected 2 arguments"),
        ('coco = ["a", 3]', "coco must be a list of strings"),
        ('model = ["a", "b"]', "unrecognized arguments: b"),
        ("data = 3", "data must be a string, not 3"),
        ("model = false", "model must be a string, not False"),
        ("tap-at = 3", "argument --tap-at: invalid choice"),
        ("resume = 1", "argument --resume: "),
        ('tiles = "320"', "'320' is not SIDE:SHARE"),
        ('tiles = "320:2"', "'2' is not a number from 0 to 1"),
        ('tiles = "100:0.5"', "a multiple of 32 above 128"),
        ('tiles = "320:0.5,320:0.7"', "'320:0.5,320:0.7' names 320 twice"),
        ("tiles = {320 = 0.5}", "'320=0.5' is not SIDE:SHARE"),
        ('tiles = ["320:0.5"]', "tiles must be a string"),
        ('set-weight = {a = "3"}', "set-weight must be a table of numbers"),
        ("set-weight = [1]", "'1' is not NAME=NUMBER"),
        ('data = "a"\ncoco = ["b", "c"]', "sets --data and --coco, which exclude each other"),
        ('trunk = "a"\ninit = "b"', "sets --trunk and --init, which exclude each other"),
    ],
)
def test_wrong_files(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    with pytest.raises(ConfigError) as caught:
        options(path, text, "--out", str(tmp_path / "out"))
    assert match in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_no_such_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--config", str(tmp_path / "no.toml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tracenet-train: there is no configuration ")
    assert error.endswith(
        "give a .toml file or one of paper-coco, phone, phone-clicks, phone-video\n"
    )
    assert error.count("\n") == 1
    assert cli.main(["--config", "n" * 300]) == 2
    assert "cannot be read as TOML: " in capsys.readouterr().err


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED.glob("*.toml")])
def test_shipped_configurations(name: str) -> None:
    line = ["--data", "a", "--init", "c", "--out", "b"]
    by_name = vars(parse_options(["--config", name, *line]))
    by_path = vars(parse_options(["--config", str(SHIPPED / f"{name}.toml"), *line]))
    del by_name["config"], by_path["config"]
    assert by_name == by_path
    assert by_name["model"] in (None, *CONFIGS)  # None: that of --init
    assert all(milestone < by_name["steps"] for milestone in by_name["milestones"])


def test_the_papers_training() -> None:
    """CondInst's (arXiv 2003.05664)."""
    line = ["--config", "paper-coco", "--coco", "a", "b", "--out", "c"]
    found = parse_options(line)
    assert (found.optimizer, found.learning_rate, found.weight_decay) == ("sgd", 0.01, 1e-4)
    assert (found.steps, found.milestones) == (90_000, (60_000, 80_000))
    images = [round(found.pixels * 1e6 / size**2) for size in found.canvas]
    assert sum(images) / len(images) == pytest.approx(16, rel=0.03)


def test_commands_of_the_documentation() -> None:
    text = DOCUMENTATION.read_text().replace("\\\n", " ")
    commands = [
        shlex.split(line)
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    ours = [c for c in commands if {"tracenet-train", "tracenet.training.cli"} & set(c)]
    assert len(ours) >= 8
    for command in ours:
        tool = "tracenet-train" if "tracenet-train" in command else "tracenet.training.cli"
        parse_options(command[command.index(tool) + 1 :])


def test_example_of_the_documentation(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert options(tmp_path / "example.toml", example, "--out", "a")["set_weight"]


def test_a_run_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CONFIGS, DEFAULT_NETWORK, dataclasses.replace(TINY, name="tiny"))
    folder = write_folder(tmp_path / "photos", [scene_map(60, 80, seed) for seed in range(3)])
    config = tmp_path / "run.toml"
    config.write_text(
        f'data = "{folder}"\ncanvas = 160\npixels = 0.0256\nworkers = 0\nprecision = "no"\n'
        'optimizer = "sgd"\nlearning-rate = 0.01\nweight-decay = 1e-4\ntrunk-factor = 1.0\n'
        "milestones = [1]\nsteps = 9\nset-weight = {even = 2, odd = 1}\n"
        'tiles = "160:0.5"\n'
    )
    out = tmp_path / "run"
    assert cli.main(["--config", str(config), "--out", str(out), "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    saved = json.loads((out / "state" / "run.json").read_text())
    optimization = {
        "steps": 2,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "weight_decay": 1e-4,
        "trunk_factor": 1.0,
        "milestones": [1],
    }
    assert saved["schedule"] | optimization == saved["schedule"]
    assert saved["inputs"]["canvas_sizes"] == [160]
    assert saved["inputs"]["tiles"]["shares"] == {"160": 0.5}
