"""From what the command line asks for to configurations, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from export_fixtures import CANVAS, OPEN_CANVAS, WARM_CANVAS, SmallExport
from runtime_fixtures import random_photo, write_tiny_bundle

from tracenet_bench.measure.choice import choose_configurations
from tracenet_bench.measure.configurations import Configuration, SubjectError, Wanted
from tracenet_bench.measure.models import BundleModel
from tracenet_bench.report.schema import Photo
from tracenet_bench.report.texts import label
from tracenet_runtime.errors import BundleError, EngineUnavailable, TraceNetError

PHOTO = Photo("photo", 256, 384)


def plan(small: SmallExport, **asked: Any) -> list[Configuration]:
    return choose_configurations(Wanted(**({"bundles": (small.folder,)} | asked)), [PHOTO])


def renamed(small: SmallExport, folder: Path, **names: str) -> Path:
    """A copy of the bundle whose schedules have other names."""
    shutil.copytree(small.folder, folder)
    manifest = small.manifest
    for schedule in manifest["schedules"]:
        schedule["name"] = names.get(schedule["name"], schedule["name"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_one_configuration(small: SmallExport) -> None:
    (found,) = plan(small, schedules=("all",))
    subject = found.subject
    assert subject.name == "mobilenetv2-fpn all 256x384 onnxruntime fp32 1 thread"
    assert (subject.kind, subject.source) == ("bundle", str(small.folder))
    assert (subject.network, subject.target, subject.precision, subject.engine) == (
        "mobilenetv2-fpn", "onnx", "fp32", "onnxruntime",
    )  # fmt: skip
    assert (subject.schedule, subject.canvas, subject.threads) == ("all", CANVAS, 1)
    assert found.compared_with == ()
    assert json.loads(json.dumps(found.model)) == {
        "kind": "bundle", "bundle": str(small.folder), "engine": None, "schedule": "all",
        "canvas": None, "threads": 1,
    }  # fmt: skip


def test_everything_with_everything(small: SmallExport) -> None:
    found = plan(small, schedules=("all", "full"), threads=(1, 2), engines=("onnxruntime",))
    assert [(v.subject.schedule, v.subject.threads) for v in found] == [
        ("all", 1), ("full", 1), ("all", 2), ("full", 2),
    ]  # fmt: skip
    assert found[3].name.endswith(" full 256x384 onnxruntime fp32 2 threads")


def test_canvases(small: SmallExport) -> None:
    found = plan(small, schedules=("P3",), canvases=((128, 1152), OPEN_CANVAS))
    assert [v.subject.canvas for v in found] == [(128, 1152), OPEN_CANVAS]


def test_the_photo_decides(small: SmallExport) -> None:
    (found,) = plan(small)
    assert found.subject.schedule == "all"
    assert found.model["schedule"] is None
    wide = Photo("wide", 128, 1024)
    wanted = Wanted(bundles=(small.folder,))
    (found,) = choose_configurations(wanted, [wide])
    assert (found.subject.schedule, found.subject.canvas) == ("P3", OPEN_CANVAS)
    (found,) = choose_configurations(wanted, [PHOTO, wide])
    assert (found.subject.schedule, found.subject.canvas) == (None, None)
    assert "by photo any canvas" in found.name


def test_what_is_named_twice_is_measured_once(small: SmallExport) -> None:
    assert len(plan(small, bundles=(small.folder, small.folder), schedules=("all", "all"))) == 1


def test_two_bundles_of_one_network_have_two_names(small: SmallExport, tmp_path: Path) -> None:
    other = renamed(small, tmp_path / "other")
    first, second = plan(small, bundles=(small.folder, other), schedules=("all",))
    assert second.name == f"{first.name} of {other}"


def test_fullnet(small: SmallExport) -> None:
    tap, baseline = plan(small, schedules=("all",), baselines=("fullnet",))
    assert baseline.subject.schedule == "full"
    assert baseline.compared_with == (tap.name,)
    # The same by the schedule's own name, and if it was asked for anyway.
    assert plan(small, schedules=("all",), baselines=("full",)) == [tap, baseline]
    found = plan(small, schedules=("all", "full"), baselines=("fullnet", "full"))
    assert [v.subject.schedule for v in found] == ["all", "full"]
    assert found[1].compared_with == (tap.name, baseline.name)


def test_a_baseline_is_on_the_canvas_of_what_it_is_compared_with(small: SmallExport) -> None:
    wide = (128, 1152)
    found = plan(small, schedules=("P3",), canvases=(wide, OPEN_CANVAS), baselines=("P3", "full"))
    assert [(v.subject.schedule, v.subject.canvas) for v in found] == [
        ("P3", wide), ("P3", OPEN_CANVAS), ("full", CANVAS),
    ]  # fmt: skip
    assert [v.compared_with for v in found[:2]] == [(found[0].name,), (found[1].name,)]
    assert found[2].compared_with == (found[0].name, found[1].name)  # it serves no other


def test_a_baseline_is_compared_with_its_own_bundle_and_threads(
    small: SmallExport, tmp_path: Path
) -> None:
    other = renamed(small, tmp_path / "other")
    found = plan(
        small,
        bundles=(small.folder, other),
        schedules=("all",),
        threads=(1, 2),
        baselines=("fullnet",),
    )
    baselines = [v for v in found if v.compared_with]
    assert len(found) == 8
    assert len(baselines) == 4
    by_name = {v.name: v for v in found}
    for baseline in baselines:
        (name,) = baseline.compared_with
        compared = by_name[name]
        assert compared.model["bundle"] == baseline.model["bundle"]
        assert compared.subject.threads == baseline.subject.threads


def test_a_baseline_bundle(small: SmallExport, tmp_path: Path) -> None:
    other = renamed(small, tmp_path / "other")
    found = plan(
        small,
        schedules=("all", "warm"),
        baselines=("P3",),
        baseline_bundle=other,
        baseline_canvas=(128, 1152),
    )
    *taps, baseline = found
    assert baseline.subject.source == str(other)
    assert baseline.subject.canvas == (128, 1152)
    assert baseline.compared_with == tuple(v.name for v in taps)


def test_cropped_at_the_input(small: SmallExport, tmp_path: Path) -> None:
    bundle = renamed(small, tmp_path / "bundle", warm="all/input", full="P3/input")
    found = plan(small, bundles=(bundle,), schedules=("all", "P3"), baselines=("cropped",))
    pairs = {v.subject.schedule: v.compared_with for v in found if v.compared_with}
    assert pairs == {"all/input": (found[0].name,), "P3/input": (found[1].name,)}
    assert [v.subject.canvas for v in found[2:]] == [WARM_CANVAS, CANVAS]


def test_without_a_bundle(small: SmallExport, tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("")
    where = f"{file}:segment"
    tap, sam, outside, module = plan(small, baselines=("edgetam", where, "package.module:segment"))
    assert (sam.name, sam.subject.kind) == ("edgetam 1 thread", "cost-only")
    assert label(sam.subject) == "edgetam 1 thread (cost only)"
    assert sam.model == {"kind": "cost-only", "name": "edgetam", "threads": 1}
    assert (outside.name, outside.subject.kind) == (f"{where} 1 thread", "outside")
    assert outside.model == {"kind": "outside", "where": where, "threads": 1}
    assert module.subject.source == "package.module:segment"
    assert {v.compared_with for v in (sam, outside, module)} == {(tap.name,)}


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"bundles": (Path("nowhere"),)}, BundleError, "no bundle folder at nowhere"),
        ({"schedules": ("cold",)}, BundleError, "no schedule 'cold'; it has all, P3, warm, full"),
        ({"schedules": ("all",), "canvases": ((1, 2),)}, BundleError, "'all' does not serve a"),
        ({"engines": ("warp",)}, EngineUnavailable, "no engine 'warp'"),
        ({"engines": ("litert",)}, EngineUnavailable, "runs litert bundles, and no --bundle is"),
        ({"baselines": ("full,cold",)}, SubjectError, "no baseline 'cold'"),
        (
            {"baselines": ("cold",)},
            SubjectError,
            "no baseline 'cold'; give fullnet, cropped, ",
        ),
        ({"baselines": ("cropped",)}, SubjectError, "full@256x384 all/input@256x384"),
        ({"baselines": ("cropped",), "schedules": ("warm",)}, SubjectError, "such as all"),
        ({"baselines": ("nowhere.py:segment",)}, SubjectError, "no file nowhere.py"),
        (
            {"baselines": ("full",), "baseline_bundle": Path("nowhere")},
            BundleError,
            "no bundle folder at nowhere",
        ),
        (
            {"baselines": ("all",), "baseline_canvas": (128, 256)},
            BundleError,
            "'all' does not serve a canvas",
        ),
    ],
)
def test_mistakes(
    small: SmallExport, asked: dict[str, Any], error: type[TraceNetError], said: str
) -> None:
    with pytest.raises(error) as refused:
        plan(small, **asked)
    assert said in str(refused.value)


def test_a_bundle_that_no_engine_runs_is_not_measured_on_another(
    small: SmallExport, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(small.folder, other)
    (other / "manifest.json").write_text(json.dumps(small.manifest | {"target": "litert"}))
    with pytest.raises(EngineUnavailable, match=r"other is a litert bundle, .* name litert too"):
        plan(small, bundles=(small.folder, other), engines=("onnxruntime",))


def test_several_baselines_in_one_text(small: SmallExport, tmp_path: Path) -> None:
    found = plan(small, schedules=("all",), baselines=("full,P3", "P3,warm"))
    assert [v.subject.schedule for v in found] == ["all", "full", "P3", "warm"]
    # A schedule's own name may have a comma.
    bundle = renamed(small, tmp_path / "bundle", warm="P3,P5")
    found = plan(small, bundles=(bundle,), schedules=("all",), baselines=("P3,P5", "full,P3"))
    assert [v.subject.schedule for v in found] == ["all", "P3,P5", "full", "P3"]
    found = plan(small, schedules=("all",), baselines=("P3,P5",), baseline_bundle=bundle)
    assert [v.subject.schedule for v in found] == ["all", "P3,P5"]


def test_a_bundle_without_fullnet_says_how_to_export_it(small: SmallExport, tmp_path: Path) -> None:
    bundle = renamed(small, tmp_path / "bundle", full="P4")
    with pytest.raises(SubjectError, match="lacks the schedule that fullnet needs") as refused:
        plan(small, bundles=(bundle,), baselines=("fullnet",))
    assert str(refused.value).endswith(
        "tracenet-export --schedule all@256x384 P3@128x1024 warm@256x256 P4@256x384 full@256x384"
    )


def test_a_damaged_bundle_is_found_before_anything_is_measured(
    small: SmallExport, tmp_path: Path
) -> None:
    bundle = renamed(small, tmp_path / "bundle")
    program = next(path for path in sorted(bundle.rglob("*.onnx")))
    program.write_bytes(program.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match="altered or damaged"):
        plan(small, bundles=(bundle,))


def test_a_zoom_is_one_subject_on_both_canvases(tmp_path: Path) -> None:
    rule = {
        "kind": "zoom", "first": 0, "tile": 1, "extent": 40, "enlarge": 4, "gain": 1.1,
        "inside": 0.8, "trust": 0.7,
    }  # fmt: skip
    folder = write_tiny_bundle(tmp_path / "bundle", rule)
    for asked in ({}, {"schedules": ("zoom",)}):
        (found,) = choose_configurations(Wanted(bundles=(folder,), **asked), [PHOTO])
        assert (found.subject.schedule, found.subject.canvas) == ("zoom", None)
        assert " zoom 64x96+" in found.name
    model = BundleModel(
        {"bundle": str(folder), "engine": None, "schedule": "zoom", "canvas": None, "threads": 1}
    )
    photo = random_photo(1, 300, 2560)
    result = model.tap(photo, (200, 100))
    stages, macs = model.figures(photo, result)
    assert macs == result.answer.macs
    assert result.mask.shape == (150, 1280)
    assert stages["paste"] > 0
    assert sum(stages.values()) - stages["paste"] <= result.answer.timings_ms["total"]
