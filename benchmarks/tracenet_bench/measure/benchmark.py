"""The benchmark: every configuration measured, and all that a report says of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm.auto import tqdm

from tracenet_bench.device.constraint import Launcher
from tracenet_bench.device.projection import Projections, project_subjects
from tracenet_bench.measure import timed
from tracenet_bench.measure.accuracy import AccuracyError, check_accuracy, measure_accuracy
from tracenet_bench.measure.ceilings import measure_ceilings
from tracenet_bench.measure.choice import choose_configurations
from tracenet_bench.measure.configurations import Configuration, Wanted
from tracenet_bench.measure.derived import ratios_of, with_figures
from tracenet_bench.measure.environment import Activity, describe_environment
from tracenet_bench.measure.memory import interpreter_memory
from tracenet_bench.measure.noise import judge_noise
from tracenet_bench.measure.photos import (
    DecodedPhoto,
    decode_photos,
    find_photos,
    is_annotated,
    random_taps,
)
from tracenet_bench.measure.sampling import Rules, Samples, Tap, take_samples
from tracenet_bench.measure.timed import TimedSubject, measure_memory
from tracenet_bench.measure.worker import Worker, WorkerFailed
from tracenet_bench.report.schema import SCHEMA_VERSION, Conditions, Measured, Report
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.errors import TraceNetError

TARGET_INTERVAL = 0.03
"""Relative width of the interval of the median; see ``schema.Conditions``."""


class NothingMeasuredError(TraceNetError):
    """Nothing could be measured."""


@dataclass(frozen=True)
class Options:
    """What to measure, and how.

    Attributes:
        wanted: the configurations.
        photos: a photo, or a folder of them; None: the golden photo of the first bundle.
        megapixels: sizes that the first photo is brought to; none: photos as they are.
        taps: different ones.
        accuracy_taps: per instance, where the photos are annotated.
        rules: when a configuration has been timed long enough.
        launcher: of every process that measures.
        command: the command line, for the report.
    """

    wanted: Wanted
    photos: Path | None
    megapixels: tuple[float, ...]
    taps: int
    accuracy_taps: int
    rules: Rules
    launcher: Launcher
    command: tuple[str, ...]


def measure(options: Options) -> Report:
    """Measure everything, with progress on standard error.

    Raises:
        TraceNetError: something that was asked for does not exist, or nothing could be measured.
    """
    before = Activity.now()
    with ExitStack() as stack:
        stack.callback(options.launcher.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tracenet-bench-"))
        return _Bench(options, Path(folder), before).run()


@dataclass
class _Bench:
    options: Options
    folder: Path
    before: Activity
    photos: list[DecodedPhoto] = field(init=False)
    taps: list[Tap] = field(init=False)
    measured: dict[str, Measured] = field(default_factory=dict)
    samples: dict[str, Samples] = field(default_factory=dict)

    def run(self) -> Report:
        options, rules = self.options, self.options.rules
        source = options.photos or Bundle.open(options.wanted.bundles[0]).golden_photo
        paths = find_photos(source, options.taps)
        self.photos = decode_photos(paths, options.megapixels, self.folder)
        photos = tuple(one.photo for one in self.photos)
        self.taps = random_taps(photos, max(options.taps, len(photos)), rules.seed)
        configurations = choose_configurations(options.wanted, photos)
        if is_annotated(options.photos):
            check_accuracy()
        peak, bandwidth = measure_ceilings(options.launcher, options.wanted.threads)
        for one in configurations:
            self.measured[one.name] = Measured(one.subject, bundle_size=_bundle_size(one))
        self._measure_memory(configurations)
        self._time(self._not_failed(configurations))
        if is_annotated(options.photos):
            self._measure_accuracy(self._not_failed(configurations))
        for name, samples in self.samples.items():
            if samples.taken:
                self.measured[name] = with_figures(
                    self.measured[name], samples.taken, self.taps, rules, peak
                )
        self._refuse_nothing()
        projected = self._project()
        environment = describe_environment(self.before, peak, bandwidth)
        steady = {v.subject.name: v.steady for v in self.measured.values() if v.steady}
        return Report(
            schema=SCHEMA_VERSION,
            command=options.command,
            environment=environment,
            conditions=Conditions(
                photos=photos,
                taps=len(self.taps),
                seed=rules.seed,
                warm_up=rules.warm_up_on(len(photos)),
                target_interval=rules.target_interval,
                limit_taps=rules.limit_taps,
                limit_seconds=rules.limit_seconds,
                stream_seconds=timed.STREAM_SECONDS,
            ),
            device=options.launcher.device,
            measured=tuple(self.measured.values()),
            ratios=ratios_of(configurations, self.measured, len(self.taps), rules.seed),
            noise=judge_noise(steady, len(self.taps), environment.busy_before),
            projections=projected.projections,
            not_projected=projected.not_projected,
            calibration=projected.calibration,
        )

    def _not_failed(self, configurations: Sequence[Configuration]) -> list[Configuration]:
        return [one for one in configurations if self.measured[one.name].failure is None]

    def _note(self, name: str, **figures: object) -> None:
        self.measured[name] = replace(self.measured[name], **figures)  # type: ignore[arg-type]

    def _start(self, one: Configuration) -> Worker:
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        command = self.options.launcher.command("tracenet_bench.measure.worker_process")
        return Worker(command, one.subject.threads, log)

    def _measure_memory(self, configurations: Sequence[Configuration]) -> None:
        interpreter = interpreter_memory()
        for one in tqdm(configurations, unit="configuration", desc="memory"):
            with self._start(one) as worker:
                subject = TimedSubject(one, worker, self.photos)
                try:
                    memory = measure_memory(subject, worker, self.photos, self.taps, interpreter)
                    self._note(one.name, memory=memory)
                    self._note(one.name, clip_memory=subject.clip_memory())
                except WorkerFailed as failed:
                    self._note(one.name, failure=failed.failure)

    def _time(self, configurations: Sequence[Configuration]) -> None:
        with ExitStack() as stack:
            subjects: dict[str, TimedSubject] = {}
            for one in tqdm(configurations, unit="configuration", desc="load and first tap"):
                worker = stack.enter_context(self._start(one))
                subject = TimedSubject(one, worker, self.photos)
                try:
                    opened = subject.load()
                    self._note(one.name, subject=opened.subject, load=opened.load)
                    first = subject.tap(self.taps[0], stage="first tap")
                    self._note(one.name, first_tap=first.milliseconds)
                    subject.check()
                    subjects[one.name] = subject
                except WorkerFailed as failed:
                    self._note(one.name, failure=failed.failure)
            tapped = {name: subject.tap_and_more for name, subject in subjects.items()}
            self.samples = take_samples(tapped, self.taps, self.options.rules)
            for name, subject in tqdm(subjects.items(), unit="configuration", desc="throughput"):
                failure = self.samples[name].failure
                try:
                    if failure is None:
                        self._note(name, taps_per_second=subject.taps_per_second(self.taps))
                except WorkerFailed as failed:
                    failure = failed.failure
                self._note(name, failure=failure)

    def _measure_accuracy(self, configurations: Sequence[Configuration]) -> None:
        assert self.options.photos is not None
        taps, seed = self.options.accuracy_taps, self.options.rules.seed
        with_masks = [one for one in configurations if one.subject.kind != "cost-only"]
        for one in tqdm(with_masks, unit="configuration", desc="accuracy"):
            try:
                accuracy = measure_accuracy(one.model, self.options.photos, taps, seed)
                self._note(one.name, accuracy=accuracy)
            except AccuracyError as error:
                self._note(one.name, no_accuracy=str(error))

    def _project(self) -> Projections:
        """Of what fails under the device's launcher, too."""
        profile = self.options.launcher.profile
        if profile is None:
            return Projections()
        return project_subjects([v.subject for v in self.measured.values()], profile)

    def _refuse_nothing(self) -> None:
        """On a machine that is not limited, a report of failures alone is a mistake of the user."""
        failures = [(name, v.failure) for name, v in self.measured.items() if v.failure]
        if self.options.launcher.constraint is None and not any(
            v.steady for v in self.measured.values()
        ):
            name, failure = failures[0]
            raise NothingMeasuredError(f"{name} fails ({failure.stage}): {failure.message}")


def _bundle_size(configuration: Configuration) -> int | None:
    """Bytes of all files of a bundle."""
    if configuration.subject.kind != "bundle":
        return None
    files = Path(configuration.subject.source).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())
