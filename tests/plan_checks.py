"""Runs plans in torch and compares them with the whole network; a pyramid to plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tracenet.rft import Span
from tracenet_export.plan import PlacedPiece, Plan, Wanted, check_plan, make_plan
from tracenet_export.programs import PieceModule


def proven_plan(*arguments: Any, **options: Any) -> Plan:
    """What ``make_plan`` makes, after ``check_plan`` has proven it."""
    plan = make_plan(*arguments, **options)
    check_plan(plan)
    return plan


class Replay:
    """Runs a plan's pieces in torch, cutting windows exactly as the table says."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.modules: dict[int, PieceModule] = {}

    def run(
        self, pieces: tuple[PlacedPiece, ...], arrays: dict[str, tuple[Tensor, int, int]],
        row: int, column: int,
    ) -> None:  # fmt: skip
        for placed in pieces:
            inputs = [self._cut(placed, node, arrays, row, column) for node in placed.piece.sources]
            module = self.modules.get(id(placed))
            if module is None:
                module = PieceModule(self.plan.graph, placed, placed.piece.nodes)
                self.modules[id(placed)] = module
            for node, value in zip(placed.piece.nodes, module(*inputs), strict=True):
                y, x = placed.window(node)
                assert tuple(value.shape[2:]) == placed.size(node)
                arrays[node] = (value, int(y.lo[row]), int(x.lo[column]))

    def _cut(
        self, placed: PlacedPiece, node: str, arrays: dict[str, tuple[Tensor, int, int]],
        row: int, column: int,
    ) -> Tensor:  # fmt: skip
        values, y0, x0 = arrays[node]
        y, x = placed.window(node)
        top, left = int(y.lo[row]) - y0, int(x.lo[column]) - x0
        height, width = placed.size(node)
        assert top >= 0
        assert left >= 0
        part = values[..., top : top + height, left : left + width]
        assert tuple(part.shape[2:]) == (height, width)
        return part.clone()


def around(cells: tuple[int, int], extent: tuple[int, int], reach: int) -> tuple[Span, Span]:
    """For each of ``cells`` key cells per axis, the cells within ``reach`` of its image."""
    spans = []
    for count, size in zip(cells, extent, strict=True):
        centre = np.arange(count) * size // count
        spans.append(Span(np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, size)))
    return spans[0], spans[1]


def assert_exact(
    plan: Plan, model: nn.Module, picture: Tensor, cells: list[tuple[int, int]]
) -> None:
    with torch.no_grad():
        full = model(picture.clone())
    replay = Replay(plan)
    for row, column in cells:
        arrays = {plan.graph.input_name: (picture, 0, 0)}
        with torch.no_grad():
            replay.run((*plan.encode, *plan.query), arrays, row, column)
        assert_wanted(plan, plan.wanted_query, arrays, full, row, column)
        for name, pieces in plan.alternatives.items():
            own = dict(arrays)
            with torch.no_grad():
                replay.run(pieces, own, row, column)
            assert_wanted(plan, plan.wanted_alternatives[name], own, full, row, column)


def assert_wanted(
    plan: Plan, wanted: Wanted, arrays: dict[str, tuple[Tensor, int, int]],
    full: dict[str, Tensor], row: int, column: int,
) -> None:  # fmt: skip
    for output, (y, x) in wanted.items():
        values, y0, x0 = arrays[plan.graph.outputs[output]]
        rows = slice(int(y.lo[row]) - y0, int(y.hi[row]) - y0)
        columns = slice(int(x.lo[column]) - x0, int(x.hi[column]) - x0)
        expected = full[output][..., y.lo[row] : y.hi[row], x.lo[column] : x.hi[column]]
        difference = (values[..., rows, columns] - expected).abs().max().item()
        assert difference <= 1e-12 * (full[output].abs().max().item() + 1e-300)


class Pyramid(nn.Module):
    """Three resolutions, joined: what a feature pyramid asks of the planner."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, 2, 3)
        self.down = nn.ModuleList(nn.Conv2d(4, 4, 3, 2, 1) for _ in range(3))
        self.head = nn.Sequential(*(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(3)))

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        levels = [self.stem(picture)]
        for layer in self.down:
            levels.append(torch.relu(layer(levels[-1])))
        merged = levels[-1]
        for level in reversed(levels[1:-1]):
            merged = level + F.interpolate(merged, scale_factor=2.0)
        smooth = F.interpolate(merged, scale_factor=2.0, mode="bilinear", align_corners=False)
        return {"fine": self.head(merged), "coarse": self.head(levels[-1]), "smooth": smooth}
