"""Windows with a share of the halo: cheaper, exact at 1 and at borders, and said to be inexact."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_fixtures import few_programs
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_checks import Pyramid, Replay, around, assert_exact, proven_plan
from random_graphs import RandomModel, random_models
from runtime_fixtures import tiny_manifest_and_table
from scenes import TINY, scene_map, write_folder
from test_exactness import Exact, exact, in_double, planned, replay_of, some_taps
from torch import Tensor, nn

import tracenet_export.plan.halo as halo_module
from tracenet.data import open_dataset
from tracenet.evaluation import protocol as protocol_module
from tracenet.evaluation.evaluate import score_photo
from tracenet.evaluation.models import FullNet
from tracenet.evaluation.protocol import TapProtocol
from tracenet.evaluation.summary import MIOU, summarise
from tracenet.model import CONFIGS, untrained_network
from tracenet.rft import Span, capture
from tracenet_bench.measure import halo_curve
from tracenet_export import check, cli
from tracenet_export.draft import Source
from tracenet_export.errors import PlanError
from tracenet_export.parity import check_replay
from tracenet_export.plan import Plan, check_plan, kept_regions
from tracenet_export.plan.piece import AxisPlacement
from tracenet_export.requests import parse_schedule
from tracenet_export.schedule import SchedulePlan, captured, plan_schedule, tap_macs
from tracenet_runtime import TapSegmenter
from tracenet_runtime import cli as tap_cli
from tracenet_runtime.answer.levels import FullNetIou
from tracenet_runtime.bundle.check import check_manifest
from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.bundle.parser import parse_manifest
from tracenet_runtime.bundle.records import Manifest
from tracenet_runtime.errors import BundleError
from tracenet_runtime.image.canvas import Canvas

SETTINGS = settings(max_examples=12)
SHARES = st.floats(0.01, 0.99)


@pytest.fixture(scope="module")
def tiny() -> Exact:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "tiny", TINY)
        return exact(untrained_network("tiny"))


# Regions


def areas(regions: dict[str, tuple[Span, Span]]) -> dict[str, int]:
    return {name: int(y.size.sum() * x.size.sum()) for name, (y, x) in regions.items()}


@SETTINGS
@given(
    model=random_models(fixed_form_only=True),
    shares=st.tuples(SHARES, SHARES),
    reach=st.integers(0, 3),
)
def test_regions_grow_with_the_halo_up_to_the_exact_ones(
    model: RandomModel, shares: tuple[float, float], reach: int
) -> None:
    graph = capture(model.module, (model.picture(seed=2),))
    wanted = {
        name: around(extent, extent, reach)
        for name, extent in list(model.output_extents.items())[:1]
    }
    most = graph.regions(wanted)
    assert_same(kept_regions(graph, wanted, 1.0), most)
    little, much = (kept_regions(graph, wanted, share) for share in sorted(shares))
    for name, spans in most.items():
        for axis, limits in enumerate(spans):
            few, many = little[name][axis], much[name][axis]
            assert np.all((limits.lo <= many.lo) & (many.lo <= few.lo) & (few.lo < few.hi))
            assert np.all((few.hi <= many.hi) & (many.hi <= limits.hi))
    for output, spans in wanted.items():
        node = graph.outputs[output]
        for axis, span in enumerate(spans):
            assert np.all(little[node][axis].lo <= span.lo)
            assert np.all(little[node][axis].hi >= span.hi)


def assert_same(
    regions: dict[str, tuple[Span, Span]], others: dict[str, tuple[Span, Span]]
) -> None:
    assert regions.keys() == others.keys()
    for name, spans in regions.items():
        for span, other in zip(spans, others[name], strict=True):
            np.testing.assert_array_equal(span.lo, other.lo)
            np.testing.assert_array_equal(span.hi, other.hi)


class Chain(nn.Module):
    """Ten 3x3 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(10)))

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        return {"out": self.layers(picture)}


@pytest.fixture
def no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small networks of these tests have little halo beyond the core, so they have none."""
    monkeypatch.setattr(halo_module, "CORE", 0)


@pytest.mark.parametrize(("share", "cells"), [(0.1, 4), (0.25, 5), (0.3, 6), (0.95, 10)])
def test_the_share_of_a_chain(share: float, cells: int) -> None:
    graph = capture(Chain(), (torch.empty(1, 3, 64, 64),))
    one = around((64, 64), (64, 64), 0)
    y, _ = kept_regions(graph, {"out": one}, share)[graph.input_name]
    np.testing.assert_array_equal(y.lo, np.maximum(np.arange(64) - cells, 0))
    np.testing.assert_array_equal(y.hi, np.minimum(np.arange(64) + cells + 1, 64))


# Plans


@SETTINGS
@given(data=st.data())
def test_random_networks_run_on_windows_inside_their_arrays(data: st.DataObject) -> None:
    model: RandomModel = data.draw(random_models(fixed_form_only=True))
    picture = model.picture(seed=2)
    graph = capture(model.module, (picture,))
    outputs = sorted(model.output_extents)
    key = model.output_extents[outputs[-1]]
    query = {outputs[-1]: around(key, key, data.draw(st.integers(0, 2)))}
    others = {"other": {outputs[0]: around(key, model.output_extents[outputs[0]], 4)}}
    plan = proven_plan(graph, query, others, halo=data.draw(SHARES))
    rows, columns = key
    replay = Replay(plan)
    for row, column in [(0, 0), (rows - 1, columns - 1), (0, columns // 2), (rows // 2, 0)]:
        arrays = {graph.input_name: (picture, 0, 0)}
        with torch.no_grad():
            replay.run((*plan.query, *plan.alternatives["other"]), arrays, row, column)
        for output, spans in {**query, **others["other"]}.items():
            values, y0, x0 = arrays[graph.outputs[output]]
            for span, start, size, at in zip(
                spans, (y0, x0), values.shape[2:], (row, column), strict=True
            ):
                assert start <= span.lo[at]
                assert span.hi[at] <= start + size


def pyramid_plan(halo: float, height: int = 512, width: int = 768) -> tuple[Plan, Pyramid, Tensor]:
    torch.manual_seed(0)
    model = Pyramid().double().eval()
    picture = torch.randn(1, 3, height, width, dtype=torch.float64)
    graph = capture(model, (picture,))
    extents = {name: graph.nodes[node].extent for name, node in graph.outputs.items()}
    key = extents["fine"]
    query = {name: around(key, extents[name], 0) for name in ("fine", "coarse")}
    near = {"smooth": around(key, extents["smooth"], 6)}
    return proven_plan(graph, query, {"near": near}, halo=halo), model, picture


def test_the_check_finds_a_window_that_keeps_too_little() -> None:
    plan, _, _ = pyramid_plan(0.5)
    check_plan(plan)
    with pytest.raises(PlanError, match="misses a part"):
        check_plan(replace(plan, halo=0.9))
    placed = plan.query[0]
    y = placed.placements[0]
    moved = AxisPlacement(np.clip(y.origin - 1, 0, None), y.size)
    broken = replace(placed, placements=(moved, placed.placements[1]))
    with pytest.raises(PlanError):
        check_plan(replace(plan, query=(broken, *plan.query[1:])))


def test_a_network_with_less_halo_is_inexact_inside_and_exact_where_one_window_is_all() -> None:
    plan, model, picture = pyramid_plan(0.5)
    with pytest.raises(AssertionError):
        assert_exact(plan, model, picture, [(60, 90)])
    plan, model, picture = pyramid_plan(0.5, 32, 32)
    assert all(
        p.size(node) == plan.graph.nodes[node].extent for p in plan.query for node in p.piece.nodes
    )
    assert_exact(plan, model, picture, [(0, 0), (5, 3), (7, 7)])


class LooksBack(nn.Module):
    """Reads cells only above and to the left, so that the first tap's halo is all padding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 4) for _ in range(4))

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        for layer in self.layers:
            picture = layer(nn.functional.pad(picture, (3, 0, 3, 0)))
        return {"out": picture}


def test_a_halo_outside_the_canvas_is_the_real_padding() -> None:
    torch.manual_seed(0)
    model = LooksBack().double().eval()
    picture = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    graph = capture(model, (picture,))
    plan = proven_plan(graph, {"out": around((64, 64), (64, 64), 0)}, halo=0.3)
    assert_exact(plan, model, picture, [(0, 0), (1, 2)])
    with pytest.raises(AssertionError):
        assert_exact(plan, model, picture, [(40, 40)])
    with pytest.raises(AssertionError):
        assert_exact(plan, model, picture, [(0, 40)])


# Schedules


def with_halo(network: Exact, halo: float, text: str, canvas: tuple[int, int]) -> SchedulePlan:
    return plan_schedule(network.graphs, parse_schedule(text, canvas, (64,), halo))


def test_exact_is_as_without_a_halo(tiny: Exact) -> None:
    canvas = (128, 256)
    one = in_double(planned(tiny, "P4-P5", canvas, (64,)))
    other = in_double(with_halo(tiny, 1.0, "P4-P5", canvas))
    assert one.schedules == other.schedules
    # A digest covers operators and weights; the mask heads, which all are alike, have none.
    for program, same in zip(one.programs, other.programs, strict=True):
        assert (program.name, program.inputs, program.outputs, program.macs) == (
            same.name,
            same.inputs,
            same.outputs,
            same.macs,
        )
        assert getattr(program.module, "digest", "") == getattr(same.module, "digest", "")


@pytest.mark.usefixtures("no_core")
def test_multiply_adds_fall_with_the_halo_and_more_canvases_are_served(tiny: Exact) -> None:
    canvas = (128, 1024)
    plans = [with_halo(tiny, share, "P3", canvas) for share in (1.0, 0.5, 0.1)]
    macs = [tap_macs(plan) for plan in plans]
    taps = [m.query + m.masks["64px"] for m in macs]
    assert taps == sorted(taps, reverse=True)
    assert taps[-1] < 0.6 * taps[0]
    least = [plan.serves[1][0] for plan in plans]
    assert least == sorted(least, reverse=True)


@settings(max_examples=3)
@given(share=SHARES, data=st.data())
def test_a_schedule_replays_on_every_canvas_that_it_serves(
    tiny: Exact, share: float, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(["P3", "P4-P5", "warm", "P4/input"]))
    plan = with_halo(tiny, share, text, (128, 384))
    # The runtime's own consistency check sees every window of every tap, on the canvas and the
    # smallest and the largest that it serves.
    found = check_replay(replay_of(plan), [(tiny.oracle(plan.canvas), some_taps(plan.canvas, 1))])
    assert 0 <= found.iou_p5 <= found.iou_mean <= 1
    assert np.isfinite(list(found.relative_error.values())).all()
    (schedule,) = in_double(plan).schedules
    assert schedule.halo == share


def test_a_smaller_halo_is_less_exact(tiny: Exact) -> None:
    canvas, taps = (128, 640), [(300, 60), (340, 70), (0, 0)]
    errors = []
    for share in (1.0, 0.6, 0.1):
        replay = replay_of(with_halo(tiny, share, "P3", canvas))
        found = check_replay(replay, [(tiny.oracle(canvas), taps)])
        errors.append(found.relative_error["p3_score"])
    assert errors[0] < 1e-9 < errors[1] < errors[2]


def test_full_is_always_exact_and_warm_is_not() -> None:
    assert parse_schedule("full", (256, 256), halo=0.5).halo == 1
    assert parse_schedule("warm", (256, 256), halo=0.5).halo == 0.5


# The manifest


def parsed(halo: Any, fullnet_iou: Any) -> Manifest:
    raw, table = tiny_manifest_and_table()
    raw["schedules"][0]["halo"] = halo
    raw["answer"]["fullnet_iou"][0] = fullnet_iou
    manifest = parse_manifest(JsonValue(raw, "manifest.json"))
    check_manifest(manifest, table)
    return manifest


def test_the_manifest_says_how_inexact_a_schedule_is() -> None:
    manifest = parsed(0.25, {"mean": 0.9, "p5": 0.5})
    assert manifest.schedules[0].halo == 0.25
    assert manifest.fullnet_iou == (FullNetIou(0.9, 0.5), None, None)


@pytest.mark.parametrize(
    ("halo", "fullnet_iou", "said"),
    [
        (0, None, "above zero"),
        (1.5, None, "at most 1"),
        ("1", None, "must be a number"),
        (True, None, "must be a number"),
        (0.5, None, "not null for the exact schedules"),
        (1, {"mean": 0.9, "p5": 0.5}, "not null for the exact schedules"),
        (0.5, {"mean": 1.1, "p5": 1}, "from 0 to 1"),
        (0.5, {"mean": 1}, "lacks the key"),
        (0.5, 0.5, "must be an object"),
    ],
)
def test_nonsense_in_the_manifest(halo: Any, fullnet_iou: Any, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        parsed(halo, fullnet_iou)


# The command line


@pytest.mark.parametrize("share", ["0", "-0.5", "1.01", "nan", "inf", "a quarter"])
@pytest.mark.parametrize("main", [cli.main, halo_curve.main])
def test_shares_that_are_none(
    capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], share: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--halo", share])
    assert stopped.value.code == 2
    assert "is not a number above 0 up to 1" in capsys.readouterr().err


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maps = [scene_map(96, 128, seed, things=1) for seed in range(2)]
    return write_folder(tmp_path_factory.mktemp("annotated") / "photos", maps)


@pytest.fixture
def tiny_model() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, few_programs():
        patch.setitem(CONFIGS, "tiny", TINY)
        patch.setattr(check, "REPLAYED_TAPS", 8)
        patch.setattr(protocol_module, "TapProtocol", lambda: TapProtocol(taps=2))
        yield


OPTIONS = ["--untrained", "--model", "tiny", "--canvas", "128x384", "--threads", "1", "--json"]


@pytest.mark.usefixtures("no_core")
@pytest.mark.slow
def test_an_inexact_bundle(
    tiny_model: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    arguments = ["--schedule", "P6", "full", "--windows", "64", "--halo", "0.3"]
    arguments += ["--out", str(out)]
    assert cli.main([*OPTIONS, *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    manifest = json.loads((out / "manifest.json").read_text())
    inexact, full = manifest["schedules"]
    assert (inexact["halo"], full["halo"]) == (0.3, 1)
    measured, nothing = manifest["answer"]["fullnet_iou"]
    assert nothing is None
    checked = report["parity"]["schedules"][0]
    assert checked["halo"] == 0.3
    replay = checked["replay"]
    assert measured == {"mean": replay["iou_mean"], "p5": replay["iou_p5"]}
    assert max(replay["relative_error"].values()) > 1e-3
    assert "not exact: 0.3 of the halo" in cli._readable(report)

    # Its golden taps are its own, and it says what it is.
    TapSegmenter.load(out, threads=1, verify=False).check_golden()
    tap = [str(out / "golden.png"), "--at", "100,100", "--bundle", str(out), "--threads", "1"]
    assert tap_cli.main([*tap, "--schedule", "P6"]) == 0
    assert "with 0.3 of the halo, not exact: mean IoU with FullNet" in capsys.readouterr().out
    assert tap_cli.main([*tap, "--schedule", "full"]) == 0
    assert "128 x 384, exact" in capsys.readouterr().out


@pytest.mark.usefixtures("no_core")
@pytest.mark.slow
def test_the_curve(tiny_model: None, annotated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*OPTIONS, "--schedule", "P4", "--windows", "64", "--halo", "0.1", "0.5"]
    assert halo_curve.main([*arguments, "--accuracy", str(annotated)]) == 0
    (curve,) = json.loads(capsys.readouterr().out)
    exact, half, tenth = curve["points"]
    assert [point["halo"] for point in curve["points"]] == [1, 0.5, 0.1]
    assert exact["iou_mean"] == exact["iou_p5"] == 1
    assert exact["miou_t_lost"] == 0
    for point in (half, tenth):
        lost = exact["accuracy"]["miou_t"] - point["accuracy"]["miou_t"]
        assert point["miou_t_lost"] == pytest.approx(lost)
    assert tenth["macs"]["query"] < half["macs"]["query"] <= exact["macs"]["query"]
    assert tenth["macs_share"]["64px"] < 1
    arguments.remove("--json")
    assert halo_curve.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["halo", f] for f in ("1", "0.5", "0.1")]


def test_the_accuracy_is_that_of_the_evaluation(tiny_model: None, annotated: Path) -> None:
    """With exact windows that hold the whole canvas, mIoU-T is FullNet's."""
    network = untrained_network("tiny")
    source = Source(network, "0" * 64, "none", trained=False)
    plan = plan_schedule(captured(network), parse_schedule("warm", (128, 128)))
    photos = open_dataset(annotated, None, None)
    found = halo_curve.score(*halo_curve.torch_viewer(source, plan), photos)
    model, protocol = FullNet(network, Canvas(128, 128, network.pad_value)), TapProtocol(taps=2)
    scores = [
        score_photo(model, index, photos[index], protocol.draw(index, photos[index]))
        for index in range(len(photos))
    ]
    figures = summarise(scores, protocol.name, protocol.seed)
    assert (found.miou_t, found.taps) == (pytest.approx(figures[MIOU], abs=1e-3), figures["taps"])
    assert found.photos == 2
