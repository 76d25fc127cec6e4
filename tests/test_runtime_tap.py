"""A tap from end to end: segmenter, golden taps, overlay, command line."""

import copy
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from runtime_fixtures import random_photo, read_manifest, write_manifest, write_tiny_bundle

from tracenet_runtime import (
    BundleError,
    PhotoError,
    TapOutsidePhoto,
    TapSegmenter,
    UnknownLevel,
    load_photo,
)
from tracenet_runtime import cli as cli_module
from tracenet_runtime.answer import look as look_module
from tracenet_runtime.answer.replay import Replay
from tracenet_runtime.arguments import canvas_size, thread_count
from tracenet_runtime.cli import main
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.image.overlay import overlay_bands
from tracenet_runtime.image.picture_file import BAND_ROWS, write_jpeg, write_png
from tracenet_runtime.image.rle import encode_rle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("tap") / "bundle")


@pytest.fixture(scope="module")
def segmenter(bundle: Path) -> TapSegmenter:
    return TapSegmenter.load(bundle, threads=1, schedule="all")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(random_photo(4, 90, 150)).save(path)
    return path


@pytest.mark.parametrize("size", [(90, 150), (64, 96), (1, 1), (3000, 1), (1, 700), (20, 11)])
def test_result_is_in_photo_pixels(segmenter: TapSegmenter, size: tuple[int, int]) -> None:
    height, width = size
    result = segmenter.tap(random_photo(8, height, width), (width - 1, height // 2))
    assert result.mask.shape == size
    assert result.mask.dtype == np.bool_
    assert result.area == result.mask.sum()
    x0, y0, x1, y1 = result.box
    assert 0 <= x0 <= x1 <= width
    assert 0 <= y0 <= y1 <= height
    scores = [v.score for v in result.candidates]
    assert scores == sorted(scores, reverse=True)
    assert {v.level for v in result.candidates} == {"P3", "P4"}
    assert (result.schedule, result.canvas) == ("all", (64, 96))
    first = result.candidates[0]
    assert (result.level, result.score, result.box) == (first.level, first.score, first.box)
    stages = {k: v for k, v in result.timings_ms.items() if k != "total"}
    assert {"canvas", "cut", "engine/trunk", "mask"} <= set(stages)
    assert sum(stages.values()) <= result.timings_ms["total"]
    encoded = result.rle()
    assert json.loads(json.dumps(encoded)) == encoded
    np.testing.assert_array_equal(coco.decode(encoded).astype(bool), result.mask)


def test_a_mask_at_the_size_of_the_screen(segmenter: TapSegmenter) -> None:
    photo = random_photo(8, 90, 150)
    result = segmenter.tap(photo, (75, 45))
    assert result.mask is result.mask  # written once
    np.testing.assert_array_equal(result.mask_at(90, 150), result.mask)
    assert result.mask_at(45, 75).shape == (45, 75)


def test_another_level_may_answer(segmenter: TapSegmenter) -> None:
    photo = random_photo(8, 90, 150)
    best = segmenter.tap(photo, (75, 45))
    answers = {v.level: segmenter.tap(photo, (75, 45), level=v.level) for v in best.candidates}
    np.testing.assert_array_equal(answers[best.level].mask, best.mask)
    for candidate in best.candidates:
        result = answers[candidate.level]
        assert (result.level, result.score, result.box) == (
            candidate.level, candidate.score, candidate.box,
        )  # fmt: skip
        assert result.candidates == best.candidates
    one, other = answers.values()
    assert not np.array_equal(one.probability.probability, other.probability.probability)
    with pytest.raises(UnknownLevel, match="does not ask the level 'P9'; it asks P3, P4"):
        segmenter.tap(photo, (75, 45), level="P9")


def test_refuses_what_it_cannot_answer(segmenter: TapSegmenter) -> None:
    photo = random_photo(0, 10, 20)
    with pytest.raises(TapOutsidePhoto):
        segmenter.tap(photo, (20, 0))
    with pytest.raises(PhotoError):
        segmenter.tap(photo.astype(np.float32), (0, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "asked_canvas", "photo", "expected"),
    [
        (None, None, (60, 90), ("all", (64, 96))),
        (None, None, (128, 128), ("P3", (96, 144))),
        (None, None, (1000, 900), ("P3", (96, 144))),
        ("P3", None, (90, 50), ("P3", (96, 144))),
        ("warm", None, (1000, 900), ("warm", (64, 96))),
        (None, (64, 96), (1000, 900), ("all", (64, 96))),
        ("P3", (64, 96), (1000, 900), ("P3", (64, 96))),
        (None, (112, 48), (1000, 900), ("P3", (112, 48))),
    ],
)
def test_schedule_and_canvas_that_answer(
    bundle: Path,
    name: str | None,
    asked_canvas: tuple[int, int] | None,
    photo: tuple[int, int],
    expected: tuple[str, tuple[int, int]],
) -> None:
    segmenter = TapSegmenter.load(bundle, threads=1, schedule=name, canvas=asked_canvas)
    result = segmenter.tap(random_photo(4, *photo), (20, 30))
    assert (result.schedule, result.canvas) == expected
    (choice,) = segmenter.strategy.choices(photo)
    assert (choice.schedule.name, (choice.height, choice.width)) == expected
    assert result.mask_window in {phase.name for phase in choice.schedule.graph.windows}


def test_a_canvas_is_turned_with_the_photo(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    manifest = read_manifest(folder)
    manifest["schedules"][1]["serves"]["height"] = [48, 144]
    write_manifest(folder, manifest)
    segmenter = TapSegmenter.load(folder, threads=1, schedule="P3")
    assert segmenter.tap(random_photo(4, 300, 200), (20, 30)).canvas == (144, 96)
    assert segmenter.tap(random_photo(4, 200, 300), (20, 30)).canvas == (96, 144)


def test_wrong_names_and_canvases(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no schedule 'P5'; it has all, P3, warm"):
        TapSegmenter.load(bundle, schedule="P5")
    with pytest.raises(BundleError, match=r"640 x 640 .* 64 x 96, 48-128 x 48-192 in multiples"):
        TapSegmenter.load(bundle, canvas=(640, 640))


def test_one_replay_for_each_canvas(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def replay(programs: Any, meaning: Any, choice: Choice, engine: Any) -> Replay:
        made.append((choice.schedule.name, choice.height, choice.width))
        return Replay(programs, meaning, choice, engine)

    monkeypatch.setattr(look_module, "Replay", replay)
    segmenter = TapSegmenter.load(bundle, threads=1)
    for _ in range(2):
        segmenter.tap(random_photo(4, 60, 90), (20, 30))
        segmenter.tap(random_photo(4, 600, 900), (20, 30))
    assert sorted(made) == [("P3", 96, 144), ("all", 64, 96)]


def test_golden_taps_are_replayed(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    golden = json.loads((folder / "golden.json").read_text())

    def with_tap(schedule: int, index: int, **changes: object) -> None:
        changed = copy.deepcopy(golden)
        changed["schedules"][schedule][index].update(changes)
        (folder / "golden.json").write_text(json.dumps(changed))
        write_manifest(folder, read_manifest(folder))

    tap = golden["schedules"][0][0]
    x0, y0, x1, y1 = tap["box"]
    other_mask = encode_rle(np.zeros((90, 120), bool))
    for changes, match in (
        ({"level": "P4" if tap["level"] == "P3" else "P3"}, "level"),
        ({"score": tap["score"] + 0.002}, "score"),
        ({"mask_rle": other_mask}, "a mask that overlaps"),
        ({"box": [x0, y0, x1 - 0.01 * (x1 - x0), y1]}, "a box that overlaps"),
        ({"box": [0, 0, 0, 0]}, "a box that overlaps"),
        ({"mask_rle": {"size": [90, 120], "counts": "ooo"}}, "decoded"),
        ({"mask_rle": {"size": [90, 121], "counts": "0"}}, "does not fit"),
        ({"at": [120, 0]}, "does not fit"),
    ):
        with_tap(0, 0, **changes)
        with pytest.raises(BundleError, match=match):
            TapSegmenter.load(folder)
        TapSegmenter.load(folder, verify=False)
    with_tap(0, 0, score=tap["score"] + 0.0009)
    TapSegmenter.load(folder).check_golden()
    with_tap(0, 2, level="P9")
    segmenter = TapSegmenter.load(folder)
    with pytest.raises(BundleError, match="P9"):
        segmenter.check_golden()


@pytest.mark.parametrize(("number", "name"), [(0, "all"), (1, "P3"), (2, "warm")])
def test_golden_taps_belong_to_a_schedule(tmp_path: Path, number: int, name: str) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    golden = json.loads((folder / "golden.json").read_text())
    golden["schedules"][number][0]["score"] += 0.1
    (folder / "golden.json").write_text(json.dumps(golden))
    write_manifest(folder, read_manifest(folder))
    for other in {"all", "P3", "warm"} - {name}:
        TapSegmenter.load(folder, schedule=other).check_golden()
    # On another canvas too, for the golden answers are those of the schedule's own.
    for canvas in (None, (48, 64)) if name == "P3" else (None,):
        with pytest.raises(BundleError, match=f"schedule '{name}' gives a score"):
            TapSegmenter.load(folder, schedule=name, canvas=canvas)


def test_overlay_marks_mask_box_and_tap() -> None:
    photo = np.full((120, 160, 3), 100, np.uint8)
    mask = np.zeros((120, 160), bool)
    mask[40:100, 50:120] = True
    places = [((80, 70), True), ((130, 70), False)]
    (picture,) = overlay_bands(photo, mask, places, (30, 20, 150, 110), 128)
    assert picture.shape == photo.shape
    assert picture.dtype == np.uint8
    assert picture[5, 5].tolist() == [100, 100, 100]
    assert picture[90, 60].tolist() == [65, 105, 177]
    assert picture[40, 60].tolist() == [255, 255, 255]
    assert picture[70, 80].tolist() == [255, 40, 60]
    assert picture[70, 130].tolist() == [20, 20, 20]
    assert picture[20, 30].tolist() == picture[109, 149].tolist() == [255, 200, 0]
    assert np.all(photo == 100)
    (everything,) = overlay_bands(photo[:1, :1], mask[40:41, 50:51], [], (0, 0, 1, 1), 128)
    assert everything.shape == (1, 1, 3)


@pytest.mark.parametrize("tap", [(0.0, 0.0), (401.5, 299.7), (899.9, 899.9)])
def test_an_overlay_in_bands_is_one_picture(tap: tuple[float, float]) -> None:
    photo = random_photo(3, 900, 900)
    mask = np.hypot(*np.mgrid[-450:450, -450:450]) < 449.5
    mask[420:440, :] = mask[0] = True
    box = (0.4, 100.6, 899.5, 700.2)
    (whole,) = overlay_bands(photo, mask, [(tap, True)], box, 900)
    for rows in (1, 7, 128):
        np.testing.assert_array_equal(
            np.concatenate(list(overlay_bands(photo, mask, [(tap, True)], box, rows))), whole
        )


@pytest.mark.parametrize("size", [(1, 1), (128, 50), (129, 17), (300, 33), (1300, 40)])
def test_pictures_that_are_written_in_bands(size: tuple[int, int]) -> None:
    picture = random_photo(5, *size)
    for writer, name in ((write_png, "PNG"), (write_jpeg, "JPEG")):
        expected, found = io.BytesIO(), io.BytesIO()
        Image.fromarray(picture).save(expected, name)
        bands = [picture[top : top + BAND_ROWS] for top in range(0, size[0], BAND_ROWS)]
        writer(found, *size, bands)
        np.testing.assert_array_equal(*(np.asarray(Image.open(v)) for v in (expected, found)))


@pytest.mark.parametrize("size", [(1, 65_501), (65_501, 1)])
def test_an_overlay_too_large_for_a_jpeg_is_refused_before_the_tap(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: tuple[int, int]
) -> None:
    wide = tmp_path / "wide.png"
    Image.new("RGB", size).save(wide)
    arguments = [str(wide), "--at=0,0", "--bundle", str(bundle), "--threads", "1"]
    arguments += ["--mask", str(tmp_path / "m.png"), "--overlay"]
    assert main([*arguments, str(tmp_path / "o.jpeg")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "at most 65500 pixels to a side" in err
    assert err.endswith("name a .png file.\n")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wide.png"]
    assert main([*arguments, str(tmp_path / "o.png")]) == 0


def run(bundle: Path, photo: Path, *options: str) -> int:
    return main([str(photo), "--at=30,40", "--bundle", str(bundle), "--threads", "1", *options])


def test_cli_text(bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, photo) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("score", "level", "box", "area", "cost", "saved", "engine/trunk", "total"):
        assert word in out
    assert "P3 on a canvas of 96 x 144, exact" in out


@pytest.mark.parametrize(
    ("options", "cost"),
    [
        # Four programs of 1 G each; FullNet has 10 G on the schedule's own canvas, 96 x 144.
        (["--schedule", "P3"], "4.00 G multiply-adds, FullNet 10.00 G: 60.0% saved"),
        (["--schedule", "P3", "--canvas", "48x144"], "4.00 G multiply-adds, FullNet 5.00 G: 20.0%"),
        (["--schedule", "P3", "--canvas", "128x192"], "FullNet 17.78 G: 77.5% saved"),
    ],
)
def test_cli_cost(
    bundle: Path, photo: Path, options: list[str], cost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, photo, *options) == 0
    assert cost in capsys.readouterr().out


def test_cli_json_and_files(
    bundle: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask_path, overlay_path = tmp_path / "m.png", tmp_path / "o.jpg"
    assert (
        run(bundle, photo, "--mask", str(mask_path), "--overlay", str(overlay_path), "--json") == 0
    )
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert set(answer) == {
        "score",
        "level",
        "box",
        "area",
        "macs",
        "tile",
        "obeyed",
        "mask_rle",
        "candidates",
        "timings_ms",
        "engine",
        "bundle",
        "schedule",
        "halo",
        "exact",
        "canvas",
    }
    assert answer["schedule"] == "P3"
    assert answer["canvas"] == {"height": 96, "width": 144}
    assert err.count("wrote") == 2
    mask = np.asarray(Image.open(mask_path))
    assert set(np.unique(mask)) <= {0, 255}
    assert np.count_nonzero(mask) == answer["area"]
    np.testing.assert_array_equal(coco.decode(answer["mask_rle"]) * 255, mask)
    assert load_photo(overlay_path).shape == (90, 150, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.png", "o.jpg", "photo.png"]


def test_cli_errors_are_one_line_and_exit_2(
    bundle: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.png").mkdir()
    original = photo.read_bytes()
    same = tmp_path / "same.png"
    os.link(photo, same)
    a_png = str(tmp_path / "a.png")
    for arguments in (
        [bundle, photo, "--at=150,0"],
        [bundle, photo, "--at=-1,5"],
        [bundle, tmp_path / "none.jpg"],
        [tmp_path / "none", photo],
        [bundle, photo, "--schedule", "P5"],
        [bundle, photo, "--canvas", "64x97"],
        [bundle, photo, "--schedule", "all", "--canvas", "96x144"],
        [bundle, photo, "--mask", tmp_path / "none" / "m.png"],
        [bundle, photo, "--mask", tmp_path / "folder.png"],
        [bundle, photo, "--mask", tmp_path / "m.jpg"],
        [bundle, photo, "--mask", photo],
        [bundle, photo, "--overlay", same],
        [bundle, photo, "--mask", a_png, "--overlay", f"{tmp_path}/folder.png/../a.png"],
    ):
        folder, picture, *options = map(str, arguments)
        code = run(Path(folder), Path(picture), *options)
        out, err = capsys.readouterr()
        assert code == 2
        assert out == ""
        assert err.count("\n") == 1
        assert err.endswith(".\n")
    assert photo.read_bytes() == original
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.png", "photo.png", "same.png"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.png"],
        ["a.png", "--at", "3"],
        ["a.png", "--at", "x,y"],
        ["a.png", "--at", "1,2,3"],
        ["a.png", "--at", "nan,1"],
        ["a.png", "--at", "1,2", "--threads", "0"],
        ["a.png", "--at", "1,2", "--threads", "1025"],
        ["a.png", "--at", "1,2", "--threads", "9" * 5000],
        ["a.png", "--at", "1,2", "--compute-units", "tpu"],
        ["a.png", "--at", "1,2", "--canvas", "640x"],
        ["a.png", "--at", "1,2", "--canvas", "640x0"],
        ["a.png", "--at", "1,2", "--canvas", "640x16385"],
        ["a.png", "--at", "1,2", "--canvas", "-640x640"],
        ["a.png", "--at", "1,2", "--canvas", "²x640"],
        ["a.png", "--at", "1,2", "--canvas", "640x640\n"],
    ],
)
def test_cli_usage_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_argument_types() -> None:
    assert thread_count("1024") == 1024
    assert canvas_size("1536x2048") == (1536, 2048)
    assert canvas_size("1x16384") == (1, 16384)
    assert canvas_size("640") == (640, 640)


def test_cli_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "tracenet-tap photo.jpg --at 812,640" in capsys.readouterr().out


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (OSError("full"), 2)])
def test_interrupted_write_leaves_the_old_file(
    bundle: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
) -> None:
    mask_path = tmp_path / "m.png"
    mask_path.write_bytes(b"old")

    def save_half(self: Image.Image, file: object, format_name: str) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise raised

    monkeypatch.setattr(cli_module.Image.Image, "save", save_half)
    assert run(bundle, photo, "--mask", str(mask_path)) == code
    assert mask_path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.png", "photo.png"]
    assert "Traceback" not in capsys.readouterr().err
