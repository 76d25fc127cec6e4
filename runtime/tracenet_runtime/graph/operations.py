"""The host operations: calls that the runtime does itself, each written once here.

Adding one: a dataclass beside ``PlaceMask`` in ``schedule.py``, a kind in ``bundle/parser.py``, its
function here, what must hold of its arrays in ``check.py``, and the same in TypeScript.
"""

from collections.abc import Mapping

from tracenet_runtime.contract import PROBABILITY_STRIDE
from tracenet_runtime.graph.arrays import Array, PlacedArray
from tracenet_runtime.graph.schedule import PlaceMask


def place_mask(
    call: PlaceMask,
    arrays: Mapping[str, Array],
    key_cell: tuple[int, int],
    key_stride: int,
    canvas: tuple[int, int],
) -> PlacedArray:
    """What lies within ``reach`` of the key cell (x, y), on a canvas of (height, width) pixels."""
    (top, bottom), (left, right) = (
        (0, side // PROBABILITY_STRIDE)
        if call.reach is None
        else (
            max(0, key * key_stride - call.reach) // PROBABILITY_STRIDE,
            min(side, (key + 1) * key_stride + call.reach) // PROBABILITY_STRIDE,
        )
        for key, side in zip(reversed(key_cell), canvas, strict=True)
    )
    return PlacedArray(
        arrays[call.input].cut(top, left, bottom - top, right - left), y0=top, x0=left
    )
