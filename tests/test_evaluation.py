"""tracenet-eval: the command line, its folder, and one evaluation in several processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_fixtures import WARM_CANVAS, SmallExport
from PIL import Image
from scenes import Scenes, make_scene, scene_map, write_folder
from tool_checks import assert_one_sentence, run_json

from tracenet.evaluation import cli
from tracenet.evaluation.adapter import OutsideModel
from tracenet.evaluation.processes import Processes
from tracenet.evaluation.protocol import TapProtocol
from tracenet.evaluation.run import _score_share
from tracenet.evaluation.tap_scoring import TapScoring
from tracenet.model import save_checkpoint, untrained_network

MODEL = """
import os
from pathlib import Path

print("chatter of a library")

def segment(image, tap):
    print("more of it")
    counter = os.environ.get("TAPS_UNTIL_INTERRUPT")
    if counter:
        left = int(Path(counter).read_text())
        if not left:
            raise KeyboardInterrupt
        Path(counter).write_text(str(left - 1))
    # The colour under the tap, but for what JPEG makes of it; wrong in the left part.
    near = abs(image.astype(int) - image[tap[1], tap[0]]).max(axis=-1) < 24
    near[:, : tap[0] // 3] ^= True
    return near
"""

BLOCK = {
    f"{name}{of}"
    for metric, values in (
        ("miou_t", ("", "_interval")),
        ("mta_0.7", ("", "_interval", "_standard_error")),
    )
    for name in (metric, f"{metric}_oracle_level")
    for of in values
} | {"boundary_iou_t", "boundary_iou_t_interval", "instances", "taps"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maps = [scene_map(72, 100, seed, things=2) for seed in range(3)]
    return write_folder(tmp_path_factory.mktemp("data") / "photos", maps)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "outside.py"
    path.write_text(MODEL)
    return f"{path}:segment"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "network.safetensors"
    save_checkpoint(untrained_network("mobilenetv2-fpn"), path, licence="nobody's")
    return path


def comparable(results: dict[str, Any]) -> dict[str, Any]:
    """Results without what may differ between equal evaluations."""
    conditions = dict(results["conditions"])
    del conditions["seconds"], conditions["processes"]
    return {**results, "conditions": conditions}


# What is scored


def test_a_checkpoint(checkpoint: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--checkpoint", str(checkpoint), "--data", str(folder), "--canvas", "128"]
    arguments += ["--taps", "3", "--threads", "1"]
    results = run_json(cli.main, arguments, capsys)
    assert set(results) == BLOCK | {
        "schema_version", "bands", "sizes", "categories", "conditions", "problems",
    }  # fmt: skip
    for block in (*results["bands"].values(), *results["sizes"].values()):
        assert set(block) == BLOCK
    assert (results["schema_version"], results["instances"], results["taps"]) == (2, 6, 18)
    assert 0 < results["miou_t"] <= results["miou_t_oracle_level"] <= 1
    assert 0 < results["boundary_iou_t"] < 1
    assert results["mta_0.7"] <= results["mta_0.7_oracle_level"]
    assert (results["categories"], results["problems"]) == (None, {})
    conditions = results["conditions"]
    assert conditions["evaluated"] == str(checkpoint)
    assert conditions["photos_computed_by"] == {"FullNet on 128 x 128": 3}
    assert conditions["model"]["canvas"] == [128, 128]
    assert conditions["taps"]["scored_canvas"] == 640
    assert comparable(run_json(cli.main, arguments, capsys)) == comparable(results)
    other = run_json(cli.main, [*arguments, "--seed", "1"], capsys)
    assert other["miou_t"] != results["miou_t"]
    held_out = run_json(cli.main, [*arguments, "--held-out", "3"], capsys)
    assert (held_out["instances"], held_out["conditions"]["photos"]["photos"]) == (2, 1)


def test_which_instances_count_does_not_depend_on_the_canvas(
    checkpoint: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instances = np.zeros((400, 400), np.uint8)
    instances[:12, :12] = 1  # 368 pixels on a canvas of 640, 15 on one of 128
    instances[100:300, 100:300] = 2
    data = write_folder(tmp_path / "photos", [instances])
    arguments = ["--data", str(data), "--taps", "2", "--threads", "1"]
    ours = [*arguments, "--checkpoint", str(checkpoint), "--canvas", "128x256"]
    for what in (ours, [*arguments, "--model", model]):
        assert run_json(cli.main, what, capsys)["instances"] == 2
        assert run_json(cli.main, [*what, "--scored-canvas", "128"], capsys)["instances"] == 1


def test_a_checkpoint_by_regions(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "photos", [scene_map(72, 100, things=2)])
    arguments = ["--checkpoint", str(checkpoint), "--data", str(data), "--canvas", "128"]
    arguments += ["--taps", "1", "--threads", "1"]
    full, replayed = (run_json(cli.main, [*arguments, *how], capsys) for how in ([], ["--replay"]))
    assert replayed["conditions"]["photos_computed_by"] == {"replay by regions on 128 x 128": 1}
    # The canvas is hardly wider than P3's window, and no wider than the others'.
    assert replayed["miou_t_oracle_level"] == pytest.approx(full["miou_t_oracle_level"], abs=0.05)


def test_a_bundle(small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--bundle", str(small.folder), "--data", str(folder), "--taps", "1"]
    arguments += ["--threads", "1"]
    results = run_json(cli.main, [*arguments, "--schedule", "all"], capsys)
    assert results["conditions"]["evaluated"] == str(small.folder)
    assert results["conditions"]["model"]["engine"] == "onnxruntime"
    assert (results["instances"], results["taps"]) == (6, 6)
    assert 0 <= results["miou_t"] <= results["miou_t_oracle_level"] <= 1
    assert cli.main([*arguments, "--schedule", "P3"]) == 0
    said = capsys.readouterr().out
    assert "| **all** | 6 | 6 | " in said
    assert "P3 on 128 x 1024: 3" in said
    assert " | - | " in said  # one level has no oracle


def test_the_warm_schedule_scores_what_fullnet_scores(
    small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(folder), "--taps", "4", "--threads", "1"]
    fullnet, warm = (
        run_json(cli.main, [*what, *arguments], capsys)
        for what in (
            ["--checkpoint", str(small.checkpoint), "--canvas", str(WARM_CANVAS[0])],
            ["--bundle", str(small.folder), "--schedule", "warm"],
        )
    )
    assert fullnet["miou_t"] > 0
    for key in sorted(BLOCK):
        if not key.endswith("_interval"):
            # Rounding may move a pixel over 0.5.
            assert warm[key] == pytest.approx(fullnet[key], abs=1e-3)


@pytest.mark.parametrize("form", ["--coco", "--lvis"])
def test_annotations_of_other_forms(
    form: str, folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations: list[dict[str, Any]] = [
        {"id": 7, "image_id": 5, "category_id": 2, "iscrowd": 0, "area": 1200.0,
         "bbox": [10, 10, 40, 30], "segmentation": [[10, 10, 50, 10, 50, 40, 10, 40]]},
        {"id": 8, "image_id": 99, "category_id": 2, "iscrowd": 0, "area": 1.0,
         "bbox": [0, 0, 1, 1], "segmentation": [[0, 0, 9, 0, 9, 9]]},
    ]  # fmt: skip
    record = {
        "id": 5, "file_name": "scene_0.jpg", "height": 72, "width": 100,
        "coco_url": "http://images.cocodataset.org/val2017/scene_0.jpg",
        "not_exhaustive_category_ids": [], "neg_category_ids": [],
    }  # fmt: skip
    content = {
        "images": [record],
        "annotations": annotations,
        "categories": [{"id": 2, "name": "box", "frequency": "f"}],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    images = tmp_path / "images"
    (images / "val2017").mkdir(parents=True)
    for place in (images, images / "val2017"):
        shutil.copy(folder / "scene_0.jpg", place)
    out = tmp_path / "out"
    arguments = ["--model", model, form, str(path), str(images), "--taps", "2"]
    assert cli.main([*arguments, "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    results = json.loads(shown.out)
    assert list(results["categories"]) == ["box"]
    assert list(results["sizes"]) == ["medium"]
    assert results["problems"]["unknown_image"]["count"] == 1
    assert "annotations of an image that is not listed" in shown.err
    assert json.loads((out / "taps.jsonl").read_text().splitlines()[0])["instance"] == 7


def test_shared_photos(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(__file__).parents[2] / "shared" / "data" / "val"
    if not data.is_dir():
        pytest.skip("the photos of ../shared/data are not here")
    lines = (data / "index.jsonl").read_text().splitlines()[:2]
    (tmp_path / "index.jsonl").write_text("\n".join(lines))
    for photo in (json.loads(line)["id"] for line in lines):
        for suffix in (".jpg", ".png"):
            shutil.copy(data / f"{photo}{suffix}", tmp_path)
    arguments = ["--data", str(tmp_path), "--checkpoint", str(checkpoint), "--canvas", "256"]
    results = run_json(cli.main, [*arguments, "--taps", "2", "--threads", "1"], capsys)
    assert results["instances"] >= 2
    assert 0 <= results["miou_t"] <= results["miou_t_oracle_level"] <= 1


def test_enlarged_photos(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", model, "--data", str(folder), "--taps", "5"]
    out = [tmp_path / "as they are", tmp_path / "larger"]
    plain = run_json(cli.main, [*arguments, "--out", str(out[0])], capsys)
    large = run_json(cli.main, [*arguments, "--out", str(out[1]), "--enlarge", "0.1"], capsys)
    assert large["conditions"]["photos"]["enlarged_to_megapixels"] == 0.1
    taps = [
        [json.loads(line) for line in (folder / "taps.jsonl").read_text().splitlines()]
        for folder in out
    ]
    for one, two in zip(*taps, strict=True):
        same = "photo", "instance", "x", "y", "band"
        assert [one[key] for key in same] == [two[key] for key in same]
    assert {name: block["instances"] for name, block in large["sizes"].items()} == {
        name: block["instances"] for name, block in plain["sizes"].items()
    }
    # The model sees colours, so that it is as good on a larger photo.
    assert large["miou_t"] == pytest.approx(plain["miou_t"], abs=0.05)
    assert large["miou_t"] != plain["miou_t"]
    with Image.open(out[1] / "best.png") as picture:
        assert len(picture.getcolors(1 << 24)) > 100
    # A photo that is as large already is left as it is.
    assert comparable(
        run_json(cli.main, [*arguments, "--enlarge", "0.001"], capsys)
        | {"conditions": plain["conditions"]}
    ) == comparable(plain)


# The folder


def evaluate_into(out: Path, *arguments: str) -> int:
    return cli.main([*arguments, "--taps", "4", "--out", str(out), "--json"])


@pytest.mark.parametrize("protocol", ["uniform", "bands"])
def test_what_a_folder_holds(
    folder: Path, model: str, tmp_path: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", model, "--data", str(folder), "--protocol", protocol]
    out, again = tmp_path / "out", tmp_path / "again"
    results = run_json(cli.main, [*arguments, "--taps", "5", "--out", str(out)], capsys)
    assert json.loads((out / "results.json").read_text()) == results
    taps = [json.loads(line) for line in (out / "taps.jsonl").read_text().splitlines()]
    assert f"| **all** | 6 | {len(taps)} |" in (out / "table.md").read_text()
    assert set(taps[0]) == {
        "photo", "instance", "category", "x", "y", "band", "protocol", "level", "iou",
        "iou_oracle_level", "boundary_iou",
    }  # fmt: skip
    by_instance: dict[tuple[str, int], list[float]] = {}
    for tap in taps:
        by_instance.setdefault((tap["photo"], tap["instance"]), []).append(tap["iou"])
    means = [np.mean(ious) for ious in by_instance.values()]
    assert results["miou_t"] == pytest.approx(np.mean(means), abs=1e-6)
    if protocol == "bands":  # one in each band that there is
        bands = [(tap["photo"], tap["instance"], tap["band"]) for tap in taps]
        assert len(set(bands)) == len(bands) >= 24
    else:
        assert len(taps) == 30
    for name in ("best.png", "worst.png"):
        with Image.open(out / name) as picture:
            assert picture.size == (4 * 320, 2 * 340)
            assert len(picture.getcolors(1 << 24)) > 100
    # Another system, here the same, on the same taps, which an editor saved with its mark.
    listed = out / "taps.jsonl"
    listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes())
    same = ["--model", model, "--data", str(folder), "--taps-from", str(listed)]
    scored = run_json(cli.main, [*same, "--out", str(again)], capsys)
    assert {k: scored[k] for k in BLOCK} == {k: results[k] for k in BLOCK}
    assert b"\xef\xbb\xbf" + (again / "taps.jsonl").read_bytes() == listed.read_bytes()
    assert scored["conditions"]["instances_of_taps_from_not_found"] == 0


def test_an_interrupted_evaluation_goes_on(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    arguments = ["--model", model, "--data", str(folder)]
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert evaluate_into(whole, *arguments) == 0
    expected = json.loads(capsys.readouterr().out)

    (tmp_path / "left").write_text("11")  # of 24 taps, 8 on each photo
    with monkeypatch.context() as patch:
        patch.setenv("TAPS_UNTIL_INTERRUPT", str(tmp_path / "left"))
        assert evaluate_into(out, *arguments) == 130
    assert "stopped; --resume goes on from here" in capsys.readouterr().err
    (part,) = (out / "parts").iterdir()
    assert part.read_bytes().count(b"\n") == 1
    assert not (out / "results.json").exists()
    assert_one_sentence(
        cli.main, [*arguments, "--taps", "4", "--out", str(out)], "by --resume, or", capsys
    )
    with part.open("ab") as file:
        file.write(b'{"index": 1, "photo": "sc')  # and then the power went

    counter = tmp_path / "left"
    counter.write_text("16")  # the first photo is not asked for again
    with monkeypatch.context() as patch:
        patch.setattr("tracenet.evaluation.tap_scoring.write_tap_pictures", lambda *_: None)
        patch.setenv("TAPS_UNTIL_INTERRUPT", str(counter))
        assert evaluate_into(out, *arguments, "--resume") == 0
    assert comparable(json.loads(capsys.readouterr().out)) == comparable(expected)
    assert (out / "taps.jsonl").read_bytes() == (whole / "taps.jsonl").read_bytes()
    assert counter.read_text() == "0"


def test_a_folder_of_something_else(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", model, "--data", str(folder), "--taps", "1"]
    out = tmp_path / "out"
    assert cli.main([*arguments, "--out", str(out), "--resume"]) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = [*arguments, "--seed", "3", "--scored-canvas", "512", "--out", str(out), "--resume"]
    said = "with other settings (taps.scored_canvas, taps.seed); give another --out"
    assert_one_sentence(cli.main, other, said, capsys)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    mine = [*arguments, "--out", str(tmp_path / "mine"), "--resume"]
    assert_one_sentence(cli.main, mine, "is not empty and holds no evaluation", capsys)
    (out / "parts" / "00000.jsonl").write_text('{"index": 0}\n')
    damaged = [*arguments, "--out", str(out), "--resume"]
    assert_one_sentence(cli.main, damaged, "00000.jsonl is damaged", capsys)
    beneath = [*arguments, "--out", str(tmp_path / "mine" / "thesis.txt" / "out")]
    assert_one_sentence(cli.main, beneath, "cannot be written", capsys)


# Several processes


def test_shares_are_the_whole(model: str) -> None:
    photos = Scenes([make_scene(60, 80, seed, things=2) for seed in range(5)])
    scoring = TapScoring(OutsideModel.load(model), TapProtocol(taps=2), 0)
    alone = _score_share(scoring, photos, None, Processes())
    together = []
    for index in range(2):
        processes = Processes()
        processes.count, processes.index = 2, index
        together += _score_share(scoring, photos, None, processes)
    assert [score.index for score in together] == [0, 2, 4, 1, 3]
    assert sorted(together, key=lambda score: score.index) == alone


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
        ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
         "--main_process_port", "0"],
    ],
)  # fmt: skip
def test_two_processes_score_what_one_does(
    launcher: list[str],
    folder: Path,
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--model", model, "--data", str(folder)]
    assert evaluate_into(tmp_path / "one", *arguments) == 0
    alone = json.loads(capsys.readouterr().out)
    launch = [sys.executable, "-m", *launcher, "-m", "tracenet.evaluation.cli"]
    out = tmp_path / "two"
    ended = subprocess.run(
        [*launch, *arguments, "--taps", "4", "--out", str(out), "--json"],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    results = json.loads(line)
    assert results["conditions"]["processes"] == 2
    assert comparable(results) == comparable(alone)
    assert len(list((out / "parts").iterdir())) == 2
    assert (out / "taps.jsonl").read_bytes() == (tmp_path / "one" / "taps.jsonl").read_bytes()
    # What two began, one may go on with.
    assert evaluate_into(out, *arguments, "--resume") == 0


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere"], "index.jsonl does not exist"),
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--bundle", "nowhere"], "no bundle folder at nowhere"),
        (["--bundle", "nowhere", "--schedule", "all"], "no bundle folder at nowhere"),
        (
            ["--canvas", "100"],
            "100x100 does not fit the network; give multiples of 128",
        ),
        (["--model", "nowhere.py:segment"], "nowhere.py does not exist"),
        (["--taps-from", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
    ],
)
def test_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert_one_sentence(cli.main, ["--data", str(folder), *arguments], said, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--schedule", "cold"], "no schedule 'cold'; it has all, P3, warm, full"),
        (["--engine", "warp"], "no engine 'warp'"),
        (["--canvas", "100"], "does not serve a canvas of 100 x 100"),
    ],
)
def test_what_a_bundle_has_not(
    small: SmallExport, folder: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    bundle = ["--bundle", str(small.folder), "--data", str(folder)]
    assert_one_sentence(cli.main, [*bundle, *arguments], said, capsys)


def _remove(data: Path) -> None:
    (data / "scene_1.jpg").write_bytes(b"no picture")


def _resize(data: Path) -> None:
    Image.new("L", (30, 40), 1).save(data / "scene_1.png")


def _garble(data: Path) -> None:
    lines = (data / "index.jsonl").read_text().splitlines()
    (data / "index.jsonl").write_text("\n".join([lines[0], "{" + lines[1]]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_remove, "not a picture"),
        (_resize, "of the photo's size"),
        (_garble, "line 2, is damaged"),
    ],
)
def test_damaged_data(
    model: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None], said: str,
) -> None:  # fmt: skip
    data = tmp_path / "photos"
    shutil.copytree(folder, data)
    damage(data)
    arguments = ["--model", model, "--data", str(data), "--taps", "1"]
    assert_one_sentence(cli.main, arguments, said, capsys)


def test_nothing_to_score(
    model: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "photos", [np.zeros((20, 20), np.uint8)])
    arguments = ["--model", model, "--data", str(data)]
    assert_one_sentence(cli.main, arguments, "no instance of at least 200 pixels", capsys)
    taps = tmp_path / "taps.jsonl"
    taps.write_text('{"photo": "other", "instance": 1, "x": 0, "y": 0, "protocol": "uniform"}\n')
    arguments = ["--model", model, "--data", str(folder), "--taps-from", str(taps)]
    assert_one_sentence(cli.main, arguments, "has no tap on an instance of these photos", capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--taps", "0"],
        ["--taps", "two"],
        ["--threads", "0"],
        ["--seed", "-1"],
        ["--canvas", "-128"],
        ["--canvas", "16512"],
        ["--canvas", "128x"],
        ["--scored-canvas", "0"],
        ["--checkpoint", "a.safetensors", "--bundle", "b"],
        ["--bundle", "b", "--model", "a.py:b"],
        ["--schedule", "warm"],
        ["--schedule", "warm", "--checkpoint", "a.safetensors"],
        ["--engine", "onnxruntime"],
        ["--replay", "--bundle", "b"],
        ["--model", "a.py:b", "--canvas", "128"],
        ["--protocol", "bands", "--taps", "24"],
        ["--protocol", "grid"],
        ["--taps-from", "taps.jsonl", "--taps", "3"],
        ["--taps-from", "taps.jsonl", "--scored-canvas", "320"],
        ["--enlarge", "0"],
        ["--enlarge", "many"],
        ["--enlarge", "nan"],
        ["--enlarge", "201"],
        ["--resume"],
        ["--coco", "a.json", "b"],
    ],
)
def test_mistakes_that_argparse_finds(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--data", str(folder), *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]  # above it all are listed
