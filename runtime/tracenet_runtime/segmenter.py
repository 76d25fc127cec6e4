"""A tap in, a mask out: the whole of the runtime behind one class."""

import os
import threading
from collections.abc import Callable, Collection, Sequence
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
from tracenet_runtime.bundle.golden_clip import check_golden_clip
from tracenet_runtime.cores import default_threads, warn_of_threads
from tracenet_runtime.engines import EngineReport, EngineSettings, load_engine
from tracenet_runtime.errors import BundleError
from tracenet_runtime.frame_session import OpenView
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.image.pixels import Photo, check_photo
from tracenet_runtime.session import PhotoSession
from tracenet_runtime.strategies.single import Single
from tracenet_runtime.strategies.strategy import Strategy
from tracenet_runtime.stream_session import StreamSession
from tracenet_runtime.timing import Timings, timed
from tracenet_runtime.tracking.programs import TrackPrograms
from tracenet_runtime.tracking.tile import FollowRule
from tracenet_runtime.video import VideoSession


class TapSegmenter:
    """Answers taps with one bundle on one engine.

    Nothing of a photo is kept between taps but what its session keeps, and what the next tap
    overwrites: each thread has memory for the largest inputs of a canvas's programs. Where the
    windows of a canvas start is worked out at its first use and stays. Several threads may tap and
    open photos if the engine may be used by several, as ONNX Runtime may.
    """

    def __init__(self, bundle: Bundle, engine: Engine, strategy: Strategy | None = None) -> None:
        """A segmenter whose engine is open already, and therefore has no ``engine_report``.

        ``strategy`` answers taps, the bundle's own by default. Clips are tracked where the engine
        has the programs for that, too.
        """
        manifest = bundle.manifest
        self.bundle = bundle
        self.strategy: Strategy = strategy or own_strategy(manifest.schedules, manifest.strategy)
        self.engine_report: EngineReport | None = None
        self.viewer = Viewer(manifest.programs, manifest.meaning, manifest.pad_value, engine)
        self._open_programs: Callable[[Collection[str]], Engine] = lambda names: engine
        self._verify = False
        self._track: TrackPrograms | None = None
        self._opening = threading.Lock()

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
        settings = EngineSettings(threads, compute_units)
        open_programs = partial(load_engine, engine, bundle.program_files, settings)
        loaded, report = open_programs(programs_of(strategy))
        segmenter = cls(bundle, loaded, strategy)
        segmenter.engine_report = report
        segmenter._open_programs = lambda names: open_programs(names)[0]
        segmenter._verify = verify
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

    def open_video(self, frames: Sequence[Photo]) -> VideoSession:
        """Open a clip, whose things are marked on any frame and carried to all others.

        ``frames`` are uint8, H x W x 3, RGB, upright, of one size; they are read when they are
        needed, any of them and again, so that a sequence may decode them lazily. Raises
        ``BundleError`` where the bundle does not track things through clips, ``FrameError`` for a
        clip without frames.
        """
        return VideoSession(self._open_view, self.track_network(), frames, self._follow_rule)

    def open_stream(self) -> StreamSession:
        """Open a stream of frames that come one after another, as from a camera.

        Raises ``BundleError`` as ``open_video``.
        """
        return StreamSession(self._open_view, self.track_network(), self._follow_rule)

    def track_network(self) -> TrackPrograms:
        """The programs that carry masks through clips, which are opened at the first call.

        With ``verify`` that also replays the golden clip. Raises ``BundleError`` where the bundle
        does not track, or not as its golden clip.
        """
        manifest = self.bundle.manifest
        tracking = manifest.tracking
        if tracking is None:
            raise BundleError(
                f"The bundle of {manifest.name} does not track things through clips; export a "
                "network that has propagation and fusion."
            )
        with self._opening:
            if self._track is None:
                engine = self._open_programs(sorted(tracking.programs.values()))
                track = TrackPrograms(tracking, manifest.programs, engine, manifest.pad_value)
                if self._verify:
                    self._check_golden_clips(track)
                self._track = track
            return self._track

    def check_golden_clips(self) -> None:
        """Replay the golden clips; ``BundleError`` for the first mask that differs."""
        self._check_golden_clips(self.track_network())

    def _check_golden_clips(self, network: TrackPrograms) -> None:
        photo = load_photo(self.bundle.golden_photo)
        for clip in self.bundle.golden().clips:
            precision = self.bundle.manifest.precision
            check_golden_clip(clip, photo, network, self._follow_rule, precision)

    @property
    def _open_view(self) -> OpenView:
        return partial(self.strategy.open, self.viewer)

    @property
    def _follow_rule(self) -> FollowRule:
        tracking = self.bundle.manifest.tracking
        assert tracking is not None  # there are programs
        return tracking.rule

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
