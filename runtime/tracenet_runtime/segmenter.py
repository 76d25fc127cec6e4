"""A tap in, a mask out: the whole of the runtime behind one class."""

import os
from functools import partial

from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.choice import choose_strategy, own_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.bundle.golden import (
    GoldenTap,
    check_golden_session,
    check_golden_taps,
)
from tracenet_runtime.cores import default_threads, warn_of_threads
from tracenet_runtime.engines import EngineReport, EngineSettings, load_engine
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.image.pixels import Photo, check_photo
from tracenet_runtime.session import PhotoSession
from tracenet_runtime.strategies.single import Single
from tracenet_runtime.strategies.strategy import Strategy
from tracenet_runtime.timing import Timings, timed


class TapSegmenter:
    """Answers taps with one bundle on one engine.

    Nothing of a photo is kept between taps but what its session keeps, and what the next tap
    overwrites: each thread has memory for the largest inputs of a canvas's programs. Where the
    windows of a canvas start is worked out at its first use and stays. Several threads may tap and
    open photos if the engine may be used by several, as ONNX Runtime may.
    """

    def __init__(self, bundle: Bundle, engine: Engine, strategy: Strategy | None = None) -> None:
        """A segmenter whose engine is open already, and therefore has no ``engine_report``.

        ``strategy`` answers taps, the bundle's own by default.
        """
        manifest = bundle.manifest
        self.bundle = bundle
        self.strategy: Strategy = strategy or own_strategy(manifest.schedules, manifest.strategy)
        self.engine_report: EngineReport | None = None
        self.viewer = Viewer(manifest.programs, manifest.meaning, manifest.pad_value, engine)

    @classmethod
    def load(
        cls,
        bundle_dir: str | os.PathLike[str],
        *,
        engine: str | None = None,
        threads: int | None = None,
        verify: bool = True,
        schedule: str | None = None,
        canvas: Size | None = None,
        compute_units: str | None = None,
    ) -> "TapSegmenter":
        """Open a bundle on an engine, with ``threads`` threads for each program.

        These are by default two, or one where the process may use one core only; of more than it
        may use a ``ThreadsWarning`` tells, once. A process that is to fork loads in each child
        instead: one that was forked after this answers rightly, and may hang at its end.
        The engine is by default that of the bundle's target; ``compute_units``, one of
        ``engines.COMPUTE_UNITS``, are for Core ML. What was asked for and what the engine says it
        took is then in ``engine_report``. Taps are answered by the bundle's strategy, or by one
        look where ``schedule``, a name, or ``canvas``, a height and width in pixels, says so
        (docs/bundle.md, "strategy"); ``"guided"`` and ``"zoom"`` name strategies. Only the programs
        that may be needed are opened, and with ``verify`` the first golden tap of each schedule
        that may be is replayed, and of the bundle's strategy, with the first golden session, if
        that answers.

        Raises ``BundleError`` when the bundle is missing, damaged, malformed, has no such schedule,
        serves no such canvas or does not give the golden answer, and ``EngineUnavailable`` when the
        engine is unknown, not installed, or for another kind of bundle.
        """
        bundle = Bundle.open(bundle_dir)
        strategy = choose_strategy(bundle.manifest, schedule, canvas)
        threads = default_threads() if threads is None else threads
        warn_of_threads(threads)
        loaded, report = load_engine(
            engine,
            bundle.program_files,
            EngineSettings(threads, compute_units),
            programs_of(strategy),
        )
        segmenter = cls(bundle, loaded, strategy)
        segmenter.engine_report = report
        if verify:
            segmenter.check_golden(first_only=True)
        return segmenter

    def tap(self, photo: Photo, at: tuple[float, float], level: str | None = None) -> TapResult:
        """The mask of the thing at a photo pixel.

        ``photo`` is uint8, H x W x 3, RGB, upright; ``at`` is (x, y) in photo pixels, where x is
        the column and (0, 0) the top left pixel. The level with the best score answers, or
        ``level``, one of those of another result's ``candidates``, for the part or the whole.
        Nothing of the photo is kept. Raises ``PhotoError`` for any other array,
        ``TapOutsidePhoto`` for a tap that is not on the photo and ``UnknownLevel`` for a level that
        is not asked.
        """
        return self._tap(self.strategy, photo, at, level)

    def open(self, photo: Photo) -> PhotoSession:
        """Open a photo for many taps: run once what they share, of the strategy that ``tap`` takes.

        That is the phase per photo, where the schedule has one, and the programs whose windows are
        the same for every tap. Several photos may be open; each is the caller's to close. Raises
        ``PhotoError`` as ``tap`` does.
        """
        check_photo(photo)
        timings: Timings = {}
        with timed(timings, "total"):
            view = self.strategy.open(self.viewer, photo, timings)
        return PhotoSession(view, timings)

    def check_golden(self, first_only: bool = False) -> None:
        """Replay golden taps, or the first only, of every schedule that may run and the strategy.

        Raises ``BundleError`` for the first that differs.
        """
        manifest, golden = self.bundle.manifest, self.bundle.golden()
        photo = load_photo(self.bundle.golden_photo)

        def check(taps: tuple[GoldenTap, ...], name: str, strategy: Strategy) -> None:
            check_golden_taps(
                taps[:1] if first_only else taps,
                name,
                photo,
                partial(self._tap, strategy, photo),
                manifest.precision,
            )

        for schedule, taps in zip(manifest.schedules, golden.schedules, strict=True):
            if schedule in self.strategy.schedules:
                own_canvas = Single((schedule,), schedule.canvas)
                check(taps, f"the schedule {schedule.name!r}", own_canvas)
        if self.strategy == own_strategy(manifest.schedules, manifest.strategy):
            check(golden.strategy, "the strategy", self.strategy)
            for gestures in golden.sessions[:1] if first_only else golden.sessions:
                with self.open(photo) as session:
                    check_golden_session(gestures, photo, session.make, manifest.precision)

    def _tap(
        self,
        strategy: Strategy,
        photo: Photo,
        at: tuple[float, float],
        level: str | None = None,
    ) -> TapResult:
        check_photo(photo)
        timings: Timings = {}
        with timed(timings, "total"):
            return strategy.look(self.viewer, photo, at, timings).result(timings, level)


def programs_of(strategy: Strategy) -> list[str]:
    """The names of all programs that may run."""
    return sorted(frozenset[str]().union(*(v.graph.programs() for v in strategy.schedules)))
