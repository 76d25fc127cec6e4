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
    "Keep N x C x H x W from input to output; a permute to N x H x W x C and back, and a shuffle "
    "of channels, may lie between.",
)
CUT = (
    "it joins or cuts along another axis than the channels",
    "Keep to dim=1; rows and columns may be sliced, but not joined or selected one by one.",
)
AXES = (
    "it takes an axis away or adds one, and only N x C x H x W is traced",
    "Slice instead of selecting (x[:, 1:2], not x[:, 1]), and join by torch.cat along dim=1.",
)
CARRIED_ALONG = (
    "it carries values along rows or columns, so a cell can read any other",
    "Use it along the channels only (dim=1).",
)
ORDERED = (
    "it puts values in order, so each can come from anywhere along the axis, and there is no rule "
    "for it along the channels either",
    "For the largest or smallest channel use amax or amin (dim=1, keepdim=True); sort all of them "
    "after the traced part.",
)
DATA_DEPENDENT = (
    "where or how much it reads depends on the values of the picture",
    "Compute a mask of the picture's size instead (torch.where, or multiplication by 0 and 1), "
    "and select after the traced part.",
)
RANDOM = (
    "it draws random numbers, so no two runs are equal",
    "Let it follow module.eval(), or draw once when the module is made.",
)
CHANNELS_LAST = (
    "it works on N x H x W x C, where only operators along the channels and value by value are "
    "traced",
    "Permute back to N x C x H x W before it.",
)
SEVERAL_RESULTS = (
    "it returns several tensors at once",
    "Use the operators that return one of them, with keepdim=True (amax, argmax, std, mean).",
)
MIXED_LAYOUTS = (
    "it takes N x C x H x W and N x H x W x C at once, so rows and columns meet channels",
    "Permute its inputs to the same layout.",
)

# These hold whatever the axis: for what is traced along the channels, its row refuses the rest.
_REASONS = {
    "aten.group_norm": STATISTICS,
    "aten.rms_norm": STATISTICS,
    "aten.native_group_norm": STATISTICS,
    "aten.native_layer_norm": STATISTICS,
    "aten.adaptive_avg_pool2d": GLOBAL_POOLING,
    "aten.adaptive_max_pool2d": GLOBAL_POOLING,
    "aten.amax": GLOBAL_POOLING,
    "aten.amin": GLOBAL_POOLING,
    "aten.max": GLOBAL_POOLING,
    "aten.mean": GLOBAL_POOLING,
    "aten.min": GLOBAL_POOLING,
    "aten.prod": GLOBAL_POOLING,
    "aten.std": GLOBAL_POOLING,
    "aten.sum": GLOBAL_POOLING,
    "aten.var": GLOBAL_POOLING,
    "aten.max.dim": SEVERAL_RESULTS,
    "aten.min.dim": SEVERAL_RESULTS,
    "aten.std_mean": SEVERAL_RESULTS,
    "aten.var_mean": SEVERAL_RESULTS,
    "aten.scaled_dot_product_attention": ATTENTION,
    "aten.matmul": ATTENTION,
    "aten.bmm": ATTENTION,
    "aten.mm": ATTENTION,
    "aten.einsum": ATTENTION,
    "aten.flatten": RESHAPE,
    "aten.im2col": RESHAPE,
    "aten.moveaxis": RESHAPE,
    "aten.movedim": RESHAPE,
    "aten.permute": RESHAPE,
    "aten.reshape": RESHAPE,
    "aten.transpose": RESHAPE,
    "aten.unflatten": RESHAPE,
    "aten.unsqueeze": RESHAPE,
    "aten.squeeze": RESHAPE,
    "aten.swapaxes": RESHAPE,
    "aten.swapdims": RESHAPE,
    "aten.view": RESHAPE,
    "aten.chunk": CUT,
    "aten.select": AXES,
    "aten.stack": AXES,
    "aten.split": CUT,
    "aten.split_with_sizes": CUT,
    "aten.tensor_split": CUT,
    "aten.unbind": AXES,
    "aten.argsort": ORDERED,
    "aten.kthvalue": ORDERED,
    "aten.median": ORDERED,
    "aten.msort": ORDERED,
    "aten.sort": ORDERED,
    "aten.topk": ORDERED,
    "aten.gather": DATA_DEPENDENT,
    "aten.grid_sampler": DATA_DEPENDENT,
    "aten.item": DATA_DEPENDENT,
    "aten.masked_scatter": DATA_DEPENDENT,
    "aten.masked_select": DATA_DEPENDENT,
    "aten.max_unpool2d": DATA_DEPENDENT,
    "aten.nonzero": DATA_DEPENDENT,
    "aten.take": DATA_DEPENDENT,
}


def why_refused(operator: str) -> tuple[str, str]:
    """Reason and remedy for an operator without a rule, given as ``aten.name.overload``."""
    packet = operator.rpartition(".")[0]
    no_rule = ("it has no receptive-field rule, and is not taken for the identity", GENERIC_REMEDY)
    return _REASONS.get(operator) or _REASONS.get(packet, no_rule)
