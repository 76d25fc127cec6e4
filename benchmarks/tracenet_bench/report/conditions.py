"""The conditions of a report in sentences: no figure is shown without them."""

from __future__ import annotations

from tracenet_bench.report.schema import Conditions, Device, Environment, Photo, Report
from tracenet_bench.report.texts import amount, counted, percent, printable


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


def size(photo: Photo) -> str:
    """``4032 x 3024``: width first, as photos are spoken of."""
    return f"{photo.width} x {photo.height}"


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
