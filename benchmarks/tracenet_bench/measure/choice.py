"""From what the command line asks for to configurations, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tracenet_bench.measure.baselines import baseline_names, baselines_of
from tracenet_bench.measure.configurations import Configuration, Wanted, of_bundle
from tracenet_bench.report.schema import Photo
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import all_engines, engine_for, why_unavailable
from tracenet_runtime.errors import EngineUnavailable


def choose_configurations(wanted: Wanted, photos: Sequence[Photo]) -> list[Configuration]:
    """The configurations, the bundles' own first; ``photos`` decide where no canvas is named.

    Nothing is loaded yet, but bundles are checked, and that they have what is asked of them.

    Raises:
        BundleError: a bundle is missing or damaged, or has no such schedule or canvas.
        EngineUnavailable: an engine is unknown, does not run here, or runs none of the bundles, or
            a bundle is run by none of the engines.
        SubjectError: a baseline is unknown, or a bundle lacks it.
    """
    plan = _Plan()
    bundles = [Bundle.open(folder) for folder in wanted.bundles]
    _check_engines(wanted.engines, bundles)
    other = None if wanted.baseline_bundle is None else Bundle.open(wanted.baseline_bundle)
    baselines = baseline_names(wanted.baselines, bundles if other is None else [other])
    for threads in wanted.threads:
        own = [
            plan.add(of_bundle(bundle, engine, schedule, canvas, threads, photos))
            for bundle in bundles
            for engine in _engines(wanted.engines, bundle) or (None,)
            for schedule in wanted.schedules or (None,)
            for canvas in wanted.canvases or (None,)
        ]
        for name in baselines:
            for baseline in baselines_of(name, wanted, bundles, other, own, threads, photos):
                plan.add(baseline)
    return list(plan.found.values())


@dataclass
class _Plan:
    """Configurations by name, in the order in which they were asked for."""

    found: dict[str, Configuration] = field(default_factory=dict)

    def add(self, new: Configuration) -> Configuration:
        """Take in what is not there yet; of two bundles with one name the later says its folder."""
        name = new.name
        while name in self.found and self.found[name].subject.source != new.subject.source:
            name = f"{name} of {new.subject.source}"
        new = replace(new, subject=replace(new.subject, name=name))
        there = self.found.setdefault(name, new)
        compared = (*there.compared_with, *new.compared_with)
        self.found[name] = replace(there, compared_with=tuple(dict.fromkeys(compared)))
        return self.found[name]


def _check_engines(engines: Sequence[str], bundles: Sequence[Bundle]) -> None:
    known = all_engines()
    for name in engines:
        if name not in known:
            raise EngineUnavailable(
                f"There is no engine {name!r}; the engines are {', '.join(sorted(known))}."
            )
        if all(known[name].target != bundle.manifest.target for bundle in bundles):
            raise EngineUnavailable(
                f"The engine {name} runs {known[name].target} bundles, and no --bundle is one; "
                "choose another engine or export for its target."
            )
        if reason := why_unavailable(name, known[name]):
            raise EngineUnavailable(reason)
    for bundle in bundles:
        if engines and not _engines(engines, bundle):
            target = bundle.manifest.target
            raise EngineUnavailable(
                f"{bundle.folder} is a {target} bundle, which runs on none of the --engine named; "
                f"name {engine_for(target)} too, or leave the bundle out."
            )


def _engines(asked: Sequence[str], bundle: Bundle) -> list[str]:
    """Those of them that run the bundle."""
    known = all_engines()
    return [name for name in asked if known[name].target == bundle.manifest.target]
