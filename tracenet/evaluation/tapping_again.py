"""Networks that answer single taps, asked as if they could be corrected."""

from __future__ import annotations

import numpy as np

from tracenet.evaluation.answers import ClickAnswer, ClickSession, Photo, PhotoAnswers, TapModel


class TappingAgain:
    """Every positive click is a new tap, whose mask takes the place of the last one.

    Negative clicks change nothing: a tap cannot say what is not meant.
    """

    def __init__(self, model: TapModel) -> None:
        self._model = model

    def open(self, photo: Photo, name: str) -> ClickSession:
        """See :class:`~tracenet.evaluation.answers.ClickModel`."""
        return _Session(self._model.open(photo, name), (photo.shape[0], photo.shape[1]))


class _Session:
    def __init__(self, answers: PhotoAnswers, shape: tuple[int, int]) -> None:
        self.computed = f"{answers.computed}, tapping again"
        self._answers, self._shape = answers, shape
        self.clear()

    def click(self, x: int, y: int, positive: bool) -> ClickAnswer:
        if positive:
            (self._mask,) = self._answers.chosen_level([(x, y)])
        return ClickAnswer(self._mask, None)

    def clear(self) -> None:
        self._mask = np.zeros(self._shape, np.bool_)
