"""Plans a network as fixed-size crop tiles and writes bundles. Needs torch.

>>> import tracenet_export
>>> report = tracenet_export.export("out/bundle", target="onnx")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracenet_export.exporting import export

__all__ = ["export"]


def __getattr__(name: str) -> Any:
    """``export``, when it is first asked for: torch takes seconds to import."""
    if name != "export":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tracenet_export.exporting import export

    return export
