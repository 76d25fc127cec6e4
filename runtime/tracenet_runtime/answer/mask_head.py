"""The mask head: the call of a window phase that takes the vectors."""

from collections.abc import Sequence

import numpy as np

from tracenet_runtime.answer.levels import LevelAnswer
from tracenet_runtime.contract import FILTER, INVERSE_SIZE, OFFSET
from tracenet_runtime.graph.executor import Vectors
from tracenet_runtime.graph.schedule import Phase, ProgramCall


def mask_head(phase: Phase) -> ProgramCall:
    """The only call of a window phase that takes vectors."""
    (head,) = (call for call in phase.program_calls if call.vectors)
    return head


def head_vectors(
    answer: LevelAnswer, tap: tuple[int, int], start: Sequence[int], feature_stride: int
) -> Vectors:
    """What the mask head takes besides features, for the mask of a level.

    ``tap`` is a canvas pixel (x, y), ``start`` the cell (y, x) at which the window of features
    begins, of ``feature_stride`` canvas pixels.
    """
    y, x = ((cell + 0.5) * feature_stride for cell in start)
    offset = [x - (tap[0] + 0.5), y - (tap[1] + 0.5)]
    return {
        FILTER: answer.filter,
        OFFSET: np.array(offset).reshape(1, 2, 1, 1),
        INVERSE_SIZE: np.full((1, 1, 1, 1), 1.0 / answer.level.size_of_interest),
    }
