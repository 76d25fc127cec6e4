"""The planner: crop points, windows of fixed size, and where they start for every key cell."""

from tracenet_export.plan.check import check_plan
from tracenet_export.plan.closed_form import (
    ENCODE,
    QUERY,
    ClosedForm,
    Row,
    Setting,
    find_closed_form,
    on_canvas,
)
from tracenet_export.plan.partition import CropPoint
from tracenet_export.plan.piece import (
    PlacedPiece,
    Spans,
    computed_by,
    make_piece,
    place,
    place_whole,
)
from tracenet_export.plan.plan import Plan, Wanted
from tracenet_export.plan.planner import make_plan

__all__ = [
    "ENCODE",
    "QUERY",
    "ClosedForm",
    "CropPoint",
    "PlacedPiece",
    "Plan",
    "Row",
    "Setting",
    "Spans",
    "Wanted",
    "check_plan",
    "computed_by",
    "find_closed_form",
    "make_piece",
    "make_plan",
    "on_canvas",
    "place",
    "place_whole",
]
