"""Sessions with a guided look: what gestures do, what they cost, and what they keep to."""

import gc
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from runtime_fixtures import (
    GUIDED,
    MACS,
    NumpyEngine,
    random_photo,
    read_manifest,
    write_manifest,
    write_tiny_bundle,
)

from tracenet_runtime import (
    BundleError,
    GestureError,
    PhotoSession,
    SessionClosed,
    TapOutsidePhoto,
    TapResult,
    TapSegmenter,
    UnknownLevel,
)
from tracenet_runtime.answer.look import EncodedView
from tracenet_runtime.answer.marks import Stroke
from tracenet_runtime.answer.mask_state import MaskState
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap, mark_of
from tracenet_runtime.bundle.choice import choose_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.cli import main
from tracenet_runtime.cli_gestures import load_mask
from tracenet_runtime.image.geometry import Tile
from tracenet_runtime.segmenter import programs_of
from tracenet_runtime.strategies.guided import Guided, GuidedView, _placed
from tracenet_runtime.strategies.step import Step
from tracenet_runtime.strategies.zoom import Zoom

PHOTO = random_photo(4, 300, 500)


class SmallThings(NumpyEngine):
    """The tiny network with boxes so small that its zoom looks twice."""

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().run(program, inputs)
        if "box" in outputs:
            outputs["box"] = outputs["box"] * np.float32(0.02)
        return outputs


class Reluctant(SmallThings):
    """Sees nothing anywhere when it corrects."""

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().run(program, inputs)
        if program == "correction":
            outputs["mask_state"] = np.full((1, 1, 16, 24), 0.1, np.float32)
        return outputs


class Greedy(SmallThings):
    """Sees the thing everywhere when it corrects."""

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().run(program, inputs)
        if program == "correction":
            outputs["mask_state"] = np.full((1, 1, 16, 24), 0.9, np.float32)
        return outputs


class Steady(SmallThings):
    """Sees the thing on the middle of the tile, over so many cells, when it corrects."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        cells = np.full((16, 24), 0.1, np.float32)
        cells[8 - rows // 2 : 8 + rows // 2, 12 - columns // 2 : 12 + columns // 2] = 0.9
        self._cells = cells[None, None]

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().run(program, inputs)
        if program == "correction":
            outputs["mask_state"] = self._cells
        return outputs


class AnyMask(SmallThings):
    """Says of every correction what comes to its mind."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = np.random.default_rng(seed)

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().run(program, inputs)
        if program == "correction":
            rng, (h, w) = self._random, outputs["mask_state"].shape[2:]
            waves = np.asarray(
                sum(
                    np.outer(
                        np.cos(rng.uniform(0, 0.7) * np.arange(h) + rng.uniform(0, 6)),
                        np.cos(rng.uniform(0, 0.7) * np.arange(w) + rng.uniform(0, 6)),
                    )
                    for _ in range(3)
                )
            )
            logits = 4 * waves - rng.uniform(0, 3)
            outputs["mask_state"] = (1 / (1 + np.exp(-logits))).astype(np.float32)[None, None]
        return outputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("guided") / "bundle", guided=True)


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return Bundle.open(folder)


@pytest.fixture
def engine() -> SmallThings:
    return SmallThings()


@pytest.fixture
def session(bundle: Bundle, engine: SmallThings) -> Iterator[PhotoSession]:
    with TapSegmenter(bundle, engine).open(PHOTO) as session:
        yield session


def same(one: TapResult, other: TapResult) -> bool:
    return (one.level, one.score, one.box, one.tile) == (
        other.level,
        other.score,
        other.box,
        other.tile,
    ) and bool(np.array_equal(one.mask, other.mask))


def test_a_tap_is_the_first_of_a_session(bundle: Bundle, session: PhotoSession) -> None:
    segmenter = TapSegmenter(bundle, SmallThings())
    levels = [v.level for v in segmenter.tap(PHOTO, (250, 140)).candidates]
    for at in ((250, 140), (0, 0), (499, 299)):
        for level in (None, *levels):
            session.clear()
            first, alone = session.tap(at, level), segmenter.tap(PHOTO, at, level)
            assert same(first, alone)
            assert first.schedule == alone.schedule == "guided"
            assert first.tile is not None
            assert first.obeyed == alone.obeyed
            opened = "encode" not in first.timings_ms  # by the level before
            assert first.macs == alone.macs - MACS * opened
            assert set(alone.timings_ms) == {
                "canvas", "tap", "encode", "mask", "correction", "total",
            }  # fmt: skip


def test_every_gesture_corrects(session: PhotoSession) -> None:
    assert session.result is None
    first = session.tap((250, 140))
    second = session.tap((253, 143), positive=False)
    assert not second.mask[143, 253]
    third = session.scribble([(248, 140), (246, 138.5)], 2)
    assert third.mask[140, 248]
    assert third.mask[138, 246]
    fourth = session.box((240, 130, 262, 150))
    assert session.result is fourth
    assert [v.level for v in (second, third, fourth)] == 3 * [first.level]
    assert not np.array_equal(first.mask, second.mask)
    session.clear()
    assert session.result is None
    assert same(session.tap((250, 140)), first)


def test_undo_and_redo_are_exact(session: PhotoSession) -> None:
    made = [
        session.tap((250, 140)),
        session.tap((240, 140), positive=False),
        session.tap((300, 260)),
        session.scribble([(20, 20), (60, 30)], 5, positive=False),
    ]
    masks = [v.mask.copy() for v in made]
    assert len({v.tile for v in made}) > 1
    for back in (1, 2, 3):
        result = session.undo()
        assert result is not None
        assert same(result, made[-1 - back])
    assert session.undo() is None
    assert session.result is None
    assert not session.can_undo
    with pytest.raises(GestureError, match="nothing to undo"):
        session.undo()
    for mask in masks:
        result = session.redo()
        assert result is not None
        assert np.array_equal(result.mask, mask)
    assert not session.can_redo
    with pytest.raises(GestureError, match="nothing to redo"):
        session.redo()
    # A tile that is open no more is encoded again, and gives the same.
    session.undo()
    session.undo()
    again = session.tap((300, 260))
    assert same(again, made[2])
    assert not session.can_redo


def test_another_level_takes_the_place_of_the_first_tap(
    session: PhotoSession, engine: SmallThings
) -> None:
    first = session.tap((250, 140))
    other = first.candidates[1].level
    engine.calls.clear()
    asked = session.tap((250, 140), other)
    assert engine.calls == ["features_whole", "head_all", "correction"]
    assert asked.level == other
    with pytest.raises(UnknownLevel):
        session.tap((250, 140), "P9")
    assert session.result is asked
    assert session.undo() is None
    session.redo()
    assert same(session.tap((250, 140), first.level), first)
    session.tap((240, 140))
    with pytest.raises(GestureError, match="level can be asked of a first tap"):
        session.tap((250, 140), other)
    session.undo()
    assert session.tap((250, 140), other).level == other


def test_the_twentieth_gesture_costs_what_the_second_does(folder: Path, bundle: Bundle) -> None:
    engine = Steady(8, 12)
    session = TapSegmenter(bundle, engine).open(PHOTO)
    tile = session.tap((250, 140)).tile
    costs = []
    for number in range(19):
        engine.calls.clear()
        result = session.tap((240 + number, 150 - number), positive=bool(number % 3))
        assert result.tile == tile
        costs.append((tuple(engine.calls), result.macs))
    assert set(costs) == {
        (("query_3", "query_4", "features_whole", "head_all", "correction"), 5 * MACS)
    }
    # All that may run is opened when the bundle is.
    opened = TapSegmenter.load(folder, threads=1)
    assert "correction" in programs_of(opened.strategy)
    sessions = opened.viewer._engine._sessions  # type: ignore[attr-defined]
    assert sorted(sessions) == programs_of(opened.strategy)


def test_what_is_kept_is_counted(session: PhotoSession) -> None:
    before = session.nbytes
    session.tap((250, 140))
    # p3 and p4 of the tile, the map of the mask, and TraceNet's own two masks.
    assert session.nbytes == before + 4 * 3 * (8 * 12 + 4 * 6) + 3 * 4 * 16 * 24
    session.clear()
    session.start_from(np.zeros(PHOTO.shape[:2], bool))
    for number in range(3):  # which share the mask that was given
        session.tap((250, 140 + number))
    assert PHOTO.size // 3 < session.nbytes < 2 * PHOTO.size // 3
    session.close()
    gc.collect()
    assert session.nbytes == 0
    for call in (
        lambda: session.tap((0, 0)),
        lambda: session.box((0, 0, 1, 1)),
        lambda: session.undo(),
        lambda: session.result,
    ):
        with pytest.raises(SessionClosed):
            call()


def test_a_mask_to_start_from(session: PhotoSession) -> None:
    given_mask = np.zeros(PHOTO.shape[:2], bool)
    given_mask[100:160, 200:280] = True
    start = session.start_from(given_mask)
    assert np.array_equal(start.mask, given_mask)
    assert (start.score, start.level, start.candidates) == (1.0, "given", ())
    assert start.box == (200, 100, 280, 160)
    given_mask[:] = False  # the session has its own
    assert session.result is start
    assert not session.can_undo
    removed = session.tap((210, 110), positive=False)
    assert removed.tile is not None
    assert not removed.mask[110, 210]
    assert removed.obeyed is not None
    back = session.undo()
    assert back is not None
    assert np.array_equal(back.mask, start.mask)
    session.start_from(np.zeros(PHOTO.shape[:2], bool))
    added = session.tap((30, 40))
    assert added.mask[40, 30]
    with pytest.raises(GestureError, match="give bool 300 x 500"):
        session.start_from(np.zeros((2, 2), bool))


def test_a_mask_to_start_from_says_what_is_meant(bundle: Bundle) -> None:
    class Told(Steady):
        def __init__(self) -> None:
            super().__init__(4, 4)
            self.evidence: list[np.ndarray] = []

        def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            if program == "correction":
                self.evidence.append(inputs["guide"][0, 4])
            return super().run(program, inputs)

    engine = Told()
    given_mask = np.zeros(PHOTO.shape[:2], bool)
    given_mask[40:260, 60:360] = True
    state = MaskState(given_mask.shape, base=given_mask)
    with TapSegmenter(bundle, engine).open(PHOTO) as session:
        session.start_from(given_mask)
        tiles = set()
        # After the second the mask is seen closer, and all gestures anew.
        for at, positive in (((70, 50), False), ((210, 150), True)):
            tiles.add(session.tap(at, positive=positive).tile)
            step = session._current
            assert step is not None
            assert step.view is not None
            told = state.carried(step.view)
            assert told.max() == 1
            assert (engine.evidence[-1] >= told).all()
        assert len(tiles) == 2


@pytest.mark.parametrize(("width", "counts"), [(110, True), (290, False)])
def test_what_is_taken_from_a_given_mask_is_not_most_of_it(
    bundle: Bundle, width: int, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[np.ndarray] = []

    class Told(SmallThings):
        def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            if program == "correction":
                told.append(inputs["guide"][0, 5])
            return super().run(program, inputs)

    given_mask = np.zeros(PHOTO.shape[:2], bool)
    given_mask[40:260, 60:360] = True
    taken = np.zeros(PHOTO.shape[:2], bool)
    taken[:, 60 : 60 + width] = True

    def evidence(view: GuidedView, encoded: EncodedView, *_: object) -> np.ndarray:
        return 0.6 * MaskState(taken.shape, base=taken).carried(_placed(encoded))

    monkeypatch.setattr(GuidedView, "_evidence", evidence)
    with TapSegmenter(bundle, Told()).open(PHOTO) as session:
        session.start_from(given_mask)
        session.tap((70, 50), positive=False)
        assert bool(told[-1].any()) == counts
        session.clear()
        session.tap((200, 150))  # a thing that was not given
        session.tap((70, 50), positive=False)
        assert told[-1].any()


def test_first_gestures(session: PhotoSession) -> None:
    with pytest.raises(GestureError, match="begin with a positive"):
        session.tap((3, 3), positive=False)
    with pytest.raises(GestureError, match="begin with a positive"):
        session.scribble([(3, 3)], 5, positive=False)
    assert session.result is None
    boxed = session.box((200, 100, 260, 150))
    assert boxed.tile is not None
    assert boxed.candidates
    assert boxed.obeyed is True
    session.clear()
    drawn = session.scribble([(10, 10), (400, 280)], 6)
    assert drawn.mask[10, 10]
    assert drawn.mask[279, 399]


def test_gestures_off_the_photo_change_nothing(session: PhotoSession) -> None:
    first = session.tap((250, 140))
    with pytest.raises(TapOutsidePhoto):
        session.tap((500, 0))
    with pytest.raises(GestureError):
        session.box((5, 5, 5, 5))
    with pytest.raises(GestureError):
        session.scribble([], 5)
    assert session.result is first
    assert session.can_undo
    assert not session.can_redo


def test_a_bundle_without_a_guided_look(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    with TapSegmenter(Bundle.open(folder), NumpyEngine()).open(PHOTO) as session:
        first = session.tap((250, 140))
        assert session.result is first
        second = session.tap((20, 20))
        assert session.result is second
        for gesture in (
            lambda: session.tap((3, 3), positive=False),
            lambda: session.box((0, 0, 9, 9)),
            lambda: session.scribble([(1, 1)], 3),
            lambda: session.start_from(np.zeros(PHOTO.shape[:2], bool)),
        ):
            with pytest.raises(GestureError, match="no guided look"):
                gesture()
        assert not session.can_undo
        session.clear()
        assert session.result is None


def test_the_zoom_alone(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert isinstance(choose_strategy(manifest), Guided)
    assert choose_strategy(manifest, "guided") == choose_strategy(manifest)
    zoom = choose_strategy(manifest, "zoom")
    assert isinstance(zoom, Zoom)
    assert (zoom.first.name, zoom.tile.name) == ("all", "guided")
    result = TapSegmenter(bundle, SmallThings(), zoom).tap(PHOTO, (250, 140))
    assert (result.schedule, result.obeyed) == ("zoom", None)
    assert result.tile is not None


def zooming(bundle: Bundle, engine: NumpyEngine, **changes: float) -> TapSegmenter:
    """A guided look whose zoom has other numbers."""
    strategy = choose_strategy(bundle.manifest)
    assert isinstance(strategy, Guided)
    rule = replace(strategy.rule, zoom=replace(strategy.rule.zoom, **changes))  # type: ignore[arg-type]
    return TapSegmenter(bundle, engine, replace(strategy, rule=rule))


def test_the_first_look_may_answer(bundle: Bundle) -> None:
    engine = SmallThings()
    result = zooming(bundle, engine, trust=1e9).tap(PHOTO, (250, 140))
    assert result.tile is not None
    assert engine.calls.count("head_all") + engine.calls.count("head_near") == 2
    strategy = choose_strategy(bundle.manifest, "all", (64, 96))
    alone = TapSegmenter(bundle, SmallThings(), strategy).tap(PHOTO, (250, 140))
    assert (result.score, result.box) == (alone.score, alone.box)
    assert result.candidates == alone.candidates


def test_one_look_may_suffice(bundle: Bundle) -> None:
    engine = SmallThings()
    segmenter = zooming(bundle, engine, gain=1e9)
    with segmenter.open(PHOTO) as session:
        assert session.tap((250, 140)).tile is None
        engine.calls.clear()
        assert session.tap((3, 290), positive=False).tile is None
        assert "trunk_whole" not in engine.calls


def test_a_mask_that_spills_moves_the_tile(bundle: Bundle) -> None:
    engine = Greedy()
    session = TapSegmenter(bundle, engine).open(PHOTO)
    first = session.tap((250, 140))
    assert first.tile is not None
    engine.calls.clear()
    second = session.tap((255, 145))
    assert (engine.calls.count("correction"), engine.calls.count("trunk_whole")) == (2, 1)
    assert second.tile is None  # all of the photo
    step = session._current
    assert step is not None
    assert len(step.mask.layers) == 1  # which holds what was before
    assert second.mask.mean() > 0.99
    # Beyond it there is nowhere to go.
    engine.calls.clear()
    session.tap((255, 145))
    assert engine.calls.count("correction") == 1


def test_a_mask_that_has_become_small_is_seen_closer(bundle: Bundle) -> None:
    engine = Steady(4, 4)
    session = TapSegmenter(bundle, engine).open(PHOTO)
    mask = np.zeros(PHOTO.shape[:2], np.bool_)
    mask[40:260, 60:360] = True
    session.start_from(mask)
    assert session.tap((70, 50), positive=False).tile is None  # that it shows, too
    engine.calls.clear()
    result = session.tap((210, 150))
    assert engine.calls.count("correction") > 1
    assert result.tile is not None
    x0, y0, x1, y1 = result.tile
    assert x0 <= 210 < x1
    assert y0 <= 150 < y1
    assert x1 - x0 < 300


def test_answers_that_are_no_numbers_are_refused(bundle: Bundle) -> None:
    class Broken(NumpyEngine):
        def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = super().run(program, inputs)
            if program == "correction":
                outputs["mask_state"][0, 0, 3, 3] = np.nan
            return outputs

    with pytest.raises(BundleError, match="not finite"):
        TapSegmenter(bundle, Broken()).tap(PHOTO, (250, 140))


def test_passes_end_when_little_changes(bundle: Bundle) -> None:
    def calls(passes: int, settled: float, engine: NumpyEngine) -> int:
        strategy = choose_strategy(bundle.manifest)
        assert isinstance(strategy, Guided)
        rule = replace(strategy.rule, passes=passes, settled=settled)
        TapSegmenter(bundle, engine, replace(strategy, rule=rule)).tap(PHOTO, (250, 140))
        return engine.calls.count("correction")

    assert calls(0, 20, AnyMask(1)) == 1
    assert calls(3, 0, AnyMask(1)) == 4
    assert calls(3, 1e9, AnyMask(1)) == 1
    assert 1 < calls(60, 0, SmallThings()) < 60


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tile": 2}, "no phase per correction"),
        ({"first": 2}, "phase per photo"),
        ({"tile": 9}, "schedule number 9, of 4"),
        ({"passes": 1.5}, "passes"),
        ({"near": 8}, "near must be at least 16"),
        ({"spill": 2}, "spill must be from 0 to 1"),
        ({"roomy": 0}, "roomy must be at least 0.1"),
        ({"small": 2}, "small must be from 0 to 1"),
        ({"margin": -1}, "margin must be at least 0"),
        ({"extent": 65}, "larger than the canvas"),
        ({"kind": "zoom"}, "phase per photo"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", guided=True)
    manifest = read_manifest(folder)
    manifest["strategy"] = {**GUIDED, **changes}
    write_manifest(folder, manifest)
    with pytest.raises(BundleError, match=reason):
        Bundle.open(folder)


def change_graph(graph: dict[str, Any], what: str) -> None:
    *_, correction = graph["phases"]
    (call,) = correction["calls"]
    if what == "no plane":
        del graph["inputs"]["guide"]
    elif what == "no state":
        del graph["outputs"]["mask_state"]
    elif what == "state of another phase":
        graph["outputs"]["mask_state"] = ["p3"]
    elif what == "two states":
        graph["outputs"]["mask_state"] = ["mask_state", "mask_state"]
    elif what == "fewer channels":
        graph["inputs"]["guide"]["channels"] = 8
    elif what == "another stride":
        graph["inputs"]["guide"]["stride"] = 7
    elif what == "another name":
        graph["inputs"]["plane"] = graph["inputs"].pop("guide")
        call["inputs"][1]["array"] = "plane"
    elif what == "reads the tap":
        call["inputs"][0]["array"] = "p3_score"
    elif what == "reads the image":
        call["inputs"][0]["array"] = "image"
    elif what == "in the tap phase":
        correction["when"] = "tap"
    elif what == "twice":
        graph["phases"].append({**correction, "name": "again"})
    elif what == "moving":
        call["origin"] = graph["phases"][1]["calls"][0]["origin"]
    elif what == "vectors":
        call["vectors"] = {"cells": "filter"}
    else:
        raise AssertionError(what)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no plane", "do not come together"),
        ("no state", "do not come together"),
        ("state of another phase", "one array that its correction makes|two roles"),
        ("two states", "two roles"),
        ("fewer channels", "wrong shape|not 'guide', of 9 channels"),
        ("another stride", "planes of stride 7 do not fill it"),
        ("another name", "not 'guide', of 9 channels"),
        ("reads the tap", "before it is made"),
        ("reads the image", "only the photo phase"),
        ("in the tap phase", "at most one per tap"),
        ("twice", "at most one per correction"),
        ("moving", "not the whole canvas|leaves the array"),
        ("vectors", "takes vectors"),
    ],
)
def test_a_correction_that_does_not_fit_is_refused(tmp_path: Path, what: str, reason: str) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", guided=True)
    manifest = read_manifest(folder)
    change_graph(manifest["schedules"][3]["graph"], what)
    write_manifest(folder, manifest)
    with pytest.raises(BundleError, match=reason):
        Bundle.open(folder)


def test_planes_that_this_reader_does_not_fill_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", guided=True)
    manifest = read_manifest(folder)
    manifest["answer"]["guide"]["nearness"] = 40.0
    write_manifest(folder, manifest)
    with pytest.raises(BundleError, match="nearness must be 48"):
        Bundle.open(folder)


def test_a_golden_session_that_differs_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", guided=True)
    TapSegmenter.load(folder, threads=1)
    golden = json.loads((folder / "golden.json").read_text())
    golden["sessions"][0][1]["positive"] = True
    (folder / "golden.json").write_text(json.dumps(golden))
    write_manifest(folder, read_manifest(folder))
    with pytest.raises(BundleError, match="gesture number 2 of a golden session"):
        TapSegmenter.load(folder, threads=1)
    TapSegmenter.load(folder, threads=1, schedule="zoom")


@st.composite
def gestures_on(draw: st.DrawFn, height: int, width: int) -> Gesture:
    kind = draw(st.sampled_from(["tap", "tap", "tap", "scribble", "box"]))
    if kind == "tap":
        at = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        return Tap(at, draw(st.booleans()))
    if kind == "scribble":
        point = st.tuples(st.floats(0, width), st.floats(0, height))
        points = tuple(draw(st.lists(point, min_size=1, max_size=3)))
        return Scribble(points, draw(st.floats(0.5, 30)), draw(st.booleans()))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return Bounds((x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))))


def labels(step: Step) -> tuple[np.ndarray, np.ndarray]:
    """The tile's pixels that gestures say something of (1, -1), or 0; and how far from the newest.

    Pixels too close to the end of what a gesture covers to tell are left out.
    """
    assert step.view is not None
    x0, y0, x1, y1 = step.view.tile
    x, y = step.view.to_canvas(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)  # type: ignore[arg-type]
    said = np.zeros((y1 - y0, x1 - x0), np.int8)
    away = np.full(said.shape, np.inf)
    for gesture in step.gestures:
        mark = mark_of(gesture, step.view)
        if isinstance(mark, Stroke):
            away = mark.distance(np.float32(x), np.float32(y))
            said[away < 2.01] = 0
            said[away < 1.99] = 1 if mark.positive else -1
    return said, away


def outside(tiles: list[Tile], photo: tuple[int, int]) -> np.ndarray:
    there = np.ones(photo, bool)
    for x0, y0, x1, y1 in tiles:
        there[y0:y1, x0:x1] = False
    return there


@settings(max_examples=500)
@given(st.data(), st.integers(0, 2**31))
def test_what_every_session_keeps_to(bundle: Bundle, data: st.DataObject, seed: int) -> None:
    photo = data.draw(st.integers(1, 120)), data.draw(st.integers(1, 160))
    session = TapSegmenter(bundle, AnyMask(seed)).open(random_photo(seed % 1000, *photo))
    made: list[np.ndarray] = []
    if data.draw(st.booleans()):
        session.start_from(np.random.default_rng(seed).random(photo) < 0.3)
    for _ in range(data.draw(st.integers(1, 8))):
        gesture, before = data.draw(gestures_on(*photo)), session._current
        if before is None and not gesture.positive:
            continue
        result = session.make(gesture)
        step = session._current
        assert step is not None
        assert step.view is not None
        x0, y0, x1, y1 = step.view.tile
        made.append(result.mask)
        part = result.mask[y0:y1, x0:x1]
        said, away = labels(step)
        assert part[said == 1].all()
        assert not part[said == -1].any()
        if before is None:
            continue
        old = before.mask.mask_at(*photo)
        new = [v for v in step.mask.layers if v not in before.mask.layers]
        untouched = outside([v.view.tile for v in new], photo)
        if len(new) == 1:  # the tile did not move on its way
            assert np.array_equal(result.mask[untouched], old[untouched])
        if before.view == step.view and not isinstance(gesture, Bounds):
            far = away > bundle.manifest.strategy.near  # type: ignore[union-attr]
            was, now = old[y0:y1, x0:x1][far], part[far]
            assert not ((was & ~now) if gesture.positive else (now & ~was)).any()
    for mask in reversed(made[:-1]):
        back = session.undo()
        assert back is not None
        assert np.array_equal(back.mask, mask)
    for mask in made[1:]:
        again = session.redo()
        assert again is not None
        assert np.array_equal(again.mask, mask)


@settings(max_examples=60)
@given(st.data(), st.booleans())
def test_a_line_is_the_same_however_often_it_is_sampled(
    bundle: Bundle, data: st.DataObject, positive: bool
) -> None:
    point = st.tuples(st.floats(0, 500), st.floats(0, 300))
    corners = np.array(data.draw(st.lists(point, min_size=3, max_size=3)))
    masks = []
    for count in (5, 501):
        places = np.linspace(0, 2, count)
        points = [
            tuple(float(np.interp(t, range(3), corners[:, axis])) for axis in (0, 1))
            for t in places
        ]
        with TapSegmenter(bundle, SmallThings()).open(PHOTO) as session:
            session.tap((250, 140))
            masks.append(session.scribble(points, 12, positive=positive).mask)  # type: ignore[arg-type]
    union = np.count_nonzero(masks[0] | masks[1])
    assert np.count_nonzero(masks[0] & masks[1]) >= 0.98 * union


def test_the_same_gestures_give_the_same_mask(bundle: Bundle, session: PhotoSession) -> None:
    gestures: list[Gesture] = [
        Tap((250, 140)),
        Tap((255, 150), False),
        Scribble(((400, 20), (420, 60)), 8),
        Bounds((200, 100, 430, 190)),
        Tap((10, 290), False),
    ]
    with TapSegmenter(bundle, SmallThings()).open(PHOTO) as other:
        for gesture in gestures:
            assert same(session.make(gesture), other.make(gesture))


def test_a_line_of_many_points_is_fast_enough(session: PhotoSession) -> None:
    session.tap((250, 140))
    points = [(250 + 100 * math.cos(t / 100), 150 + 100 * math.sin(t / 100)) for t in range(1000)]
    result = session.scribble(points, 5)
    assert result.timings_ms["total"] < 5000


def test_the_tool_makes_gestures_in_their_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, mask, picture = (tmp_path / name for name in ("photo.png", "mask.png", "seen.png"))
    Image.fromarray(PHOTO).save(photo)
    base = [str(photo), "--bundle", str(folder), "--threads", "1"]
    gestures = ["--at", "250,140", "--not-at", "240,140", "--box", "200,100,300,180"]
    gestures += ["--scribble", "+8:250,140 260,150.5", "--scribble=-4:230,130"]
    outputs = ["--mask", str(mask), "--overlay", str(picture)]
    assert main([*base, *gestures, *outputs, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    with TapSegmenter.load(folder, threads=1).open(PHOTO) as session:
        session.tap((250, 140))
        session.tap((240, 140), positive=False)
        session.box((200, 100, 300, 180))
        session.scribble([(250, 140), (260, 150.5)], 8)
        expected = session.scribble([(230, 130)], 4, positive=False)
        assert answer["mask_rle"] == expected.rle()
        assert np.array_equal(load_mask(mask), expected.mask)
        assert main([*base, "--from", str(mask), "--not-at", "10,290", "--json"]) == 0
        session.start_from(expected.mask)
        removed = session.tap((10, 290), positive=False)
    answer = json.loads(capsys.readouterr().out)
    assert (answer["level"], answer["schedule"]) == ("given", "guided")
    assert answer["mask_rle"] == removed.rle()
    assert main([*base, "--from", str(mask)]) == 0
    assert "given" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("gestures", "reason"),
    [
        (["--not-at", "1,1"], "begin with a positive"),
        (["--at", "1,1", "--box", "5,5,5,9"], "empty"),
        (["--at", "1,1", "--scribble", "+0:1,1"], "above 0"),
        (["--at", "1,1", "--scribble", "+5:"], "no points"),
        (["--from", "photo.png"], "give bool 300 x 500"),
        (["--from", "photo.png", "--overlay", "photo.png"], "photo.png is a mask of --from"),
        (["--at", "1,1", "--at", "2,2", "--schedule", "zoom"], "answers one tap"),
    ],
)
def test_gestures_of_the_tool_that_do_not_fit(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gestures: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("large.png")
    Image.fromarray(PHOTO[:5]).save("photo.png")
    assert main(["large.png", "--bundle", str(folder), "--threads", "1", *gestures]) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert not said.out


@pytest.mark.parametrize(
    "gestures",
    [
        [],
        ["--box", "1,2,3"],
        ["--box", "1,2,3,inf"],
        ["--scribble", "24:1,1"],
        ["--scribble", "+x:1,1"],
        ["--scribble", "+5:1 1"],
        ["--not-at", "1"],
    ],
)
def test_gestures_that_are_none_are_mistakes_of_usage(
    gestures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["photo.png", *gestures])
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
