"""AutoCropping and AutoPadding: running every layer on its region only.

Each kernel cuts from what its inputs hold the part that its region reads, re-creates the
operator's own padding exactly where the region was clipped by the picture's border, and runs
the operator without padding of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from tracenet.rft.errors import ImageError
from tracenet.rft.geometry import Rect
from tracenet.rft.graph import ConvGraph
from tracenet.rft.operators.call import Patch


@torch.no_grad()
def run_regions(
    graph: ConvGraph, regions: Mapping[str, Rect], wanted: Mapping[str, Rect], image: Tensor
) -> dict[str, Tensor]:
    """Compute the wanted rectangles of the outputs, and nothing but the regions on the way.

    Args:
        graph: the captured network.
        regions: node name -> rectangle, as `ConvGraph.regions` finds them for ``wanted``.
        wanted: output name -> rectangle.
        image: N x C x H x W as captured; N is free.

    Returns:
        output name -> tensor N x C' x height x width of the wanted rectangle.

    Raises:
        ImageError: the image's shape or dtype is not the captured one.
    """
    _check_image(graph, image)
    needed = [node for name, node in graph.nodes.items() if name in regions]
    readers_left = Counter(edge.source for node in needed for edge in node.edges)
    readers_left.update(graph.outputs[output] for output in wanted)
    held: dict[str, Patch] = {}
    for node in needed:
        region = regions[node.name]
        if node.operation is None:
            tensor = image[..., region.y0 : region.y1, region.x0 : region.x1]
        else:
            patches = [held[edge.source] for edge in node.edges]
            tensor = node.operation.kernel(patches, region)
        held[node.name] = Patch(tensor, region)
        for edge in node.edges:
            readers_left[edge.source] -= 1
            if not readers_left[edge.source]:
                del held[edge.source]
    return {
        output: held[graph.outputs[output]].crop(rect).clone() for output, rect in wanted.items()
    }


def _check_image(graph: ConvGraph, image: Tensor) -> None:
    if tuple(image.shape[1:]) != graph.input_shape[1:] or image.dim() != 4:
        captured = " x ".join(str(size) for size in graph.input_shape[1:])
        raise ImageError(
            f"the image has shape {tuple(image.shape)}, but the graph was captured for "
            f"N x {captured}; resize the image, or capture with an example of its size"
        )
    if image.dtype != graph.input_dtype:
        raise ImageError(
            f"the image is {image.dtype}, but the graph was captured with {graph.input_dtype}; "
            "convert the image, or capture with an example of its dtype"
        )
