"""Dynamic replay equals the full forward pass, and only the regions are read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import RandomModel, cut, intervals, random_models
from torch import Tensor, nn

from tracenet.rft import ImageError, ReceptiveFieldTracer, Rect


def assert_equal(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    assert actual.shape == expected.shape
    scale = expected.abs().max().item() + 1e-300
    assert (actual - expected).abs().max().item() <= tolerance * scale


def draw_wanted(data: st.DataObject, model: RandomModel) -> dict[str, Rect]:
    asked = data.draw(st.sets(st.sampled_from(sorted(model.output_extents)), min_size=1))
    return {
        name: Rect(
            *data.draw(intervals(model.output_extents[name][0])),
            *data.draw(intervals(model.output_extents[name][1])),
        )
        for name in sorted(asked)
    }


@given(model=random_models(), data=st.data())
def test_replay_equals_the_full_forward(model: RandomModel, data: st.DataObject) -> None:
    picture = model.picture(seed=1)
    with torch.no_grad():
        full = model.module(picture.clone())
    tracer = ReceptiveFieldTracer(model.module, (picture,))
    for _ in range(3):
        wanted = draw_wanted(data, model)
        trace = tracer.trace(wanted)
        for name, actual in trace.run(picture).items():
            assert_equal(actual, cut(full[name], wanted[name]))
        assert trace.macs <= tracer.full_macs

        # What lies outside the region of the input does not matter to the network itself.
        outside = picture + 10
        cut(outside, trace.input_region).copy_(cut(picture, trace.input_region))
        with torch.no_grad():
            changed = model.module(outside)
        for name, rect in wanted.items():
            assert_equal(cut(changed[name], rect), cut(full[name], rect))


@given(model=random_models(fixed_form_only=True))
@settings(max_examples=40)
def test_fixed_form_models_have_only_maps_that_run_on_windows(model: RandomModel) -> None:
    graph = ReceptiveFieldTracer(model.module, (model.picture(0),)).graph
    for node in graph.nodes.values():
        for edge in node.edges:
            assert edge.y.fixed_form is None
            assert edge.x.fixed_form is None
            source = graph.nodes[edge.source].extent
            sizes = (edge.y.output_size(source[0]), edge.x.output_size(source[1]))
            assert sizes == node.extent


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
    )


def test_single_precision_and_any_batch_size() -> None:
    module = small_net().eval()
    tracer = ReceptiveFieldTracer(module, (torch.zeros(1, 3, 33, 46),))
    pictures = torch.randn(3, 3, 33, 46)
    rect = Rect(7, 9, 0, 12)
    with torch.no_grad():
        full = module(pictures)
    actual = tracer.trace({"output_0": rect}).run(pictures)["output_0"]
    assert_equal(actual, cut(full, rect), tolerance=1e-6)


def test_the_picture_is_not_changed_and_needs_no_gradient() -> None:
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1))
    tracer = ReceptiveFieldTracer(module, (torch.zeros(1, 3, 5, 5),))
    picture = torch.randn(1, 3, 5, 5)
    before = picture.clone()
    result = tracer.trace({"output_0": Rect(0, 5, 0, 5)}).run(picture)["output_0"]
    assert torch.equal(picture, before)
    assert not result.requires_grad


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(1, 3, 33, 45),
        torch.zeros(1, 1, 33, 46),
        torch.zeros(3, 33, 46),
        torch.zeros(1, 3, 33, 46, dtype=torch.float64),
    ],
)
def test_another_form_of_image_is_refused(image: Tensor) -> None:
    tracer = ReceptiveFieldTracer(small_net(), (torch.zeros(1, 3, 33, 46),))
    with pytest.raises(ImageError, match="captured"):
        tracer.trace({"output_0": Rect(0, 1, 0, 1)}).run(image)
