"""A guided look as exported: its programs, what they cost, and sessions on the bundle."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_fixtures import calls_of, few_programs, without_clips
from skimage import data
from tracking_export import TrackingExport

from tracenet.model import (
    TraceNet,
    answer_taps,
    load_checkpoint,
    save_checkpoint,
    shipped_checkpoint,
    untrained_network,
    with_guided_look,
    without_guided_look,
)
from tracenet_export import check, cli
from tracenet_export.errors import ExportError
from tracenet_export.guided_report import MOST_MACS
from tracenet_export.programs import GUIDE_FEATURES, correction_program
from tracenet_export.recipes.warm import _ENCODED, part_of
from tracenet_export.requests import parse_requests
from tracenet_export.schedule import captured
from tracenet_export.sessions import SESSION_GESTURES, make_session, random_gestures
from tracenet_runtime import TapSegmenter
from tracenet_runtime.answer.marks import Stroke, guide_planes
from tracenet_runtime.answer.mask_state import coarser
from tracenet_runtime.answer.promises import force, hold
from tracenet_runtime.answer.prompt import Bounds, Scribble, Tap
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.strategies.guided import Guided
from tracenet_runtime.strategies.rules import GuidedRule, ZoomRule

NETWORK = "shufflenetv2-1.5x-pan"
PHOTO = np.ascontiguousarray(data.chelsea())


@dataclass(frozen=True)
class ShippedExport:
    """As ``TrackingExport``, of the shipped network without clips."""

    folder: Path
    network: TraceNet
    report: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return content


Exported = TrackingExport | ShippedExport


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> ShippedExport:
    folder = tmp_path_factory.mktemp("guided")
    network = without_clips(load_checkpoint(shipped_checkpoint(NETWORK)))
    save_checkpoint(network, folder / "network.safetensors", licence="none")
    out, stdout = folder / "bundle", io.StringIO()
    arguments = ["--checkpoint", str(folder / "network.safetensors"), "--threads", "1", "--json"]
    with (
        few_programs(),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
    ):
        patch.setattr(check, "REPLAYED_TAPS", 8)
        assert cli.main([*arguments, "--out", str(out)]) == 0
    return ShippedExport(out, network, json.loads(stdout.getvalue()))


@pytest.fixture(scope="module", params=["small", pytest.param("shipped", marks=pytest.mark.slow)])
def exported(request: pytest.FixtureRequest) -> Exported:
    """A bundle, its network, and what the exporter said."""
    name = {"small": "small_tracking", "shipped": "shipped"}[request.param]
    made: Exported = request.getfixturevalue(name)
    return made


@pytest.fixture(scope="module")
def segmenter(exported: Exported) -> TapSegmenter:
    return TapSegmenter.load(exported.folder, threads=1)


def test_it_is_what_a_network_with_one_becomes(exported: Exported) -> None:
    manifest = exported.manifest
    assert [v["name"] for v in manifest["schedules"]] == ["all", "guided"]
    assert manifest["strategy"]["kind"] == "guided"
    assert (manifest["strategy"]["first"], manifest["strategy"]["tile"]) == (0, 1)
    assert manifest["answer"]["guide"]["planes"][0] == "positive"
    graph = manifest["schedules"][1]["graph"]
    assert [phase["when"] for phase in graph["phases"]] == ["photo", "tap", "window", "correction"]
    assert graph["outputs"]["mask_state"] == ["mask_state"]
    (call,) = calls_of(manifest["schedules"][1], "correction")
    assert [v["array"] for v in call["inputs"]] == [*GUIDE_FEATURES, "guide"]
    assert "mask_state" not in manifest["schedules"][0]["graph"]["outputs"]


def test_the_program_is_the_network(exported: Exported, segmenter: TapSegmenter) -> None:
    """On the engine, with what the network itself gives for a picture."""
    network = exported.network
    assert network.guided_look is not None
    with torch.inference_mode():
        picture = torch.from_numpy(PHOTO[:256, :256]).permute(2, 0, 1)[None].float()
        outputs = network(picture)
        features = [outputs[name] for name in GUIDE_FEATURES]
        planes = torch.rand(1, 9, 64, 64)
        wanted = network.guided_look(features, planes).sigmoid().numpy()
    inputs: Mapping[str, np.ndarray] = {
        **{n: v.numpy() for n, v in zip(GUIDE_FEATURES, features, strict=True)},
        "guide": planes.numpy(),
    }
    given = segmenter.viewer._engine.run("correction_256x256", inputs)["mask_state"]
    np.testing.assert_allclose(given, wanted, atol=1e-4)


def test_every_cell_of_a_correction_is_local(exported: Exported) -> None:
    """Its cost is counted by the tracer, which refuses what is not local."""
    assert exported.network.guided_look is not None
    small, large = (
        correction_program(exported.network.guided_look, (side, side)).macs for side in (128, 256)
    )
    assert large == 4 * small
    assert exported.manifest["programs"]["correction_256x256"]["macs"] == large
    passes = 1 + exported.manifest["strategy"]["passes"]
    assert exported.report["guided"]["correction"] == passes * large


def test_the_shipped_network_keeps_to_what_a_guided_look_may_cost() -> None:
    network = with_guided_look(load_checkpoint(shipped_checkpoint(NETWORK)))
    assert network.guided_look is not None
    correction = correction_program(network.guided_look, (256, 256)).macs
    graph = captured(network, corrects=True)((256, 256))
    encode = sum(graph.node_macs(n) for n, v in graph.nodes.items() if part_of(v) in _ENCODED)
    plain = captured(network)((256, 256)).full_macs
    assert correction <= MOST_MACS["correction"]
    assert encode <= MOST_MACS["encode"]
    # A first look is less than FullNet, and a tap on a tile less than all heads.
    assert plain + graph.full_macs + correction <= 1.2 * MOST_MACS["tap"]


def test_other_schedules_cost_what_they_did() -> None:
    plain = untrained_network(NETWORK)
    guided = with_guided_look(plain)
    one, other = (captured(network)((128, 128)) for network in (plain, guided))
    assert one.full_macs == other.full_macs
    assert not set(GUIDE_FEATURES) & set(other.outputs)
    assert captured(guided, corrects=True)((128, 128)).full_macs > one.full_macs
    again = without_guided_look(guided)
    assert again.config == plain.config
    assert all(torch.equal(v, again.state_dict()[n]) for n, v in plain.state_dict().items())
    with pytest.raises(ExportError, match="no guided look"):
        captured(plain, corrects=True)


def test_sessions_are_those_of_pytorch(exported: Exported) -> None:
    parity = exported.report["parity"]["sessions"]
    assert parity["gestures"] % SESSION_GESTURES == 0
    assert parity["gestures"] >= SESSION_GESTURES
    assert parity["iou_mean"] >= 0.99
    page = (exported.folder / "parity.md").read_text()
    assert f"After each of {parity['gestures']} random gestures" in page


def test_golden_sessions_have_every_kind_of_gesture(
    exported: Exported, segmenter: TapSegmenter
) -> None:
    sessions = segmenter.bundle.golden().sessions
    gestures = [golden.gesture for session in sessions for golden in session]
    assert {type(gesture) for gesture in gestures} == {Tap, Scribble, Bounds}
    assert {gesture.positive for gesture in gestures} == {True, False}
    segmenter.check_golden()


def test_a_photo_is_corrected(exported: Exported, segmenter: TapSegmenter) -> None:
    strategy = segmenter.strategy
    assert isinstance(strategy, Guided)
    gestures = random_gestures(PHOTO.shape[:2], 6, np.random.default_rng(3))
    steps = list(make_session(strategy, segmenter.viewer, PHOTO, gestures))
    with segmenter.open(PHOTO) as session:
        for gesture, step in zip(gestures, steps, strict=True):
            assert np.array_equal(session.make(gesture).mask, step.result().mask)
    first = segmenter.tap(PHOTO, gestures[0].middle)
    assert np.array_equal(first.mask, steps[0].result().mask)
    assert first.macs <= exported.report["guided"]["tap"]


@torch.inference_mode()
def corrected(
    network: TraceNet, tile: np.ndarray, marks: list[Stroke], prior: np.ndarray | None
) -> tuple[float, np.ndarray]:
    """FullNet's score at the last mark on a tile, and what the guided look makes of the marks.

    ``prior`` is FullNet's own mask at the last mark where it is None.
    """
    pixels, _ = Canvas(256, 256, network.pad_value).fit(tile)
    outputs = network(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    own = np.zeros((2, 64, 64), np.float32)
    for mark in marks:
        ((x, y),) = mark.points
        answers = answer_taps(outputs, torch.tensor([[int(x), int(y)]]), probability=True)
        best = int(answers.score[0].argmax())
        cells = coarser(answers.mask[0, best].numpy(), 2)
        score = float(answers.score[0, best])
        sign = own[0 if mark.positive else 1]
        np.maximum(sign, score * cells, out=sign)
    planes = guide_planes(marks, cells if prior is None else prior, *own)
    assert network.guided_look is not None
    features = [outputs[name] for name in GUIDE_FEATURES]
    logits = network.guided_look(features, torch.from_numpy(planes)[None])
    return score, logits.sigmoid()[0, 0].numpy()


def test_a_correction_is_what_the_network_makes_of_the_tile(
    exported: Exported, segmenter: TapSegmenter
) -> None:
    """Told again with FullNet on the tile, without programs or windows, for one pass."""
    strategy = segmenter.strategy
    assert isinstance(strategy, Guided)
    once = replace(strategy, rule=replace(strategy.rule, passes=0))
    with TapSegmenter(segmenter.bundle, segmenter.viewer._engine, once).open(PHOTO) as session:
        first = session.tap((200, 150))
        one = session._current
        assert one is not None
        assert one.view is not None
        session.tap((230, 170), positive=False)
        two = session._current
        assert two is not None
    assert two.view == one.view
    x0, y0, x1, y1 = one.view.tile
    marks = [v for v in two.marks if isinstance(v, Stroke)]
    score, cells = corrected(exported.network, PHOTO[y0:y1, x0:x1], marks[:1], None)
    assert first.score == pytest.approx(score, abs=1e-4)
    before = one.mask.layers[-1].map.probability
    np.testing.assert_allclose(force(cells, marks[:1], one.view), before, atol=1e-3)
    _, cells = corrected(exported.network, PHOTO[y0:y1, x0:x1], marks, before)
    held = hold(force(cells, marks, one.view), before, marks[-1], 64.0, one.view)
    after = two.mask.layers[-1].map.probability
    np.testing.assert_allclose(force(held, marks, one.view), after, atol=1e-3)


def test_requests_by_name() -> None:
    requests, rule = parse_requests(["guided@384", "full@256"])
    assert isinstance(rule, GuidedRule)
    assert [(v.name, v.canvas) for v in requests] == [
        ("full", (256, 256)),
        ("all", (384, 384)),
        ("guided", (256, 256)),
    ]
    assert (rule.zoom.first, rule.zoom.tile) == (1, 2)
    _, default = parse_requests(default="guided")
    assert isinstance(default, GuidedRule)
    assert isinstance(parse_requests()[1], ZoomRule)
    with pytest.raises(ExportError, match="one `zoom` or `guided`"):
        parse_requests(["zoom", "guided"])
    with pytest.raises(ExportError, match="give guided@640x640"):
        parse_requests(["guided"], canvas=(640, 640))


def test_a_network_without_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--model", "mobilenetv2-fpn", "--untrained", "--schedule", "guided"]) == 2
    assert "has no guided look; train one" in capsys.readouterr().err
