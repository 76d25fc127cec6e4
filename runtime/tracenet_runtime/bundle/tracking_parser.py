"""Reads what manifest.json says of clips."""

from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.tracking.records import TRACKING_DESCRIBED, TRACKING_MEMORY, Tracking
from tracenet_runtime.tracking.tile import FollowRule


def parse_tracking(tracking: JsonValue) -> Tracking:
    """Programs and rule; ``BundleError`` for a memory or tiles that are not this reader's."""
    tracking["described"].must_have(TRACKING_DESCRIBED)
    tracking["memory_bytes"].must_have(TRACKING_MEMORY)
    programs, rule = tracking["programs"], tracking["rule"]
    return Tracking(
        frame=programs["frame"].text(),
        value=programs["value"].text(),
        decode=programs["decode"].text(),
        fuse=programs["fuse"].text(),
        rule=FollowRule(
            _within(rule["fill"], 0.01, 1),
            _within(rule["enlarge"], 0.01, 256),
            rule["lost"].share(),
            rule["sure"].share(),
        ),
    )


def _within(value: JsonValue, low: float, high: float) -> float:
    """Beyond these, a tile would have no side that can be reckoned with."""
    number = value.number()
    if not low <= number <= high:
        value.refuse(f"must be from {low} to {high}")
    return number
