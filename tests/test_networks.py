"""Networks as users bring them: traced, replayed exactly, and planned on windows of fixed size."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import networks
import numpy as np
import pytest
import torch
from plan_checks import proven_plan
from random_graphs import cut
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from tracenet.rft import ConvGraph, ReceptiveFieldTracer, Rect, Span, UnsupportedOperator
from tracenet_export.plan import Plan
from tracenet_export.programs import PieceModule

TAPS = 48
WINDOW_TAPS = 8
TOLERANCE = 1e-10

PICTURES: dict[Callable[[], nn.Module], tuple[int, int]] = {
    networks.resnet18: (64, 256),
    networks.mobilenet_v2: (64, 256),
    networks.regnet_x_400mf: (64, 256),
    networks.densenet121: (64, 160),
    networks.shufflenet_v2: (64, 256),
    networks.convnext_tiny: (64, 160),
    networks.UNet: (32, 256),
    networks.RetinaNet: (128, 128),
    networks.CondInst: (128, 128),
}


@dataclass(frozen=True)
class Traced:
    """A network, its graph, and what it makes of a picture, by output name."""

    module: nn.Module
    tracer: ReceptiveFieldTracer
    picture: Tensor
    full: dict[str, Tensor]

    @property
    def graph(self) -> ConvGraph:
        return self.tracer.graph


def marked(build: Callable[[], nn.Module]) -> Any:
    """A network as a parameter; those of many operators take long, and CondInst is a RetinaNet."""
    slow = build in (networks.densenet121, networks.convnext_tiny, networks.RetinaNet)
    return pytest.param(build, id=build.__name__, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture(scope="module", params=map(marked, PICTURES))
def traced(request: pytest.FixtureRequest) -> Traced:
    height, width = PICTURES[request.param]
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)
    module = networks.randomize(request.param(), picture)
    tracer = ReceptiveFieldTracer(module, (picture,))
    with torch.no_grad():
        outputs = module(picture)
    if isinstance(outputs, Tensor):
        return Traced(module, tracer, picture, {"output_0": outputs})
    paths, _ = pytree.tree_flatten_with_path(outputs)
    full = {".".join(key.key for key in path): value for path, value in paths}
    return Traced(module, tracer, picture, full)


def taps(extent: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Cells of an output: its corners, and others anywhere."""
    rows, columns = extent
    generator = random.Random(0)
    corners = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)]
    return corners + [
        (generator.randrange(rows), generator.randrange(columns)) for _ in range(count - 4)
    ]


def assert_equal(actual: Tensor, expected: Tensor, full: Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= TOLERANCE * full.abs().max()


def test_every_tap_is_replayed_exactly(traced: Traced) -> None:
    per_output = max(4, -(-TAPS // len(traced.full)))
    assert set(traced.full) == set(traced.graph.outputs)
    for output, full in traced.full.items():
        extent = (full.shape[2], full.shape[3])
        for row, column in taps(extent, per_output):
            cell = Rect(row, row + 1, column, column + 1)
            trace = traced.tracer.trace({output: cell})
            assert_equal(trace.run(traced.picture)[output], cut(full, cell), full)
            assert trace.macs <= traced.tracer.full_macs


def test_multiply_adds_agree_with_the_flop_counter(traced: Traced) -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        traced.module(traced.picture)
    assert traced.tracer.full_macs * 2 == counter.get_total_flops()


def replay(plan: Plan, picture: Tensor, row: int, column: int) -> dict[str, tuple[Tensor, Rect]]:
    """Run a plan's pieces for one key cell: node -> what was computed of it, and where it lies."""
    height, width = picture.shape[2:]
    arrays = {plan.graph.input_name: (picture, Rect(0, height, 0, width))}
    for placed in plan.query:

        def window(node: str) -> Rect:
            y, x = placed.window(node)  # noqa: B023 - called within the loop
            return Rect(int(y.lo[row]), int(y.hi[row]), int(x.lo[column]), int(x.hi[column]))

        inputs = [part_of(*arrays[source], window(source)) for source in placed.piece.sources]
        module = PieceModule(plan.graph, placed, placed.piece.nodes)
        for node, value in zip(placed.piece.nodes, module(*inputs), strict=True):
            arrays[node] = (value, window(node))
    return arrays


def part_of(value: Tensor, held: Rect, wanted: Rect) -> Tensor:
    assert held.contains(wanted)
    y, x = wanted.y0 - held.y0, wanted.x0 - held.x0
    return value[..., y : y + wanted.height, x : x + wanted.width]


def at_key_cells(graph: ConvGraph, output: str, keys: tuple[int, int]) -> tuple[Span, Span]:
    """The cell of an output that each key cell lies in."""
    extent = graph.nodes[graph.outputs[output]].extent
    starts = [np.arange(count) * size // count for count, size in zip(keys, extent, strict=True)]
    y, x = (Span(start, start + 1) for start in starts)
    return y, x


@pytest.mark.parametrize("asked", ["finest", "all"])
def test_windows_of_fixed_size_are_exact(traced: Traced, asked: str) -> None:
    graph = traced.graph
    finest = max(traced.full, key=lambda output: traced.full[output].shape[2])
    keys = graph.nodes[graph.outputs[finest]].extent
    outputs = traced.full if asked == "all" else [finest]
    wanted = {output: at_key_cells(graph, output, keys) for output in outputs}
    plan = proven_plan(graph, wanted)
    for row, column in taps(keys, WINDOW_TAPS):
        with torch.no_grad():
            arrays = replay(plan, traced.picture, row, column)
        for output, (y, x) in wanted.items():
            cell = Rect(int(y.lo[row]), int(y.hi[row]), int(x.lo[column]), int(x.hi[column]))
            actual = part_of(*arrays[graph.outputs[output]], cell)
            full = traced.full[output]
            assert_equal(actual, cut(full, cell), full)
    if asked == "finest" and traced.picture.shape[3] > 128:
        # There it is tiles that were compared, and they move.
        starts = [
            placed.window(graph.input_name)[1].lo
            for placed in plan.query
            if graph.input_name in placed.piece.sources
        ]
        assert len(np.unique(np.concatenate(starts))) > 1


@pytest.mark.parametrize(
    ("build", "channels"),
    [
        (networks.resnet18, 512),
        (networks.mobilenet_v2, 1280),
        (networks.regnet_x_400mf, 400),
        pytest.param(networks.densenet121, 1024, marks=pytest.mark.slow),
        (networks.shufflenet_v2, 1024),
        pytest.param(networks.convnext_tiny, 768, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_classifier_is_refused_and_names_the_node(
    build: Callable[[], nn.Module], channels: int
) -> None:
    module = networks.Classifier(build(), channels)
    with pytest.raises(UnsupportedOperator, match="pools the whole picture") as caught:
        ReceptiveFieldTracer(module, (torch.zeros(1, 3, 64, 64),))
    assert caught.value.operator == "aten.adaptive_avg_pool2d.default"
    assert caught.value.module_path == "pool"
    assert caught.value.node in str(caught.value)
