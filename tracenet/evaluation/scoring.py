"""What a protocol of evaluation is: how a photo is scored, and what becomes of all the scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tracenet.data import Problems
from tracenet.evaluation.scores import PhotoScore, Score

Example = TypeVar("Example")
ExampleGiven = TypeVar("ExampleGiven", covariant=True)
ExampleTaken = TypeVar("ExampleTaken", contravariant=True)
"""Annotated photos, or clips."""


class Examples(Protocol[ExampleGiven]):
    """What is scored, by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ExampleGiven: ...

    @property
    def problems(self) -> Problems:
        """What was found wrong with the annotations, known from the start."""
        ...


class Scoring(Protocol[Score, ExampleTaken]):
    """A model and a protocol by which it is scored."""

    @property
    def kind(self) -> type[Score]:
        """Of the scores of instances."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """With those of model and photos equal exactly when the scores must be; JSON-ready."""
        ...

    @property
    def nothing_to_score(self) -> str:
        """What is said where photos have no instance that is scored."""
        ...

    def score(self, index: int, example: ExampleTaken) -> PhotoScore[Score]:
        """The scores of the photo or clip at ``index``."""
        ...

    def summarise(self, scores: Sequence[PhotoScore[Score]]) -> dict[str, Any]:
        """The figures of at least one instance, as docs/evaluation.md has them; JSON-ready."""
        ...

    def about(self, scores: Sequence[PhotoScore[Score]]) -> dict[str, Any]:
        """What a reader of the results wants to know beside the settings; JSON-ready."""
        ...

    def table(self, results: Mapping[str, Any]) -> str:
        """The results in Markdown."""
        ...

    @property
    def answers_file(self) -> str:
        """The name of the file of `answers`."""
        ...

    def answers(self, scores: Sequence[PhotoScore[Score]]) -> Iterator[str]:
        """A line of JSON for every answer."""
        ...

    def write_pictures(
        self, folder: Path, scores: Sequence[PhotoScore[Score]], examples: Examples[Any]
    ) -> None:
        """Pictures of answers, into the folder of the evaluation."""
        ...
