"""The engine that this package adds to the runtime's (an entry point in pyproject.toml)."""

from __future__ import annotations

from tracenet_runtime.engines import EngineRow

COREML_REFERENCE = EngineRow(
    "coreml,export",
    ("coremltools", "torch"),
    "tracenet_export.targets.coreml_reference",
    "coreml",
)
"""Works Core ML programs through in PyTorch, on any system; slow, and not Core ML."""
