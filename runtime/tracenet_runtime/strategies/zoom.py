"""Two looks; what is looked at again, and when, is the matter of ``ZoomRule``."""

from dataclasses import dataclass, replace

from tracenet_runtime.answer.look import EncodedView, Look, Viewer
from tracenet_runtime.graph.schedule import Choice, Schedule
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.strategies.rules import ZoomRule
from tracenet_runtime.timing import Timings

ZOOM = "zoom"
"""The name by which a bundle's zoom is asked for, and that its results have for a schedule."""


@dataclass(frozen=True)
class Zoom:
    """A look by ``first`` at the whole photo, then one by ``tile`` where the rule says so."""

    first: Schedule
    tile: Schedule
    rule: ZoomRule

    @property
    def name(self) -> str:
        """By which users ask for it."""
        return ZOOM

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """What may run."""
        return (self.first,) if self.tile == self.first else (self.first, self.tile)

    def choices(self, photo: Size) -> tuple[Choice, ...]:
        """The schedules and canvases that may look at a photo of this height and width."""
        return Choice.own(self.first), Choice.own(self.tile)

    def look(self, viewer: Viewer, photo: Photo, at: tuple[float, float], timings: Timings) -> Look:
        """What is at the photo pixel ``at`` (x, y); nothing is kept for another look."""
        whole = viewer.look(Choice.own(self.first), photo, at, timings)
        return self.look_closer(viewer, photo, whole, at, timings)

    def open(self, viewer: Viewer, photo: Photo, timings: Timings) -> "ZoomView":
        """Run what all first looks at a photo share; the photo is kept for the closer ones."""
        return ZoomView(self, viewer, photo, viewer.encode(Choice.own(self.first), photo, timings))

    def look_closer(
        self, viewer: Viewer, photo: Photo, whole: Look, at: tuple[float, float], timings: Timings
    ) -> Look:
        """The look that answers, after a first one at the whole photo."""
        tile = self.rule.choose_tile(self.tile.canvas, whole.placement, at, whole.box)
        if tile is None:
            return replace(whole, schedule=ZOOM)
        near = viewer.look(Choice.own(self.tile), photo, at, timings, tile)
        answering = near if near.score >= self.rule.trust * whole.score else whole
        return replace(answering, schedule=ZOOM, macs=whole.macs + near.macs, closer=tile)


@dataclass(frozen=True)
class ZoomView:
    """A photo that is encoded for first looks."""

    zoom: Zoom
    viewer: Viewer
    photo: Photo
    whole: EncodedView

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take; the photo does not count."""
        return self.whole.nbytes

    def look(self, at: tuple[float, float], timings: Timings) -> Look:
        """What is at the photo pixel ``at`` (x, y)."""
        whole = self.whole.look(at, timings)
        return self.zoom.look_closer(self.viewer, self.photo, whole, at, timings)
