"""ShuffleNetV2 (arXiv 1807.11164) without a shuffle: its permutations are folded into the weights.

ShuffleNetV2 works on one half of the channels and then shuffles both halves, so that the next unit
gets some of what was left alone. Which channel of which layer a unit reads is known beforehand.
Every channel is read by exactly one unit, or lasts to the stage's end; so each layer can give its
channels in the order in which they will be read, and what a unit reads are a few slices, joined.
No element is moved that is not read, where a shuffle moves all of them twice for every unit.

A stage's output then has its channels in another order than the original's: in the order of
:func:`stage_order`. Whoever reads them, reads them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tracenet.model.layers import DepthwiseConv2d, Rectifier

STEM_CHANNELS = 24

STAGE_UNITS = (4, 8, 4)
"""Units of each stage, the first of which halves height and width."""


class Channel(NamedTuple):
    """One channel of what a stage's layers give.

    Attributes:
        source: 0 and 1 are the first unit's side and main branch, k + 1 is unit k.
        number: the channel's number in the original network's order.
    """

    source: int
    number: int


class Slice(NamedTuple):
    """Channels ``start`` up to ``stop`` of a source, in the order in which it gives them."""

    source: int
    start: int
    stop: int


@dataclass(frozen=True)
class StageOrder:
    """Which channels a stage's units read.

    Attributes:
        given: for every source, the numbers of its channels in the original's order, in the order
            in which it gives them.
        read: for every unit but the first, the channels of the original that it reads, in the order
            in which it reads them, as places among those that the original's unit works on.
        slices: for every unit but the first and then for the stage's output, what is joined.
        output: the channels of the original's output, in the order of ours.
    """

    given: tuple[tuple[int, ...], ...]
    read: tuple[tuple[int, ...], ...]
    slices: tuple[tuple[Slice, ...], ...]
    output: tuple[int, ...]


def stage_order(channels: int, units: int) -> StageOrder:
    """Follow every channel of a stage through the original's splits, joins and shuffles.

    Args:
        channels: of the stage's output, even.
        units: of the stage, the first of which halves height and width.
    """
    half = channels // 2

    def shuffled(first: Sequence[Channel], second: Sequence[Channel]) -> list[Channel]:
        return [channel for pair in zip(first, second, strict=True) for channel in pair]

    def source(number: int) -> list[Channel]:
        return [Channel(number, channel) for channel in range(half)]

    state = shuffled(source(0), source(1))
    reads: list[list[Channel]] = []
    for unit in range(1, units):
        reads.append(state[half:])
        state = shuffled(state[:half], source(unit + 1))
    reads.append(state)

    given: list[list[int]] = [[] for _ in range(units + 1)]
    slices, places = [], []
    for read in reads:
        order = sorted(range(len(read)), key=lambda place: read[place])
        joined = []
        for number, group in groupby((read[place] for place in order), key=lambda c: c.source):
            start = len(given[number])
            given[number] += [channel.number for channel in group]
            joined.append(Slice(number, start, len(given[number])))
        slices.append(tuple(joined))
        places.append(tuple(order))
    return StageOrder(tuple(map(tuple, given)), tuple(places[:-1]), tuple(slices), places[-1])


def pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1)


class MainBranch(nn.Module):
    """1x1, depthwise 3x3, 1x1: what a unit does to the channels that it works on."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.main_in = pointwise(in_channels, out_channels)
        self.main_dw = DepthwiseConv2d(out_channels, 3, stride, bias=True)
        self.main_out = pointwise(out_channels, out_channels)
        self.activation = Rectifier()

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x C' x H / stride x W / stride."""
        y: Tensor = self.activation(self.main_out(self.main_dw(self.activation(self.main_in(x)))))
        return y


class FirstUnit(MainBranch):
    """A stage's first unit, which halves height and width: two branches on all channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels // 2, 2)
        self.side_dw = DepthwiseConv2d(in_channels, 3, 2, bias=True)
        self.side_out = pointwise(in_channels, out_channels // 2)

    def side(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x C' / 2 x H / 2 x W / 2."""
        y: Tensor = self.activation(self.side_out(self.side_dw(x)))
        return y


class Stage(nn.Sequential):
    """A stage: its units, by number."""

    def __init__(self, in_channels: int, channels: int, units: int) -> None:
        half = channels // 2
        super().__init__(
            FirstUnit(in_channels, channels),
            *(MainBranch(half, half, 1) for _ in range(units - 1)),
        )
        self.order = stage_order(channels, units)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x C' x H / 2 x W / 2, in the order of :func:`stage_order`."""
        first, *others = self
        assert isinstance(first, FirstUnit)
        sources = [first.side(x), first(x)]
        for unit, slices in zip(others, self.order.slices[:-1], strict=True):
            sources.append(unit(_join(sources, slices)))
        return _join(sources, self.order.slices[-1])


def _join(sources: Sequence[Tensor], slices: Sequence[Slice]) -> Tensor:
    parts = [
        sources[s.source]
        if (s.start, s.stop) == (0, sources[s.source].shape[1])
        else sources[s.source][:, s.start : s.stop]
        for s in slices
    ]
    return torch.cat(parts, 1)


class ShuffleNetV2(nn.Module):
    """The trunk up to stride 32, BatchNorm folded into the convolutions.

    As in NanoDet-Plus, whose weights it starts from, there is no last 1x1 layer and no classifier.

    Args:
        out_channels: of the stages at strides 8, 16, 32.
    """

    def __init__(self, out_channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.stem_channels, self.out_channels = STEM_CHANNELS, out_channels
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, padding=1)
        self.activation = Rectifier()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = (STEM_CHANNELS, *out_channels[:-1])
        self.stages = nn.ModuleList(
            Stage(*sizes) for sizes in zip(inputs, out_channels, STAGE_UNITS, strict=True)
        )

    def early_layers(self) -> list[nn.Module]:
        """The stem."""
        return [self.stem]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N x 3 x H x W -> C1, C3, C4, C5 at strides 2, 8, 16, 32."""
        c1 = self.activation(self.stem(x))
        c3 = self.stages[0](self.maxpool(c1))
        c4 = self.stages[1](c3)
        return c1, c3, c4, self.stages[2](c4)
