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
