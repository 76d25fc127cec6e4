"""What torch tags as pointwise is taken at its word, so every such operator is tried here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload

from tracenet.rft.functionalize import UNDECLARED_VIEWS
from tracenet.rft.operators import RULES, rule_of
from tracenet.rft.operators.pointwise import ELEMENTWISE, elementwise, is_tagged_pointwise

aten = torch.ops.aten

EXTENT = (4, 5)
CELL = (2, 1)
CALLS: dict[OpOverload, Callable[[Tensor], Tensor]] = {
    aten.div.Scalar_mode: lambda x: aten.div.Scalar_mode(x, 0.5, rounding_mode="floor"),
    aten.div.Tensor_mode: lambda x: aten.div.Tensor_mode(x, x, rounding_mode="trunc"),
    aten.expand.default: lambda x: aten.expand.default(x, [-1, -1, -1, -1]),
    aten.masked_fill.Tensor: lambda x: aten.masked_fill.Tensor(x, x > 1, torch.tensor(0.5)),
    aten.round.decimals: lambda x: aten.round.decimals(x, decimals=1),
    aten.to.device: lambda x: aten.to.device(x, "cpu", torch.float64),
}
"""Operators that want other arguments than tensors and numbers."""


def every_aten_operator() -> Iterator[OpOverload]:
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, qualified = name.partition("::")
        packet, _, overload = qualified.partition(".")
        if namespace == "aten":
            operator = getattr(getattr(aten, packet, None), overload or "default", None)
            if isinstance(operator, OpOverload):
                yield operator


OPERATORS = sorted({*filter(is_tagged_pointwise, every_aten_operator()), *ELEMENTWISE}, key=str)


def pictures(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A picture N x C x H x W, and the same but for one cell."""
    values = torch.rand(2, 3, *EXTENT, generator=torch.Generator().manual_seed(0)) * 3
    changed = values.clone()
    changed[..., CELL[0], CELL[1]] = 5 - values[..., CELL[0], CELL[1]]
    if dtype == torch.bool:
        return values > 2, changed > 2
    return values.to(dtype), changed.to(dtype)


def arguments(operator: OpOverload, first: Tensor, others: Tensor, number: float) -> list[Any]:
    """Tensors and numbers in the places where the operator takes them."""
    given: list[Any] = []
    for argument in operator._schema.arguments:
        kind = str(argument.type).removeprefix("Optional[").removesuffix("]")
        if argument.kwarg_only:
            break
        if kind == "Tensor":
            is_first = not any(isinstance(value, Tensor) for value in given)
            given.append(first if is_first else others)
        elif argument.has_default_value() and kind != "number":
            break
        else:
            given.append(int(number + 1) if kind == "int" else number)
    return given


def attempts(operator: OpOverload) -> Iterator[tuple[Tensor, Tensor]]:
    """Results for a picture and for one in which one cell is different."""
    if operator in CALLS:
        yield tuple(map(CALLS[operator], pictures(torch.float32)))
        return
    dtypes = (torch.float32, torch.int64, torch.bool)
    for dtype, other_dtype, number in product(dtypes, dtypes, (0.5, 1, 2)):
        firsts, others = pictures(dtype), pictures(other_dtype)
        try:
            before, after = (
                operator(*arguments(operator, first, other, number))
                for first, other in zip(firsts, others, strict=True)
            )
        except (RuntimeError, TypeError):
            continue
        yield before, after


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_one_cell_moves_only_itself(operator: OpOverload) -> None:
    tried = 0
    for before, after in attempts(operator):
        assert before.shape == after.shape == (2, 3, *EXTENT)
        moved = (before != after) & ~(before.isnan() & after.isnan())
        moved[..., CELL[0], CELL[1]] = False
        assert not moved.any()
        tried += 1
    assert tried, "call it some other way"


def test_the_tag_alone_is_not_enough() -> None:
    # torch tags it, and it compares whole tensors.
    assert torch.Tag.pointwise in aten.equal.default.tags
    assert rule_of(aten.equal.default) is None


@pytest.mark.parametrize(
    "operator",
    [
        aten.relu_.default,
        aten.add.out,
        aten.bernoulli.default,
        aten.frexp.Tensor,
        aten.conv2d.default,
    ],
    ids=str,
)
def test_what_is_not_derived(operator: OpOverload) -> None:
    assert rule_of(operator) is not elementwise


def test_explicit_rows_win() -> None:
    for operator, read_rule in RULES.items():
        assert rule_of(operator) is read_rule


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_results_that_share_memory_are_known(operator: OpOverload) -> None:
    """`remove_mutations` must see every view: it goes by schemas and by a list."""
    if operator._schema.arguments[0].alias_info is not None or operator in UNDECLARED_VIEWS:
        return
    for dtype, number in product((torch.float32, torch.int64, torch.bool), (0.5, 1, 2)):
        picture, _ = pictures(dtype)
        call = CALLS.get(operator, lambda x: operator(*arguments(operator, x, x, number)))  # noqa: B023
        try:
            result = call(picture)
        except (RuntimeError, TypeError):
            continue
        assert result.data_ptr() != picture.data_ptr()
