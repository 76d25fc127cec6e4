"""What a training loop asks of that which it trains for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tracenet.model import TraceNet


class Batch(Protocol):
    """What one step learns from.

    Attributes:
        image: uint8 N x 3 x S x S, RGB; speed is told in these images.
    """

    @property
    def image(self) -> Tensor: ...  # noqa: D102 - above

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        ...


B = TypeVar("B", bound=Batch)


class TrainingTask(Protocol[B]):
    """What is learnt: examples, what is minimised, and how well it went."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the batches depend on beside the seed, JSON-ready; a run that resumes must have the
        same.
        """
        ...

    def dataset(self, seed: int, process: int, processes: int) -> Dataset[B]:
        """The batches by step, a function of seed, step and process alone.

        Args:
            seed: of everything random.
            process, processes: the index of the process that asks and the number of them; each has
                its own batches.
        """
        ...

    def loss(self, network: TraceNet, batch: B) -> dict[str, Tensor]:
        """Scalars by name; ``total`` is minimised, the others are told."""
        ...

    def metrics(self, network: TraceNet) -> dict[str, float]:
        """How well a network, in eval mode, does on what it does not train on."""
        ...
