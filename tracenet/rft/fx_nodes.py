"""What the tracer reads from, and says about, a node of the captured fx graph."""

from __future__ import annotations

from torch import fx

from tracenet.rft.errors import UnsupportedOperator
from tracenet.rft.graph import Edge, Node, Operation
from tracenet.rft.operators import rule_of
from tracenet.rft.operators.call import Call, Refusal
from tracenet.rft.operators.refused import CHANNELS_LAST


def module_path(fx_node: fx.Node) -> str:
    """Dotted path of the module that called the node's operator, ``""`` if unknown."""
    stack = fx_node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]) if paths else ""


def refuse(fx_node: fx.Node, reason: str, remedy: str) -> UnsupportedOperator:
    """The error for a node, to be raised."""
    return UnsupportedOperator(
        fx_node.name, str(fx_node.target), module_path(fx_node), reason, remedy
    )


def read_node(fx_node: fx.Node, call: Call) -> Node:
    """What the operator's rule says of its call.

    Raises:
        UnsupportedOperator: this use of the operator has no bounded receptive field.
    """
    read_rule = rule_of(call.operator, call.channels_last)
    try:
        if read_rule is None:
            raise Refusal(*CHANNELS_LAST)
        rule = read_rule(call)
    except Refusal as refusal:
        raise refuse(fx_node, refusal.reason, refusal.remedy) from None
    if len(call.shape) != 4 or 0 in call.shape:
        raise refuse(
            fx_node,
            f"it returns a tensor of shape {call.shape}",
            "Keep N x C x H x W throughout, none of them 0 (keepdim=True in reductions).",
        )
    return Node(
        name=fx_node.name,
        operator=str(call.operator),
        edges=tuple(Edge(spatial.node, rule.y, rule.x) for spatial in call.inputs),
        extent=call.extent,
        channels=call.channels,
        macs_per_cell=rule.macs_per_cell,
        module_path=module_path(fx_node),
        fx_node=fx_node,
        operation=Operation(call, rule.kernel),
    )
