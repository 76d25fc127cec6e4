"""A tap in, a mask out: the whole of the runtime behind one class."""

import os
import threading
import weakref
from functools import partial

import numpy as np
import numpy.typing as npt

from tracenet_runtime.bundle import Bundle
from tracenet_runtime.choose import Choice, Loadable, choose, loadable
from tracenet_runtime.consistency import checked_table
from tracenet_runtime.cores import default_threads, warn_of_threads
from tracenet_runtime.encoded import EncodedPhoto
from tracenet_runtime.engines import EngineReport, EngineSettings, load_engine
from tracenet_runtime.golden import check_golden_taps
from tracenet_runtime.look import encode_view, look_at
from tracenet_runtime.photo import check_photo, load_photo
from tracenet_runtime.replay import Engine, Replay
from tracenet_runtime.result import TapResult
from tracenet_runtime.schedule import Schedule
from tracenet_runtime.timing import Timings, timed
from tracenet_runtime.zoom import ZOOM, Closer, ZoomAnswer
from tracenet_runtime.zoom_rule import ZoomRule

Photo = npt.NDArray[np.uint8]


class TapSegmenter:
    """Answers taps with one bundle on one engine.

    Nothing of a photo is kept between taps but what ``encode`` returns, and what the next tap
    overwrites: each thread has memory for the largest inputs of a canvas's programs. The table of a
    canvas is made at its first use and stays. Several threads may tap and encode if the engine may
    be used by several, as ONNX Runtime may; each photo that is encoded drops the one before it,
    whichever thread that was for.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        answers: Loadable | None = None,
        canvas: tuple[int, int] | None = None,
    ) -> None:
        """A segmenter whose engine is open already, and therefore has no ``engine_report``.

        ``answers`` is what taps may be answered with, all of the bundle by default; ``canvas``
        (height, width) is one that one of its schedules serves, and without it each photo gets that
        which suits it.
        """
        self.bundle = bundle
        self.engine_report: EngineReport | None = None
        self._engine = engine
        manifest = bundle.manifest
        self._answers = answers or Loadable(
            manifest.schedules, manifest.zoom if canvas is None else None
        )
        self._canvas = canvas
        self._replays: dict[tuple[str, tuple[int, int], tuple[int, int]], Replay] = {}
        self._encoded: weakref.ref[EncodedPhoto] | None = None
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        bundle_dir: str | os.PathLike[str],
        engine: str | None = None,
        threads: int | None = None,
        verify: bool = True,
        schedule: str | None = None,
        canvas: tuple[int, int] | None = None,
        compute_units: str | None = None,
    ) -> "TapSegmenter":
        """Open a bundle on an engine, with ``threads`` threads for each program.

        These are by default two, or one where the process may use one core only; of more than it
        may use a ``ThreadsWarning`` tells, once. A process that is to fork loads in each child
        instead: one that was forked after this answers rightly, and may hang at its end.
        The engine is by default that of the bundle's target; ``compute_units``, one of
        ``engines.COMPUTE_UNITS``, are for Core ML. What was asked for and what the engine says it
        took is then in ``engine_report``. ``schedule`` is a name, or ``"zoom"`` (which is what a
        bundle with a zoom does by default), ``canvas`` a height and width in pixels; what is not
        given is chosen for each photo by the rule of docs/bundle.md. Only the
        programs that may be needed are opened, and with ``verify`` the first golden tap of each
        schedule that may be is replayed.

        Raises ``BundleError`` when the bundle is missing, damaged, malformed, has no such schedule,
        serves no such canvas or does not give the golden answer, and ``EngineUnavailable`` when the
        engine is unknown, not installed, or for another kind of bundle.
        """
        bundle = Bundle.open(bundle_dir)
        answers = loadable(bundle.manifest, schedule, canvas)
        threads = default_threads() if threads is None else threads
        warn_of_threads(threads)
        settings = EngineSettings(threads, compute_units)
        loaded, report = load_engine(engine, bundle, settings, answers.programs())
        segmenter = cls(bundle, loaded, answers, canvas)
        segmenter.engine_report = report
        if verify:
            segmenter._check_golden(first_only=True)
        return segmenter

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules that a photo may be answered with, those of the zoom among them."""
        return self._answers.schedules

    @property
    def zooms(self) -> bool:
        """Whether taps look twice."""
        return self._answers.zoom is not None

    def choice(self, photo_height: int, photo_width: int) -> Choice:
        """The schedule, and the size of the canvas, that answer taps on a photo of this size.

        With a zoom those of its first look.
        """
        if self._answers.zoom is not None:
            return self._own_canvas(self._answers.zoom.first)
        return choose(self._answers.schedules, (photo_height, photo_width), self._canvas)

    def replay(self, choice: Choice) -> Replay:
        """The replay of a choice, step by step; its table is made at the first use and stays."""
        schedule, height, width = choice.schedule, choice.height, choice.width
        manifest = self.bundle.manifest
        key = schedule.name, schedule.canvas, (height, width)
        with self._lock:
            if key not in self._replays:
                table = checked_table(manifest, schedule, height, width)
                self._replays[key] = Replay(manifest, schedule, height, width, table, self._engine)
            return self._replays[key]

    def check_golden(self) -> None:
        """Replay the golden taps of every schedule; ``BundleError`` for the first that differs."""
        self._check_golden(first_only=False)

    def tap(self, photo: Photo, at: tuple[float, float], level: str | None = None) -> TapResult:
        """The mask of the thing at a photo pixel.

        ``photo`` is uint8, H x W x 3, RGB, upright; ``at`` is (x, y) in photo pixels, where x is
        the column and (0, 0) the top left pixel. The level with the best score answers, or
        ``level``, one of those of another result's ``candidates``, for the part or the whole. A
        schedule that encodes photos encodes this one, which drops the one before it, and keeps
        nothing after the tap. Raises ``PhotoError`` for any other array, ``TapOutsidePhoto`` for a
        tap that is not on the photo and ``BundleError`` for a level that is not asked.
        """
        check_photo(photo)
        if self._answers.zoom is not None:
            return self._zoomed_tap(self._answers.zoom, photo, at, level)
        choice = self.choice(photo.shape[0], photo.shape[1])
        if choice.schedule.encode:
            self._drop_encoded()
        return self._tap(choice, photo, at, level)

    def encode(self, photo: Photo) -> EncodedPhoto:
        """Run once what all taps on a photo share; its ``tap`` then costs only what they do not.

        A schedule that encodes photos shares most and is taken if one is loaded, else the zoom or
        schedule that ``tap`` takes: what these share are the programs whose windows are the same
        for every tap. A segmenter holds one encoded photo: this drops the one before it. Raises
        ``PhotoError`` as ``tap`` does.
        """
        check_photo(photo)
        encoding = [
            schedule
            for schedule in self._answers.schedules
            if schedule.encode and (self._canvas is None or schedule.serves_canvas(*self._canvas))
        ]
        size = photo.shape[0], photo.shape[1]
        choice = choose(encoding, size, self._canvas) if encoding else self.choice(*size)
        rule = None if encoding else self._answers.zoom
        self._drop_encoded()
        timings: Timings = {}
        with timed(timings, "total"):
            closer = None if rule is None else self._closer(rule, photo)
            view = encode_view(self.replay(choice), self._pad_value, photo, timings)
        encoded = EncodedPhoto(view, closer, timings)
        self._drop_encoded(successor=encoded)
        return encoded

    def _tap(
        self, choice: Choice, photo: Photo, at: tuple[float, float], level: str | None = None
    ) -> TapResult:
        timings: Timings = {}
        with timed(timings, "total"):
            look = look_at(self.replay(choice), self._pad_value, photo, at, timings)
            return look.result(timings, level)

    def _zoomed_tap(
        self, rule: ZoomRule, photo: Photo, at: tuple[float, float], level: str | None = None
    ) -> TapResult:
        timings: Timings = {}
        with timed(timings, "total"):
            return self.look_twice(rule, photo, at, timings).result(timings, level)

    def look_twice(
        self, rule: ZoomRule, photo: Photo, at: tuple[float, float], timings: Timings
    ) -> ZoomAnswer:
        """What a zoom sees at a photo pixel, before any level's mask is computed."""
        first = self.replay(self._own_canvas(rule.first))
        closer = self._closer(rule, photo)
        return closer.answer(look_at(first, self._pad_value, photo, at, timings), at, timings)

    def _closer(self, rule: ZoomRule, photo: Photo) -> Closer:
        return Closer(rule, self.replay(self._own_canvas(rule.tile)), self._pad_value, photo)

    def _own_canvas(self, number: int) -> Choice:
        """A schedule of the bundle on the canvas that it was planned for."""
        schedule = self.bundle.manifest.schedules[number]
        return Choice(schedule, *schedule.canvas)

    @property
    def _pad_value(self) -> tuple[int, int, int]:
        return self.bundle.manifest.pad_value

    def _drop_encoded(self, successor: EncodedPhoto | None = None) -> None:
        with self._lock:
            encoded = self._encoded() if self._encoded is not None else None
            if encoded is not None:
                encoded.drop()
            self._encoded = None if successor is None else weakref.ref(successor)

    def _check_golden(self, first_only: bool) -> None:
        manifest, answers = self.bundle.manifest, self._answers
        photo = load_photo(self.bundle.golden_photo)
        count = 1 if first_only else None
        golden = self.bundle.golden_taps()
        for number, schedule in enumerate(manifest.schedules):
            if schedule in answers.schedules:
                tap = partial(self._tap, self._own_canvas(number), photo)
                taps = golden[number][:count]
                check_golden_taps(taps, schedule.name, photo, tap, manifest.precision)
        if answers.zoom is not None:
            tap = partial(self._zoomed_tap, answers.zoom, photo)
            check_golden_taps(golden[-1][:count], ZOOM, photo, tap, manifest.precision)
