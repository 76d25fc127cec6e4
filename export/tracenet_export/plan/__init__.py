"""The planner: crop points, windows of fixed size, and where they start for every key cell."""

from tracenet_export.plan.piece import PlacedPiece, Spans, make_piece
from tracenet_export.plan.planner import Plan, Wanted, check_plan, make_plan

__all__ = ["PlacedPiece", "Plan", "Spans", "Wanted", "check_plan", "make_piece", "make_plan"]
