"""Channels of like ranges, for 8 bits: a tensor has one scale for all of its channels.

Between a convolution and those that read it, with ReLU or nothing in between, a channel may be
divided by any positive number that the readers' weights are multiplied by: the network computes the
same (arXiv 1906.04721, section 4.1). Here each is divided by its range on some photos. What
ShuffleNetV2 joins are slices of several layers, which then have the scale of what they are joined
to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from tracenet.model.ghost_pan import GhostBlock, PathAggregationPyramid
from tracenet.model.network import TraceNet
from tracenet.model.shufflenet import FirstUnit, MainBranch, ShuffleNetV2, Stage

_LEAST_RANGE = 0.1
"""Of the widest channel's; narrower ones stay narrower: what a few photos hardly show may be large
on others."""


@torch.no_grad()
def equalize_channels(network: TraceNet, images: Iterable[Tensor]) -> None:
    """Rescale the channels of ShuffleNetV2 and GhostPAN; other trunks stay as they are.

    Args:
        network: in eval mode; its outputs stay what they are, up to rounding.
        images: N x 3 x H x W each, RGB 0-255, which tell the ranges.
    """
    backbone, pyramid = network.backbone, network.pyramid
    if not isinstance(backbone, ShuffleNetV2) or not isinstance(pyramid, PathAggregationPyramid):
        return
    ranges = _ranges(network, images)

    def divide(layer: nn.Module) -> Tensor:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        found = ranges[layer].to(layer.weight)
        scale = found.clamp(min=float(found.max()) * _LEAST_RANGE)
        layer.bias /= scale
        layer.weight /= scale.view(-1, 1, 1, 1)
        return scale

    for branch in (m for m in backbone.modules() if isinstance(m, MainBranch)):
        _multiply(branch.main_dw, divide(branch.main_in))
        _multiply(branch.main_out, divide(branch.main_dw))
        if isinstance(branch, FirstUnit):
            _multiply(branch.side_out, divide(branch.side_dw))
    readers: list[nn.Module] = [*pyramid.neck.red]
    for number, stage in enumerate(backbone.stages):
        assert isinstance(stage, Stage)
        first, *units = stage
        assert isinstance(first, FirstUnit)
        scales = [divide(first.side_out), divide(first.main_out)]
        for unit, slices in zip(units, stage.order.slices[:-1], strict=True):
            assert isinstance(unit, MainBranch)
            _multiply(unit.main_in, torch.cat([scales[s.source][s.start : s.stop] for s in slices]))
            scales.append(divide(unit.main_out))
        output = torch.cat([scales[s.source][s.start : s.stop] for s in stage.order.slices[-1]])
        _multiply(readers[number], output)
        if number + 1 < len(backbone.stages):
            following = backbone.stages[number + 1][0]  # type: ignore[index]
            assert isinstance(following, FirstUnit)
            _multiply(following.side_dw, output)
            _multiply(following.main_in, output)
    for block in (m for m in pyramid.neck.modules() if isinstance(m, GhostBlock)):
        own = divide(block.a)
        _multiply(block.a_dw, own)
        _multiply(block.b, torch.cat([own, divide(block.a_dw)]))
        _multiply(block.skip, divide(block.skip_dw))


def _multiply(reader: nn.Module, scale: Tensor) -> None:
    """Read channels that were divided by so much."""
    assert isinstance(reader, nn.Conv2d)
    shape = (-1, 1, 1, 1) if reader.groups > 1 else (1, -1, 1, 1)
    reader.weight *= scale.view(shape)


def layers_without_activation(network: TraceNet) -> Iterator[nn.Module]:
    """The layers of ShuffleNetV2 and GhostPAN whose readers see what is below 0, too."""
    for module in network.modules():
        if isinstance(module, MainBranch):
            yield module.main_dw
        if isinstance(module, FirstUnit):
            yield module.side_dw
        if isinstance(module, GhostBlock):
            yield from (module.b, module.b_dw, module.skip_dw, module.skip)


def _ranges(network: TraceNet, images: Iterable[Tensor]) -> dict[nn.Module, Tensor]:
    """Of every convolution of trunk and neck, each output channel's largest absolute value.

    Behind ReLU, which lies next, only what is above 0 counts.
    """
    ranges: dict[nn.Module, Tensor] = {}
    linear = set(layers_without_activation(network))

    def see(layer: nn.Module, inputs: object, output: Tensor) -> None:
        values = output.abs() if layer in linear else output.clamp(min=0)
        most = values.amax((0, 2, 3))
        ranges[layer] = torch.maximum(ranges[layer], most) if layer in ranges else most

    convolutions = [
        layer
        for part in (network.backbone, network.pyramid)
        for layer in part.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    hooks = [layer.register_forward_hook(see) for layer in convolutions]
    try:
        for image in images:
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return ranges
