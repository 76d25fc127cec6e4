"""What the tracer reads from, and says about, a node of the captured fx graph."""

from __future__ import annotations

from torch import fx

from tracenet.rft.errors import UnsupportedOperator


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
