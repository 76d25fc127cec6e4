"""What the tracer refuses, and why."""

from tracenet_runtime.errors import TraceNetError


class TracerError(TraceNetError):
    """A network cannot be traced, or not as asked; the message ends with the remedy."""


class UnsupportedOperator(TracerError):  # noqa: N818 - the public name says what happened
    """An operator of the captured graph has no bounded receptive field, or no rule.

    Attributes:
        node: name of the node in the captured graph.
        operator: the ATen operator, such as ``aten.group_norm.default``.
        module_path: dotted path of the module that called it, ``""`` if unknown.
        reason: why it is refused.
    """

    def __init__(
        self, node: str, operator: str, module_path: str, reason: str, remedy: str
    ) -> None:
        where = f"node {node!r} ({operator}" + (f", in {module_path})" if module_path else ")")
        super().__init__(f"{where} cannot be traced: {reason}. {remedy}")
        self.node = node
        self.operator = operator
        self.module_path = module_path
        self.reason = reason


class RegionError(TracerError):
    """A wanted rectangle is empty, leaves its output's extent, or names no output."""


class ImageError(TracerError):
    """A tensor does not have the form that the graph was captured with."""
