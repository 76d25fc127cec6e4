"""One look at the whole photo, on a canvas that suits it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tracenet_runtime.answer.look import EncodedView, Look, Viewer
from tracenet_runtime.graph.schedule import Choice, Schedule
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.timing import Timings


@dataclass(frozen=True)
class Single:
    """One look by one of ``schedules``, which have different canvases, chosen for each photo.

    With a ``canvas`` (height, width) there is one, which serves it.
    """

    schedules: tuple[Schedule, ...]
    canvas: Size | None = None

    @property
    def name(self) -> str | None:
        """By which users ask for it, where it is not a schedule's."""
        return None

    def choices(self, photo: Size) -> tuple[Choice, ...]:
        """The schedule and the canvas that look at a photo of this height and width."""
        if self.canvas is not None:
            return (Choice(self.schedules[0], *self.canvas),)
        return (choose(self.schedules, photo),)

    def look(self, viewer: Viewer, photo: Photo, at: tuple[float, float], timings: Timings) -> Look:
        """What is at the photo pixel ``at`` (x, y); nothing is kept for another look."""
        (choice,) = self.choices(photo.shape[:2])
        return viewer.look(choice, photo, at, timings)

    def open(self, viewer: Viewer, photo: Photo, timings: Timings) -> EncodedView:
        """Run what all looks at a photo share."""
        (choice,) = self.choices(photo.shape[:2])
        return viewer.encode(choice, photo, timings)


def choose(schedules: Sequence[Schedule], photo: Size) -> Choice:
    """The schedule and the canvas for a photo of this height and width.

    The canvas on which the photo is largest without being enlarged, or if it is enlarged on all of
    them, on which it is smallest; of equal ones the first.
    """

    def size(choice: Choice) -> float:
        """Canvas pixels per photo pixel; sides are too small for two ratios to round to one."""
        return min(choice.height / photo[0], choice.width / photo[1])

    candidates = [max(_upright_and_turned(schedule), key=size) for schedule in schedules]
    return max(candidates, key=lambda v: (1, size(v)) if size(v) <= 1 else (0, -size(v)))


def first_of_each_canvas(schedules: Iterable[Schedule]) -> tuple[Schedule, ...]:
    """Those that may be chosen where no canvas is named."""
    first: dict[Size, Schedule] = {}
    for schedule in schedules:
        first.setdefault(schedule.canvas, schedule)
    return tuple(first.values())


def _upright_and_turned(schedule: Schedule) -> Iterator[Choice]:
    height, width = schedule.canvas
    yield Choice(schedule, height, width)
    if schedule.serves_canvas(width, height):
        yield Choice(schedule, width, height)
