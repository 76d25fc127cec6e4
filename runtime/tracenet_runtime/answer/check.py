"""Do the outputs of a schedule mean what a look takes them for?"""

from collections.abc import Mapping, Sequence

import numpy as np

from tracenet_runtime.answer.levels import Level, Meaning
from tracenet_runtime.answer.mask_head import mask_head
from tracenet_runtime.contract import (
    GUIDE,
    GUIDE_PLANES,
    GUIDE_STRIDE,
    PROBABILITY_STRIDE,
    VECTORS,
)
from tracenet_runtime.errors import contradiction
from tracenet_runtime.graph.program import Program
from tracenet_runtime.graph.schedule import Choice, Phase, PlaneInput, Schedule
from tracenet_runtime.graph.windows import CheckedWindows


def check_meaning(meaning: Meaning, schedules: Sequence[Schedule]) -> None:
    """Raise ``BundleError`` unless the outputs of schedules are those of levels."""
    names = [level.name for level in meaning.levels]
    strides = [level.stride for level in meaning.levels]
    if len(set(names)) != len(names):
        raise contradiction("two levels have the same name")
    if strides != sorted(set(strides)):
        raise contradiction("the levels are not ordered from the finest to the coarsest")
    for schedule in schedules:
        _check_outputs(meaning, schedule)


def _check_outputs(meaning: Meaning, schedule: Schedule) -> None:
    """Every score, box and filter is that of a level, and every level has all three or none."""
    asked, outputs = meaning.asked(schedule.graph), schedule.graph.outputs
    found = [outputs["score"], outputs["box"], outputs["filter"]]
    if [sorted(names) for names in found] != [
        sorted(level.score for level in asked),
        sorted(level.box for level in asked),
        sorted(level.filter for level in asked),
    ]:
        raise contradiction(
            f"the outputs of the schedule {schedule.name!r} are not scores, boxes and filters of "
            "the same levels"
        )
    if schedule.key_stride != asked[0].stride:
        raise contradiction(
            f"the key cells of the schedule {schedule.name!r} are not those of its finest level"
        )
    vectors = {name: getattr(v, "channels", None) for name, v in schedule.graph.inputs.items()}
    if {name: vectors.get(name) for name in VECTORS} != VECTORS:
        raise contradiction(
            f"the schedule {schedule.name!r} does not have the vectors of a mask head as inputs"
        )


def check_choice(programs: Mapping[str, Program], meaning: Meaning, choice: Choice) -> None:
    """Raise ``BundleError`` unless every tap of a canvas that a schedule serves can be answered.

    ``check_structure`` and ``check_meaning`` must have passed.
    """
    checked, graph = CheckedWindows(programs, choice), choice.schedule.graph
    for level in meaning.asked(graph):
        _check_level(level, checked)
    for phase in graph.windows:
        _check_head(meaning, checked, phase)
    if graph.correction:
        _check_correction(checked)


def _check_correction(checked: CheckedWindows) -> None:
    """A correction takes the planes of a guided look and gives the probabilities of a mask."""
    graph = checked.choice.schedule.graph
    if graph.planes != {GUIDE: PlaneInput(len(GUIDE_PLANES), GUIDE_STRIDE)}:
        checked.refuse(
            f"its planes are not {GUIDE!r}, of {len(GUIDE_PLANES)} channels and {GUIDE_STRIDE} "
            "canvas pixels a cell"
        )
    (name,) = graph.outputs["mask_state"]
    state = checked.correction[name]
    if state.channels != 1 or set(state.cell) != {GUIDE_STRIDE}:
        checked.refuse(
            f"the mask's state {name!r} is not one channel of {GUIDE_STRIDE} pixels a cell"
        )


def _check_level(level: Level, checked: CheckedWindows) -> None:
    """The tap's cell of a level must lie in its three arrays."""
    key_stride = checked.choice.schedule.key_stride
    rows, columns = checked.keys
    for name, channels in ((level.score, 1), (level.box, 4), (level.filter, VECTORS["filter"])):
        array = checked.tap[name]
        if array.channels != channels:
            checked.refuse(f"the array {name!r} does not have {channels} channel(s)")
        for key, start, size in (
            (rows, array.start_y, array.height),
            (columns, array.start_x, array.width),
        ):
            first = key * key_stride // level.stride
            last = ((key + 1) * key_stride - 1) // level.stride
            if np.any(first < start) or np.any(last >= start + size):
                checked.refuse(f"the array {name!r} misses the cell of some taps")


def _check_head(meaning: Meaning, checked: CheckedWindows, phase: Phase) -> None:
    """The call that takes the vectors must make of one window of features one of masks."""
    schedule = checked.choice.schedule
    if sum(bool(call.vectors) for call in phase.program_calls) != 1:
        checked.refuse(f"the window {phase.name!r} does not have one mask head")
    head = mask_head(phase)
    if sorted(head.vectors.values()) != sorted(VECTORS):
        checked.refuse(f"the mask head of {phase.name!r} does not take each of its vectors once")
    if len(head.inputs) != 1 or len(head.outputs) != 1:
        checked.refuse(f"the mask head of {phase.name!r} must have one window in and one out")
    features, mask = head.inputs[0], head.outputs[0]
    if set(schedule.cell(head, features)) != {meaning.feature_stride}:
        checked.refuse(
            f"the features of {phase.name!r} do not have {meaning.feature_stride} canvas pixels a "
            "cell"
        )
    finer = meaning.feature_stride // PROBABILITY_STRIDE
    if mask.step != finer * features.step or (mask.height, mask.width) != (
        finer * features.height,
        finer * features.width,
    ):
        checked.refuse(f"the mask of {phase.name!r} is not {finer} times as fine as its features")
