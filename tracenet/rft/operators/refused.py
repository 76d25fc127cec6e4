"""Why well-known operators have no row in the table: the reason, and what to do instead."""

from __future__ import annotations

from tracenet.rft.operators.call import GENERIC_REMEDY

STATISTICS = (
    "it normalises by statistics of the whole picture, so every output cell depends on all of it",
    "Use BatchNorm2d, whose statistics are fixed after training.",
)
GLOBAL_POOLING = (
    "it pools the whole picture (as global pooling and squeeze-and-excitation do), so its "
    "receptive field has no bound",
    "Drop the branch, or pool with a fixed kernel (avg_pool2d, max_pool2d).",
)
ATTENTION = (
    "it lets every position read every other (attention and matrix products over space), so its "
    "receptive field has no bound",
    "Use convolutions; 1x1 ones for a product over channels.",
)
RESHAPE = (
    "it gives up the rows and columns of N x C x H x W (as attention and fully connected layers "
    "do), so what follows can read the whole picture",
    "Keep N x C x H x W from input to output.",
)
CUT = (
    "it joins or cuts along another axis than the channels",
    "Keep to dim=1 (cat, chunk, split, slice), and crop rows and columns after the traced part.",
)

_REASONS = {
    "aten.group_norm": STATISTICS,
    "aten.instance_norm": STATISTICS,
    "aten.layer_norm": STATISTICS,
    "aten.rms_norm": STATISTICS,
    "aten.native_group_norm": STATISTICS,
    "aten.native_layer_norm": STATISTICS,
    "aten.adaptive_avg_pool2d": GLOBAL_POOLING,
    "aten.adaptive_max_pool2d": GLOBAL_POOLING,
    "aten.mean": GLOBAL_POOLING,
    "aten.sum": GLOBAL_POOLING,
    "aten.amax": GLOBAL_POOLING,
    "aten.std": GLOBAL_POOLING,
    "aten.var": GLOBAL_POOLING,
    "aten.scaled_dot_product_attention": ATTENTION,
    "aten.matmul": ATTENTION,
    "aten.bmm": ATTENTION,
    "aten.mm": ATTENTION,
    "aten.einsum": ATTENTION,
    "aten.linear": ATTENTION,
    "aten.flatten": RESHAPE,
    "aten.permute": RESHAPE,
    "aten.reshape": RESHAPE,
    "aten.transpose": RESHAPE,
    "aten.unsqueeze": RESHAPE,
    "aten.squeeze": RESHAPE,
    "aten.view": RESHAPE,
    "aten.chunk": CUT,
    "aten.select": CUT,
    "aten.narrow": CUT,
    "aten.stack": CUT,
    "aten.split": CUT,
    "aten.split_with_sizes": CUT,
}


def why_refused(operator: str) -> tuple[str, str]:
    """Reason and remedy for an operator without a rule, given as ``aten.name.overload``."""
    packet = operator.rpartition(".")[0]
    no_rule = ("it has no receptive-field rule, and is not taken for the identity", GENERIC_REMEDY)
    return _REASONS.get(packet, no_rule)
