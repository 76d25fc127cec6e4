"""Random convolutional networks for property tests, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.rft import Rect

MAX_EXTENT = 80


class RandomGraph(nn.Module):
    """Layers wired by index: value 0 is the picture, value i + 1 what layer i returns."""

    def __init__(
        self, layers: list[nn.Module], sources: list[tuple[int, ...]], outputs: list[int]
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.sources = sources
        self.outputs = outputs

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        values = [picture]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            values.append(layer(*(values[source] for source in sources)))
        return {f"value_{index}": values[index] for index in self.outputs}


class Call(nn.Module):
    """A function with fixed keyword arguments as a layer; its repr shows a failing example."""

    def __init__(self, function: Callable[..., Tensor], **arguments: Any) -> None:
        super().__init__()
        self.function = function
        self.arguments = arguments

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values, **self.arguments)

    def extra_repr(self) -> str:
        return f"{getattr(self.function, '__name__', self.function)}, {self.arguments}"


def concatenate(*values: Tensor) -> Tensor:
    return torch.cat(values, dim=1)


def shuffle_by_views(value: Tensor, groups: int) -> Tensor:
    """The channel shuffle as ShuffleNet writes it."""
    batch, channels, height, width = value.shape
    grouped = value.view(batch, groups, channels // groups, height, width)
    return grouped.transpose(1, 2).contiguous().view(batch, channels, height, width)


def select_larger(value: Tensor, other: Tensor) -> Tensor:
    """Comparison, selection and interpolation between two tensors of the graph."""
    return torch.where(
        value > other, torch.lerp(value, other, 0.25), torch.addcmul(value, other, other, value=0.5)
    )


def cut_cells(value: Tensor, rows: slice, columns: slice) -> Tensor:
    return value[:, :, rows, columns]


class ChannelsLast(nn.Module):
    """What ConvNeXt does between its permutes: layer norm, two linear layers, a scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 2 * channels)
        self.reduce = nn.Linear(2 * channels, channels)
        self.scale = nn.Parameter(torch.rand(channels) + 0.5)

    def forward(self, value: Tensor) -> Tensor:
        last = value.permute(0, 2, 3, 1)
        last = self.scale * self.reduce(F.gelu(self.expand(self.norm(last))))
        return value + last.permute(0, 3, 1, 2)


class NormOverChannels(nn.Module):
    """Layer norm over the channels without permutes, written out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels) + 0.5)
        self.bias = nn.Parameter(torch.rand(channels))

    def forward(self, value: Tensor) -> Tensor:
        centred = value - value.mean(1, keepdim=True)
        deviation = (centred.pow(2).mean(1, keepdim=True) + 1e-2).sqrt()
        return self.weight[:, None, None] * (centred / deviation) + self.bias[:, None, None]


def swap_channel_halves(value: Tensor) -> Tensor:
    first, second = value.chunk(2, dim=1)
    return torch.cat([second, first], dim=1)


@dataclass(frozen=True)
class RandomModel:
    """``module`` (double precision, eval mode), its input's shape and its outputs' extents."""

    module: RandomGraph
    input_shape: tuple[int, int, int, int]
    output_extents: dict[str, tuple[int, int]]

    def picture(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.input_shape, generator=generator, dtype=torch.float64)


@dataclass
class _Builder:
    draw: st.DrawFn
    fixed_form_only: bool
    largest_value: int
    values: list[Tensor]
    layers: list[nn.Module] = field(default_factory=list)
    sources: list[tuple[int, ...]] = field(default_factory=list)

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def chance(self) -> bool:
        return self.draw(st.booleans())

    def choice(self, options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def add(self, layer: nn.Module, *sources: int, ratio: Fraction | None = None) -> None:
        """Append the layer, unless its output gets empty or too large.

        In the fixed-size form also unless extents keep dividing: by exactly this ratio if given.
        """
        inputs = [self.values[source] for source in sources]
        try:
            with torch.no_grad():
                value = layer.double().eval()(*inputs)
        except RuntimeError:
            return
        if min(value.shape) < 1 or max(value.shape[2:]) > self.largest_value:
            return
        if not value.isfinite().all():  # a dilated maximum whose taps all lie in the padding
            return
        if self.fixed_form_only and not _keeps_whole_ratio(inputs[0], value, ratio):
            return
        self.values.append(value)
        self.layers.append(layer)
        self.sources.append(sources)

    def source(self) -> int:
        """Any value so far, the latest more often than not."""
        latest = len(self.values) - 1
        return latest if self.chance() else self.integer(0, latest)

    def convolution(self, source: int) -> None:
        channels = self.values[source].shape[1]
        kernel = (self.integer(1, 7), self.integer(1, 7))
        dilation = self.integer(1, 2)
        out_channels = self.integer(1, 4)
        groups = channels if self.chance() else 1
        arguments: dict[str, Any] = {
            "dilation": dilation,
            "groups": groups,
            "bias": self.chance(),
        }
        stride: int = self.choice([1, 1, 2, 3])
        reach = [dilation * (k - 1) for k in kernel]
        form = self.choice(["same", "symmetric", "asymmetric", "mode"])
        out_channels *= groups
        if form == "same" and stride == 1:
            layer: nn.Module = nn.Conv2d(
                channels, out_channels, kernel, padding="same", **arguments
            )
        elif form == "asymmetric":
            total = [amount + self.integer(0, stride - 1) for amount in reach]
            top, left = self.integer(0, total[0]), self.integer(0, total[1])
            layer = nn.Sequential(
                nn.ZeroPad2d((left, total[1] - left, top, total[0] - top)),
                nn.Conv2d(channels, out_channels, kernel, stride, **arguments),
            )
        else:
            slack = 0 if self.fixed_form_only else self.integer(0, 1)
            padding = [(amount + 1) // 2 + slack for amount in reach]
            mode = self.choice(["zeros", "reflect", "replicate"]) if form == "mode" else "zeros"
            layer = nn.Conv2d(
                channels,
                out_channels,
                kernel,
                stride,
                tuple(padding),
                padding_mode=mode,
                **arguments,
            )
        self.add(layer, source, ratio=Fraction(1, stride))

    def transposed_convolution(self, source: int) -> None:
        channels = self.values[source].shape[1]
        groups = channels if self.chance() else 1
        stride, dilation = self.integer(1, 3), self.integer(1, 2)
        kernel, padding, output_padding = (), (), ()
        for _ in range(2):
            taps = self.integer(1, 5)
            appended = self.integer(0, max(stride, dilation) - 1)
            border = dilation * (taps - 1) + 1 + appended - stride
            kernel += (taps,)
            padding += (max(border, 0) // 2 if self.fixed_form_only else self.integer(0, 2),)
            output_padding += (appended,)
        layer = nn.ConvTranspose2d(
            channels,
            self.integer(1, 2) * groups,
            kernel,
            stride,
            padding,
            output_padding,
            groups,
            self.chance(),
            dilation,
        )
        self.add(layer, source, ratio=Fraction(stride))

    def shuffle_pixels(self, source: int) -> None:
        channels, factor = self.values[source].shape[1], self.integer(1, 3)
        if self.chance():
            self.add(nn.PixelUnshuffle(factor), source, ratio=Fraction(1, factor))
        else:
            widen = nn.Conv2d(channels, self.integer(1, 2) * factor**2, 1)
            self.add(nn.Sequential(widen, nn.PixelShuffle(factor)), source, ratio=Fraction(factor))

    def slices(self, source: int) -> None:
        """Rows and columns from anywhere to anywhere; for windows every second or third."""
        step = self.integer(1, 3)
        if self.fixed_form_only:
            cuts = [slice(self.integer(0, step - 1), None, step) for _ in range(2)]
        else:
            limits = st.none() | st.integers(-6, 6)
            cuts = [slice(self.draw(limits), self.draw(limits), step) for _ in range(2)]
        layer = Call(cut_cells, rows=cuts[0], columns=cuts[1])
        self.add(layer, source, ratio=Fraction(1, step))

    def pooling(self, source: int) -> None:
        kernel, stride = self.integer(1, 4), self.integer(1, 3)
        padding, ceil_mode = self.integer(0, kernel // 2), self.chance()
        if self.chance():
            dilation = self.integer(1, 2)
            layer: nn.Module = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
        else:
            divisor = self.choice([None, None, 3])
            layer = nn.AvgPool2d(kernel, stride, padding, ceil_mode, self.chance(), divisor)
        self.add(layer, source, ratio=Fraction(1, stride))

    def resize(self, source: int) -> None:
        factors: list[float] = [2.0, 3.0, 0.5] if self.fixed_form_only else [2.0, 3.0, 0.4, 1.7]
        arguments: dict[str, Any] = {"scale_factor": (self.choice(factors), self.choice(factors))}
        if not self.fixed_form_only and self.chance():
            arguments = {"size": (self.integer(1, 40), self.integer(1, 40))}
        mode = self.choice(["nearest", "nearest-exact", "bilinear", "bicubic"])
        if mode.startswith("bi"):
            align = not self.fixed_form_only and self.chance()
            arguments |= {"align_corners": align}
        arguments["mode"] = mode
        self.add(Call(F.interpolate, **arguments), source)

    def pad(self, source: int) -> None:
        amounts = tuple(self.integer(-1, 2) for _ in range(4))
        mode = self.choice(["constant", "reflect", "replicate"])
        arguments = {"value": 0.5} if mode == "constant" else {}
        self.add(Call(F.pad, pad=amounts, mode=mode, **arguments), source)

    def pointwise(self, source: int) -> None:
        channels = self.values[source].shape[1]
        layers: list[nn.Module] = [
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True)),
            nn.Hardswish(),
            nn.SiLU(),
            nn.Sigmoid(),
            nn.Dropout(),
            nn.PReLU(channels),
            _batch_norm(channels),
            Call(torch.add, other=1.5),
            Call(torch.softmax, dim=1),
            Call(F.normalize, dim=1),
            ChannelsLast(channels),
            NormOverChannels(channels),
        ]
        if channels > 1:
            layers.append(Call(swap_channel_halves))
        if channels % 2 == 0:
            layers += [Call(shuffle_by_views, groups=2), nn.ChannelShuffle(2), nn.GLU(dim=1)]
        self.add(self.choice(layers), source)

    def join(self, source: int) -> None:
        """Add or concatenate with a value of the same extent."""
        value = self.values[source]
        partners = [
            index
            for index, other in enumerate(self.values)
            if other.shape[2:] == value.shape[2:] and other.shape[1] + value.shape[1] <= 16
        ]
        if not partners:
            return
        partner = self.choice(partners)
        channels = {value.shape[1], self.values[partner].shape[1]}
        if len(channels) == 1 or 1 in channels:
            functions = [torch.add, torch.mul, torch.maximum, select_larger]
            self.add(Call(self.choice(functions)), source, partner)
        else:
            self.add(Call(concatenate), source, partner)

    def lateral(self, source: int) -> None:
        """Resize to another value's extent and join the two, as a feature pyramid does."""
        partner = self.integer(0, len(self.values) - 1)
        size = tuple(self.values[partner].shape[2:])
        before = len(self.values)
        self.add(Call(F.interpolate, size=size), source)
        if len(self.values) > before:
            self.add(Call(concatenate), before, partner)


def _batch_norm(channels: int) -> nn.Module:
    layer = nn.BatchNorm2d(channels)
    for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
        assert tensor is not None
        nn.init.uniform_(tensor, 0.5, 1.5)
    return layer


def _keeps_whole_ratio(value: Tensor, result: Tensor, ratio: Fraction | None) -> bool:
    """Whether the extents have exactly this ratio, or divide one way or the other."""
    extents = list(zip(value.shape[2:], result.shape[2:], strict=True))
    if ratio is not None:
        return all(before * ratio == after for before, after in extents)
    return all(after % before == 0 or before % after == 0 for before, after in extents)


def cut(value: Tensor, rect: Rect) -> Tensor:
    """The cells of a rectangle (a view)."""
    return value[..., rect.y0 : rect.y1, rect.x0 : rect.x1]


@st.composite
def random_models(
    draw: st.DrawFn,
    fixed_form_only: bool = False,
    max_layers: int = 9,
    largest_picture: int = 40,
    largest_value: int = MAX_EXTENT,
) -> RandomModel:
    """A network with branches, joins, resizes, pooling, strides, dilation and padding.

    With ``fixed_form_only`` every operator may run on a window (its maps' ``fixed_form`` is
    None), the picture's extents are multiples of 12, and no explicit pad stands alone. No tensor
    gets more rows or columns than ``largest_value``.
    """
    extents = st.integers(5, largest_picture)
    if fixed_form_only:
        extents = st.integers(1, 5).map(lambda n: 12 * n)
    input_shape = (1, draw(st.integers(1, 3)), draw(extents), draw(extents))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 2**16)))
        picture = torch.randn(input_shape, dtype=torch.float64)
        builder = _Builder(draw, fixed_form_only, largest_value, [picture])
        steps = [
            builder.convolution,
            builder.convolution,
            builder.transposed_convolution,
            builder.pooling,
            builder.resize,
            builder.shuffle_pixels,
            builder.slices,
            builder.pointwise,
            builder.join,
            builder.lateral,
        ]
        if not fixed_form_only:
            steps.append(builder.pad)
        builder.convolution(0)
        for _ in range(draw(st.integers(1, max_layers))):
            draw(st.sampled_from(steps))(builder.source())
    last = len(builder.values) - 1
    outputs = sorted({last, draw(st.integers(0, last))})
    extents_of = {
        f"value_{index}": (builder.values[index].shape[2], builder.values[index].shape[3])
        for index in outputs
    }
    module = RandomGraph(builder.layers, builder.sources, outputs).eval()
    return RandomModel(module, input_shape, extents_of)


@st.composite
def intervals(draw: st.DrawFn, extent: int) -> tuple[int, int]:
    """A half-open interval in ``[0, extent)``; every other one touches a border."""
    lo = draw(st.sampled_from([0, extent - 1]) | st.integers(0, extent - 1))
    hi = draw(st.just(extent) | st.integers(lo + 1, extent))
    return lo, hi
