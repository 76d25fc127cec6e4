"""The conditions of a report: no figure is shown without them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from tracenet_bench.measure.shown import SHOWN_SIDE
from tracenet_bench.report.schema import Conditions, Device, Environment, Photo, Report
from tracenet_bench.report.tables import Row, Table
from tracenet_bench.report.texts import NONE, amount, counted, label, percent, printable, size


def conditions_sentence(report: Report) -> str:
    """When, on what, with how many threads, what was tapped for how long, and how quiet it was."""
    environment, conditions = report.environment, report.conditions
    parts = [
        printable(environment.measured_at),
        f"{processor(environment)}, {environment.usable_cores} of "
        f"{counted(environment.logical_cores, 'core')}",
        f"governor {printable(environment.governor or 'unknown')}",
        _threads(report),
        _photos(conditions.photos),
        f"{counted(conditions.taps, 'random tap')} after {conditions.warm_up} of warm-up",
        f"timed until {timed_until(conditions)}",
        f"throughput over {conditions.stream_seconds:g} s",
        versions(environment),
        load(environment),
    ]
    return f"{', '.join(parts)}; {noise_verdict(report)}."


def noise_verdict(report: Report) -> str:
    """In a few words: the reasons are many sentences, and stand once in a report."""
    return f"the machine was {'quiet' if report.noise.quiet else 'too noisy to compare'}"


def constrained_sentence(device: Device) -> str:
    """What was limited to what, by whose rule, and what that tells of the device."""
    fewer = ""
    if device.cores < device.profile_cores:
        fewer = f" (the device has {device.profile_cores}; this machine has no more)"
    counts = {
        "cgroup": "resident memory",
        "rlimit": "private writable memory, touched or not, which is more than what is resident",
    }
    return (
        f"Constrained to {printable(device.profile)}: each process was pinned to "
        f"{counted(device.cores, 'core')}{fewer} and limited to {amount(device.memory, 'B')} of "
        f"memory by {device.memory_by}. That is {percent(device.memory / device.profile_memory)} "
        f"of the device's {amount(device.profile_memory, 'B')}: a convention of this benchmark for "
        "what one app may take, since phones state no such limit. It counts "
        f"{counts[device.memory_by]}, that of Python and numpy too, so what just fails here for "
        "lack of memory might fit there. The times are those of the machine named here, not of the "
        "device."
    )


def projected_sentence(report: Report) -> str:
    """How projections were made and how far they are off where that can be measured."""
    sentence = (
        "A roofline over the programs' operators, with the device's published peak and bandwidth; "
        "no tap ran on such a device."
    )
    calibration = report.calibration
    if calibration is None:
        return f"{sentence} It was not calibrated, so nothing is known of its error."
    return (
        f"{sentence} On the measuring machine the same roofline is off by "
        f"{percent(calibration.error)} in the median and {percent(calibration.worst)} at worst, "
        f"over {counted(calibration.programs, 'program')}."
    )


def subject_table(report: Report) -> Table:
    """What each configuration is."""
    rows = []
    for it in report.measured:
        subject = it.subject
        says = ", ".join(f"{key} {value}" for key, value in subject.engine_says.items())
        canvas = NONE if subject.canvas is None else f"{subject.canvas[0]} x {subject.canvas[1]}"
        cells = (
            subject.source,
            subject.network,
            subject.target,
            subject.precision,
            subject.engine,
            subject.schedule,
            canvas,
            str(subject.threads),
            says,
        )
        rows.append(Row(label(subject), tuple(printable(cell or NONE) for cell in cells)))
    return Table(
        (
            "configuration",
            "source",
            "network",
            "target",
            "precision",
            "engine",
            "schedule",
            "canvas, height x width",
            "threads",
            "the engine says",
        ),
        tuple(rows),
    )


def environment_table(report: Report) -> Table:
    """The machine, the software and how long was measured."""
    environment, conditions = report.environment, report.conditions
    physical = environment.physical_cores
    rows = {
        "measured at": printable(environment.measured_at),
        "processor": processor(environment),
        "cores": f"{environment.usable_cores} usable of {environment.logical_cores} logical"
        + ("" if physical is None else f", {physical} physical"),
        "frequency governor": printable(environment.governor or "unknown"),
        "memory": amount(environment.memory, "B"),
        "measured peak": _by_threads(environment.peak_macs_per_second, " multiply-adds/s"),
        "measured bandwidth": _by_threads(environment.bandwidth, "B/s"),
        "system": printable(environment.system),
        "a tap's mask": f"as large as the photo, its longer side at most {SHOWN_SIDE} pixels",
        "warm-up": counted(conditions.warm_up, "tap"),
        "timed until": timed_until(conditions),
        "throughput over": f"{conditions.stream_seconds:g} s",
        "seed": str(conditions.seed),
        "command": printable(shlex.join(report.command)),
    }
    return Table(("condition", "value"), tuple(Row(name, (text,)) for name, text in rows.items()))


def processor(environment: Environment) -> str:
    """As it calls itself."""
    return printable(environment.cpu or "unknown processor")


def timed_until(conditions: Conditions) -> str:
    """When a configuration had been timed long enough."""
    return (
        f"the median's interval was narrower than {percent(conditions.target_interval)} of it or "
        f"for {counted(conditions.limit_taps, 'tap')} or {conditions.limit_seconds:g} s"
    )


def versions(environment: Environment) -> str:
    """``numpy 2.1, onnxruntime 1.22, commit 0123456 with local changes``."""
    parts = [f"{printable(name)} {printable(it)}" for name, it in environment.versions.items()]
    if environment.commit is not None:
        changes = " with local changes" if environment.modified else ""
        parts.append(f"commit {printable(environment.commit)[:7]}{changes}")
    return ", ".join(parts) or "versions unknown"


def load(environment: Environment) -> str:
    """How busy the machine was before, and the load average at both ends."""
    busy = f"{percent(environment.busy_before)} busy before"
    before, after = environment.load_before, environment.load_after
    if before is None or after is None:
        return f"{busy}, load unknown"
    return f"{busy}, load {before:.2f} before and {after:.2f} after"


def _threads(report: Report) -> str:
    counts = sorted({measured.subject.threads for measured in report.measured})
    if not counts:
        return "nothing measured"
    return " or ".join(str(count) for count in counts) + (
        " thread" if counts == [1] else " threads"
    )


def _photos(photos: tuple[Photo, ...]) -> str:
    by_area = sorted(photos, key=lambda photo: photo.height * photo.width)
    sizes = list(dict.fromkeys(size(photo) for photo in (*by_area[:1], *by_area[-1:])))
    return f"{counted(len(photos), 'photo')} ({' to '.join(sizes) or 'none'})"


def _by_threads(values: Mapping[int, float], unit: str) -> str:
    texts = (
        f"{amount(value, unit)} on {counted(threads, 'thread')}"
        for threads, value in sorted(values.items())
    )
    return ", ".join(texts) or "not measured"
