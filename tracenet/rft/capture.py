"""From a module to a `ConvGraph`, by way of ``torch.export``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from tracenet.rft.errors import TracerError
from tracenet.rft.functionalize import (
    cut_from_the_ends,
    expand_without_extents,
    remove_mutations,
    resize_by_factors,
    take_items_one_by_one,
)
from tracenet.rft.fx_nodes import read_node, refuse
from tracenet.rft.graph import ConvGraph, Node
from tracenet.rft.layouts import resolve_moves
from tracenet.rft.operators import rule_of
from tracenet.rft.operators.call import Call, SpatialInput
from tracenet.rft.operators.refused import DATA_DEPENDENT, RANDOM, why_refused
from tracenet_runtime.errors import refuse_if_out_of_memory

_REWRITES = (
    remove_mutations,
    take_items_one_by_one,
    cut_from_the_ends,
    expand_without_extents,
    resize_by_factors,
)


def capture(module: nn.Module, example_inputs: tuple[Any, ...]) -> ConvGraph:
    """Capture ``module`` in eval mode; the module itself keeps its mode.

    Args:
        module: takes one tensor N x C x H x W and returns a tensor, or any nesting of tuples,
            lists and dicts of tensors N x C x H x W.
        example_inputs: a tuple with that one tensor; sizes are captured as they are.

    Raises:
        UnsupportedOperator: an operator that the outputs depend on has no bounded receptive
            field, or no rule.
        TracerError: the inputs or outputs do not have the form above, or ``torch.export`` cannot
            capture the module.
    """
    example = _only_picture(example_inputs)
    program = _exported(module, example_inputs)
    named_outputs = _named_outputs(program)
    _check_static(program.graph, list(named_outputs.values()))
    for rewrite in _REWRITES:
        rewrite(program.graph)
    return _GraphBuilder(program).build(named_outputs, example)


def _exported(module: nn.Module, example_inputs: tuple[Any, ...]) -> ExportedProgram:
    try:
        with _eval_mode(module), torch.no_grad():
            return torch.export.export(module, example_inputs)
    except Exception as error:  # torch.export raises almost anything
        refuse_if_out_of_memory(error, "capture the network")
        first_line = str(error).strip().partition("\n")[0] or "no reason given"
        raise TracerError(
            f"torch.export cannot capture the network ({type(error).__name__}: {first_line}); "
            "make its forward run on the example, with no step that depends on the values of the "
            "picture"
        ) from error


def _only_picture(example_inputs: tuple[Any, ...]) -> Tensor:
    is_one_tensor = len(example_inputs) == 1 and isinstance(example_inputs[0], Tensor)
    if not is_one_tensor or example_inputs[0].dim() != 4:
        raise TracerError(
            "the tracer follows one picture; give example_inputs as a tuple of one tensor "
            "N x C x H x W, and other inputs as constants of the module"
        )
    example: Tensor = example_inputs[0]
    return example


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def _named_outputs(program: ExportedProgram) -> dict[str, fx.Node]:
    """Output name -> fx node, by the output's path in what the module returns."""
    out_spec = program.call_spec.out_spec
    assert out_spec is not None
    output_specs = program.graph_signature.output_specs
    returned = [
        value
        for value, spec in zip(program.graph.output_node().args[0], output_specs, strict=True)
        if spec.kind is OutputKind.USER_OUTPUT
    ]
    paths, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(returned, out_spec))
    named: dict[str, fx.Node] = {}
    for path, value in paths:
        name = ".".join(_path_part(key) for key in path) or "output_0"
        if value is None:
            continue
        if not isinstance(value, fx.Node):
            raise TracerError(f"output {name!r} is {value!r}; return tensors only")
        if name in named:
            raise TracerError(f"two outputs are named {name!r}; rename one of them")
        named[name] = value
    if not named:
        raise TracerError("the module returns no tensor; return what you want to trace")
    return named


def _path_part(key: Any) -> str:
    match key:
        case pytree.MappingKey(key=name):
            return str(name)
        case pytree.GetAttrKey(name=name):
            return str(name)
        case pytree.SequenceKey(idx=index):
            return f"output_{index}"
    raise TracerError(f"outputs of this type have no names ({key}); return a dict or a tuple")


def _check_static(graph: fx.Graph, outputs: list[fx.Node]) -> None:
    """Refuse operators that return as many cells as the values of the picture make them."""
    for fx_node in _dependencies(graph, outputs):
        value = fx_node.meta.get("val")
        if isinstance(value, Tensor) and not all(isinstance(size, int) for size in value.shape):
            raise refuse(fx_node, *DATA_DEPENDENT)


class _GraphBuilder:
    """Turns the fx nodes that the outputs depend on into nodes and constants."""

    def __init__(self, program: ExportedProgram) -> None:
        self._fx_graph = program.graph
        self._picture, self._constants = _picture_and_constants(program)
        self._channels_last = resolve_moves(self._fx_graph, self._picture)
        self._nodes: dict[str, Node] = {}

    def build(self, outputs: dict[str, fx.Node], example: Tensor) -> ConvGraph:
        for fx_node in _dependencies(self._fx_graph, list(outputs.values())):
            self._add(fx_node)
        for name, fx_node in outputs.items():
            if fx_node.name not in self._nodes:
                raise TracerError(f"output {name!r} does not depend on the picture; leave it out")
            if fx_node in self._channels_last:
                raise TracerError(f"output {name!r} is N x H x W x C; permute it to N x C x H x W")
        batch, channels, height, width = example.shape
        return ConvGraph(
            nodes=self._nodes,
            input_name=self._picture,
            outputs={name: fx_node.name for name, fx_node in outputs.items()},
            input_shape=(batch, channels, height, width),
            input_dtype=example.dtype,
            fx_graph=self._fx_graph,
            constants=self._constants,
        )

    def _add(self, fx_node: fx.Node) -> None:
        if fx_node.name == self._picture:
            self._nodes[fx_node.name] = self._picture_node(fx_node)
        elif fx_node.op == "call_function":
            if _is_random(fx_node.target):
                raise refuse(fx_node, *RANDOM)
            if any(source.name in self._nodes for source in fx_node.all_input_nodes):
                self._nodes[fx_node.name] = self._operator_node(fx_node)
            else:
                self._constants[fx_node.name] = self._evaluate(fx_node)
        elif fx_node.name not in self._constants:
            raise TracerError(
                f"node {fx_node.name!r} ({fx_node.op}) is neither the picture, a parameter nor "
                "an operator; rewrite what torch.export made of it as plain tensor code"
            )

    def _picture_node(self, fx_node: fx.Node) -> Node:
        _, channels, height, width = fx_node.meta["val"].shape
        return Node(fx_node.name, "input", (), (height, width), channels, 0, "", fx_node, None)

    def _evaluate(self, fx_node: fx.Node) -> Any:
        args, kwargs = fx.map_arg(
            (fx_node.args, fx_node.kwargs), lambda source: self._constants[source.name]
        )
        target = fx_node.target
        assert callable(target)
        with torch.no_grad():
            return target(*args, **kwargs)

    def _operator_node(self, fx_node: fx.Node) -> Node:
        target = fx_node.target
        if not isinstance(target, OpOverload) or rule_of(target) is None:
            raise refuse(fx_node, *why_refused(str(target)))
        return read_node(fx_node, self._call(target, fx_node))

    def _call(self, target: OpOverload, fx_node: fx.Node) -> Call:
        input_count = 0

        def substitute(argument: fx.Node) -> Any:
            nonlocal input_count
            if argument.name not in self._nodes:
                return self._constants[argument.name]
            input_count += 1
            source = self._nodes[argument.name]
            return SpatialInput(input_count - 1, source.name, source.extent)

        args = list(fx_node.args)
        values: dict[str, Any] = {}
        for argument in target._schema.arguments:
            if args and not argument.kwarg_only:
                value: Any = args.pop(0)
            else:
                value = fx_node.kwargs.get(argument.name, argument.default_value)
            values[argument.name] = fx.map_arg(value, substitute)
        channels_last = any(source in self._channels_last for source in fx_node.all_input_nodes)
        return Call(target, values, self._shape(fx_node), channels_last)

    def _shape(self, fx_node: fx.Node) -> tuple[int, ...]:
        """N x C x H x W whatever the layout; something else if it is not a picture."""
        value = fx_node.meta["val"]
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        if fx_node in self._channels_last:
            batch, height, width, channels = shape
            return batch, channels, height, width
        return shape


def _is_random(target: Any) -> bool:
    """Whether the operator draws random numbers whatever its arguments (dropout may not)."""
    return (
        isinstance(target, OpOverload)
        and torch.Tag.nondeterministic_seeded in target.tags
        and rule_of(target) is None
    )


def _picture_and_constants(program: ExportedProgram) -> tuple[str, dict[str, Any]]:
    pictures: list[str] = []
    constants: dict[str, Any] = {}
    for spec in program.graph_signature.input_specs:
        name = spec.arg.name
        if spec.kind is InputKind.USER_INPUT:
            pictures.append(name)
        elif spec.target in program.state_dict:
            constants[name] = program.state_dict[spec.target].detach()
        elif spec.target in program.constants:
            constants[name] = program.constants[spec.target]
    (picture,) = pictures
    return picture, constants


def _dependencies(graph: fx.Graph, outputs: list[fx.Node]) -> list[fx.Node]:
    """The fx nodes that the outputs depend on, in the graph's order."""
    needed: set[fx.Node] = set()
    pending = list(outputs)
    while pending:
        fx_node = pending.pop()
        if fx_node not in needed:
            needed.add(fx_node)
            pending.extend(fx_node.all_input_nodes)
    return [fx_node for fx_node in graph.nodes if fx_node in needed]
