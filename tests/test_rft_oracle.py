"""Regions against an oracle that knows no rule: which pixels of the picture move an output?

A network is run once on a batch in which every picture has one pixel changed. What moves a wanted
output must lie in the region (soundness), and every outer row and column of the region must hold a
pixel that moves one (tightness).

Regions are rectangles, with one interval per axis, and never empty, so they cannot be tight

- where a wanted cell reads nothing but padding, or no cell at all (a transposed convolution with
  fewer taps than its stride): the nearest cell of the border stands in;
- where taps that are not neighbours (dilation, or fewer taps than the stride) lie partly in the
  padding: the cells between the border and the first tap inside are included;
- behind a reflecting pad, for the same reason;
- where a bicubic resize lands on a cell: it counts its four taps there too;
- where another resize lands on a cell but for rounding, to one side of it or the other;
- where weights cancel or an activation clamps, which no rule can know.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import Call, RandomGraph, RandomModel, cut, cut_cells, intervals, random_models
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.rft import ReceptiveFieldTracer, Rect


def influence(model: RandomModel, picture: Tensor, change: float) -> dict[str, Tensor]:
    """Output name -> bool H x W x H' x W': which pixel moves which cell of the output."""
    _, _, height, width = picture.shape
    pixels = height * width
    batch = picture.repeat(pixels + 1, 1, 1, 1)
    which = torch.arange(pixels)
    batch[which, :, which // width, which % width] += change
    with torch.no_grad():
        outputs = model.module(batch)
    moved = {}
    for name, values in outputs.items():
        before, after = values[-1:], values[:-1]
        distance = (after - before).abs() / before.abs().max().clamp_min(1e-300)
        moved[name] = (distance > 1e-11).any(dim=1).unflatten(0, (height, width))
    return moved


def draw_rect(data: st.DataObject, extent: tuple[int, int]) -> Rect:
    return Rect(*data.draw(intervals(extent[0])), *data.draw(intervals(extent[1])))


def moving_pixels(moved: Tensor, wanted: Rect) -> Tensor:
    """bool H x W: the pixels that move any of the wanted cells."""
    return cut(moved, wanted).flatten(2).any(dim=2)


@given(model=random_models(max_layers=6, largest_picture=11, largest_value=32), data=st.data())
def test_no_pixel_outside_the_region_moves_a_wanted_output(
    model: RandomModel, data: st.DataObject
) -> None:
    picture = model.picture(seed=3)
    tracer = ReceptiveFieldTracer(model.module, (picture,))
    for name, moved in influence(model, picture, change=3.0).items():
        for _ in range(5):
            wanted = draw_rect(data, model.output_extents[name])
            pixels = moving_pixels(moved, wanted)
            cut(pixels, tracer.trace({name: wanted}).input_region).fill_(False)
            assert not pixels.any()


def linear_over_channels(value: Tensor, weight: Tensor) -> Tensor:
    return F.linear(value.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)


@st.composite
def increasing_layers(draw: st.DrawFn, channels: int) -> nn.Module:
    """A layer all of whose outputs read some cell, and grow with every value that they read."""
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, kernel - 1))
    dilation = 1 if padding else draw(st.integers(1, 2))
    appended = draw(st.integers(0, min(padding, stride - 1)))
    groups = draw(st.sampled_from([1, channels]))
    amounts = tuple(draw(st.integers(-1, 2)) for _ in range(4))
    limits, step = st.integers(0, 2) | st.integers(-3, -1), st.integers(1, 2)
    cuts = [slice(draw(limits), None, draw(step)) for _ in range(2)]
    pool_padding = min(padding, kernel // 2)
    layers: list[Callable[[], nn.Module]] = [
        lambda: nn.Conv2d(channels, 2 * groups, kernel, stride, padding, dilation, groups),
        lambda: nn.ConvTranspose2d(
            channels, 2 * groups, max(kernel, stride), stride, padding, appended, groups
        ),
        lambda: nn.MaxPool2d(kernel, stride, pool_padding, ceil_mode=draw(st.booleans())),
        lambda: nn.AvgPool2d(kernel, stride, pool_padding, ceil_mode=draw(st.booleans())),
        lambda: Call(F.interpolate, scale_factor=draw(st.sampled_from([2.0, 0.5]))),
        lambda: Call(F.interpolate, scale_factor=2.0, mode="nearest-exact"),
        lambda: Call(
            F.interpolate, scale_factor=draw(st.sampled_from([2.0, 0.5])), mode="bilinear"
        ),
        lambda: Call(F.pad, pad=amounts, mode="replicate"),
        lambda: Call(cut_cells, rows=cuts[0], columns=cuts[1]),
        lambda: nn.PixelUnshuffle(stride),
        lambda: nn.Sequential(nn.Conv2d(channels, 4, 1), nn.PixelShuffle(2)),
        lambda: nn.Sequential(nn.Conv2d(channels, 4, 1), nn.ChannelShuffle(2)),
        lambda: Call(linear_over_channels, weight=torch.rand(3, channels).double() + 0.5),
        lambda: nn.BatchNorm2d(channels),
    ]
    layer = draw(st.sampled_from(layers))().double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.abs_().add_(0.1)
    return layer


def fits(value: Tensor) -> bool:
    return min(value.shape) > 0 and max(value.shape) <= 32


@st.composite
def increasing_models(draw: st.DrawFn) -> RandomModel:
    """A network in which a greater pixel makes every output that reads it greater."""
    shape = (1, 2, draw(st.integers(4, 11)), draw(st.integers(4, 11)))
    values, layers = [torch.ones(shape, dtype=torch.float64)], []
    sources: list[tuple[int, ...]] = []

    def add(layer: nn.Module, *inputs: int) -> None:
        try:
            with torch.no_grad():
                value = layer(*(values[index] for index in inputs))
        except RuntimeError:  # the kernel is larger than the padded value
            return
        if fits(value):
            values.append(value)
            layers.append(layer)
            sources.append(inputs)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 2**16)))
        for _ in range(draw(st.integers(1, 6))):
            source = draw(st.integers(max(0, len(values) - 3), len(values) - 1))
            alike = [i for i, other in enumerate(values) if other.shape == values[source].shape]
            if draw(st.booleans()):
                add(draw(increasing_layers(values[source].shape[1])), source)
            else:
                function = draw(st.sampled_from([torch.add, torch.maximum, concatenated]))
                add(Call(function), source, draw(st.sampled_from(alike)))
    last = len(values) - 1
    extents = {f"value_{last}": (values[last].shape[2], values[last].shape[3])}
    return RandomModel(RandomGraph(layers, sources, [last]).eval(), shape, extents)


def concatenated(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second], dim=1)


@given(model=increasing_models(), data=st.data())
def test_every_outer_row_and_column_of_the_region_moves_a_wanted_output(
    model: RandomModel, data: st.DataObject
) -> None:
    picture = model.picture(seed=4).abs() + 1
    tracer = ReceptiveFieldTracer(model.module, (picture,))
    for name, moved in influence(model, picture, change=1e9).items():
        for _ in range(5):
            wanted = draw_rect(data, model.output_extents[name])
            pixels = moving_pixels(moved, wanted)
            assert bounding_box(pixels) == tracer.trace({name: wanted}).input_region


def bounding_box(pixels: Tensor) -> Rect:
    rows, columns = (pixels.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    return Rect(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
