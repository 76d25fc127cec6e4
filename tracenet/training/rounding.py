"""Training for 8 bits: activations rounded as an engine's int8 rounds them (arXiv 1712.05877)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tracenet.model import TraceNet
from tracenet.model.ghost_pan import GhostBlock
from tracenet.model.layers import Rectifier
from tracenet.model.shufflenet import FirstUnit, MainBranch

_MOST = 255
"""Of unsigned 8 bits."""


class SimulatedRounding:
    """Rounds what ReLU gives, and what trunk and neck compute without one, while it is `on`.

    A tensor's range is that of the batch, so that nothing is clipped and nothing has to be kept
    between steps. Gradients pass as if nothing had been rounded. An engine rounds sums and joins as
    well, whose parts are rounded here; weights, which it rounds channel by channel, matter less.

    Attributes:
        on: whether it rounds; at first it does not.
    """

    def __init__(self, network: TraceNet) -> None:
        self.on = False
        rounded: set[nn.Module] = set(_layers_without_activation(network))
        rounded |= {part for part in network.modules() if isinstance(part, (Rectifier, nn.ReLU))}
        for module in rounded:
            module.register_forward_hook(self._rounded)

    def _rounded(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return rounded_to_8_bits(output) if self.on else output


def rounded_to_8_bits(x: Tensor) -> Tensor:
    """Any shape -> the same, each value the nearest of 256 from the least, or 0, to the largest."""
    values = x.float()
    least, largest = torch.aminmax(values.detach())
    least, largest = least.clamp(max=0), largest.clamp(min=0)
    scale = ((largest - least) / _MOST).clamp(min=torch.finfo(values.dtype).tiny)
    zero = torch.round(-least / scale).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, _MOST).to(x.dtype)


def _layers_without_activation(network: TraceNet) -> Iterator[nn.Module]:
    """The layers of ShuffleNetV2 and GhostPAN whose readers see what is below 0, too."""
    for module in network.modules():
        if isinstance(module, MainBranch):
            yield module.main_dw
        if isinstance(module, FirstUnit):
            yield module.side_dw
        if isinstance(module, GhostBlock):
            yield from (module.b, module.b_dw, module.skip_dw, module.skip)
