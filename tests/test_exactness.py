"""What a tap computes is what the whole network computes: dynamic form, fixed form, ONNX."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from export_fixtures import CANVAS, OPEN_CANVAS, WARM_CANVAS, SmallExport
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_checks import proven_plan
from scenes import TINY
from torch import Tensor, nn

from tracenet.model import (
    CONFIGS,
    LEVELS,
    TraceNet,
    answer_taps,
    build_network,
    untrained_network,
)
from tracenet.rft import ReceptiveFieldTracer, Rect, Span, capture
from tracenet.scene import generate_scene
from tracenet_export.assemble import Assembly, assemble
from tracenet_export.parity import (
    Differences,
    FullNetOracle,
    TorchEngine,
    check_replay,
    parity_taps,
)
from tracenet_export.plan import PlacedPiece
from tracenet_export.plan.partition import Partition
from tracenet_export.requests import Size, parse_schedule
from tracenet_export.schedule import (
    Graphs,
    SchedulePlan,
    captured,
    mask_spans,
    plan_schedule,
    tap_macs,
)
from tracenet_runtime import TapSegmenter
from tracenet_runtime.answer.check import check_choice, check_meaning
from tracenet_runtime.answer.replay import Replay
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.contract import IMAGE, MAX_SIDE
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.graph.executor import Engine, _ProgramStep
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.graph.structure import check_structure
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.mask import place_mask

KINDS: tuple[Literal["score", "box", "filter"], ...] = ("score", "box", "filter")
DTYPES = {"fp32": (torch.float32, 1e-5), "fp64": (torch.float64, 1e-12)}


def scene(canvas: tuple[int, int], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """1 x 3 x H x W."""
    return torch.from_numpy(generate_scene(*canvas, seed)).permute(2, 0, 1)[None].to(dtype)


def some_taps(canvas: tuple[int, int], inside: int = 3) -> list[tuple[int, int]]:
    """The corners, one tap on each edge, and some anywhere."""
    taps = parity_taps(*canvas, count=24 + inside, seed=3)
    return taps[:8] + taps[24:]


# Dynamic form


def wanted_at(
    canvas: tuple[int, int], tap: tuple[int, int], reach: int, mask_stride: int
) -> dict[str, Rect]:
    """Every level's answers at a tap, and mask features around it."""
    x, y = tap
    wanted: dict[str, Rect] = {}
    for level in LEVELS:
        row, column = y // level.stride, x // level.stride
        cell = Rect(row, row + 1, column, column + 1)
        wanted |= {level.output(kind): cell for kind in KINDS}
    rows, columns = mask_spans(canvas, 8, reach, mask_stride)
    wanted["mask_features"] = Rect(
        int(rows.lo[y // 8]), int(rows.hi[y // 8]), int(columns.lo[x // 8]), int(columns.hi[x // 8])
    )
    return wanted


SMALL = "mobilenetv2-fpn", "shufflenetv2-pan"


def rounding_network(name: str, precision: str) -> TraceNet:
    """In fp32 the ResNets keep their initial statistics.

    With those of a scene their random layers amplify rounding: FullNet in fp32 is then 3e-5 (R-50)
    and 9e-5 (R-101) away from FullNet in fp64, which is no measure of the tracer.
    """
    if precision == "fp64" or name in SMALL:
        return untrained_network(name)
    torch.manual_seed(0)
    return build_network(name).eval()


@pytest.mark.parametrize(
    ("name", "canvas", "precision"),
    [
        *((name, CANVAS, "fp64") for name in SMALL),
        ("r50-fpn", (128, 256), "fp64"),
        ("mobilenetv2-fpn", CANVAS, "fp32"),
        pytest.param("r50-fpn", (256, 256), "fp64", marks=pytest.mark.slow),
        pytest.param("shufflenetv2-pan", CANVAS, "fp32", marks=pytest.mark.slow),
        pytest.param("r50-fpn", (256, 256), "fp32", marks=pytest.mark.slow),
        pytest.param("r101-fpn", (128, 256), "fp32", marks=pytest.mark.slow),
        pytest.param("r101-fpn", (128, 256), "fp64", marks=pytest.mark.slow),
    ],
)
def test_dynamic_form(name: str, canvas: tuple[int, int], precision: str) -> None:
    dtype, tolerance = DTYPES[precision]
    network = rounding_network(name, precision).to(dtype)
    picture = scene(canvas, dtype)
    tracer = ReceptiveFieldTracer(network, (picture,))
    with torch.inference_mode():
        full = network(picture)
    differences = Differences()
    taps = some_taps(canvas)
    for tap in taps if name in SMALL else taps[::2]:
        wanted = wanted_at(canvas, tap, 64, network.config.mask_stride)
        trace = tracer.trace(wanted)
        assert trace.macs < tracer.full_macs
        for output, part in trace.run(picture).items():
            rect = wanted[output]
            expected = full[output][..., rect.y0 : rect.y1, rect.x0 : rect.x1]
            assert part.dtype == dtype
            differences.add(output, part.numpy(), expected.numpy())
    errors = differences.relative()
    assert len(errors) == len(LEVELS) * len(KINDS) + 1
    assert max(errors.values()) <= tolerance, errors


# Fixed form


@dataclass(frozen=True)
class Exact:
    """A network with thin heads, to plan in fp32 and to compare in double precision.

    Attributes:
        graphs: of the network, on any canvas.
        oracle: FullNet in double precision on a scene of a canvas's size.
    """

    graphs: Graphs
    oracle: Callable[[Size], FullNetOracle]


def exact(network: TraceNet) -> Exact:
    double = copy.deepcopy(network).double()

    @functools.cache
    def oracle(canvas: Size) -> FullNetOracle:
        return FullNetOracle(double, scene(canvas, torch.float64).numpy())

    return Exact(captured(network), oracle)


@pytest.fixture(scope="module")
def tiny() -> Exact:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "tiny", TINY)
        return exact(untrained_network("tiny"))


def in_double(*plans: SchedulePlan) -> Assembly:
    assembly = assemble(plans)
    for program in assembly.programs:
        program.module.double()
    return assembly


def replay_of(plan: SchedulePlan, canvas: Size | None = None) -> Replay:
    """A plan on a canvas, by default its own, as the runtime replays it with PyTorch."""
    assembly = in_double(plan)
    return replay_on(assembly, Choice(assembly.schedules[0], *(canvas or plan.canvas)))


def replay_on(assembly: Assembly, choice: Choice, engine: Engine | None = None) -> Replay:
    """A schedule of an assembly, after the runtime's own checks."""
    check_structure(choice.schedule)
    check_meaning(assembly.meaning, assembly.schedules)
    programs = assembly.described()
    check_choice(programs, assembly.meaning, choice)
    engine = engine or TorchEngine(assembly.programs)
    return Replay(programs, assembly.meaning, choice, engine)


def compared(
    network: Exact,
    plan: SchedulePlan,
    canvas: Size | None = None,
    taps: Sequence[tuple[int, int]] = (),
) -> dict[str, Any]:
    """What the exporter's comparison says of a plan, after it was held to exactness."""
    canvas = canvas or plan.canvas
    taps = taps or some_taps(canvas)
    found = check_replay(replay_of(plan, canvas), [(network.oracle(canvas), taps)])
    errors = found.relative_error
    assert set(errors) == {level.output(k) for level in plan.levels for k in KINDS} | {"mask"}
    assert max(errors.values()) <= 1e-12, errors
    assert found.level_flips == 0
    assert found.taps == len(taps)
    return found


def planned(
    network: Exact, text: str, canvas: Size, ladder: tuple[int | None, ...] = ()
) -> SchedulePlan:
    return plan_schedule(network.graphs, parse_schedule(text, canvas, ladder))


@pytest.fixture(scope="module")
def fine() -> Exact:
    """ShuffleNetV2 with a path back up its pyramid, and mask features at stride 4."""
    with pytest.MonkeyPatch.context() as patch:
        config = dataclasses.replace(TINY, backbone="shufflenetv2", neck="ghost-pan", mask_stride=4)
        patch.setitem(CONFIGS, "fine", config)
        return exact(untrained_network("fine"))


@pytest.mark.parametrize(
    ("text", "ladder", "canvas"),
    [
        ("all", (), (256, 256)),
        pytest.param("all", (), (128, 1024), marks=pytest.mark.slow),
        ("warm", (), (640, 384)),
        ("P3-P5", (64, None), (1024, 128)),
        pytest.param("P3", (64,), (1024, 1024), marks=pytest.mark.slow),
    ],
)
def test_schedules_with_mask_features_at_stride_4(
    fine: Exact, text: str, ladder: tuple[int | None, ...], canvas: Size
) -> None:
    plan = planned(fine, text, canvas, ladder)
    compared(fine, plan)
    assert in_double(plan).meaning.feature_stride == 4


CLOSED_CANVASES = {"square": (256, 256), "wide": (128, 1024), "tall": (1024, 128)}


SHORT_SIDED: dict[str, tuple[int | None, ...]] = {
    "all": (), "P3-P5": (64, 448, 1024, None), "P4": (64,), "P3,P5,P7": (128,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("all", "square"),
        ("P3-P5", "square"),
        ("P3-P5", "tall"),
        ("P4", "wide"),
        ("P3,P5,P7", "tall"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("all", "wide"), ("all", "tall"), ("P3-P5", "wide"), ("P4", "square"),
                ("P4", "tall"), ("P3,P5,P7", "square"), ("P3,P5,P7", "wide"),
            )
        ),
    ],
)  # fmt: skip
def test_schedules_on_canvases_with_a_short_side(tiny: Exact, text: str, shape: str) -> None:
    canvas, ladder = CLOSED_CANVASES[shape], SHORT_SIDED[text]
    plan = planned(tiny, text, canvas, ladder)
    assert (plan.name, plan.canvas) == (text, canvas)
    compared(tiny, plan)
    if text == "P3-P5":
        # What is as large as the canvas is the whole canvas.
        some = {"64px": 64, "448px": 448} if max(canvas) == 1024 else {"64px": 64}
        assert plan.windows == some | {"all": None}
    if text == "P4":
        # On the long sides it is tiles that are compared, and they move.
        for axis, side in enumerate(canvas):
            tiles = [p.window(plan.plan.graph.input_name)[axis] for p in picture_readers(plan)]
            assert (max(int(tile.size[0]) for tile in tiles) < side) == (side == 1024)
            starts = np.unique(np.concatenate([tile.lo for tile in tiles]))
            assert (len(starts) > 1) == (side == 1024)


def picture_readers(plan: SchedulePlan) -> list[PlacedPiece]:
    return [p for p in plan.plan.query if plan.plan.graph.input_name in p.piece.sources]


@pytest.mark.parametrize("canvas", [(256, 256), (128, 1024), (640, 384)])
def test_warm_gives_the_whole_mask_everywhere(tiny: Exact, canvas: Size) -> None:
    plan = planned(tiny, "warm", canvas)
    found = compared(tiny, plan, taps=some_taps(canvas, inside=12))
    assert found.truncated == 0
    assert found.iou_mean == found.whole_iou_mean == 1.0
    replay = replay_of(plan)
    encoded = replay.encode(tiny.oracle(canvas).canvas)
    assert IMAGE not in encoded.arrays
    for x, y in some_taps(canvas):
        query = replay.answer_query(encoded, (x, y))
        for level in range(len(LEVELS)):
            mask = replay.compute_mask(query, level, 0)
            assert mask.window == (0, 0, canvas[1], canvas[0])
            expected = tiny.oracle(canvas).answer((x, y)).mask[0, level].numpy()
            np.testing.assert_allclose(mask.probability, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "ladder", "shape"), [("all/input", (), "square"), ("P4/input", (32, 64), "wide")]
)
def test_a_crop_of_the_picture_alone(
    tiny: Exact, text: str, ladder: tuple[int | None, ...], shape: str
) -> None:
    canvas = CLOSED_CANVASES[shape]
    plan = planned(tiny, text, canvas, ladder)
    assert (plan.name, list(plan.windows)) == (text, ["64px" if ladder else "all"])
    compared(tiny, plan)
    (piece,) = plan.plan.query
    assert piece.piece.sources == (plan.plan.graph.input_name,)
    assert plan.plan.encode == plan.plan.alternatives[next(iter(plan.windows))] == ()
    macs = tap_macs(plan)
    (tap,) = (macs.query + mask for mask in macs.masks.values())
    height, width = (span.size.max() for span in piece.window(plan.plan.graph.input_name))
    if text == "all/input":  # the coarsest level sees all of this canvas
        assert ((height, width), tap) == (canvas, macs.full)
    else:
        assert height * width < canvas[0] * canvas[1]
        assert tap < macs.full


@pytest.mark.parametrize("shape", CLOSED_CANVASES)
def test_full(tiny: Exact, shape: str) -> None:
    found = compared(tiny, planned(tiny, "full", CLOSED_CANVASES[shape]))
    assert found.truncated == 0
    assert found.iou_mean == found.whole_iou_mean == 1.0


OPEN_SCHEDULES: dict[str, tuple[int | None, ...]] = {"P3": (64,), "P3-P5": (64, 128), "all": (64,)}
OWN_CANVAS = (1152, 1152)


@pytest.fixture(
    scope="module",
    params=["P3", *(pytest.param(name, marks=pytest.mark.slow) for name in ("P3-P5", "all"))],
)
def open_plan(request: pytest.FixtureRequest, tiny: Exact) -> SchedulePlan:
    return planned(tiny, request.param, OWN_CANVAS, OPEN_SCHEDULES[request.param])


@pytest.mark.slow
def test_an_open_schedule_on_its_own_canvas(tiny: Exact, open_plan: SchedulePlan) -> None:
    for least, most in open_plan.serves:
        assert least < OWN_CANVAS[0]
        assert most == MAX_SIDE
    compared(tiny, open_plan)


@pytest.mark.parametrize(
    "canvas", ["the least", pytest.param((1280, 1408), marks=pytest.mark.slow)]
)
def test_an_open_schedule_on_other_canvases_that_it_serves(
    tiny: Exact, open_plan: SchedulePlan, canvas: Size | str
) -> None:
    (least_height, _), (least_width, _) = open_plan.serves
    size = canvas if isinstance(canvas, tuple) else (least_height, least_width)
    taps = some_taps(size)
    two_corners, far_edges, inside = taps[0:4:3], taps[5:8:2], taps[8:]
    compared(tiny, open_plan, size, [*two_corners, *far_edges, *inside])


@pytest.fixture(scope="module")
def wide_plan(tiny: Exact) -> SchedulePlan:
    """Open on one axis."""
    plan = planned(tiny, "P4", (128, 1024))
    assert plan.serves == ((128, 128), (1024, MAX_SIDE))
    return plan


@pytest.mark.parametrize("canvas", [(128, 1024), (128, 1664)])
def test_a_schedule_that_is_open_on_one_axis(
    tiny: Exact, wide_plan: SchedulePlan, canvas: Size
) -> None:
    compared(tiny, wide_plan, canvas)


@settings(max_examples=5)
@given(data=st.data())
def test_any_tap_on_any_canvas_that_is_served(
    tiny: Exact, wide_plan: SchedulePlan, data: st.DataObject
) -> None:
    canvas = 128, 128 * data.draw(st.integers(8, 16))
    one_tap = st.tuples(st.integers(0, canvas[1] - 1), st.integers(0, canvas[0] - 1))
    taps = data.draw(st.lists(one_tap, min_size=1, max_size=4))
    found = check_replay(replay_of(wide_plan, canvas), [(tiny.oracle(canvas), taps)])
    assert max(found.relative_error.values()) <= 1e-12, found.relative_error


@pytest.fixture(scope="module")
def of_bundle(small: SmallExport) -> Exact:
    return exact(small.source.network)


@pytest.mark.parametrize("name", ["all", "P3", "warm", "full"])
def test_the_schedules_of_the_bundle(small: SmallExport, of_bundle: Exact, name: str) -> None:
    """The very plans and weights of the exported bundle, in double precision."""
    compared(of_bundle, small.plans[name])


def test_the_open_schedule_of_the_bundle_on_a_wider_canvas(
    small: SmallExport, of_bundle: Exact
) -> None:
    compared(of_bundle, small.plans["P3"], (128, 1280))


@pytest.mark.slow
def test_a_resnet() -> None:
    network = exact(untrained_network("r50-fpn"))
    compared(network, planned(network, "P3-P5", (128, 256), (64,)), taps=some_taps((128, 256), 1))


@pytest.mark.parametrize("disturbed", ["table", "program"])
def test_the_comparison_sees(tiny: Exact, disturbed: str) -> None:
    canvas = (128, 256)
    plan = planned(tiny, "warm", canvas)
    assembly = in_double(plan)
    replay = replay_on(assembly, Choice.own(assembly.schedules[0]))
    if disturbed == "table":
        steps = replay._executor._tap_many
        index = next(
            index
            for index, step in enumerate(steps)
            if isinstance(step, _ProgramStep) and "p3_filter" in step.call.makes
        )
        starts = np.array(steps[index].origin_x)
        starts[(starts > 0) & (starts < starts.max())] -= 1
        steps[index] = replace(steps[index], origin_x=starts.tolist())
    else:
        with torch.no_grad():
            next(assembly.programs[0].module.buffers()).add_(1e-3)
    found = check_replay(replay, [(tiny.oracle(canvas), some_taps(canvas))])
    assert max(found.relative_error.values()) > 1e-5


class Circle(nn.Module):
    """Two branches that read the picture and two that read one layer, each feeding another's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.p, self.s, self.y, self.q = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(5))

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        s = self.s(picture)
        x = self.p(self.a(picture)) + s
        b = picture + self.q(self.y(s))
        return {"x": x, "b": b}


def test_merging_pieces_never_closes_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    # First x and y merge, as both read s; from then on a and b, which both read the picture,
    # depend on each other by way of them.
    model = Circle().double().eval()
    picture = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    graph = capture(model, (picture,))
    part_of = {name: node.module_path or node.name for name, node in graph.nodes.items()}
    (x, b) = graph.outputs["x"], graph.outputs["b"]
    gains = {frozenset((x, "y")): 3.0, frozenset(("a", b)): 2.0}
    merged = []

    def cost(self: Partition, placed: PlacedPiece) -> float:
        parts = frozenset(part_of[node] for node in placed.piece.nodes)
        merged.append(parts)
        return 10.0 * len(parts) - (gains.get(parts, -1.0) if len(parts) > 1 else 0.0)

    monkeypatch.setattr(Partition, "cost", cost)
    # So much is wanted of x that merging it with y moves no window that a or b reads or writes.
    cells = Span(np.arange(16), np.arange(16) + 1)
    around = Span(cells.lo - 5, cells.hi + 5).clip(16)
    plan = proven_plan(graph, {"x": (around, around), "b": (cells, cells)})
    assert set(gains) <= set(merged), "both pairs are considered"
    pieces = [{part_of[node] for node in placed.piece.nodes} for placed in plan.query]
    assert {x, "y"} in pieces
    assert {"a"} in pieces


# Photos of any size


def promised_window(
    canvas: Canvas, tap: tuple[int, int], reach: int | None
) -> tuple[int, int, int, int]:
    """The (x0, y0, x1, y1) for which a mask is given, as docs/bundle.md says."""
    if reach is None:
        return 0, 0, canvas.width, canvas.height
    (x, y), stride = tap, 8
    left, top = x // stride * stride, y // stride * stride
    return (
        max(0, left - reach),
        max(0, top - reach),
        min(canvas.width, left + stride + reach),
        min(canvas.height, top + stride + reach),
    )


@pytest.fixture(scope="module", params=["all", "warm"])
def segmenter(request: pytest.FixtureRequest, small: SmallExport) -> TapSegmenter:
    return TapSegmenter.load(small.folder, threads=1, schedule=request.param)


@pytest.mark.parametrize(
    ("height", "width"), [(256, 384), (251, 397), (97, 611), (433, 120), (33, 17), (1, 5)]
)
def test_photos_of_any_size(
    small: SmallExport, segmenter: TapSegmenter, height: int, width: int
) -> None:
    photo = generate_scene(height, width, seed=height)
    (schedule,) = segmenter.strategy.schedules
    network = small.source.network
    canvas = Canvas(*schedule.canvas, network.pad_value)
    reaches = {window.name: window.reach for window in schedule.graph.windows}
    pixels, placement = canvas.fit(photo)
    with torch.inference_mode():
        outputs = network(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    for at in [(0, 0), (width - 1, height - 1), (width // 2, height // 3)]:
        tap = placement.to_canvas(*at)
        answers = answer_taps(outputs, torch.tensor([tap]), probability=True)
        best = int(answers.score[0].argmax())
        result = segmenter.tap(photo, at)
        assert result.canvas == schedule.canvas
        assert result.level == LEVELS[best].name
        assert result.score == pytest.approx(answers.score[0, best].item(), abs=1e-4)
        assert result.box == pytest.approx(
            placement.box_to_photo(tuple(answers.box[0, best].tolist())),
            abs=0.1,
        )
        window = promised_window(canvas, tap, reaches[result.mask_window])
        x0, y0, x1, y1 = (side // 2 for side in window)
        mask = place_mask(answers.mask[0, best, y0:y1, x0:x1].numpy(), window, placement)
        # Rounding may move a pixel over 0.5.
        assert np.count_nonzero(result.mask != mask) <= 1 + mask.size // 1000


# ONNX Runtime


def test_parity_taps_are_corners_edges_and_others() -> None:
    height, width = CANVAS
    taps = parity_taps(height, width, count=72, seed=5)
    assert len(taps) == 72
    assert set(taps[:4]) == {(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)}
    assert all(
        sum(tap[axis] == edge for tap in taps) > 4
        for axis, last in ((0, width - 1), (1, height - 1))
        for edge in (0, last)
    )
    inside = [(x, y) for x, y in taps if 0 < x < width - 1 and 0 < y < height - 1]
    assert len(inside) > 30


@pytest.mark.parametrize(
    ("name", "canvas", "count"),
    [
        ("all", CANVAS, 72),
        ("P3", OPEN_CANVAS, 26),
        ("P3", (128, 1280), 26),
        ("warm", WARM_CANVAS, 40),
        ("full", CANVAS, 26),
    ],
)
def test_onnx_runtime(small: SmallExport, name: str, canvas: Size, count: int) -> None:
    bundle = Bundle.open(small.folder)
    (schedule,) = (v for v in bundle.manifest.schedules if v.name == name)
    programs = sorted(schedule.graph.programs())
    engine, _ = load_engine("onnxruntime", bundle.program_files, EngineSettings(1), programs)
    replay = replay_on(small.draft.assembly, Choice(schedule, *canvas), engine)
    oracle = FullNetOracle(small.source.network, generate_scene(*canvas, seed=5))
    found = check_replay(replay, [(oracle, parity_taps(*canvas, count=count, seed=5))])
    assert found.taps == count
    assert max(found.relative_error.values()) <= 1e-4, found.relative_error


def test_onnx_runtime_without_the_comparison(small: SmallExport) -> None:
    """The same by hand, for one tap, so that the comparison itself is compared."""
    bundle = Bundle.open(small.folder)
    schedule = bundle.manifest.schedules[0]
    engine, _ = load_engine("onnxruntime", bundle.program_files, EngineSettings(1))
    replay = replay_on(small.draft.assembly, Choice.own(schedule), engine)
    picture, (x, y) = generate_scene(*CANVAS, seed=6), (201, 75)
    with torch.inference_mode():
        outputs = small.source.network(torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    query = replay.answer_query(replay.encode(picture), (x, y))
    for level, answer in zip(LEVELS, query.levels, strict=True):
        row, column = y // level.stride, x // level.stride
        score, box, filters = (outputs[level.output(kind)] for kind in KINDS)
        assert answer.score == pytest.approx(score[0, 0, row, column].item(), abs=1e-4)
        expected = box[0, :, row, column].numpy() * level.size_of_interest
        np.testing.assert_allclose(answer.distances, expected, atol=1e-4 * abs(expected).max())
        expected = filters[0, :, row, column].numpy()
        np.testing.assert_allclose(
            answer.filter.ravel(), expected, atol=1e-4 * abs(filters.numpy()).max()
        )
