"""What can go wrong in planning and exporting."""

from __future__ import annotations

from tracenet_runtime.errors import TraceNetError


class ExportError(TraceNetError):
    """An export cannot start, or failed."""


class PlanError(ExportError):
    """A graph cannot be served exactly by windows of a fixed size."""


class ParityError(ExportError):
    """A program or the replay differs from PyTorch by more than its tolerance."""
