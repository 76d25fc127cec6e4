"""Every target in every precision, through the command line: the same answers, the same report."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_fixtures import few_frames, few_programs, without_clips
from PIL import Image
from tool_checks import assert_one_sentence, run_json

from tracenet.model import load_checkpoint, save_checkpoint, shipped_checkpoint
from tracenet.options import DEFAULT_NETWORK
from tracenet_export import cli
from tracenet_export.calibration import FEWEST_PHOTOS
from tracenet_export.clips import CLIP_FRAMES
from tracenet_export.photos import parity_photos
from tracenet_export.targets import TARGETS
from tracenet_runtime import TapSegmenter
from tracenet_runtime import cli as tap_cli
from tracenet_runtime.bundle.files import Bundle

ENGINES = {"onnx": "onnxruntime", "coreml": "coreml-reference", "litert": "litert"}
PACKAGES = {"onnx": "onnx", "coreml": "coremltools", "litert": "litert_torch"}
CALIBRATED = {("onnx", "int8"), ("litert", "int8")}
QUICK = {("onnx", "fp32"), ("coreml", "fp16")}
STILL = "still"
"""The shipped weights without propagation, whose programs take LiteRT long to make in 8 bits."""

TAPS = [(60, 60), (200, 120), (250, 30), (130, 200), (30, 190)]
IOU = {"fp32": 0.995, "fp16": 0.98, "int8": 0.7}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photos, and the same mirrored."""
    folder = tmp_path_factory.mktemp("photos")
    upright = parity_photos()
    for number, photo in enumerate((*upright, *(photo[:, ::-1] for photo in upright))):
        Image.fromarray(photo).save(folder / f"{number}.png")
    assert len(list(folder.iterdir())) >= FEWEST_PHOTOS
    return folder


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(parity_photos()[1][:256, 40:296])


Exporting = Callable[..., tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of ``STILL``."""
    checkpoint = tmp_path_factory.mktemp("still") / "network.safetensors"
    network = load_checkpoint(shipped_checkpoint(DEFAULT_NETWORK))
    save_checkpoint(without_clips(network), checkpoint, licence="none")
    return checkpoint


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, photos: Path, still: Path) -> Exporting:
    """A target, a precision and perhaps ``STILL`` -> a bundle and its parity.json, made once."""
    folder = tmp_path_factory.mktemp("bundles")
    return functools.cache(
        lambda *key: export(
            folder / "-".join(key),
            photos,
            *key[:2],
            whole_clips=key[:2] not in QUICK,
            checkpoint=still if STILL in key else None,
        )
    )


@pytest.fixture(scope="module")
def expected(exported: Exporting) -> TapSegmenter:
    """ONNX in fp32, which other tests compare with FullNet."""
    return TapSegmenter.load(exported("onnx", "fp32")[0], threads=1)


def export(
    out: Path,
    photos: Path,
    target: str,
    precision: str,
    *,
    whole_clips: bool,
    checkpoint: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    arguments = [
        "--target", target, "--precision", precision, "--schedule", "P4-P5", "--canvas", "256",
        "--windows", "64", "--threads", "1", "--out", str(out), "--json",
    ]  # fmt: skip
    if (target, precision) in CALIBRATED:
        arguments += ["--calibration", str(photos)]
    if checkpoint is not None:
        arguments += ["--checkpoint", str(checkpoint)]
    with few_programs(), contextlib.nullcontext() if whole_clips else few_frames():
        assert cli.main(arguments) == 0
    return out, json.loads((out / "parity.json").read_text())


@pytest.fixture(scope="module")
def made(
    request: pytest.FixtureRequest, exported: Exporting
) -> tuple[str, str, Path, dict[str, Any]]:
    """A bundle of a target in a precision, and its parity.json."""
    target, precision, *_ = request.param
    pytest.importorskip(PACKAGES[target])
    return target, precision, *exported(*request.param)


ALL = [(name, precision) for name, target in TARGETS.items() for precision in target.precisions]

pairs = pytest.mark.parametrize(
    "made",
    [
        pytest.param(key, marks=() if key in QUICK else pytest.mark.slow, id="-".join(key))
        for key in ALL
    ]
    + [pytest.param(("litert", "int8", STILL), id=f"litert-int8-{STILL}")],
    indirect=True,
)


@pairs
def test_parity(
    made: tuple[str, str, Path, dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    target, precision, folder, parity = made
    assert (parity["target"], parity["precision"]) == (target, precision)
    limits = TARGETS[target].precisions[precision].limits
    (schedule,) = parity["schedules"]
    replay = schedule["replay"]
    assert replay["taps"] == 64
    assert replay["iou_mean"] >= limits.iou_mean
    assert replay["iou_p5"] >= (limits.iou_p5 or 0.0)
    if STILL in request.node.callspec.params["made"]:
        assert parity["clips"] is None
    else:
        assert parity["clips"]["frame_iou_mean"] >= limits.frame_iou
    errors = [e["max"] for p in parity["programs"].values() for e in p["outputs"].values()]
    assert 0 < max(errors) <= limits.program_error
    if precision != "fp32":  # so that a precision is not another one under its name
        assert max(errors) > 1e-4
    for program in parity["programs"].values():
        assert sum(program["operators"].values()) > 0
        assert program["partitions"] == (1 if target == "litert" else None)
        assert "TRANSPOSE" not in program["operators"]
    manifest = Bundle.open(folder).manifest
    assert manifest.checked_by == parity["checked_by"]
    assert ("not run on coreml" in manifest.checked_by) == (target == "coreml")
    layouts = {program.layout for program in manifest.programs.values()}
    assert layouts == {"NHWC" if target == "litert" else "NCHW"}


@pytest.mark.slow
@pytest.mark.parametrize(("target", "precision"), sorted(QUICK))
def test_whole_clips(target: str, precision: str, photos: Path, tmp_path: Path) -> None:
    """Differences add up from frame to frame, which the few frames of the others do not show."""
    pytest.importorskip(PACKAGES[target])
    _, parity = export(tmp_path / "bundle", photos, target, precision, whole_clips=True)
    limits = TARGETS[target].precisions[precision].limits
    assert parity["clips"]["iou_mean"] >= limits.clip_iou
    assert parity["clips"]["frames"] == 2 * CLIP_FRAMES


def test_the_litert_analyzer_finds_what_the_report_says(exported: Exporting) -> None:
    pytest.importorskip("litert_torch")
    from ai_edge_litert import _pywrap_analyzer_wrapper as analyzer

    folder, parity = exported("litert", "int8", STILL)
    listing = analyzer.ModelAnalyzer(str(folder / "programs" / "programs.tflite"), True, False)
    programs = parity["programs"]
    assert f"has '{len(programs)}' subgraph(s)" in listing
    for part in re.split(r"\nSubgraph#\d+ ", listing)[1:]:
        name = part.partition("(")[0]
        found = Counter(re.findall(r"^  Op#\d+ (\w+)\(", part, re.MULTILINE))
        assert found == programs.pop(name)["operators"]
    assert not programs


@pairs
def test_taps(
    made: tuple[str, str, Path, dict[str, Any]], photo: np.ndarray, expected: TapSegmenter
) -> None:
    target, precision, folder, _ = made
    segmenter = TapSegmenter.load(folder, engine=ENGINES[target], threads=1)
    segmenter.check_golden()
    report = segmenter.engine_report
    assert report is not None
    assert (report.name, report.requested.threads) == (ENGINES[target], 1)
    assert report.actual["version"]
    for tap in TAPS:
        given, wanted = segmenter.tap(photo, tap), expected.tap(photo, tap)
        if given.level != wanted.level:  # in int8 a close call may go the other way
            assert precision == "int8"
            assert abs(wanted.candidates[0].score - wanted.candidates[1].score) < 0.1
            continue
        assert given.mask.dtype == np.bool_
        assert given.mask.shape == photo.shape[:2]
        assert given.score == pytest.approx(wanted.score, abs=0.1 if precision == "int8" else 0.01)
        union = np.count_nonzero(given.mask | wanted.mask)
        if union > 200:
            overlap = np.count_nonzero(given.mask & wanted.mask) / union
            assert overlap >= IOU[precision], tap


@pairs
def test_the_tool_reports_the_engine(
    made: tuple[str, str, Path, dict[str, Any]],
    photo: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target, _, folder, _ = made
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    arguments = [str(path), "--at", "60,60", "--bundle", str(folder), "--threads", "1"]
    arguments += ["--engine", ENGINES[target]]
    report = run_json(tap_cli.main, arguments, capsys)
    assert report["engine"]["name"] == ENGINES[target]
    assert report["engine"]["requested"] == {"threads": 1, "compute_units": None}
    assert "version" in report["engine"]["actual"]
    assert tap_cli.main(arguments) == 0
    assert "threads: 1 asked for, " in capsys.readouterr().out
    if target != "coreml":
        arguments += ["--compute-units", "cpu_only"]
        assert_one_sentence(tap_cli.main, arguments, "has no compute units", capsys)
