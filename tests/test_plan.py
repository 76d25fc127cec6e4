"""The fixed-size planner: whatever it accepts is exact, at every key cell, borders included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_checks import Pyramid, around, assert_exact, proven_plan
from random_graphs import RandomModel, random_models
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.rft import ConvGraph, capture
from tracenet_export.errors import PlanError
from tracenet_export.plan import Plan, check_plan, make_piece
from tracenet_export.plan import partition as partition_module
from tracenet_export.plan.piece import AxisPlacement


@pytest.fixture(params=["merged", "as many crop points as pay"])
def crop_points(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small graphs are one program by default; without costs for cutting they fall apart."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "merged":
            patch.setattr(partition_module.CostModel, "cost", lambda self, macs, cut: macs)
        yield


@pytest.mark.parametrize("fixed_form_only", [True, False])
@settings(max_examples=30)
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
        plan = proven_plan(graph, query, alternatives)
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


def pyramid_plan(height: int, width: int) -> tuple[Plan, Pyramid, Tensor]:
    torch.manual_seed(0)
    model = Pyramid().double().eval()
    picture = torch.randn(1, 3, height, width, dtype=torch.float64)
    graph = capture(model, (picture,))
    key = graph.nodes[graph.outputs["fine"]].extent
    coarse = graph.nodes[graph.outputs["coarse"]].extent
    smooth = graph.nodes[graph.outputs["smooth"]].extent
    plan = proven_plan(
        graph,
        {"fine": around(key, key, 0), "coarse": around(key, coarse, 0)},
        {"near": {"smooth": around(key, smooth, 6)}, "far": {"smooth": around(key, smooth, 30)}},
    )
    return plan, model, picture


def test_every_cell_of_a_pyramid_is_exact(crop_points: None) -> None:
    plan, model, picture = pyramid_plan(96, 64)
    rows, columns = plan.graph.nodes[plan.graph.outputs["fine"]].extent
    assert_exact(plan, model, picture, [(r, c) for r in range(rows) for c in range(columns)])


def test_tiles_shrink_and_move_on_a_large_picture() -> None:
    plan, _, _ = pyramid_plan(512, 768)
    tile = next(p for p in plan.query if plan.graph.input_name in p.piece.sources)
    height, width = tile.size(plan.graph.input_name)
    assert height < 512
    assert width < 768
    y, x = tile.window(plan.graph.input_name)
    assert len(np.unique(y.lo)) > 1
    assert len(np.unique(x.lo)) > 1


def test_what_is_encoded_runs_once_on_the_whole_picture(crop_points: None) -> None:
    _, model, picture = pyramid_plan(160, 96)
    graph = capture(model, (picture,))
    key = graph.nodes[graph.outputs["fine"]].extent
    smooth = graph.nodes[graph.outputs["smooth"]].extent
    encoded = [name for name, node in graph.nodes.items() if "down" in node.module_path]
    plan = proven_plan(
        graph,
        {"fine": around(key, key, 0)},
        {"near": {"smooth": around(key, smooth, 6)}},
        encoded,
    )
    (placed,) = plan.encode
    assert set(encoded) <= set(placed.piece.nodes)
    assert placed.size(graph.input_name) == (160, 96)
    later = (*plan.query, *plan.alternatives["near"])
    assert all(graph.input_name not in piece.piece.sources for piece in later)
    assert_exact(plan, model, picture, [(0, 0), (9, 3), (key[0] - 1, key[1] - 1)])


def test_crop_points_say_what_they_buy() -> None:
    plan, _, _ = pyramid_plan(512, 768)
    for phase, pieces in {"query": plan.query, **plan.alternatives}.items():
        cut = [(i, node) for i, placed in enumerate(pieces) for node in placed.piece.sources]
        assert sorted((p.reader, p.node) for p in plan.crop_points[phase]) == sorted(cut)
    tiles = [p for p in plan.crop_points["query"] if p.node == plan.graph.input_name]
    for point in tiles:
        placed = plan.query[point.reader]
        height, width = placed.size(plan.graph.input_name)
        assert point.bytes == 4 * 3 * height * width
        whole = sum(
            n.macs_per_cell * n.extent[0] * n.extent[1]
            for n in map(plan.graph.nodes.__getitem__, placed.piece.nodes)
        )
        assert point.macs_saved == whole - placed.macs(plan.graph) > 0


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
    plan = proven_plan(graph, {"sum": around((32, 32), (32, 32), 1)})
    assert_exact(plan, TwoResolutions(), picture, [(r, c) for r in range(32) for c in range(32)])


def test_a_refusal_names_the_operator_and_the_reason() -> None:
    graph: ConvGraph = capture(Align(), (torch.randn(1, 3, 16, 16),))
    with pytest.raises(PlanError, match=r"upsample_bilinear2d.*align_corners"):
        proven_plan(graph, {"output_0": around((32, 32), (32, 32), 1)})
