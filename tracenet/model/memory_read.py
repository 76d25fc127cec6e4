"""The memory's read as training needs it: batched and differentiable."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tracenet_runtime.tracking.contract import TOP_K


def read_memory(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What :meth:`tracenet_runtime.tracking.memory.Memory.read` says, of N memories at once.

    Args:
        query: N x KEY_CHANNELS x h x w.
        keys: N x KEY_CHANNELS x M.
        values: N x C x M.

    Returns:
        N x C x h x w.
    """
    height, width = query.shape[2:]
    # Differences of squares: bf16's 8 bits would not tell neighbouring cells apart.
    with torch.autocast(query.device.type, enabled=False):
        keys, flat = keys.float(), query.float().flatten(2)
        similarity = 2 * flat.transpose(1, 2) @ keys - keys.square().sum(1, keepdim=True)
        top, cells = (similarity / math.sqrt(keys.shape[1])).topk(min(TOP_K, keys.shape[2]))
        weights = torch.zeros_like(similarity).scatter(2, cells, top.softmax(2))
    read: Tensor = values @ weights.transpose(1, 2).to(values.dtype)
    return read.view(*read.shape[:2], height, width)
