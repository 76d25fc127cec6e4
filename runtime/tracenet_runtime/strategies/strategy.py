"""What every strategy offers.

Adding one: its rule, a module beside this one, a kind to parse, and a line in ``bundle/choice.py``.
"""

from typing import Protocol

from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.graph.schedule import Choice, Schedule
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.timing import Timings


class Answer(Protocol):
    """A tap that is answered; its mask is not computed yet."""

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of the levels asked, finest first."""
        ...

    @property
    def level(self) -> str:
        """The name of the level that answers."""
        ...

    def result(self, timings: Timings, level: str | None = None) -> TapResult:
        """As ``Look.result``."""
        ...


class View(Protocol):
    """A photo that was opened for many taps."""

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take; the photo does not count."""
        ...

    def look(self, at: tuple[float, float], timings: Timings) -> Answer:
        """What answers a tap at the photo pixel ``at`` (x, y).

        Raises ``TapOutsidePhoto`` for a tap that is not on the photo, ``BundleError`` for an answer
        that is not finite.
        """
        ...


class Strategy(Protocol):
    """What a tap does with schedules."""

    @property
    def name(self) -> str | None:
        """By which users ask for it; None where they name a schedule instead."""
        ...

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """What may run, each once."""
        ...

    def choices(self, photo: Size) -> tuple[Choice, ...]:
        """Which schedules may look at a photo of this height and width, the first one first."""
        ...

    def look(
        self, viewer: Viewer, photo: Photo, at: tuple[float, float], timings: Timings
    ) -> Answer:
        """As ``View.look``, of a photo of which nothing is kept for another look."""
        ...

    def open(self, viewer: Viewer, photo: Photo, timings: Timings) -> View:
        """Run once what all looks at a photo share."""
        ...
