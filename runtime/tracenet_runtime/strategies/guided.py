"""The zoom's answer, corrected on the tile: by the tap itself, then by whatever gestures follow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.correction import Passes, Run, guide_cells
from tracenet_runtime.answer.look import EncodedView, Look, Viewer
from tracenet_runtime.answer.marks import FloatArray, Mark, Stroke
from tracenet_runtime.answer.mask_state import Layer, MaskState
from tracenet_runtime.answer.prompt import (
    Bounds,
    Gesture,
    Tap,
    check_gesture,
    check_mask,
    mark_of,
    tapped,
)
from tracenet_runtime.answer.result import GIVEN, TapResult
from tracenet_runtime.contract import GUIDE_STRIDE
from tracenet_runtime.errors import GestureError
from tracenet_runtime.graph.schedule import Choice, Schedule
from tracenet_runtime.image.geometry import Box, PlacedTile, Size, Tile, united
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.strategies.rules import GuidedRule
from tracenet_runtime.strategies.step import GUIDED, Step
from tracenet_runtime.timing import Timings, timed

CORRECTION = "correction"
"""The name that results have for the window of a mask that was corrected."""

MOST_MOVES = 2
"""How often the tile may move after a gesture because the mask spills over its sides or has become
small on it."""


@dataclass(frozen=True)
class Guided:
    """A look by ``first`` at the whole photo; looks and corrections by ``tile``."""

    first: Schedule
    tile: Schedule
    rule: GuidedRule

    @property
    def name(self) -> str:
        """By which users ask for it."""
        return GUIDED

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """What may run."""
        return self.first, self.tile

    def choices(self, photo: Size) -> tuple[Choice, ...]:
        """The schedules and canvases that may look at a photo of this height and width."""
        return Choice.own(self.first), Choice.own(self.tile)

    def look(
        self, viewer: Viewer, photo: Photo, at: tuple[float, float], timings: Timings
    ) -> "FirstGesture":
        """What is at the photo pixel ``at`` (x, y); nothing is kept for another look."""
        run = Run(timings)
        with run.stage("tap") as inner:
            whole = viewer.look(Choice.own(self.first), photo, at, inner)
        return GuidedView(self.tile, self.rule, viewer, photo, None).look_closer(
            whole, Tap(at), run
        )

    def open(self, viewer: Viewer, photo: Photo, timings: Timings) -> "GuidedView":
        """Run what all first looks at a photo share; the photo is kept for its tiles."""
        whole = viewer.encode(Choice.own(self.first), photo, timings)
        return GuidedView(self.tile, self.rule, viewer, photo, whole)


@dataclass(frozen=True)
class FirstGesture:
    """A first gesture that TraceNet has looked at; its mask is not computed yet.

    ``near`` is the look at a tile, which is ``encoded``, and ``answering`` that or the one at the
    whole photo. ``macs`` are the multiply-adds so far.
    """

    view: "GuidedView"
    gesture: Gesture
    encoded: EncodedView
    near: Look
    answering: Look
    macs: int

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of the levels asked, finest first."""
        return self.answering.levels

    @property
    def level(self) -> str:
        """The name of the level that answers."""
        return self.answering.level

    def result(self, timings: Timings, level: str | None = None) -> TapResult:
        """As ``Look.result``, corrected."""
        return self.view.begin(self, timings, level).result()


class GuidedView:
    """A photo that is encoded for first looks, and the one tile of it that is corrected."""

    def __init__(
        self,
        tile: Schedule,
        rule: GuidedRule,
        viewer: Viewer,
        photo: Photo,
        whole: EncodedView | None,
    ) -> None:
        """``tile`` looks and corrects; ``whole`` is the photo for first looks, if there are any."""
        self._viewer, self._photo, self._whole = viewer, photo, whole
        self._choice, self._rule = Choice.own(tile), rule
        self._passes = Passes(rule.passes, rule.settled, rule.near)
        self._size: Size = photo.shape[:2]
        self._opened: EncodedView | None = None

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take; the photo does not count."""
        return sum(view.nbytes for view in (self._whole, self._opened) if view is not None)

    def look(self, at: tuple[float, float], timings: Timings) -> FirstGesture:
        """What is at the photo pixel ``at`` (x, y)."""
        return self.first(Tap(at), timings)

    def first(self, gesture: Gesture, timings: Timings) -> FirstGesture:
        """What the first gesture of a thing means; ``GestureError`` for one that cannot be it."""
        check_gesture(gesture, self._size)
        if not gesture.positive:
            raise GestureError(
                "Nothing is marked yet that this could be taken from; begin with a positive "
                "gesture, or with a mask."
            )
        run = Run(timings)
        if isinstance(gesture, Bounds):
            zoom = self._rule.zoom
            tile = zoom.tile_about(self._canvas, self._size, gesture.box, zoom.extent)
            encoded = self._open(tile, run)
            near = self._look(encoded, gesture, run)
            return FirstGesture(self, gesture, encoded, near, near, run.macs)
        assert self._whole is not None  # as in every session
        with run.stage("tap") as inner:
            whole = self._whole.look(tapped(gesture, self._size), inner)
        return self.look_closer(whole, gesture, run)

    def look_closer(self, whole: Look, gesture: Gesture, run: Run) -> FirstGesture:
        """What answers a tap or scribble, after a first look at the whole photo."""
        run.macs += whole.macs
        zoom, at = self._rule.zoom, tapped(gesture, self._size)
        box = whole.box if isinstance(gesture, Tap) else united((whole.box, gesture.bounds))
        tile = zoom.choose_tile(self._canvas, whole.placement, at, box)
        encoded = self._open(tile or (0, 0, self._size[1], self._size[0]), run)
        near = self._look(encoded, gesture, run)
        answering = near if near.score >= zoom.trust * whole.score else whole
        return FirstGesture(self, gesture, encoded, near, answering, run.macs)

    def begin(self, first: FirstGesture, timings: Timings, level: str | None = None) -> Step:
        """A thing after its first gesture, of the level that answers or the one that is named.

        Raises ``UnknownLevel`` for a level that was not asked.
        """
        run, near = Run(timings, first.macs), first.near
        view = _placed(first.encoded)
        with run.stage("mask") as inner:
            answer = first.answering.mask(inner, level)
            own = answer
            if first.answering is not near:
                own = near.mask(inner, level if level in near.levels else None)
                run.macs += own.macs
        run.macs += answer.macs
        with timed(timings, "mask"):
            seen = guide_cells(own.map, view.canvas)
            prior = seen
            if isinstance(first.gesture, Bounds):
                prior = np.zeros_like(seen)
            elif first.answering is not near:
                whole = first.answering
                canvas = whole.replay.canvas_height, whole.replay.canvas_width
                place = PlacedTile((0, 0, self._size[1], self._size[0]), whole.placement, canvas)
                prior = MaskState(self._size).put(Layer(answer.map, place)).carried(view)
            evidence = np.stack([own.answering.score * seen, np.zeros_like(seen)])
        marks = (mark_of(first.gesture, view),)
        cells, obeyed = self._passes.run(
            near.replay, first.encoded.encoded, view, marks, prior, None, evidence, run
        )
        return Step(
            gestures=(first.gesture,),
            given=None,
            mask=MaskState(self._size).put(self._layer(cells, view, marks)),
            view=view,
            marks=marks,
            own=evidence,
            score=answer.answering.score,
            level=answer.answering.level,
            candidates=first.answering.candidates,
            box=answer.answering.box,
            window=CORRECTION,
            canvas=view.canvas,
            macs=run.macs,
            obeyed=obeyed,
            timings=timings,
        )

    def start_from(self, mask: npt.NDArray[np.bool_], timings: Timings) -> Step:
        """A thing whose mask is given: bool, H x W; it is copied. ``GestureError`` for others."""
        check_mask(mask, self._size)
        with timed(timings, "mask"):
            state = MaskState(self._size, base=mask.copy())
            box = state.box or (0.0, 0.0, 0.0, 0.0)
        return Step(
            gestures=(),
            given=state,
            mask=state,
            view=None,
            marks=(),
            own=np.zeros((2, 0, 0), np.float32),
            score=1.0,
            level=GIVEN,
            candidates=(),
            box=box,
            window=GIVEN,
            canvas=self._canvas,
            macs=0,
            obeyed=None,
            timings=timings,
        )

    def correct(self, step: Step, gesture: Gesture, timings: Timings) -> Step:
        """The thing after one more gesture; ``GestureError`` for one that is not on the photo."""
        check_gesture(gesture, self._size)
        rule, run, gestures = self._rule, Run(timings), (*step.gestures, gesture)
        view = step.view
        if view is not None and not rule.leaves(view, self._size, gesture.bounds):
            tile = view.tile
        else:
            tile = self._tile_about(step.mask, gestures, rule.zoom.extent)
        after, obeyed = self._pass(replace(step, gestures=gestures), step.mask, tile, run)
        for _ in range(MOST_MOVES):
            better = self._better_tile(after)
            if better is None:
                break
            after, _ = self._pass(after, step.mask, better, run)
        return replace(
            after,
            box=after.mask.box or (0.0, 0.0, 0.0, 0.0),
            window=CORRECTION,
            canvas=self._canvas,
            macs=run.macs,
            obeyed=obeyed,
            timings=timings,
        )

    def _pass(self, step: Step, before: MaskState, tile: Tile, run: Run) -> tuple[Step, bool]:
        """The step with its newest gesture seen on a tile, and whether that was obeyed.

        ``before`` is the mask before the gesture.
        """
        encoded = self._open(tile, run)
        view = _placed(encoded)
        with timed(run.timings, "mask"):
            prior = step.mask.carried(view)
            held = prior if step.mask is before else before.carried(view)
        own, marks, unseen = step.own.copy(), step.marks, step.gestures[-1:]
        if step.view != view:
            height, width = (side // GUIDE_STRIDE for side in view.canvas)
            own, marks, unseen = np.zeros((2, height, width), np.float32), (), step.gestures
            if step.given is not None:
                # Where no gesture says it, this alone says what thing is meant: without it a first
                # line beside something small would mean that.
                own[0] = step.given.carried(view)
        for gesture in unseen:
            x, y = tapped(gesture, self._size)
            if tile[0] <= x < tile[2] and tile[1] <= y < tile[3]:
                seen = self._evidence(encoded, gesture, run)
                if step.given is not None and not gesture.positive and _is_most(seen, held):
                    continue  # of what was given only a part is wrong
                sign = own[0 if gesture.positive else 1]
                np.maximum(sign, seen, out=sign)
        with timed(run.timings, "mask"):
            marks = (*marks, *(mark_of(gesture, view) for gesture in unseen))
        cells, obeyed = self._passes.run(
            encoded.replay, encoded.encoded, view, marks, prior, held, own, run
        )
        mask = step.mask.put(self._layer(cells, view, marks))
        return replace(step, mask=mask, view=view, marks=marks, own=own), obeyed

    def _evidence(self, encoded: EncodedView, gesture: Gesture, run: Run) -> FloatArray:
        """TraceNet's own mask at a gesture on the tile, times its score."""
        look = self._look(encoded, gesture, run)
        with run.stage("mask") as inner:
            mask = look.mask(inner)
        run.macs += mask.macs
        with timed(run.timings, "mask"):
            canvas = encoded.replay.canvas_height, encoded.replay.canvas_width
            return mask.answering.score * guide_cells(mask.map, canvas)

    def _look(self, encoded: EncodedView, gesture: Gesture, run: Run) -> Look:
        with run.stage("tap") as inner:
            look = encoded.look(tapped(gesture, self._size), inner)
        run.macs += look.macs
        return look

    def _open(self, tile: Tile, run: Run) -> EncodedView:
        opened = self._opened
        if opened is None or opened.tile != tile:
            self._opened = None  # its memory is free while the next one is computed
            with run.stage("encode") as inner:
                opened = self._viewer.encode(self._choice, self._photo, inner, tile)
            run.macs += opened.encoded.spent
            self._opened = opened
        return opened

    def _better_tile(self, step: Step) -> Tile | None:
        """Where the mask lies better than on its tile; None if it lies well there."""
        rule, view = self._rule, step.view
        assert view is not None  # a step that was corrected has one
        inside = step.mask.layers[-1].map.probability > 0.5
        if rule.spills(inside, view, self._size):
            extent = rule.roomy * min(self._canvas)
        elif rule.shrinks(self._about(step.mask, step.gestures), view):
            extent = rule.zoom.extent
        else:
            return None
        tile = self._tile_about(step.mask, step.gestures, extent)
        return None if tile == view.tile else tile

    def _tile_about(self, mask: MaskState, gestures: Sequence[Gesture], extent: float) -> Tile:
        about = self._about(mask, gestures)
        return self._rule.zoom.tile_about(self._canvas, self._size, about, extent)

    @staticmethod
    def _about(mask: MaskState, gestures: Sequence[Gesture]) -> Box:
        """The box about the mask, all positive gestures and the newest one."""
        boxes = [gesture.bounds for gesture in gestures[:-1] if gesture.positive]
        box = mask.box
        return united([*boxes, gestures[-1].bounds, *([] if box is None else [box])])

    def _layer(self, cells: FloatArray, view: PlacedTile, marks: Sequence[Mark]) -> Layer:
        window = (0, 0, view.canvas[1], view.canvas[0])
        mask = ProbabilityMap(cells, window, view.placement, self._size, view.tile, GUIDE_STRIDE)
        return Layer(mask, view, tuple(mark for mark in marks if isinstance(mark, Stroke)))

    @property
    def _canvas(self) -> Size:
        return self._choice.height, self._choice.width


def _is_most(seen: FloatArray, mask: FloatArray) -> bool:
    """Whether evidence speaks of more than half of a mask's cells."""
    inside = mask > 0.5
    return bool(inside.any()) and float(seen[inside].mean()) > float(seen.max()) / 2


def _placed(encoded: EncodedView) -> PlacedTile:
    assert encoded.tile is not None  # the whole photo is a tile here, too
    canvas = encoded.replay.canvas_height, encoded.replay.canvas_width
    return PlacedTile(encoded.tile, encoded.placement, canvas)
