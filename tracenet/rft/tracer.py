"""The Receptive Field Tracer: what a wanted part of the outputs costs, and computing just that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tracenet.rft.capture import capture
from tracenet.rft.executor import run_regions
from tracenet.rft.geometry import Rect, Span, rect_of
from tracenet.rft.graph import ConvGraph
from tracenet.rft.operators.windows import needed_rect


@dataclass(frozen=True, eq=False)
class Trace:
    """The regions that some wanted rectangles need.

    Attributes:
        wanted: output name -> rectangle, as asked.
        regions: node name -> rectangle; nodes that are not needed are absent.
    """

    graph: ConvGraph
    wanted: dict[str, Rect]
    regions: dict[str, Rect]

    @property
    def input_region(self) -> Rect:
        """The part of the picture that is read."""
        return self.regions[self.graph.input_name]

    @property
    def macs(self) -> int:
        """Multiply-adds of the regions."""
        return sum(self._macs(name) for name in self.regions)

    def _macs(self, name: str) -> int:
        node, region = self.graph.nodes[name], self.regions[name]
        if not node.edges:
            return 0
        edge = node.edges[0]
        read = needed_rect(edge.y, edge.x, region, self.graph.nodes[edge.source].extent)
        return node.macs((region.height, region.width), (read.height, read.width))

    def run(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the wanted rectangles on their regions only (see `run_regions`).

        Args:
            image: N x C x H x W as captured; N is free.

        Returns:
            output name -> tensor N x C' x height x width of the wanted rectangle.

        Raises:
            ImageError: the image's shape or dtype is not the captured one.
        """
        return run_regions(self.graph, self.regions, self.wanted, image)


class ReceptiveFieldTracer:
    """Traces rectangles of a network's outputs back to the picture.

    Any purely convolutional module works (see `capture`); one with an operator that has no
    bounded receptive field is refused by name.
    """

    def __init__(self, module: nn.Module, example_inputs: tuple[Any, ...]) -> None:
        self.graph = capture(module, example_inputs)

    @property
    def full_macs(self) -> int:
        """Multiply-adds of every output over its whole extent."""
        return self.graph.full_macs

    def trace(self, wanted: Mapping[str, Rect]) -> Trace:
        """The regions needed for rectangles of the outputs, given by output name.

        Raises:
            RegionError: nothing wanted, an unknown output, or a rectangle that is empty or leaves
                its output.
        """
        spans = self.graph.regions(
            {
                output: (Span.of(rect.y0, rect.y1), Span.of(rect.x0, rect.x1))
                for output, rect in wanted.items()
            }
        )
        regions = {name: rect_of(y, x) for name, (y, x) in spans.items()}
        return Trace(self.graph, dict(wanted), regions)
