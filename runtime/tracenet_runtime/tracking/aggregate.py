"""Several things in one frame."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

LEAST = 1e-6
"""No probability is nearer to 0 or 1, so that odds are finite."""


def aggregated(probabilities: FloatArray) -> FloatArray:
    """Soft aggregation: K masks that share the cells, each in proportion to its odds.

    As in STM (arXiv 1904.00607, section 3.5), but that background has the odds of 1, as if none of
    the things were there: one mask alone stays what it was, where STM's would become sharper.

    Args:
        probabilities: float32 K x h x w, each by itself.

    Returns:
        float32 K x h x w, whose sum is at most 1 everywhere.
    """
    clipped = probabilities.clip(LEAST, 1 - LEAST).astype(np.float64)
    odds = clipped / (1 - clipped)
    shared: FloatArray = (odds / (1 + odds.sum(0))).astype(np.float32)
    return shared
