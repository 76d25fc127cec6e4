"""Every rule against brute force: the network itself tells which inputs its outputs read."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_graphs import Call, cut, cut_cells, intervals
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.rft import ReceptiveFieldTracer, Rect, Span, UnsupportedOperator
from tracenet.rft.axis_maps import (
    AxisMap,
    ConstantPad,
    CubicResize,
    LinearResize,
    NearestExactResize,
    NearestResize,
    ReflectPad,
    ReplicatePad,
    Sliding,
    Transposed,
    Unchanged,
)

SETTINGS = settings(max_examples=150)


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Module:
    kernel = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    if stride == 1 and draw(st.booleans()):
        return nn.Conv2d(2, 2, kernel, padding="same", dilation=dilation)
    amounts = draw(st.tuples(*[st.integers(0, 4)] * 4))
    padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    return nn.Sequential(nn.ZeroPad2d(amounts), nn.Conv2d(2, 2, kernel, stride, padding, dilation))


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> nn.Module:
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    appended = draw(st.integers(0, max(stride, dilation) - 1))
    groups, bias = draw(st.sampled_from([1, 2])), draw(st.booleans())
    return nn.ConvTranspose2d(2, 4, kernel, stride, padding, appended, groups, bias, dilation)


@st.composite
def slices(draw: st.DrawFn) -> nn.Module:
    limit, step = st.none() | st.integers(-9, 9), st.integers(1, 4)
    rows, columns = (slice(draw(limit), draw(limit), draw(step)) for _ in range(2))
    return Call(cut_cells, rows=rows, columns=columns)


@st.composite
def shuffles(draw: st.DrawFn) -> nn.Module:
    factor = draw(st.integers(1, 4))
    if draw(st.booleans()):
        return nn.PixelUnshuffle(factor)
    return nn.Sequential(nn.Conv2d(2, factor**2, 1), nn.PixelShuffle(factor))


@st.composite
def poolings(draw: st.DrawFn) -> nn.Module:
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding, ceil_mode = draw(st.integers(0, kernel // 2)), draw(st.booleans())
    if draw(st.booleans()):
        return nn.MaxPool2d(kernel, stride, padding, draw(st.integers(1, 2)), False, ceil_mode)
    divisor = draw(st.none() | st.integers(1, 5))
    return nn.AvgPool2d(kernel, stride, padding, ceil_mode, draw(st.booleans()), divisor)


@st.composite
def resizes(draw: st.DrawFn) -> nn.Module:
    modes = [
        {"mode": "nearest"},
        {"mode": "nearest-exact"},
        {"mode": "bilinear", "align_corners": False},
        {"mode": "bilinear", "align_corners": True},
        {"mode": "bicubic", "align_corners": False},
        {"mode": "bicubic", "align_corners": True},
    ]
    arguments = draw(st.sampled_from(modes))
    if draw(st.booleans()):
        factor = st.sampled_from([2.0, 3.0, 0.5, 0.37, 1.3, 2.6, 1.04, 2.05])
        return Call(F.interpolate, scale_factor=(draw(factor), draw(factor)), **arguments)
    size = st.integers(1, 40)
    return Call(F.interpolate, size=(draw(size), draw(size)), **arguments)


@st.composite
def paddings(draw: st.DrawFn) -> nn.Module:
    mode = draw(st.sampled_from(["constant", "reflect", "replicate"]))
    return Call(F.pad, pad=draw(st.tuples(*[st.integers(-2, 4)] * 4)), mode=mode)


@SETTINGS
@given(
    layer=convolutions()
    | transposed_convolutions()
    | poolings()
    | resizes()
    | paddings()
    | slices()
    | shuffles(),
    height=st.integers(8, 17),
    width=st.integers(8, 17),
    data=st.data(),
)
def test_no_input_outside_the_region_has_influence(
    layer: nn.Module, height: int, width: int, data: st.DataObject
) -> None:
    layer = layer.double().eval()
    picture = torch.randn(1, 2, height, width, dtype=torch.float64, requires_grad=True)
    try:
        full = layer(picture)
    except RuntimeError:  # the kernel is larger than the padded picture
        return
    if full.numel() == 0:
        return
    rect = Rect(*data.draw(intervals(full.shape[2])), *data.draw(intervals(full.shape[3])))
    try:
        tracer = ReceptiveFieldTracer(layer, (picture.detach(),))
    except UnsupportedOperator as error:
        assert "rounds differently" in error.reason  # noqa: PT017 - refusing is right here
        return
    trace = tracer.trace({"output_0": rect})

    (gradient,) = torch.autograd.grad(cut(full, rect).square().sum(), picture)
    cut(gradient, trace.input_region).zero_()
    assert not gradient.any()

    # Gradients of a maximum see one cell only; other values outside must not matter to any.
    elsewhere = 1e3 * torch.randn_like(picture)
    with torch.no_grad():
        cut(elsewhere, trace.input_region).copy_(cut(picture, trace.input_region))
        unmoved = cut(layer(elsewhere), rect)
    torch.testing.assert_close(unmoved, cut(full, rect).detach(), rtol=1e-12, atol=1e-12)

    actual = trace.run(picture.detach())["output_0"]
    torch.testing.assert_close(actual, cut(full, rect).detach(), rtol=1e-12, atol=1e-12)

    last = tracer.graph.nodes[tracer.graph.outputs["output_0"]]
    source = tracer.graph.nodes[last.edges[0].source]
    (edge,) = last.edges
    assert edge.y.output_size(source.extent[0]) == full.shape[2]
    assert edge.x.output_size(source.extent[1]) == full.shape[3]


@SETTINGS
@given(
    kernel=st.integers(1, 7),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    data=st.data(),
)
def test_the_region_of_a_convolution_is_exact(
    kernel: int, stride: int, padding: int, data: st.DataObject
) -> None:
    assume(stride <= kernel)  # else a tap in the padding may be cells away from the next
    layer = nn.Conv2d(1, 1, kernel, stride, padding).double()
    nn.init.constant_(layer.weight, 1.0)
    picture = torch.ones(1, 1, 15, 16, dtype=torch.float64, requires_grad=True)
    full = layer(picture)
    rect = Rect(*data.draw(intervals(full.shape[2])), *data.draw(intervals(full.shape[3])))
    region = ReceptiveFieldTracer(layer, (picture.detach(),)).trace({"output_0": rect}).input_region

    (gradient,) = torch.autograd.grad(cut(full, rect).sum(), picture)
    rows = gradient.any(dim=3).nonzero()[:, -1]
    columns = gradient.any(dim=2).nonzero()[:, -1]
    if len(rows):
        read = Rect(
            int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
        )
        assert read == region
    else:  # wholly in the padding: one cell of the border stands in
        assert min(region.height, region.width) == 1


def every_pooling() -> Iterator[nn.Module]:
    for kernel, stride, ceil_mode in product((2, 3), (2, 3), (False, True)):
        for padding in range(kernel // 2 + 1):
            yield nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)
            for count_padding, divisor in ((True, None), (False, None), (True, 5)):
                yield nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_padding, divisor)


@pytest.mark.parametrize("layer", every_pooling(), ids=repr)
def test_pooling_at_the_borders(layer: nn.Module) -> None:
    picture = -1 - torch.rand(1, 1, 7, 8, dtype=torch.float64)  # padding with 0 would win
    full = layer(picture)
    tracer = ReceptiveFieldTracer(layer, (picture,))
    height, width = full.shape[2:]
    for rect in (
        Rect(0, height, 0, width),
        Rect(0, 1, 0, 1),
        Rect(height - 1, height, width - 1, width),
        Rect(1, 2, width - 1, width),
    ):
        actual = tracer.trace({"output_0": rect}).run(picture)["output_0"]
        torch.testing.assert_close(actual, cut(full, rect), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("layer", "rect"),
    [
        (nn.Conv2d(2, 3, 1, padding=2), Rect(0, 1, 0, 2)),
        (nn.Conv2d(2, 3, 3, padding=4, dilation=1), Rect(10, 11, 0, 9)),
        (nn.ConvTranspose2d(2, 3, 2, stride=5), Rect(3, 5, 0, 9)),
        (nn.ConvTranspose2d(2, 3, 1, stride=3, output_padding=2), Rect(19, 21, 17, 18)),
        (nn.MaxPool2d(2, 2, 1, ceil_mode=True), Rect(0, 1, 0, 1)),
        (nn.AvgPool2d(2, 3, 1, ceil_mode=True), Rect(2, 3, 2, 3)),
        (nn.ConstantPad2d(3, 0.5), Rect(0, 2, 12, 13)),
        (nn.ReplicationPad2d(3), Rect(0, 2, 12, 13)),
        (nn.ReflectionPad2d(3), Rect(0, 2, 12, 13)),
    ],
    ids=repr,
)
def test_what_lies_wholly_in_the_padding(layer: nn.Module, rect: Rect) -> None:
    layer = layer.double().eval()
    picture = -1 - torch.rand(1, 2, 7, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = cut(layer(picture), rect)
    trace = ReceptiveFieldTracer(layer, (picture,)).trace({"output_0": rect})
    actual = trace.run(picture)["output_0"]
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)


class Pyramid(nn.Module):
    """Two levels, the coarser added back to the finer."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 3, 2, 1)
        self.coarse = nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        fine = self.fine(picture)
        coarse = self.coarse(fine)
        return {"coarse": coarse, "sum": fine + F.interpolate(coarse, scale_factor=2)}


def test_many_taps_at_once_are_the_taps_one_by_one() -> None:
    tracer = ReceptiveFieldTracer(Pyramid(), (torch.zeros(1, 3, 32, 40),))
    rows, columns = np.arange(16), np.arange(20)
    spans = tracer.graph.regions({"sum": (Span.of(rows, rows + 1), Span.of(columns, columns + 1))})
    for y in rows:
        for x in columns:
            regions = tracer.trace({"sum": Rect(y, y + 1, x, x + 1)}).regions
            assert regions.keys() == spans.keys()
            for name, (ys, xs) in spans.items():
                assert regions[name] == Rect(ys.lo[y], ys.hi[y], xs.lo[x], xs.hi[x])


def test_a_join_is_covered_by_the_smallest_rectangle() -> None:
    tracer = ReceptiveFieldTracer(Pyramid(), (torch.zeros(1, 3, 32, 40),))
    trace = tracer.trace({"sum": Rect(5, 6, 4, 5)})
    fine, coarse = (tracer.graph.nodes[name] for name in ("conv2d", "conv2d_1"))
    assert trace.regions[coarse.name] == Rect(2, 3, 2, 3)
    assert trace.regions[fine.name] == Rect(3, 6, 3, 6)
    assert trace.input_region == Rect(5, 12, 5, 12)


@pytest.mark.parametrize(
    ("axis", "ratio", "fixed"),
    [
        (Unchanged(), Fraction(1), True),
        (Sliding(3, 2, 1, 1), Fraction(1, 2), True),
        (Sliding(1, 3, -2, -1), Fraction(1, 3), True),
        (Transposed(3, 2, 1, output_padding=1), Fraction(2), True),
        (ConstantPad(1, 2), Fraction(1), True),
        (ReplicatePad(1, 2, extent=9), Fraction(1), True),
        (ReflectPad(1, 2, extent=9), Fraction(1), True),
        (NearestResize(9, 27, 3.0), Fraction(3), True),
        (NearestResize(9, 3, 1 / 3), Fraction(1, 3), True),
        (NearestResize(9, 13, 1.5), Fraction(13, 9), False),
        (NearestResize(9, 13, None), Fraction(13, 9), False),
        (NearestExactResize(9, 18, 2.0), Fraction(2), True),
        (NearestExactResize(9, 13, None), Fraction(13, 9), False),
        (LinearResize(9, 18, 2.0, align_corners=False), Fraction(2), True),
        (LinearResize(9, 18, 2.0, align_corners=True), Fraction(2), False),
        (CubicResize(9, 3, 1 / 3, align_corners=False), Fraction(1, 3), True),
    ],
)
def test_ratio_and_fixed_form(axis: AxisMap, ratio: Fraction, fixed: bool) -> None:
    assert axis.ratio == ratio
    assert (axis.fixed_form is None) == fixed


def test_a_resize_to_a_whole_multiple_runs_on_windows() -> None:
    module = Call(F.interpolate, size=(16, 27), mode="bilinear")
    graph = ReceptiveFieldTracer(module, (torch.zeros(1, 3, 8, 9),)).graph
    (edge,) = graph.nodes[graph.outputs["output_0"]].edges
    assert (edge.y.ratio, edge.x.ratio) == (2, 3)
    assert edge.y.fixed_form is None
    operation = graph.nodes[graph.outputs["output_0"]].operation
    assert operation is not None
    assert operation.call.run([torch.zeros(1, 3, 4, 5)]).shape == (1, 3, 8, 15)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("factor", [41, 47])
def test_a_resize_that_depends_on_rounding_is_refused(mode: str, factor: int) -> None:
    # In single precision 41 * k / 41 falls below k for some k; torch's kernels differ in it.
    layer = Call(F.interpolate, scale_factor=float(factor), mode=mode)
    cells = np.arange(100 * factor)
    single = cells.astype(np.float32) * np.float32(1 / factor)
    rounds_down = bool(np.any(np.floor(single).astype(int) != cells // factor))
    picture = torch.randn(1, 1, 100, 2, dtype=torch.float64)
    if rounds_down and mode == "nearest":
        with pytest.raises(UnsupportedOperator, match="rounds differently"):
            ReceptiveFieldTracer(layer, (picture,))
    else:
        trace = ReceptiveFieldTracer(layer, (picture,)).trace(
            {"output_0": Rect(0, 100 * factor, 0, 2 * factor)}
        )
        assert torch.equal(trace.run(picture)["output_0"], layer(picture))
