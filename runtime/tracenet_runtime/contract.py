"""Names and numbers that exporter and runtime agree on, besides what a manifest says."""

IMAGE = "image"
"""The external input that is the canvas, and the array that it becomes."""

FILTER, OFFSET, INVERSE_SIZE = "filter", "offset", "inverse_size"
"""The external vectors that a mask head takes."""

VECTORS = {FILTER: 169, OFFSET: 2, INVERSE_SIZE: 1}
"""Their numbers of channels."""

PROBABILITY_STRIDE = 2
"""Canvas pixels per cell of a mask's probabilities, on both axes."""

MAX_SIDE = 16384
"""Pixels; no side of a canvas, and of no tensor, may be longer."""

GUIDE = "guide"
"""The external input that tells a guided look of the gestures and of the mask so far."""

GUIDE_STRIDE = 4
"""Canvas pixels per cell of its planes, and of the mask that a guided look gives."""

GUIDE_PLANES = (
    "positive",
    "negative",
    "box",
    "prior",
    "own_positive",
    "own_negative",
    "newest",
    "right",
    "down",
)
"""Its channels, in their order."""
