"""The planner: crop points, windows of fixed size, and where they start for every key cell."""

from tracenet_export.plan.check import check_plan
from tracenet_export.plan.closed_form import (
    ClosedForm,
    Setting,
    find_closed_form,
    on_canvas,
)
from tracenet_export.plan.halo import kept_regions
from tracenet_export.plan.partition import ONNX_RUNTIME, CostModel, CropPoint
from tracenet_export.plan.piece import (
    PlacedPiece,
    Spans,
    add_spans,
    computed_by,
    make_piece,
    place,
    place_whole,
)
from tracenet_export.plan.plan import ENCODE, QUERY, Plan, Wanted
from tracenet_export.plan.planner import make_plan

__all__ = [
    "ENCODE",
    "ONNX_RUNTIME",
    "QUERY",
    "ClosedForm",
    "CostModel",
    "CropPoint",
    "PlacedPiece",
    "Plan",
    "Setting",
    "Spans",
    "Wanted",
    "add_spans",
    "check_plan",
    "computed_by",
    "find_closed_form",
    "kept_regions",
    "make_piece",
    "make_plan",
    "on_canvas",
    "place",
    "place_whole",
]
