"""The check that every export must pass: photos, fresh process, calibration, limits."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_fixtures import WARM_CANVAS, SmallExport
from PIL import Image

from tracenet.model import LEVELS, load_checkpoint, shipped_checkpoint
from tracenet.options import DEFAULT_NETWORK
from tracenet_export import parity as parity_module
from tracenet_export import photos as photos_package
from tracenet_export.calibration import (
    FEWEST_PHOTOS,
    MOST_PHOTOS,
    calibrated,
    calibration_photos,
)
from tracenet_export.check import checking_engine
from tracenet_export.engine_process import EngineProcess
from tracenet_export.errors import ExportError, ParityError
from tracenet_export.limits import Limits
from tracenet_export.parity import (
    Differences,
    FullNetOracle,
    ReplayParity,
    TorchEngine,
    check_replay,
    parity_taps,
    refuse_replay,
)
from tracenet_export.photos import parity_photos
from tracenet_export.targets import TARGETS
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.errors import EngineUnavailable, PhotoError
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.graph.schedule import Choice

LIMITS = {
    (name, precision): row.limits
    for name, target in TARGETS.items()
    for precision, row in target.precisions.items()
}


def inputs_of(bundle: Bundle, program: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=spec.shape).astype(np.float32)
        for name, spec in bundle.manifest.programs[program].inputs.items()
    }


# A process of its own


def test_the_process_gives_what_the_engine_gives(
    small: SmallExport, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.open(small.folder)
    here, report = load_engine("onnxruntime", bundle.program_files, EngineSettings(1))
    with EngineProcess("onnxruntime", bundle.program_files, EngineSettings(1)) as there:
        assert there.report == report
        for program in list(bundle.manifest.programs)[-3:]:
            inputs = inputs_of(bundle, program)
            expected, given = here.run(program, inputs), there.run(program, inputs)
            assert set(given) == set(expected)
            for name, value in expected.items():
                np.testing.assert_array_equal(given[name], value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_no_torch_in_the_process(small: SmallExport) -> None:
    with EngineProcess(
        "onnxruntime", Bundle.open(small.folder).program_files, EngineSettings(1)
    ) as engine:
        loaded = Path(f"/proc/{engine._process.pid}/maps").read_text()
    assert "onnxruntime" in loaded
    assert "torch" not in loaded


def test_a_crash_is_one_sentence(small: SmallExport) -> None:
    bundle = Bundle.open(small.folder)
    program = list(bundle.manifest.programs)[-1]
    with EngineProcess("onnxruntime", bundle.program_files, EngineSettings(1)) as engine:
        engine._process.kill()
        engine._process.wait(10)
        with pytest.raises(ParityError, match=rf"onnxruntime crashed in the program {program}"):
            engine.run(program, inputs_of(bundle, program))


def test_errors_come_through(small: SmallExport) -> None:
    bundle = Bundle.open(small.folder)
    with pytest.raises(EngineUnavailable, match="litert runs litert bundles"):
        EngineProcess("litert", bundle.program_files, EngineSettings(1))
    program = list(bundle.manifest.programs)[-1]
    with EngineProcess("onnxruntime", bundle.program_files, EngineSettings(1)) as engine:
        with pytest.raises(Exception, match="cannot run the program"):
            engine.run(program, {})
        engine.run(program, inputs_of(bundle, program))  # it is still there


def test_ctrl_c_is_for_the_exporter_alone(small: SmallExport) -> None:
    bundle = Bundle.open(small.folder)
    program = list(bundle.manifest.programs)[-1]
    with EngineProcess("onnxruntime", bundle.program_files, EngineSettings(1)) as engine:
        # What a terminal sends at Ctrl-C goes to the exporter's group of processes.
        assert os.getpgid(engine._process.pid) != os.getpgid(0)
        engine.run(program, inputs_of(bundle, program))
    assert engine._process.returncode == 0


# Photos


def test_parity_photos() -> None:
    photos = parity_photos()
    assert len(photos) == 4
    assert all(photo.dtype == np.uint8 and min(photo.shape[:2]) >= 300 for photo in photos)
    # Landscape and square ones: taps on them reach every side of a square canvas.
    assert any(photo.shape[0] == photo.shape[1] for photo in photos)


def photo_folder(folder: Path, count: int, suffix: str = ".jpg") -> Path:
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        picture = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{number:03}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_calibration_photos(tmp_path: Path, suffix: str) -> None:
    folder = photo_folder(tmp_path / "photos", MOST_PHOTOS + 10, suffix)
    (folder / "index.jsonl").write_text("{}")
    (folder / f"._000{suffix}").write_bytes(b"what a Mac leaves beside a file")
    photos = calibration_photos(folder)
    assert len(set(photos)) == MOST_PHOTOS
    assert all(photo.suffix == suffix and photo.name[0] != "." for photo in photos)
    assert photos == calibration_photos(folder)


def test_too_few_photos(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "photos", FEWEST_PHOTOS - 1)
    with pytest.raises(ExportError, match="holds 7 photos; int8 is calibrated with 8 at least"):
        calibration_photos(folder)


def test_a_broken_photo(small: SmallExport, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"broken\.jpg"), calibrated(small.draft, [broken]):
        pass


def test_calibration_sees_what_the_programs_see(
    small: SmallExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    manifest = Bundle.open(small.folder).manifest
    photos = sorted(Path(photos_package.__file__).parent.glob("*.jpg"))[:2]
    with calibrated(small.draft, photos) as samples:
        assert set(samples) == set(manifest.programs)
        for name, program in manifest.programs.items():
            assert len(samples[name]) >= len(photos), name
            for sample in samples[name]:
                assert {k: v.shape for k, v in sample.items()} == {
                    k: spec.shape for k, spec in program.inputs.items()
                }
                assert all(value.dtype == np.float32 for value in sample.values())
        # Not the same tap twice, and photos as they are: levels from 0 to 255.
        filters = {sample["filter"].tobytes() for sample in samples["mask_head_32x32"]}
        assert len(filters) > len(photos)
        image = samples[manifest.schedules[0].graph.phases[0].program_calls[0].program][0]
        assert any(value.shape[1] == 3 and value.max() > 200 for value in image.values())
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_large_windows_are_recorded_on_fewer_photos(
    small: SmallExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracenet_export.calibration._MOST_BYTES", 1)
    photo = sorted(Path(photos_package.__file__).parent.glob("*.jpg"))[0]
    with calibrated(small.draft, [photo] * (FEWEST_PHOTOS + 2)) as samples:
        photo_phase = small.draft.assembly.schedules[-1].graph.phases[0]
        encodes = samples[photo_phase.program_calls[0].program]
        assert len(encodes) == FEWEST_PHOTOS


# The replay's comparison and its limits


class ChangingEngine:
    """PyTorch, with some outputs changed."""

    def __init__(self, engine: Engine, changes: Mapping[str, float]) -> None:
        self._engine, self._changes = engine, changes

    def run(self, program: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        outputs = self._engine.run(program, inputs)
        return {
            name: value + self._changes.get(f"{program}/{name}", 0.0)
            for name, value in outputs.items()
        }


def compared(small: SmallExport, change: tuple[str, float] | None, count: int = 20) -> ReplayParity:
    """`warm` on a photo, with something added to one of its outputs, by array."""
    draft = small.draft
    (schedule,) = (v for v in draft.assembly.schedules if v.name == "warm")
    changes = {}
    if change:
        array, shift = change
        changes = {
            f"{call.program}/{window.name}": shift
            for phase in schedule.graph.phases
            for call in phase.program_calls
            for window in call.outputs
            if window.array == array
        }
        assert changes
    assembly = draft.assembly
    engine = ChangingEngine(TorchEngine(assembly.programs), changes)
    photo = parity_photos()[0][: WARM_CANVAS[0], : WARM_CANVAS[1]]
    oracle = FullNetOracle(small.source.network, np.ascontiguousarray(photo))
    replay = draft.viewer(assembly.described(), engine).replay(Choice.own(schedule))
    return check_replay(replay, [(oracle, parity_taps(*WARM_CANVAS, count))])


def test_a_faithful_replay(small: SmallExport) -> None:
    found = compared(small, None)
    assert (found.taps, found.iou_mean, found.iou_p5, found.level_flips) == (20, 1.0, 1.0, 0)
    for limits in LIMITS.values():
        refuse_replay(limits, "warm", found, {"x": 0.0})


def test_flips_count_as_failures(small: SmallExport) -> None:
    """One level shouts all others down: it answers every tap, with a mask that is right."""
    found = [compared(small, (f"p{level}_score", 10.0)) for level in (3, 7)]
    for one in found:
        assert one.iou_mean == pytest.approx(1 - one.level_flips / (one.taps - one.small))
        assert one.whole_iou_mean == 1.0
    assert max(one.level_flips for one in found) > 1
    assert min(one.iou_p5 for one in found) == 0.0


def test_levels_that_tie_are_no_flip(small: SmallExport, monkeypatch: pytest.MonkeyPatch) -> None:
    shouting = "p7_score", 10.0
    assert compared(small, shouting).level_flips > 0
    monkeypatch.setattr(parity_module, "TIE", 1.0)
    found = compared(small, shouting)
    assert (found.level_flips, found.iou_mean) == (0, 1.0)


def test_a_wrong_mask(small: SmallExport) -> None:
    found = compared(small, ("mask_features", 3.0))
    assert found.level_flips == 0
    assert found.iou_mean < 0.9
    assert found.relative_error["mask"] > 0.1
    assert found.relative_error["p3_score"] < 1e-5


def parity_of(**found: float) -> ReplayParity:
    answers = {"p4_score": 0.0, "p4_box": 0.0}
    plain = ReplayParity(64, 1.0, 1.0, 0, 0, 0, 1.0, answers | {"mask": 0.0}, answers)
    return dataclasses.replace(plain, **found)  # type: ignore[arg-type]


LIMIT = Limits(0.1, 0.2, 0.3, 0.01, 0.99, 0.95, session_iou=0.98, clip_iou=0.95, frame_iou=0.995)


@pytest.mark.parametrize("found", [{"iou_mean": 0.98}, {"iou_p5": 0.9}])
def test_below_the_limits(found: dict[str, float]) -> None:
    said = r"the masks of P4 overlap .* differs most from PyTorch is b/y \(p3\), by 2.0e-02"
    with pytest.raises(ParityError, match=said):
        refuse_replay(LIMIT, "P4", parity_of(**found), {"a/x (p4)": 0.01, "b/y (p3)": 0.02})


def test_answers_that_are_off_on_average() -> None:
    parity = dataclasses.replace(parity_of(), mean_error={"p4_box": 0.02})
    with pytest.raises(ParityError, match=r"p4_box on average differs from PyTorch by 2.0e-02"):
        refuse_replay(LIMIT, "P4", parity, {"a": 0.0})


def test_a_percentile_that_is_not_asked_for() -> None:
    limits = dataclasses.replace(LIMIT, iou_p5=None)
    refuse_replay(limits, "P4", parity_of(iou_p5=0.1), {"a": 0.0})
    with pytest.raises(ParityError, match=r"at least 0.99 is asked for"):
        refuse_replay(limits, "P4", parity_of(iou_mean=0.9), {"a": 0.0})


@pytest.mark.parametrize(("kind", "factor"), [("score", 0.55), ("box", 0.55), ("box", 1.4)])
def test_every_int8_limit_sees_answers_that_are_scaled(kind: str, factor: float) -> None:
    """On the shipped weights: masks inside their windows would not show it."""
    network = load_checkpoint(shipped_checkpoint(DEFAULT_NETWORK))
    oracle = FullNetOracle(network, np.ascontiguousarray(parity_photos()[1][:256, 40:296]))
    differences = Differences()
    for tap in parity_taps(256, 256, 64):
        answers = oracle.answer(tap)
        for index, level in enumerate(LEVELS):
            value = getattr(answers, kind)[0, index].numpy()
            differences.add(f"{level.output(kind)}", factor * value, value)
    parity = dataclasses.replace(parity_of(), mean_error=differences.mean_relative())
    for (_, precision), limits in LIMITS.items():
        if precision == "int8":
            with pytest.raises(ParityError, match=f"_{kind} on average differs"):
                refuse_replay(limits, "all", parity, {"a": 0.0})


def test_a_replay_that_is_not_finite() -> None:
    parity = dataclasses.replace(
        parity_of(), relative_error={"p4_score": 0.0, "mask": float("nan")}
    )
    with pytest.raises(ParityError, match="mask differs from PyTorch"):
        refuse_replay(LIMIT, "P4", parity, {"a": 0.0})


def test_single_cells_of_masks_are_limited_where_borders_must_not_move() -> None:
    parity = dataclasses.replace(parity_of(), relative_error={"p4_score": 0.1, "mask": 0.9})
    with pytest.raises(ParityError, match=r"mask differs from PyTorch by 9.0e-01"):
        refuse_replay(LIMIT, "P4", parity, {"a": 0.0})
    borders_may_move = dataclasses.replace(LIMIT, mask_error=None)
    refuse_replay(borders_may_move, "P4", parity, {"a": 0.0})
    infinite = dataclasses.replace(parity, mean_error={"mask": float("inf")})
    with pytest.raises(ParityError, match="mask on average differs"):
        refuse_replay(borders_may_move, "P4", infinite, {"a": 0.0})


def test_every_target_and_precision_has_limits() -> None:
    for (_, precision), limits in LIMITS.items():
        if precision == "fp32":
            assert limits.program_error <= 1e-3
            assert limits.iou_mean >= 0.999
        if precision == "fp16":
            assert limits.iou_mean >= 0.99
            assert limits.iou_p5 is not None
            assert limits.iou_p5 >= 0.95


def test_core_ml_is_checked_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert checking_engine("coreml") == "coreml-reference"
    monkeypatch.setattr("sys.platform", "darwin")
    assert checking_engine("coreml") == "coreml"
    assert checking_engine("onnx") == "onnxruntime"
