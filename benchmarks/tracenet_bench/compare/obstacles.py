"""What stands between two reports: why they cannot be compared, and what else is different."""

from __future__ import annotations

from collections.abc import Iterator

from tracenet_bench.report.conditions import processor
from tracenet_bench.report.schema import Report
from tracenet_bench.report.texts import percent, printable


def find_obstacles(old: Report, new: Report) -> Iterator[str]:
    """Why no time or memory of the one can be compared with the other's."""
    if _cpu(old) != _cpu(new):
        yield f"the processors are {_cpu(old)} and {_cpu(new)}"
    elif new.environment.cpu is None:
        yield "neither system names its processor, so they may be different ones"
    if old.device != new.device:
        yield f"the one was {_device(old)}, the other {_device(new)}"
    if old.conditions.photos != new.conditions.photos:
        yield "the photos differ"
    if (old.conditions.taps, old.conditions.seed) != (new.conditions.taps, new.conditions.seed):
        yield "the taps differ in number or seed"


def find_remarks(old: Report, new: Report) -> Iterator[str]:
    """What a reader must know first: noise, and what else is different."""
    for which, report in (("old", old), ("new", new)):
        if not report.noise.quiet:
            reasons = "; ".join(printable(reason).rstrip(".") for reason in report.noise.reasons)
            yield f"The {which} run was noisy{f' ({reasons})' if reasons else ''}; repeat it."
    sources, new_sources = (
        {it.subject.name: it.subject.source for it in report.measured} for report in (old, new)
    )
    both = sources.keys() & new_sources.keys()
    if both and sources.keys() != new_sources.keys():
        yield (
            "What both runs measured was measured beside other configurations; they are tapped in "
            "turn, so what those leave in the caches is in its times."
        )
    before = _settings(old) | {f"source of {printable(name)}": sources[name] for name in both}
    after = _settings(new) | {f"source of {printable(name)}": new_sources[name] for name in both}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, "absent"), after.get(name, "absent")
        if was != now:
            yield f"Also different: {name}, {printable(was)} before and {printable(now)} now."


def _settings(report: Report) -> dict[str, str]:
    environment, conditions = report.environment, report.conditions
    settings = {name: str(version) for name, version in environment.versions.items()}
    settings |= {
        "frequency governor": environment.governor or "unknown",
        "operating system": environment.system,
        "taps of warm-up": str(conditions.warm_up),
        "target of intervals": percent(conditions.target_interval),
        "limit of taps": str(conditions.limit_taps),
        "limit of seconds": f"{conditions.limit_seconds:g}",
    }
    return {printable(name): text for name, text in settings.items()}


def _cpu(report: Report) -> str:
    environment = report.environment
    return f"{processor(environment)} with {environment.usable_cores} usable cores"


def _device(report: Report) -> str:
    device = report.device
    if device is None:
        return "not constrained"
    return (
        f"constrained to {printable(device.profile)} ({device.cores} cores, {device.memory} bytes "
        f"by {device.memory_by})"
    )
