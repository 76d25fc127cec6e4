"""Bundles with a guided look: every click is a gesture of one session."""

from __future__ import annotations

from tracenet.evaluation.answers import ClickAnswer, ClickSession, Photo
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.session import PhotoSession
from tracenet_runtime.strategies.step import GUIDED


class Correcting:
    """Clicks are taps of a ``PhotoSession``, as users make them; what they disobey is told."""

    def __init__(self, segmenter: TapSegmenter) -> None:
        self._segmenter = segmenter

    def open(self, photo: Photo, name: str) -> ClickSession:
        """See :class:`~tracenet.evaluation.answers.ClickModel`."""
        return _Session(self._segmenter.open(photo))


class _Session:
    computed = GUIDED

    def __init__(self, session: PhotoSession) -> None:
        self._session = session

    def click(self, x: int, y: int, positive: bool) -> ClickAnswer:
        result = self._session.tap((x, y), positive=positive)
        return ClickAnswer(result.mask, result.obeyed)

    def clear(self) -> None:
        self._session.clear()
