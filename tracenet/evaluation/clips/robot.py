"""A simulated user who scribbles on what is wrong with a mask (DAVIS 2018, arXiv 1803.00557).

The published robot's description, written anew: what is wrong is opened, so that thin rims do not
count; a line along the middle of what remains is drawn as a Bezier curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BPoly
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra
from skimage.morphology import medial_axis

from tracenet.evaluation.metrics import Mask
from tracenet_runtime.image.geometry import Size

WIDTH = 3.0
"""Of a line, frame pixels."""

OPENING = 0.15
LARGEST_RADIUS = 16.0
SMALLER = 0.9
"""The radius of the opening: a share of half the root of the region's area, at most so many pixels,
and made smaller by this factor until something remains."""

CONTROL_POINTS = 12
DRAWN_POINTS = 30

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """A scribble: points (x, y), frame pixels, and whether they belong to the thing."""

    points: Points
    positive: bool


def scribbles(mask: Mask, truth: Mask, known: Mask) -> list[Line]:
    """The lines of a user who corrects a mask: one on what it lacks, one on what it has in excess.

    Args:
        mask: bool H x W, to be corrected.
        truth: bool H x W, what is meant.
        known: bool H x W, False where the annotation says nothing, which is never wrong.

    Returns:
        No line where nothing is wrong.
    """
    wrong = ((truth & ~mask & known, True), (mask & ~truth & known, False))
    return [Line(line_on(region), positive) for region, positive in wrong if region.any()]


def line_on(region: Mask) -> Points:
    """A line along the middle of a region, bool H x W, that has a pixel at least."""
    # Ties are broken at random: the same region is to have the same line each time.
    axis: Mask = medial_axis(np.pad(opened(region), 1), rng=0)[1:-1, 1:-1]  # type: ignore[no-untyped-call]
    path = longest_path(axis)
    chosen = np.linspace(0, len(path) - 1, min(CONTROL_POINTS, len(path))).round().astype(int)
    controls = path[chosen][:, ::-1] + 0.5  # (x, y), the middles of pixels
    curve = BPoly(controls[:, None], [0, 1])(np.linspace(0, 1, DRAWN_POINTS))
    if len(path) == 1:
        curve = controls
    return _within(curve, (region.shape[0], region.shape[1]))


def opened(region: Mask) -> Mask:
    """What of a region a disk reaches that lies within it; something of it, however small it is."""
    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    area = int(np.count_nonzero(region))
    radius = min(OPENING * math.sqrt(area) / 2, LARGEST_RADIUS)
    while not (kept := depth > radius).any():
        radius *= SMALLER
    reached: Mask = (distance_transform_edt(~kept) <= radius) & region
    return reached


def longest_path(pixels: Mask) -> npt.NDArray[np.intp]:
    """The longest of the shortest ways between two pixels over 8-neighbours, K x 2, (row, column).

    Found from the pixel farthest from some pixel, which is exact where the pixels branch without
    circles; of pieces that do not touch, the one with most pixels counts.
    """
    places = np.argwhere(pixels)
    number = np.full(np.add(pixels.shape, 2), -1)
    number[1:-1, 1:-1][pixels] = np.arange(len(places))
    links = []
    for down, across in ((0, 1), (1, -1), (1, 0), (1, 1)):
        beside = number[places[:, 0] + 1 + down, places[:, 1] + 1 + across]
        here = np.flatnonzero(beside >= 0)
        length = np.full(len(here), math.hypot(down, across))
        links.append(np.stack([here, beside[here], length]))
    start, end, length = np.concatenate(links, axis=1)
    graph = coo_array(
        (length, (start.astype(int), end.astype(int))), shape=(len(places), len(places))
    ).tocsr()

    def farthest(place: int) -> tuple[int, npt.NDArray[np.intp]]:
        far, before = dijkstra(graph, directed=False, indices=place, return_predecessors=True)
        return int(np.where(np.isfinite(far), far, -1).argmax()), before

    first, _ = farthest(_in_the_largest_piece(graph))
    last, before = farthest(first)
    path = [last]
    while path[-1] != first:
        path.append(int(before[path[-1]]))
    return places[path]


def _in_the_largest_piece(graph: coo_array) -> int:
    _, piece = connected_components(graph, directed=False)
    return int(np.flatnonzero(piece == np.bincount(piece).argmax())[0])


def _within(points: npt.NDArray[np.float64], frame: Size) -> Points:
    highest = np.array([frame[1], frame[0]]) - 0.5
    return tuple((float(x), float(y)) for x, y in points.clip(0.5, highest))
