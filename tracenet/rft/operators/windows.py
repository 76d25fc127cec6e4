"""Cutting from patches what a rectangle of the output reads, its own padding re-created."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.rft.axis_maps import AxisMap, IndexMap
from tracenet.rft.geometry import Rect, Span, rect_of
from tracenet.rft.operators.call import Patch, RegionKernel


def needed_rect(
    y: AxisMap, x: AxisMap, wanted: Rect, extent: tuple[int, int] | None = None
) -> Rect:
    """The rectangle that ``wanted`` reads.

    It reaches beyond the picture where the operator pads, unless it is clipped to ``extent``.
    """
    rows = y.needs(Span.of(wanted.y0, wanted.y1))
    columns = x.needs(Span.of(wanted.x0, wanted.x1))
    if extent is not None:
        rows, columns = rows.clip(extent[0]), columns.clip(extent[1])
    return rect_of(rows, columns)


def fit(patch: Patch, needed: Rect, fill: float) -> Tensor:
    """``needed`` cut from the patch; what the patch does not hold is ``fill``.

    The patch holds all of ``needed`` that lies inside the picture, so the rest is padding.
    """
    held = patch.region
    inside = Rect(
        max(needed.y0, held.y0),
        min(needed.y1, held.y1),
        max(needed.x0, held.x0),
        min(needed.x1, held.x1),
    )
    if inside.height <= 0 or inside.width <= 0:
        shape = (*patch.tensor.shape[:2], needed.height, needed.width)
        return patch.tensor.new_full(shape, fill)
    return F.pad(
        patch.crop(inside),
        (
            inside.x0 - needed.x0,
            needed.x1 - inside.x1,
            inside.y0 - needed.y0,
            needed.y1 - inside.y1,
        ),
        value=fill,
    )


def index_tensor(cells: object, device: torch.device) -> Tensor:
    """A numpy index array as a tensor on the patch's device."""
    return torch.as_tensor(cells, dtype=torch.int64, device=device)


def gather_kernel(y: IndexMap, x: IndexMap) -> RegionKernel:
    """The kernel of an operator whose output cells are copies of input cells."""

    def kernel(patches: Sequence[Patch], wanted: Rect) -> Tensor:
        tensor, held = patches[0].tensor, patches[0].region
        rows = index_tensor(y.sources(wanted.y0, wanted.y1) - held.y0, tensor.device)
        columns = index_tensor(x.sources(wanted.x0, wanted.x1) - held.x0, tensor.device)
        return tensor.index_select(2, rows).index_select(3, columns)

    return kernel
