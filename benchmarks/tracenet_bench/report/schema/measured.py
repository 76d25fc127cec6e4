"""What was measured of each configuration, and ratios of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Interval = tuple[float, float]
Kind = Literal["bundle", "outside", "cost-only"]
OperationName = Literal["encode", "correction", "undo", "frame", "frame_of_three", "fusion"]


@dataclass(frozen=True)
class Steady:
    """The steady state.

    Attributes:
        samples: of every counted tap, in order.
        minimum, p50, p90, p99: of the samples.
        interval: percentile bootstrap interval of the median, each tap's samples resampled by
            themselves.
        converged: the interval reached its target, of enough passes through the taps; else a limit
            ended the timing.
        by_photo: median per photo, in the conditions' order.
    """

    samples: tuple[float, ...]
    minimum: float
    p50: float
    p90: float
    p99: float
    interval: Interval
    converged: bool
    by_photo: tuple[float, ...]


@dataclass(frozen=True)
class Memory:
    """Of a process of its own that loads and taps, and times nothing.

    Attributes:
        interpreter: the largest resident memory of a Python that has imported nothing of ours.
        photo: of the largest decoded photo, which the caller would hold anyway; one at a time.
        peak: the largest resident memory until the last tap ended, by the kernel's own mark.
        above_baseline: peak - interpreter - photo, or what loading took above the interpreter at
            most, before a photo was in memory, whichever is more.
        arena: what the engine says that its arenas held in the end, in all (ONNX Runtime, by its
            log), None where it does not tell. They need not all have been resident.
    """

    interpreter: int
    photo: int
    peak: int
    above_baseline: int
    arena: int | None


@dataclass(frozen=True)
class Accuracy:
    """By ``tracenet-eval``'s definitions on annotated photos.

    The intervals are over photos, at 95 %; None where there is one photo only.
    """

    miou_t: float
    miou_t_interval: Interval | None
    mta: float
    mta_interval: Interval | None
    instances: int
    taps: int


@dataclass(frozen=True)
class Failure:
    """The stage at which a configuration failed, and why, in a sentence.

    Stages are ``start`` (of the process), ``load``, ``photo`` (reading it), ``first tap``, ``tap``,
    ``correction``, ``clip``, ``stream``, ``check`` (of golden taps), ``memory``, or, where the
    process that measures memory got so far, ``engine/<program>``.
    """

    stage: str
    message: str


@dataclass(frozen=True)
class Subject:
    """What was measured: one configuration.

    Attributes:
        name: unique in a report, such as ``mobilenetv2-fpn all 640x640 onnxruntime fp32``.
        kind: ``bundle``, ``outside`` for a model through the adapter, ``cost-only`` for a network
            with random weights.
        source: the bundle's folder, the model's ``FILE.py:NAME``, the package and class.
        network, target, precision, engine, schedule, canvas (height, width): None where the kind
            has no such thing.
        engine_says: what the engine reports about itself.
        threads: asked for.
    """

    name: str
    kind: Kind
    source: str
    network: str | None
    target: str | None
    precision: str | None
    engine: str | None
    engine_says: Mapping[str, str | int]
    schedule: str | None
    canvas: tuple[int, int] | None
    threads: int


@dataclass(frozen=True)
class Operation:
    """What sessions do besides first taps; each after a tap, in its round.

    Attributes:
        name: of a guided look ``encode``, of the tap's tile, from photo to features;
            ``correction``, a negative tap on that tile, which it leaves where it is, to its mask;
            ``undo`` of that, to the mask. Of a bundle that tracks ``frame``, the next of a clip at
            480p with one thing, from its pixels to the mask; ``frame_of_three`` things; ``fusion``,
            of a thing in a frame with an older mask.
        taps: how many different ones it went with; the corrections of the others move the tile.
        samples: of every time, in order.
        p50, interval: of the samples, as in ``Steady``.
        of_tap, of_tap_interval: median of its time over that of the tap of the same round.
        shares: share of its time by stage, as in ``Measured``.
        macs: multiply-adds, the mean.
    """

    name: OperationName
    taps: int
    samples: tuple[float, ...]
    p50: float
    interval: Interval
    of_tap: float
    of_tap_interval: Interval
    shares: Mapping[str, float] | None
    macs: float | None


@dataclass(frozen=True)
class ClipMemory:
    """The process's resident memory in a stream of frames at 480p, with one thing.

    Attributes:
        first, last: numbers of the frames after which it was looked at.
        at_first, at_last: what it was then.
    """

    first: int
    last: int
    at_first: int
    at_last: int


@dataclass(frozen=True)
class Measured:
    """One configuration's figures; those behind a failure are None.

    Attributes:
        load: from nothing imported to ready for the first tap, without replaying golden taps; of an
            outside model with the adapter of ``tracenet.evaluation``.
        first_tap: of its process, with its caches cold; the system's cache of files is warm.
        shares: share of a steady tap by stage: ``canvas``, ``cut``, ``engine/<program>``, of a
            guided look in place of these two ``tap``, ``encode``, ``correction``, then ``mask``,
            ``paste``, ``other``; they sum to 1.
        taps_per_second: over a stream of taps, one after the other without a pause, the photos in
            turn, each of the first 20 taps (one per photo at least) equally often.
        bundle_size: of all files on the disk.
        macs: multiply-adds of a tap, the mean over the taps.
        share_of_peak: median over the taps of macs per second, over the machine's measured peak, in
            fp32, at as many threads.
        accuracy: None where photos are not annotated, it is cost-only, or ``no_accuracy`` says why.
        no_accuracy: why it could not be scored, in a sentence; the other figures hold all the same.
        operations: of a guided look and of a bundle that tracks, one of each name; none of a guided
            look where no correction stays on its tile.
        clip_memory: of a bundle that tracks.
    """

    subject: Subject
    load: float | None = None
    first_tap: float | None = None
    steady: Steady | None = None
    shares: Mapping[str, float] | None = None
    taps_per_second: float | None = None
    memory: Memory | None = None
    bundle_size: int | None = None
    macs: float | None = None
    share_of_peak: float | None = None
    accuracy: Accuracy | None = None
    no_accuracy: str | None = None
    operations: tuple[Operation, ...] = ()
    clip_memory: ClipMemory | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Ratio:
    """Median over taps of ``of``'s time over ``to``'s on the same tap, measured in turn."""

    of: str
    to: str
    ratio: float
    interval: Interval
    macs: float | None
