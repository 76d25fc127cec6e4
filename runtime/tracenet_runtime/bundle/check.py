"""Does a manifest fit together with itself and its table?

What passes here can be replayed, on every canvas that is checked, for every tap without reading
outside an array.
"""

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.check import check_choice, check_meaning
from tracenet_runtime.bundle.records import Manifest
from tracenet_runtime.errors import contradiction
from tracenet_runtime.graph.schedule import Choice, Schedule
from tracenet_runtime.graph.structure import check_structure
from tracenet_runtime.strategies.rules import GuidedRule, SingleRule
from tracenet_runtime.tracking.check import check_tracking


def check_files_listed(manifest: Manifest) -> None:
    """Raise ``BundleError`` unless every file that the manifest uses is listed in ``files``."""
    for path in (
        manifest.table_file,
        manifest.golden_file,
        manifest.golden_photo,
        manifest.parity_file,
    ):
        if path not in manifest.files:
            raise contradiction(f"{path} is used but not listed in files")
    for program in manifest.stored.values():
        # A Core ML program is a folder.
        folder = program.file + "/"
        if program.file not in manifest.files and not any(
            path.startswith(folder) for path in manifest.files
        ):
            raise contradiction(f"{program.file} is used but not listed in files")


def check_manifest(manifest: Manifest, table: npt.NDArray[np.int32]) -> None:
    """Raise ``BundleError`` unless every reference resolves and every window lies in its array.

    Of each schedule the canvas that it was planned for is checked, against the bundle's ``table``,
    and the smallest and the largest that it serves. Those between are checked when they are first
    used: ``check_choice``.
    """
    if table.shape != (manifest.table_count,):
        raise contradiction(f"the table has {table.size} numbers, not {manifest.table_count}")
    seen: set[tuple[str, int, int]] = set()
    for schedule in manifest.schedules:
        identity = (schedule.name, *schedule.canvas)
        if identity in seen:
            raise contradiction(
                f"two schedules are named {schedule.name!r} and have the same canvas"
            )
        seen.add(identity)
        _check_schedule(manifest, schedule)
        check_structure(schedule)
    check_meaning(manifest.meaning, manifest.schedules)
    for schedule in manifest.schedules:
        _check_table(schedule, table)
        height, width = schedule.serves.height, schedule.serves.width
        for canvas in {schedule.canvas, (height.least, width.least), (height.most, width.most)}:
            check_choice(manifest.programs, manifest.meaning, Choice(schedule, *canvas))
    _check_strategy(manifest)
    if manifest.tracking is not None:
        check_tracking(manifest.tracking, manifest.programs)
    if [v.halo == 1 for v in manifest.schedules] != [v is None for v in manifest.fullnet_iou]:
        raise contradiction("answer.fullnet_iou is not null for the exact schedules alone")


def _check_strategy(manifest: Manifest) -> None:
    rule, schedules = manifest.strategy, manifest.schedules
    zoom = rule.zoom if isinstance(rule, GuidedRule) else rule
    used = zoom.schedules if isinstance(zoom, SingleRule) else (zoom.first, zoom.tile)
    for number in used:
        if number >= len(schedules):
            raise contradiction(f"strategy uses the schedule number {number}, of {len(schedules)}")
    if isinstance(zoom, SingleRule):
        return
    guided = isinstance(rule, GuidedRule)
    if schedules[zoom.first].graph.photo or (schedules[zoom.tile].graph.photo and not guided):
        raise contradiction("the zoom uses a schedule that has a phase per photo")
    if guided and not schedules[zoom.tile].graph.correction:
        raise contradiction("the schedule of the guided look's tile has no phase per correction")
    if zoom.extent > min(schedules[zoom.tile].canvas):
        raise contradiction("the extent of the zoom is larger than the canvas of its tile")


def _check_schedule(manifest: Manifest, schedule: Schedule) -> None:
    """What does not depend on the canvas."""
    name = f"the schedule {schedule.name!r}"
    if schedule.key_stride % 2 or manifest.canvas_multiple % schedule.key_stride:
        raise contradiction(
            f"the key stride of {name}, {schedule.key_stride}, is odd or does not divide the "
            f"canvas multiple, {manifest.canvas_multiple}"
        )
    if not schedule.serves_canvas(*schedule.canvas):
        raise contradiction(f"{name} does not serve the canvas that it was planned for")
    for row in schedule.rows:
        least = schedule.serves.height.least if row.axis == "y" else schedule.serves.width.least
        if row.size * row.unit > least:
            raise contradiction(
                f"a row of {name} has windows larger than the smallest canvas that it serves"
            )


def _check_table(schedule: Schedule, table: npt.NDArray[np.int32]) -> None:
    expected = np.concatenate(schedule.starts(*schedule.canvas))
    given = table[schedule.table_offset : schedule.table_offset + len(expected)]
    if not np.array_equal(given, expected):
        raise contradiction(
            f"the table of the schedule {schedule.name!r} is not what its rows give"
        )
