"""The closed form of the table: the same windows are exact on every canvas that it serves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_checks import Pyramid, around, assert_exact, proven_plan

from tracenet.model import untrained_network
from tracenet.rft import capture
from tracenet_export.errors import PlanError
from tracenet_export.plan import (
    ClosedForm,
    Plan,
    Setting,
    check_plan,
    find_closed_form,
    on_canvas,
)
from tracenet_export.requests import parse_schedule
from tracenet_export.schedule import captured, plan_schedule
from tracenet_runtime.graph.schedule import Row

STRIDE = 16
PERIOD = 8
"""Key cells at stride 2 after which the coarsest stride, 16, repeats."""


def setting(model: Pyramid, canvas: tuple[int, int], reaches: tuple[int, ...] = (6,)) -> Setting:
    graph = capture(model, (torch.empty(1, 3, *canvas, dtype=torch.float64),))
    key = graph.nodes[graph.outputs["fine"]].extent
    coarse = graph.nodes[graph.outputs["coarse"]].extent
    smooth = graph.nodes[graph.outputs["smooth"]].extent
    query = {"fine": around(key, key, 0), "coarse": around(key, coarse, 0)}
    alternatives = {str(r): {"smooth": around(key, smooth, r)} for r in reaches}
    return Setting(canvas, graph, query, alternatives)


@pytest.fixture(scope="module")
def model() -> Pyramid:
    torch.manual_seed(0)
    return Pyramid().double().eval()


@pytest.fixture(scope="module")
def planned(model: Pyramid) -> tuple[Plan, ClosedForm, Setting]:
    own = setting(model, (768, 640))
    plan = proven_plan(own.graph, own.query, own.alternatives)
    form = find_closed_form(plan, setting(model, (2048, 2048)), PERIOD)
    return plan, form, own


def test_its_own_canvas(planned: tuple[Plan, ClosedForm, Setting], model: Pyramid) -> None:
    plan, form, own = planned
    settled = on_canvas(plan, form, own)
    check_plan(settled)
    sizes = [placed.size(node) for placed in plan.query for node in placed.piece.members]
    assert sizes == [placed.size(n) for placed in settled.query for n in placed.piece.members]
    picture = torch.randn(1, 3, *own.canvas, dtype=torch.float64)
    rows, columns = own.keys
    assert_exact(settled, model, picture, [(0, 0), (100, 33), (rows - 1, columns - 1)])


@settings(max_examples=12)
@given(data=st.data())
def test_every_canvas_as_large_as_the_largest_window(
    planned: tuple[Plan, ClosedForm, Setting], model: Pyramid, data: st.DataObject
) -> None:
    plan, form, _ = planned
    height, width = (
        STRIDE * data.draw(st.integers(-(-least // STRIDE), 80)) for least in form.least_sides
    )
    other = setting(model, (height, width))
    settled = on_canvas(plan, form, other)
    check_plan(settled)
    picture = torch.randn(1, 3, height, width, dtype=torch.float64)
    rows, columns = other.keys
    cells = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    assert_exact(settled, model, picture, [(rows - 1, 0), *data.draw(st.lists(cells, max_size=3))])


def test_a_smaller_canvas_is_refused(
    planned: tuple[Plan, ClosedForm, Setting], model: Pyramid
) -> None:
    plan, form, _ = planned
    height, width = (-(-least // STRIDE) * STRIDE for least in form.least_sides)
    check_plan(on_canvas(plan, form, setting(model, (height, width))))
    with pytest.raises(PlanError):
        check_plan(on_canvas(plan, form, setting(model, (height - STRIDE, width))), [0])
    check_plan(on_canvas(plan, form, setting(model, (height - STRIDE, width))), [1])


def test_windows_of_a_small_canvas_do_not_serve_larger_ones(model: Pyramid) -> None:
    own = setting(model, (96, 768))
    plan = proven_plan(own.graph, own.query, own.alternatives)
    large = setting(model, (2048, 2048))
    form = find_closed_form(plan, large, PERIOD)
    check_plan(on_canvas(plan, form, own))
    with pytest.raises(PlanError):
        check_plan(on_canvas(plan, form, large), [0])
    check_plan(on_canvas(plan, form, large), [1])


def test_the_formula() -> None:
    row = Row("y", unit=8, size=5, phases=(-3, -3, -2), advance=2)
    expected = [min(max((-3, -3, -2)[k % 3] + 2 * (k // 3), 0), 160 // 8 - 5) for k in range(40)]
    assert row.starts(160, 40).tolist() == expected
    assert np.all(np.diff(row.starts(160, 40)) >= 0)


def test_a_window_larger_than_the_ordinary_large_canvas() -> None:
    network = untrained_network("mobilenetv2-fpn")
    request = parse_schedule("P3", (128, 12288), (4096,))
    tap_plan = plan_schedule(captured(network), request)
    check_plan(tap_plan.plan)
    assert tap_plan.serves[0] == (128, 128)
