"""The fixed-size planner: whatever it accepts is exact, at every key cell, borders included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import RandomModel, random_models
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.rft import ConvGraph, Span, capture
from tracenet_export.errors import PlanError
from tracenet_export.plan import PlacedPiece, Plan, Wanted, check_plan, make_piece, make_plan
from tracenet_export.plan import partition as partition_module
from tracenet_export.plan.piece import AxisPlacement
from tracenet_export.programs import PieceModule

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


class Replay:
    """Runs a plan's pieces in torch, cutting windows exactly as the table says."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.modules: dict[int, PieceModule] = {}

    def run(
        self, pieces: tuple[PlacedPiece, ...], arrays: dict[str, tuple[Tensor, int, int]],
        row: int, column: int,
    ) -> None:  # fmt: skip
        for placed in pieces:
            inputs = [self._cut(placed, node, arrays, row, column) for node in placed.piece.sources]
            module = self.modules.get(id(placed))
            if module is None:
                module = PieceModule(self.plan.graph, placed, placed.piece.nodes)
                self.modules[id(placed)] = module
            for node, value in zip(placed.piece.nodes, module(*inputs), strict=True):
                y, x = placed.window(node)
                assert tuple(value.shape[2:]) == placed.size(node)
                arrays[node] = (value, int(y.lo[row]), int(x.lo[column]))

    def _cut(
        self, placed: PlacedPiece, node: str, arrays: dict[str, tuple[Tensor, int, int]],
        row: int, column: int,
    ) -> Tensor:  # fmt: skip
        values, y0, x0 = arrays[node]
        y, x = placed.window(node)
        top, left = int(y.lo[row]) - y0, int(x.lo[column]) - x0
        height, width = placed.size(node)
        assert top >= 0
        assert left >= 0
        part = values[..., top : top + height, left : left + width]
        assert tuple(part.shape[2:]) == (height, width)
        return part.clone()


def around(cells: tuple[int, int], extent: tuple[int, int], reach: int) -> tuple[Span, Span]:
    """For each of ``cells`` key cells per axis, the cells within ``reach`` of its image."""
    spans = []
    for count, size in zip(cells, extent, strict=True):
        centre = np.arange(count) * size // count
        spans.append(Span(np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, size)))
    return spans[0], spans[1]


def assert_exact(
    plan: Plan, model: nn.Module, picture: Tensor, cells: list[tuple[int, int]]
) -> None:
    with torch.no_grad():
        full = model(picture.clone())
    replay = Replay(plan)
    for row, column in cells:
        arrays = {plan.graph.input_name: (picture, 0, 0)}
        with torch.no_grad():
            replay.run(plan.query, arrays, row, column)
        assert_wanted(plan, plan.wanted_query, arrays, full, row, column)
        for name, pieces in plan.alternatives.items():
            own = dict(arrays)
            with torch.no_grad():
                replay.run(pieces, own, row, column)
            assert_wanted(plan, plan.wanted_alternatives[name], own, full, row, column)


def assert_wanted(
    plan: Plan, wanted: Wanted, arrays: dict[str, tuple[Tensor, int, int]],
    full: dict[str, Tensor], row: int, column: int,
) -> None:  # fmt: skip
    for output, (y, x) in wanted.items():
        values, y0, x0 = arrays[plan.graph.outputs[output]]
        rows = slice(int(y.lo[row]) - y0, int(y.hi[row]) - y0)
        columns = slice(int(x.lo[column]) - x0, int(x.hi[column]) - x0)
        expected = full[output][..., y.lo[row] : y.hi[row], x.lo[column] : x.hi[column]]
        difference = (values[..., rows, columns] - expected).abs().max().item()
        assert difference <= 1e-12 * (full[output].abs().max().item() + 1e-300)


@pytest.fixture(params=["merged", "as many crop points as pay"])
def crop_points(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small graphs are one program by default; without costs for cutting they fall apart."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "merged":
            patch.setattr(partition_module, "MACS_PER_CALL", 0)
            patch.setattr(partition_module, "MACS_PER_BYTE", 0)
        yield


@pytest.mark.parametrize("fixed_form_only", [True, False])
@SETTINGS
@given(data=st.data())
def test_a_plan_is_exact_or_refused(
    crop_points: None, fixed_form_only: bool, data: st.DataObject
) -> None:
    model: RandomModel = data.draw(random_models(fixed_form_only=fixed_form_only))
    picture = model.picture(seed=2)
    graph = capture(model.module, (picture,))
    outputs = sorted(model.output_extents)
    key = model.output_extents[outputs[-1]]
    reach = data.draw(st.integers(0, 3))
    query = {outputs[-1]: around(key, key, reach)}
    alternatives = {
        f"reach {r}": {outputs[0]: around(key, model.output_extents[outputs[0]], r)}
        for r in data.draw(st.sets(st.integers(0, 9), max_size=2))
    }
    try:
        plan = make_plan(graph, query, alternatives)
    except PlanError:
        # Only operators that know the whole extent are refused.
        assert not fixed_form_only
        return
    rows, columns = key
    cells = [(0, 0), (rows - 1, columns - 1), (0, columns // 2), (rows // 2, 0)]
    cells += data.draw(
        st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)), max_size=4)
    )
    assert_exact(plan, model.module, picture, cells)


class Pyramid(nn.Module):
    """Three resolutions, joined: what a feature pyramid asks of the planner."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, 2, 3)
        self.down = nn.ModuleList(nn.Conv2d(4, 4, 3, 2, 1) for _ in range(3))
        self.head = nn.Sequential(*(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(3)))

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        levels = [self.stem(picture)]
        for layer in self.down:
            levels.append(torch.relu(layer(levels[-1])))
        merged = levels[-1]
        for level in reversed(levels[1:-1]):
            merged = level + F.interpolate(merged, scale_factor=2.0)
        smooth = F.interpolate(merged, scale_factor=2.0, mode="bilinear", align_corners=False)
        return {"fine": self.head(merged), "coarse": self.head(levels[-1]), "smooth": smooth}


def pyramid_plan(height: int, width: int) -> tuple[Plan, Pyramid, Tensor]:
    torch.manual_seed(0)
    model = Pyramid().double().eval()
    picture = torch.randn(1, 3, height, width, dtype=torch.float64)
    graph = capture(model, (picture,))
    key = graph.nodes[graph.outputs["fine"]].extent
    coarse = graph.nodes[graph.outputs["coarse"]].extent
    smooth = graph.nodes[graph.outputs["smooth"]].extent
    plan = make_plan(
        graph,
        {"fine": around(key, key, 0), "coarse": around(key, coarse, 0)},
        {"near": {"smooth": around(key, smooth, 6)}, "far": {"smooth": around(key, smooth, 30)}},
    )
    return plan, model, picture


def test_every_cell_of_a_pyramid_is_exact(crop_points: None) -> None:
    plan, model, picture = pyramid_plan(160, 96)
    rows, columns = plan.graph.nodes[plan.graph.outputs["fine"]].extent
    assert_exact(plan, model, picture, [(r, c) for r in range(rows) for c in range(columns)])


def test_tiles_shrink_and_move_on_a_large_picture() -> None:
    plan, _, _ = pyramid_plan(512, 768)
    height, width = plan.input_window
    assert height < 512
    assert width < 768
    tile = next(p for p in plan.query if plan.graph.input_name in p.piece.sources)
    y, x = tile.window(plan.graph.input_name)
    assert len(np.unique(y.lo)) > 1
    assert len(np.unique(x.lo)) > 1


@pytest.mark.parametrize("shift", [-1, 1])
def test_the_check_finds_a_window_that_is_off_by_one(shift: int) -> None:
    plan, _, _ = pyramid_plan(512, 768)
    placed = plan.query[0]
    y = placed.placements[0]
    moved = AxisPlacement(np.clip(y.origin + shift, 0, None), y.size - (shift > 0))
    broken = replace(placed, placements=(moved, placed.placements[1]))
    with pytest.raises(PlanError):
        check_plan(replace(plan, query=(broken, *plan.query[1:])))


class Align(nn.Module):
    def forward(self, picture: Tensor) -> Tensor:
        return F.interpolate(picture, scale_factor=2.0, mode="bilinear", align_corners=True)


class TwoResolutions(nn.Module):
    """Adds a picture to its own enlargement: one program cannot hold both windows, two can."""

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        return {"sum": F.interpolate(picture, scale_factor=2.0) + F.pad(picture, (8, 8, 8, 8))}


def test_paths_of_two_resolutions_become_two_programs() -> None:
    picture = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    graph = capture(TwoResolutions(), (picture,))
    with pytest.raises(PlanError, match="two resolutions"):
        make_piece(graph, [name for name in graph.nodes if name != graph.input_name])
    plan = make_plan(graph, {"sum": around((32, 32), (32, 32), 1)})
    assert_exact(plan, TwoResolutions(), picture, [(r, c) for r in range(32) for c in range(32)])


def test_a_refusal_names_the_operator_and_the_reason() -> None:
    graph: ConvGraph = capture(Align(), (torch.randn(1, 3, 16, 16),))
    with pytest.raises(PlanError, match=r"upsample_bilinear2d.*align_corners"):
        make_plan(graph, {"output_0": around((32, 32), (32, 32), 1)})
