"""Is a graph put together as graphs are, whatever its windows?"""

from collections.abc import Iterable, Iterator

from tracenet_runtime.contract import IMAGE
from tracenet_runtime.errors import contradiction
from tracenet_runtime.graph.schedule import (
    Graph,
    ImageInput,
    PlaceMask,
    Schedule,
    VectorInput,
    When,
)

_ORDER: tuple[When, ...] = ("photo", "tap", "window", "correction")
_ONCE: tuple[When, ...] = ("photo", "tap", "correction")


def check_structure(schedule: Schedule) -> None:
    """Raise ``BundleError`` unless the inputs, phases and outputs of its graph fit together."""
    for problem in _problems(schedule.graph):
        raise contradiction(f"in the schedule {schedule.name!r}, {problem}")


def _problems(graph: Graph) -> Iterator[str]:
    images = [name for name, kind in graph.inputs.items() if isinstance(kind, ImageInput)]
    if images != [IMAGE]:
        yield f"it must have one input that is an image, named {IMAGE!r}"
    whens = [phase.when for phase in graph.phases]
    if whens != sorted(whens, key=_ORDER.index) or max(map(whens.count, _ONCE)) > 1:
        yield (
            "its phases are not at most one per photo, at most one per tap, those of windows, and "
            "at most one per correction"
        )
    if "window" not in whens:
        yield "it has no phase of a window"
    if _repeated(phase.name for phase in graph.phases):
        yield "two of its phases have the same name"
    if _repeated(name for names in graph.outputs.values() for name in names):
        yield "one of its outputs has two roles"
    for phase in graph.phases:
        if sum(isinstance(v, PlaceMask) for v in phase.calls) != (phase.when == "window"):
            yield f"the phase {phase.name!r} does not place one mask where it is a window's"
        vectors = {name for call in phase.program_calls for name in call.vectors.values()}
        if vectors and phase.when != "window":
            yield f"the phase {phase.name!r} takes vectors, which are for those of windows"
        known = {name for name, kind in graph.inputs.items() if isinstance(kind, VectorInput)}
        for name in sorted(vectors - known):
            yield f"the phase {phase.name!r} takes the vector {name!r}, which is no input"
    placed = [v for phase in graph.windows for v in phase.calls if isinstance(v, PlaceMask)]
    if list(graph.outputs["mask"]) != [call.output for call in placed]:
        yield "its masks are not what its windows place, in their order"
    reaches = [float("inf") if call.reach is None else call.reach for call in placed]
    if reaches != sorted(set(reaches)):
        yield "its windows are not ordered from the smallest reach up"
    yield from _correction_problems(graph)


def _correction_problems(graph: Graph) -> Iterator[str]:
    """A correction reads planes and what was made once per photo, and leaves the mask's state."""
    made = {name for call in graph.correction for name in call.makes}
    states = graph.outputs.get("mask_state", ())
    if bool(graph.correction) != bool(graph.planes) or bool(graph.correction) != bool(states):
        yield "a phase per correction, planes and a mask's state do not come together"
    if graph.correction and not graph.photo:
        yield "it has a phase per correction, but none per photo that it could read"
    if len(states) > 1 or not made.issuperset(states):
        yield "its mask's state is not one array that its correction makes"


def _repeated(names: Iterable[str]) -> bool:
    listed = list(names)
    return len(set(listed)) != len(listed)
