"""What a tap computes is what the whole network computes: dynamic form, fixed form, ONNX."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from export_fixtures import CANVAS, SmallExport
from scenes import TINY
from torch import Tensor, nn

from tracenet.model import (
    CONFIGS,
    LEVELS,
    Level,
    TraceNet,
    answer_taps,
    build_network,
    untrained_network,
)
from tracenet.rft import ConvGraph, ReceptiveFieldTracer, Rect, Span, capture
from tracenet.scene import generate_scene
from tracenet_export.assemble import Assembly, assemble
from tracenet_export.parity import Differences, TorchEngine, check_replay, parity_taps
from tracenet_export.plan import PlacedPiece, make_plan
from tracenet_export.plan.partition import Partition
from tracenet_export.schedule import (
    REACHES,
    TapPlan,
    mask_spans,
    parse_levels,
    plan_full,
    plan_taps,
)
from tracenet_runtime import TapSegmenter
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.canvas import Canvas, place_mask
from tracenet_runtime.checked_json import parse_json
from tracenet_runtime.consistency import check_consistency
from tracenet_runtime.engines import load_engine
from tracenet_runtime.manifest import Manifest, parse_manifest
from tracenet_runtime.replay import Replay

KINDS = ("score", "box", "filter")
DTYPES = {"fp32": (torch.float32, 1e-5), "fp64": (torch.float64, 1e-12)}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def scene(canvas: tuple[int, int], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """1 x 3 x H x W."""
    return torch.from_numpy(generate_scene(*canvas, seed)).permute(2, 0, 1)[None].to(dtype)


def some_taps(canvas: tuple[int, int], inside: int = 3) -> list[tuple[int, int]]:
    """The corners, one tap on each edge, and some anywhere."""
    taps = parity_taps(*canvas, count=24 + inside, seed=3)
    return taps[:8] + taps[24:]


# Dynamic form


def wanted_at(canvas: tuple[int, int], tap: tuple[int, int], reach: int) -> dict[str, Rect]:
    """Every level's answers at a tap, and mask features around it."""
    x, y = tap
    wanted = {}
    for level in LEVELS:
        row, column = y // level.stride, x // level.stride
        cell = Rect(row, row + 1, column, column + 1)
        wanted |= {level.output(kind): cell for kind in KINDS}
    rows, columns = mask_spans(canvas, 8, reach)
    wanted["mask_features"] = Rect(
        int(rows.lo[y // 8]), int(rows.hi[y // 8]), int(columns.lo[x // 8]), int(columns.hi[x // 8])
    )
    return wanted


def rounding_network(name: str, precision: str) -> TraceNet:
    """In fp32 the ResNets keep their initial statistics.

    With those of a scene their random layers amplify rounding: FullNet in fp32 is then 3e-5 (R-50)
    and 9e-5 (R-101) away from FullNet in fp64, which is no measure of the tracer.
    """
    if precision == "fp64" or name == "mobilenetv2-fpn":
        return untrained_network(name)
    torch.manual_seed(0)
    return build_network(name).eval()


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(
    ("name", "canvas"),
    [("mobilenetv2-fpn", CANVAS), ("r50-fpn", (256, 256)), ("r101-fpn", (128, 256))],
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
    for tap in taps[::2] if name != "mobilenetv2-fpn" else taps:
        wanted = wanted_at(canvas, tap, reach=64)
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


@pytest.fixture(scope="module")
def tiny() -> TraceNet:
    """A network of the same form with thin heads, in double precision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "tiny", TINY)
        return untrained_network("tiny").double()


def in_double(tap_plan: TapPlan) -> Assembly:
    assembly = assemble(tap_plan)
    for program in assembly.programs:
        program.module.double()
    return assembly


def manifest_of(assembly: Assembly, canvas: tuple[int, int], levels: Sequence[Level]) -> Manifest:
    """What the runtime needs of a manifest, checked by the runtime's own consistency check."""

    def tensors(specs: Any) -> list[dict[str, Any]]:
        return [
            {"name": s.name, "shape": list(s.shape), "dtype": "float32"} for s in specs
        ]  # fmt: skip

    content = {
        "schema_version": 1, "name": "n", "licence": "l", "target": "t", "precision": "fp32",
        "producer": {}, "network": {}, "weights_sha256": "0" * 64,
        "preprocessing": {
            "text": "t", "color": "RGB", "dtype": "float32", "range": [0, 255], "layout": "NCHW",
            "resize": "pillow-bilinear", "pad_value": [0, 0, 0],
        },
        "canvas": {"height": canvas[0], "width": canvas[1]},
        "levels": [
            {"name": level.name, "stride": level.stride, "size_of_interest": level.size_of_interest,
             **{kind: level.output(kind) for kind in KINDS}}
            for level in levels
        ],
        "programs": {
            p.name: {"file": p.name, "macs": p.macs, "inputs": tensors(p.inputs),
                     "outputs": tensors(p.outputs)}
            for p in assembly.programs
        },
        "schedule": assembly.schedule, "macs": assembly.macs,
        "table": {"file": "t", "count": len(assembly.table)},
        "golden": {"file": "g", "photo": "p"}, "parity": "p", "files": {},
    }  # fmt: skip
    manifest = parse_manifest(parse_json(json.dumps(content).encode(), "manifest.json"))
    check_consistency(manifest, assembly.table)
    return manifest


def replay_errors(
    network: TraceNet, tap_plan: TapPlan, taps: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """What the exporter's comparison says of a plan, in the network's double precision."""
    assembly = in_double(tap_plan)
    manifest = manifest_of(assembly, tap_plan.canvas, tap_plan.levels)
    picture = scene(tap_plan.canvas, torch.float64).numpy()
    engine = TorchEngine(assembly.programs)
    return check_replay(network, manifest, assembly.table, picture, engine, taps)


def assert_equal_to_fullnet(replay: Mapping[str, Any], levels: Sequence[Level]) -> None:
    errors = replay["relative_error"]
    assert set(errors) == {level.output(kind) for level in levels for kind in KINDS} | {"mask"}
    assert max(errors.values()) <= 1e-12, errors
    assert replay["level_flips"] == 0


@pytest.fixture(
    scope="module", params=[(256, 256), (128, 1024), (1024, 128)], ids=["square", "wide", "tall"]
)
def tiny_graph(request: pytest.FixtureRequest, tiny: TraceNet) -> tuple[ConvGraph, tuple[int, int]]:
    canvas: tuple[int, int] = request.param
    return capture(tiny, (torch.zeros(1, 3, *canvas, dtype=torch.float64),)), canvas


@pytest.mark.parametrize(
    ("schedule", "reaches"),
    [("P3-P7", REACHES), ("P3-P5", (64, 448, 1024, None)), ("P4", (64,))],
    ids=["P3-P7", "P3-P5", "P4"],
)
def test_fixed_form(
    tiny: TraceNet,
    tiny_graph: tuple[ConvGraph, tuple[int, int]],
    schedule: str,
    reaches: tuple[int | None, ...],
) -> None:
    graph, canvas = tiny_graph
    levels = parse_levels(schedule)
    tap_plan = plan_taps(graph, canvas, levels, reaches)
    assert tap_plan.name == schedule
    replay = replay_errors(tiny, tap_plan, some_taps(canvas))
    assert replay["taps"] == 11
    assert_equal_to_fullnet(replay, levels)
    if schedule == "P3-P5":
        # What is as large as the canvas is the whole canvas.
        some = {"64px": 64, "448px": 448} if max(canvas) == 1024 else {"64px": 64}
        assert tap_plan.reaches == some | {"all": None}
    if schedule == "P4":
        # On the long sides it is tiles that are compared, and they move.
        for axis, side in enumerate(canvas):
            assert (tap_plan.plan.input_window[axis] < side) == (side == 1024)
            assert (len(input_starts(tap_plan, axis)) > 1) == (side == 1024)


def input_starts(tap_plan: TapPlan, axis: int) -> npt.NDArray[np.int64]:
    """Where tiles are cut out of the picture, all taps together."""
    graph, tiles = tap_plan.plan.graph, []
    for placed in tap_plan.plan.query:
        if graph.input_name in placed.piece.sources:
            tiles.append(placed.window(graph.input_name)[axis].lo)
    return np.unique(np.concatenate(tiles))


def test_fixed_form_of_the_shipped_configuration(small: SmallExport) -> None:
    # The very plan and weights of the exported bundle, in double precision.
    network = TraceNet(small.source.network.config).eval()
    network.load_state_dict(small.source.network.state_dict())
    replay = replay_errors(network.double(), small.tap_plan, some_taps(CANVAS))
    assert_equal_to_fullnet(replay, LEVELS)


def test_fixed_form_of_a_resnet() -> None:
    canvas, levels = (128, 256), parse_levels("P3-P5")
    network = untrained_network("r50-fpn").double()
    graph = capture(network, (torch.zeros(1, 3, *canvas, dtype=torch.float64),))
    replay = replay_errors(network, plan_taps(graph, canvas, levels, (64,)), some_taps(canvas, 1))
    assert_equal_to_fullnet(replay, levels)


def test_full_schedule(tiny: TraceNet, tiny_graph: tuple[ConvGraph, tuple[int, int]]) -> None:
    graph, canvas = tiny_graph
    replay = replay_errors(tiny, plan_full(graph, canvas), some_taps(canvas))
    assert_equal_to_fullnet(replay, LEVELS)
    assert replay["truncated"] == 0
    assert replay["mask_iou_mean"] == 1.0


@pytest.mark.parametrize("disturbed", ["table", "program"])
def test_the_comparison_sees(tiny: TraceNet, disturbed: str) -> None:
    canvas = (128, 256)
    graph = capture(tiny, (torch.zeros(1, 3, *canvas, dtype=torch.float64),))
    assembly = in_double(plan_taps(graph, canvas, LEVELS[:1], (64,)))
    manifest = manifest_of(assembly, canvas, LEVELS[:1])
    if disturbed == "table":
        row = next(
            call for call in assembly.schedule["query"]
            if any(window["array"] == "p3_filter" for window in call["outputs"])
        )["origin"]["x"]  # fmt: skip
        starts = assembly.table[row["offset"] : row["offset"] + row["length"]]
        starts[(starts > 0) & (starts < starts.max())] -= 1
    else:
        with torch.no_grad():
            next(assembly.programs[0].module.buffers()).add_(1e-3)
    picture = scene(canvas, torch.float64).numpy()
    replay = check_replay(
        tiny, manifest, assembly.table, picture, TorchEngine(assembly.programs), some_taps(canvas)
    )
    assert max(replay["relative_error"].values()) > 1e-5


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

    def cost(self: Partition, placed: PlacedPiece, internal: frozenset[int] = frozenset()) -> float:
        parts = frozenset(part_of[node] for node in placed.piece.nodes)
        merged.append(parts)
        return 10.0 * len(parts) - (gains.get(parts, -1.0) if len(parts) > 1 else 0.0)

    monkeypatch.setattr(Partition, "cost", cost)
    # So much is wanted of x that merging it with y moves no window that a or b reads or writes.
    cells = Span(np.arange(16), np.arange(16) + 1)
    around = Span(cells.lo - 5, cells.hi + 5).clip(16)
    plan = make_plan(graph, {"x": (around, around), "b": (cells, cells)})
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


@pytest.fixture(scope="module")
def segmenter(small: SmallExport) -> TapSegmenter:
    return TapSegmenter.load(small.folder, threads=1)


@pytest.mark.parametrize(
    ("height", "width"), [(256, 384), (251, 397), (97, 611), (433, 120), (33, 17), (1, 5)]
)
def test_photos_of_any_size(
    small: SmallExport, segmenter: TapSegmenter, height: int, width: int
) -> None:
    photo = generate_scene(height, width, seed=height)
    canvas = segmenter.bundle.canvas
    reaches = {mask["name"]: mask["reach"] for mask in small.manifest["schedule"]["masks"]}
    pixels, placement = canvas.fit(photo)
    with torch.inference_mode():
        outputs = small.source.network(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    for at in [(0, 0), (width - 1, height - 1), (width // 2, height // 3)]:
        tap = placement.to_canvas(*at)
        answers = answer_taps(outputs, torch.tensor([tap]), probability=True)
        best = int(answers.score[0].argmax())
        result = segmenter.tap(photo, at)
        assert result.level == LEVELS[best].name
        assert result.score == pytest.approx(answers.score[0, best].item(), abs=1e-4)
        assert result.box == pytest.approx(
            placement.box_to_photo(tuple(answers.box[0, best].tolist())),
            abs=0.1,
        )
        window = promised_window(canvas, tap, reaches[result.mask_schedule])
        x0, y0, x1, y1 = (side // 2 for side in window)
        mask = place_mask(answers.mask[0, best, y0:y1, x0:x1].numpy(), window, placement)
        # Rounding may move a pixel over 0.5.
        assert np.count_nonzero(result.mask != mask) <= 1 + mask.size // 1000


# ONNX Runtime


def test_onnx_runtime(small: SmallExport) -> None:
    bundle = Bundle.open(small.folder)
    engine = load_engine("onnxruntime", bundle, 1)
    picture = generate_scene(*CANVAS, seed=5)
    taps = parity_taps(*CANVAS, count=72, seed=5)
    corners = {(0, 0), (CANVAS[1] - 1, 0), (0, CANVAS[0] - 1), (CANVAS[1] - 1, CANVAS[0] - 1)}
    assert corners <= set(taps)
    assert all(
        sum(tap[axis] == edge for tap in taps) > 4
        for axis, last in ((0, CANVAS[1] - 1), (1, CANVAS[0] - 1))
        for edge in (0, last)
    )
    replay = check_replay(
        small.source.network, bundle.manifest, bundle.table, picture, engine, taps
    )
    assert replay["taps"] == 72
    assert max(replay["relative_error"].values()) <= 1e-4, replay["relative_error"]


def test_onnx_runtime_without_the_comparison(small: SmallExport) -> None:
    """The same by hand, for one tap, so that the comparison itself is compared."""
    bundle = Bundle.open(small.folder)
    replay = Replay(bundle.manifest, bundle.table, load_engine("onnxruntime", bundle, 1))
    picture, (x, y) = generate_scene(*CANVAS, seed=6), (201, 75)
    with torch.inference_mode():
        outputs = small.source.network(torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    query = replay.answer_query(picture, (x, y))
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
