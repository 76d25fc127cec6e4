"""Does a manifest fit together with itself and its table?

What passes here can be replayed, on every canvas that is checked, for every tap without reading
outside an array.
"""

from typing import NoReturn

import numpy as np
import numpy.typing as npt

from tracenet_runtime.errors import BundleError
from tracenet_runtime.manifest import Manifest
from tracenet_runtime.schedule import Schedule
from tracenet_runtime.table import make_table
from tracenet_runtime.windows import check_windows
from tracenet_runtime.zoom_rule import ZoomRule


def check_files_listed(manifest: Manifest) -> None:
    """Raise ``BundleError`` unless every file that the manifest uses is listed in ``files``."""
    for path in (
        manifest.table_file,
        manifest.golden_file,
        manifest.golden_photo,
        manifest.parity_file,
    ):
        if path not in manifest.files:
            _refuse(f"{path} is used but not listed in files")
    for program in manifest.programs.values():
        # A Core ML program is a folder.
        folder = program.file + "/"
        if program.file not in manifest.files and not any(
            path.startswith(folder) for path in manifest.files
        ):
            _refuse(f"{program.file} is used but not listed in files")


def check_consistency(manifest: Manifest, table: npt.NDArray[np.int32]) -> None:
    """Raise ``BundleError`` unless every reference resolves and every window lies in its array.

    Of each schedule the canvas that it was planned for is checked, against the bundle's ``table``,
    and the smallest and the largest that it serves. Those between are checked when their table is
    made: ``checked_table``.
    """
    if table.shape != (manifest.table_count,):
        _refuse(f"the table has {table.size} numbers, not {manifest.table_count}")
    _check_levels(manifest)
    seen: set[tuple[str, int, int]] = set()
    for schedule in manifest.schedules:
        identity = (schedule.name, *schedule.canvas)
        if identity in seen:
            _refuse(f"two schedules are named {schedule.name!r} and have the same canvas")
        seen.add(identity)
        _check_schedule(manifest, schedule)
        _check_table(schedule, table)
        height, width = schedule.serves.height, schedule.serves.width
        for canvas in {schedule.canvas, (height.least, width.least), (height.most, width.most)}:
            checked_table(manifest, schedule, *canvas)
    if manifest.zoom is not None:
        _check_zoom(manifest, manifest.zoom)


def checked_table(
    manifest: Manifest, schedule: Schedule, height: int, width: int
) -> npt.NDArray[np.int32]:
    """The table of a schedule on a canvas that it serves, with every window checked.

    Raises ``BundleError`` when a window leaves its array, ``ValueError`` for a canvas that the
    schedule does not serve.
    """
    if not schedule.serves_canvas(height, width):
        raise ValueError(f"the schedule {schedule.name!r} does not serve {height} x {width}")
    table = make_table(schedule, height, width)
    check_windows(manifest, schedule, height, width, table)
    return table


def _check_zoom(manifest: Manifest, zoom: ZoomRule) -> None:
    for look in (zoom.first, zoom.tile):
        if look >= len(manifest.schedules):
            _refuse(f"zoom uses the schedule number {look}, of {len(manifest.schedules)}")
        if manifest.schedules[look].encode:
            _refuse("zoom uses a schedule that encodes photos")
    if zoom.extent > min(manifest.schedules[zoom.tile].canvas):
        _refuse("the extent of zoom is larger than the canvas of its tile")


def _check_levels(manifest: Manifest) -> None:
    names = [level.name for level in manifest.levels]
    strides = [level.stride for level in manifest.levels]
    if len(set(names)) != len(names):
        _refuse("two levels have the same name")
    if strides != sorted(set(strides)):
        _refuse("the levels are not ordered from the finest to the coarsest")


def _check_schedule(manifest: Manifest, schedule: Schedule) -> None:
    """What does not depend on the canvas."""
    name = f"the schedule {schedule.name!r}"
    asked = [level.name for level in manifest.levels if level.name in schedule.levels]
    if list(schedule.levels) != asked:
        _refuse(f"the levels of {name} are not ordered from the finest to the coarsest")
    if schedule.key_stride % 2 or manifest.canvas_multiple % schedule.key_stride:
        _refuse(
            f"the key level of {name} has the stride {schedule.key_stride}, which is odd or does "
            f"not divide the canvas multiple, {manifest.canvas_multiple}"
        )
    if not schedule.serves_canvas(*schedule.canvas):
        _refuse(f"{name} does not serve the canvas that it was planned for")
    for row in schedule.rows:
        least = schedule.serves.height.least if row.axis == "y" else schedule.serves.width.least
        if row.size * row.unit > least:
            _refuse(f"a row of {name} has windows larger than the smallest canvas that it serves")
    _check_masks(schedule, name)


def _check_masks(schedule: Schedule, name: str) -> None:
    mask_names = [mask.name for mask in schedule.masks]
    if len(set(mask_names)) != len(mask_names):
        _refuse(f"two mask alternatives of {name} have the same name")
    if set(schedule.macs.masks) != set(mask_names):
        _refuse(f"macs.masks of {name} does not have the names of the mask alternatives")
    reaches = [float("inf") if mask.reach is None else mask.reach for mask in schedule.masks]
    if reaches != sorted(set(reaches)):
        _refuse(f"the mask alternatives of {name} are not ordered from the smallest reach up")


def _check_table(schedule: Schedule, table: npt.NDArray[np.int32]) -> None:
    expected = make_table(schedule, *schedule.canvas)
    given = table[schedule.table_offset : schedule.table_offset + len(expected)]
    if not np.array_equal(given, expected):
        _refuse(f"the table of the schedule {schedule.name!r} is not what its rows give")


def _refuse(reason: str) -> NoReturn:
    raise BundleError(f"The bundle contradicts itself: {reason}; export it again.")
