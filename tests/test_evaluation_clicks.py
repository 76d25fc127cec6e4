"""Evaluation by clicks, with outside models whose every answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scenes import Scenes, annotated, make_scene, scene_map, write_folder
from tool_checks import assert_one_sentence, run_json

from tracenet.data import IGNORE
from tracenet.evaluation import cli
from tracenet.evaluation.adapter import AdapterError, OutsideClickModel
from tracenet.evaluation.answers import ClickAnswer, ClickSession
from tracenet.evaluation.click_scoring import ClickScoring
from tracenet.evaluation.click_summary import GOALS, summarise_clicks
from tracenet.evaluation.correct import score_clicks
from tracenet.evaluation.processes import Processes
from tracenet.evaluation.protocol import TapProtocol
from tracenet.evaluation.run import _score_share
from tracenet.evaluation.scores import ClickScore, PhotoScore, SequenceScore
from tracenet.evaluation.tapping_again import TappingAgain

Mask = npt.NDArray[np.bool_]

MODELS = """
import os
from pathlib import Path
import numpy as np
from PIL import Image

def read(path):
    with Image.open(path) as picture:
        return np.array(picture)

MAPS = [(read(path), read(path.with_suffix(".png"))) for path in sorted(Path(FOLDER).glob("*.jpg"))]

def thing(image, clicks):
    x, y, positive = clicks[0]
    assert positive  # the first click of a thing always is
    (instances,) = [found for photo, found in MAPS if np.array_equal(photo, image)]
    return instances == instances[y, x]

def perfect(image, clicks, previous_mask):
    print("chatter of a model")
    assert (previous_mask is None) == (len(clicks) == 1)
    return thing(image, clicks)

def halves(image, clicks, previous_mask):
    '''The thing down to the click, then all of it; counts down what it may do.'''
    counter = os.environ.get("CLICKS_UNTIL_INTERRUPT")
    if counter:
        left = int(Path(counter).read_text())
        if not left:
            raise KeyboardInterrupt
        Path(counter).write_text(str(left - 1))
    mask = thing(image, clicks)
    if len(clicks) == 1:
        mask[clicks[0][1] + 1 :] = False
    return mask

def spoils(image, clicks, previous_mask):
    return halves(image, clicks, None) & (len(clicks) == 1)

def nothing(image, clicks, previous_mask):
    return np.zeros(image.shape[:2], bool)
"""

FIGURES = (
    {f"iou@{n}" for n in range(1, 21)}
    | {f"{kind}@{goal}" for kind in ("noc", "never", "at_limit") for goal in (80, 85, 90, 95)}
    | {"drops", "obeyed"}
)
BLOCK = FIGURES | {f"{name}_interval" for name in FIGURES} | {"instances", "clicks"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maps = [scene_map(72, 100, seed, things=2) for seed in range(3)]
    return write_folder(tmp_path_factory.mktemp("data") / "photos", maps)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    path = tmp_path_factory.mktemp("model") / "outside.py"
    path.write_text(f"FOLDER = {str(folder)!r}\n{MODELS}")
    return path


def arguments_for(models: Path, name: str, folder: Path) -> list[str]:
    return ["--protocol", "clicks", "--model", f"{models}:{name}", "--data", str(folder)]


def comparable(results: dict[str, Any]) -> dict[str, Any]:
    conditions = dict(results["conditions"])
    del conditions["seconds"]
    return {**results, "conditions": conditions}


# How a thing is corrected


class Script:
    """Gives the n-th mask of a list after the n-th click, the last one ever after."""

    computed = "script"

    def __init__(self, masks: list[Mask], obeyed: list[bool | None] | None = None) -> None:
        self.masks, self.obeyed = masks, obeyed or [None]
        self.clicks: list[tuple[int, int, bool]] = []

    def open(self, photo: npt.NDArray[np.uint8], name: str) -> ClickSession:
        return self

    def click(self, x: int, y: int, positive: bool) -> ClickAnswer:
        self.clicks.append((x, y, positive))
        place = len(self.clicks) - 1
        return ClickAnswer(
            self.masks[min(place, len(self.masks) - 1)],
            self.obeyed[min(place, len(self.obeyed) - 1)],
        )

    def clear(self) -> None:
        self.clicks = []


def test_a_known_sequence() -> None:
    instances = np.zeros((40, 40), np.uint8)
    instances[10:30, 10:30] = 1
    instances[:, 36:] = IGNORE
    example = annotated(instances)
    truth = example.masks[0]
    left, more = truth.copy(), truth.copy()
    left[:, 26:] = False  # 16 of 20 columns
    more[10:30, 30:] = True  # 6 columns beside it, and 4 ignored ones
    script = Script([left, more, truth])
    (score,) = score_clicks(script, 0, example, [0], 20).instances
    # The middle of the thing, of what is missing (16 x 4), and of what is known to be too much.
    assert script.clicks == [(19, 19, True), (27, 11, True), (32, 12, False)]
    assert [click.iou for click in score.clicks] == [0.8, 400 / 520, 1.0]
    assert [click.obeyed for click in score.clicks] == [True, True, True]
    assert (score.area, len(score.clicks)) == (400, 3)
    few = score_clicks(Script([left]), 0, example, [0], 2).instances[0].clicks
    assert [(click.x, click.y, click.obeyed) for click in few] == [(19, 19, True), (27, 11, False)]
    # Where a model forces its masks to obey, it is its own word that counts.
    forced = score_clicks(Script([left, truth], [False]), 0, example, [0], 20).instances[0].clicks
    assert [click.obeyed for click in forced] == [False, False]
    assert script.open(example.photo, "").computed == "script"


def test_clicks_go_on_where_nothing_helps() -> None:
    example = make_scene(60, 80, things=1)
    script = Script([np.zeros((60, 80), np.bool_)])
    (score,) = score_clicks(script, 0, example, [0], 20).instances
    assert len({(click.x, click.y) for click in score.clicks}) == 20
    assert {(click.positive, click.obeyed, click.iou) for click in score.clicks} == {
        (True, False, 0.0)
    }


def test_a_photo_without_things_is_not_opened() -> None:
    assert score_clicks(None, 3, make_scene(60, 80), [], 20) == PhotoScore(  # type: ignore[arg-type]
        3, "scene", "nothing", ()
    )


def test_things_on_an_enlarged_photo() -> None:
    example = make_scene(60, 80, things=1)
    script = Script([np.zeros((120, 160), np.bool_)])
    (score,) = score_clicks(script, 0, example, [0], 1, 0.0192).instances
    (plain,) = score_clicks(Script([example.masks[0]]), 0, example, [0], 1).instances
    assert (score.area, score.clicks[0].iou) == (plain.area, 0.0)
    assert abs(score.clicks[0].x - 2 * plain.clicks[0].x) <= 3


# The figures


def sequence(*ious: float, obeyed: int = 0, area: int = 5000) -> SequenceScore:
    """So many of the clicks were obeyed."""
    clicks = [ClickScore(n, 0, True, n < obeyed, iou) for n, iou in enumerate(ious)]
    return SequenceScore(1, None, area, tuple(clicks))


def figures(*scores: SequenceScore, limit: int = 4) -> dict[str, Any]:
    photos = [PhotoScore(n, f"photo {n}", "x", (one,)) for n, one in enumerate(scores)]
    return summarise_clicks(photos, limit, 0)


def test_known_figures() -> None:
    summary = figures(
        sequence(0.5, 0.82, 0.79, 0.9, obeyed=3),  # a drop after it had reached 80
        sequence(0.8, 1.0, obeyed=2, area=100),  # nothing left to correct
    )
    assert [summary[f"iou@{n}"] for n in (1, 2, 3, 4)] == [0.65, 0.91, 0.895, 0.95]
    assert [summary[f"noc@{goal}"] for goal in GOALS] == [1.5, 3.0, 3.0, 3.0]
    assert [summary[f"never@{goal}"] for goal in GOALS] == [0, 0, 0, 0.5]
    # 85 and 90 are reached by the last click, which is not the same as never.
    assert [summary[f"at_limit@{goal}"] for goal in GOALS] == [0, 0.5, 0.5, 0.5]
    assert summary["drops"] == pytest.approx(1 / 6, abs=1e-6)
    assert summary["obeyed"] == pytest.approx(5 / 6, abs=1e-6)
    assert (summary["instances"], summary["clicks"]) == (2, 6)
    assert summary["noc@80_interval"] == [1.0, 2.0]
    assert 0.75 <= summary["obeyed_interval"][0] <= summary["obeyed_interval"][1] <= 1.0
    assert list(summary["sizes"]) == ["small", "medium"]
    assert summary["sizes"]["small"]["noc@95"] == 2.0
    assert summary["categories"] is None


def test_small_falls_are_no_drops_and_one_click_has_none() -> None:
    assert figures(sequence(0.9, 0.885, 0.87, 0.84))["drops"] == pytest.approx(1 / 3, abs=1e-6)
    one = figures(sequence(0.9), limit=1)
    assert (one["drops"], one["drops_interval"], one["iou@1"]) == (None, None, 0.9)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=4))
def test_figures_agree_with_each_other(sequences: list[list[float]]) -> None:
    summary = figures(*(sequence(*ious) for ious in sequences), limit=6)
    for goal in GOALS:
        counts = [
            next((n for n, iou in enumerate(ious, 1) if iou >= goal / 100), None)
            for ious in sequences
        ]
        assert summary[f"noc@{goal}"] == pytest.approx(np.mean([n or 6 for n in counts]), abs=1e-6)
        assert summary[f"never@{goal}"] == pytest.approx(counts.count(None) / len(counts), abs=1e-6)
        assert summary[f"at_limit@{goal}"] >= summary[f"never@{goal}"]
    assert [summary[f"noc@{goal}"] for goal in GOALS] == sorted(
        summary[f"noc@{goal}"] for goal in GOALS
    )


# The command


def test_a_model_that_needs_two_clicks(
    folder: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = arguments_for(models, "halves", folder)
    out = tmp_path / "out"
    results = run_json(cli.main, [*arguments, "--out", str(out)], capsys)
    assert set(results) == BLOCK | {
        "schema_version", "sizes", "categories", "conditions", "problems",
    }  # fmt: skip
    for block in results["sizes"].values():
        assert set(block) == BLOCK
    assert 0.3 < results["iou@1"] < 0.6
    assert (results["iou@2"], results["iou@20"]) == (1.0, 1.0)
    assert (results["noc@80"], results["noc@95"], results["never@95"]) == (2.0, 2.0, 0.0)
    assert (results["drops"], results["obeyed"]) == (0.0, 1.0)
    assert (results["instances"], results["clicks"]) == (6, 12)
    assert results["conditions"]["clicks"] == {
        "protocol": "clicks", "max_clicks": 20, "scored_canvas": 640, "minimum_area": 200,
        "drop": 0.02, "seed": 0,
    }  # fmt: skip
    assert "taps" not in results["conditions"]

    assert json.loads((out / "results.json").read_text()) == results
    lines = [json.loads(line) for line in (out / "clicks.jsonl").read_text().splitlines()]
    assert len(lines) == results["clicks"]
    assert set(lines[0]) == {
        "photo", "instance", "category", "click", "x", "y", "positive", "obeyed", "iou",
    }  # fmt: skip
    first = [line["iou"] for line in lines if line["click"] == 1]
    assert np.mean(first) == pytest.approx(results["iou@1"], abs=1e-6)
    assert np.mean([line["obeyed"] for line in lines]) == pytest.approx(results["obeyed"], abs=1e-6)
    with Image.open(out / "worst.png") as picture:
        assert picture.size == (4 * 320, 2 * 340)
        assert len(picture.getcolors(1 << 24)) > 100
    table = (out / "table.md").read_text()
    assert "| **all** | 6 | 12 | 2.000 [2.000, 2.000] |" in table
    assert "| 20 | 1.000 [1.000, 1.000] |" in table


@pytest.mark.parametrize(
    ("name", "noc", "never", "drops", "obeyed", "clicks"),
    [
        ("perfect", 1.0, 0.0, 0.0, 1.0, 6),
        ("nothing", 7.0, 1.0, 0.0, 0.0, 42),
        ("spoils", 7.0, 1.0, 1 / 6, 1 / 7, 42),
    ],
)
def test_known_models(
    name: str, noc: float, never: float, drops: float, obeyed: float, clicks: int,
    folder: Path, models: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = [*arguments_for(models, name, folder), "--max-clicks", "7"]
    results = run_json(cli.main, arguments, capsys)
    assert "iou@7" in results
    assert "iou@8" not in results
    assert {results[f"noc@{goal}"] for goal in GOALS} == {noc}
    assert {results[f"{kind}@{goal}"] for kind in ("never", "at_limit") for goal in GOALS} == {
        never
    }
    assert results["drops"] == pytest.approx(drops, abs=1e-6)
    assert results["obeyed"] == pytest.approx(obeyed, abs=1e-6)
    assert results["clicks"] == clicks
    assert cli.main(arguments) == 0
    assert f"| **all** | 6 | {clicks} | {noc:.3f} [" in capsys.readouterr().out


def test_the_same_things_as_for_taps(
    folder: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a photo of 300 x 400 on a canvas of 128, a thing needs about 2000 pixels."""
    photos = Scenes([make_scene(300, 400, seed, things=9) for seed in range(4)])
    scoring = ClickScoring(OutsideClickModel.load(f"{models}:nothing"), 0, 1, 128)
    count = 0
    for index in range(4):
        tapped = TapProtocol(taps=1, scored_canvas=128).draw(index, photos[index])
        ids = [photos[index].instances[place].id for place in tapped]
        assert [one.instance for one in scoring.score(index, photos[index]).instances] == ids
        count += len(ids)
    assert 0 < count < sum(len(photo.masks) for photo in photos)  # type: ignore[attr-defined]
    data = [*arguments_for(models, "nothing", folder), "--max-clicks", "1", "--held-out", "3"]
    assert run_json(cli.main, data, capsys)["instances"] == 2


def test_an_interrupted_evaluation_goes_on(
    folder: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    arguments = [*arguments_for(models, "halves", folder), "--max-clicks", "3"]
    whole, out = tmp_path / "whole", tmp_path / "out"
    expected = run_json(cli.main, [*arguments, "--out", str(whole)], capsys)
    (tmp_path / "left").write_text(str(expected["clicks"] // 2))
    with monkeypatch.context() as patch:
        patch.setenv("CLICKS_UNTIL_INTERRUPT", str(tmp_path / "left"))
        assert cli.main([*arguments, "--out", str(out)]) == 130
    (part,) = (out / "parts").iterdir()
    assert part.read_bytes().count(b"\n") == 1
    assert "stopped; --resume goes on from here" in capsys.readouterr().err
    results = run_json(cli.main, [*arguments, "--out", str(out), "--resume"], capsys)
    assert comparable(results) == comparable(expected)
    for name in ("clicks.jsonl", "worst.png"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    other = [*arguments[:-1], "4", "--out", str(out), "--resume"]
    assert_one_sentence(cli.main, other, "with other settings (clicks.max_clicks)", capsys)
    taps = ["--model", f"{models}:perfect", "--data", str(folder), "--out", str(out), "--resume"]
    assert_one_sentence(cli.main, taps, "with other settings (clicks, ", capsys)


def test_shares_are_the_whole(models: Path) -> None:
    photos = Scenes([make_scene(60, 80, seed, things=2) for seed in range(5)])
    scoring = ClickScoring(OutsideClickModel.load(f"{models}:nothing"), 0, 3)
    alone = _score_share(scoring, photos, None, Processes())
    together = []
    for index in range(2):
        processes = Processes()
        processes.count, processes.index = 2, index
        together += _score_share(scoring, photos, None, processes)
    assert [score.index for score in together] == [0, 2, 4, 1, 3]
    assert sorted(together, key=lambda score: score.index) == alone
    assert [PhotoScore.from_dict(score.to_dict(), SequenceScore) for score in alone] == alone


@pytest.mark.parametrize(
    "arguments",
    [
        ["--taps", "3", "--protocol", "clicks"],
        ["--taps-from", "taps.jsonl", "--protocol", "clicks"],
        ["--max-clicks", "3"],
        ["--max-clicks", "3", "--protocol", "bands"],
        ["--max-clicks", "0", "--protocol", "clicks"],
    ],
)
def test_options_that_do_not_go_together(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--data", str(folder), *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


def test_nothing_to_score(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_folder(tmp_path / "photos", [np.zeros((20, 20), np.uint8)])
    arguments = arguments_for(models, "perfect", data)
    assert_one_sentence(cli.main, arguments, "no instance of at least 200 pixels", capsys)


# Models


def test_what_an_outside_model_is_given() -> None:
    asked: list[Any] = []

    def segment(image: Any, clicks: Any, previous_mask: Any) -> Mask:
        asked.append((clicks.copy(), previous_mask))
        clicks.clear()  # it is the model's own list
        return np.full((4, 6), len(asked) % 2 == 0)

    session = OutsideClickModel("theirs", segment).open(np.zeros((4, 6, 3), np.uint8), "photo")
    first = session.click(1, 2, True)
    session.click(3, 0, False)
    session.clear()
    session.click(5, 3, True)
    assert first.obeyed is None
    assert [clicks for clicks, _ in asked] == [
        [(1, 2, True)], [(1, 2, True), (3, 0, False)], [(5, 3, True)],
    ]  # fmt: skip
    assert [previous for _, previous in asked] == [None, first.mask, None]


@pytest.mark.parametrize(
    ("given", "said"), [(np.zeros((4, 6)), "gave float64 4 x 6"), (None, "gave NoneType")]
)
def test_answers_that_are_no_masks(given: object, said: str) -> None:
    session = OutsideClickModel("theirs", lambda *_: given).open(
        np.zeros((4, 6, 3), np.uint8), "photo"
    )
    with pytest.raises(AdapterError, match=rf"{said} for click 1, \(1, 2, True\), on photo; it"):
        session.click(1, 2, True)


def test_tapping_again() -> None:
    class Columns:
        computed, many = "columns", True

        def open(self, photo: object, name: str) -> Any:
            return self

        def chosen_level(self, taps: list[tuple[int, int]]) -> Any:
            for x, _ in taps:
                yield np.arange(6) == np.full((4, 6), x)

    model: Any = Columns()
    session = TappingAgain(model).open(np.zeros((4, 6, 3), np.uint8), "photo")
    assert session.computed == "columns, tapping again"
    assert not session.click(3, 0, False).mask.any()
    for x, positive, column in [(2, True, 2), (4, True, 4), (4, False, 4), (0, False, 4)]:
        answer = session.click(x, 1, positive)
        assert np.flatnonzero(answer.mask.any(0)).tolist() == [column]
        assert answer.obeyed is None
    session.clear()
    assert not session.click(0, 0, False).mask.any()
