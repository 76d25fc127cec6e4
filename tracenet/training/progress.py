"""How far a run is, and what it says of itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

_KEPT = 0.98
"""Of a running mean, per step."""


class Progress:
    """Steps done, running means of the losses, and the scores that came last.

    Attributes:
        step: optimiser steps done.
        losses: running means by name.
        metrics: what the task scored last.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.losses: dict[str, float] = {}
        self.metrics: dict[str, float] = {}
        self._images, self._began = 0, time.perf_counter()

    def learnt(self, losses: Mapping[str, Tensor]) -> None:
        """Take in what a step says, before it is known to be sound."""
        for name, loss in losses.items():
            value = float(loss.detach())
            self.losses[name] = self.losses.get(name, value) * _KEPT + value * (1 - _KEPT)

    @property
    def diverged(self) -> bool:
        """A loss was not finite."""
        return not math.isfinite(self.losses["total"])

    def step_done(self, images: int) -> None:
        """Count a step of so many images, over all processes."""
        self.step += 1
        self._images += images

    def score(self, metrics: Callable[[], dict[str, float]]) -> None:
        """Let the task score; the time that it takes is none of training's."""
        began = time.perf_counter()
        self.metrics = metrics()
        self._began += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        """Of training, in this call."""
        return time.perf_counter() - self._began

    @property
    def images_per_second(self) -> float:
        """Of this call."""
        return self._images / max(self.seconds, 1e-9)

    def shown(self) -> dict[str, str]:
        """For the progress bar."""
        values = {name: f"{value:.3f}" for name, value in (self.losses | self.metrics).items()}
        return values | {"img/s": f"{self.images_per_second:.1f}"}

    def record(self) -> dict[str, float]:
        """For the log, when the run is saved."""
        losses = {name: round(value, 4) for name, value in self.losses.items()}
        return {"step": self.step, "images_per_second": round(self.images_per_second, 2)} | losses

    def summary(self) -> dict[str, Any]:
        """For the end of the run."""
        return {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "images_per_second": round(self.images_per_second, 2),
            "losses": {name: round(value, 4) for name, value in self.losses.items()},
        }
