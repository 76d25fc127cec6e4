"""Photos that move: static pictures deformed into short clips (STM, arXiv 1904.00607, section 4.1).

A clip has a canvas of photos as its background, which moves and bends as a whole, and cutouts of
other photos that move across it. The thing that is followed is one of either.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.interpolate import RBFInterpolator

from tracenet.data.annotated import AnnotatedPhoto
from tracenet.data.augment import Augmentation, Crop
from tracenet.data.copy_paste import CopyPaste, Cutout, cut_out
from tracenet.data.moving import OTHER, THING, UNKNOWN, Labels, Rgb, SquareTile
from tracenet_runtime.image.geometry import Box, Size

FRAME_SIDE = 384
"""Pixels of a frame; its picture reaches MARGIN further to each side, for what moves in."""

MARGIN = 32
PICTURE_SIDE = FRAME_SIDE + 2 * MARGIN

LEAST_AREA = 300
"""Pixels of a thing that is followed."""

MESH = 6
"""Patches along a side, within which a deformation is bilinear."""

_FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """How much one frame differs from the next, standard deviations but for ``bend``.

    A clip has all of it times one factor, so that some hardly move.

    Attributes:
        shift: of the place, as a share of the frame's side.
        turn: radians.
        grow: logarithm of the scale.
        shear: tangent.
        bend: frame pixels by which the points of a thin-plate spline move.
        factor: low, high; log-uniform.
    """

    shift: float = 0.04
    turn: float = 0.12
    grow: float = 0.08
    shear: float = 0.06
    bend: float = 5.0
    factor: tuple[float, float] = (0.25, 1.6)


@dataclass(frozen=True)
class _Pose:
    """Where a frame's point (x, y) lies in a picture: matrix @ (x, y) + offset, plus the bends."""

    matrix: _FloatArray
    offset: _FloatArray
    bends: _FloatArray | None = None

    def __call__(self, points: _FloatArray) -> _FloatArray:
        """K x 2 -> K x 2."""
        there: _FloatArray = points @ self.matrix.T + self.offset
        if self.bends is not None:
            there += RBFInterpolator(_KNOTS, self.bends, kernel="thin_plate_spline")(points)
        return there


_KNOTS = np.stack(np.meshgrid(*[np.linspace(0, FRAME_SIDE, 4)] * 2), -1).reshape(-1, 2)


@dataclass(frozen=True)
class _Mover:
    """A cutout that moves across the frames.

    Attributes:
        cutout: what is seen.
        poses: by frame.
        label: of its pixels.
        gone: frames in which it is not seen.
    """

    cutout: Cutout
    poses: tuple[_Pose, ...]
    label: int
    gone: Set[int]

    def paint(self, frame: int, tile: SquareTile, rgb: Image.Image, labels: Labels) -> None:
        """Put it onto a canvas."""
        if frame in self.gone:
            return
        pose, scale = self.poses[frame], tile.side / rgb.width
        height, width = self.cutout.mask.shape
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
        on_frame = (corners - pose.offset) @ np.linalg.inv(pose.matrix).T
        on_canvas = (on_frame - (tile.x, tile.y)) / scale
        x0, y0 = np.floor(on_canvas.min(0)).clip(0, rgb.width).astype(int)
        x1, y1 = np.ceil(on_canvas.max(0)).clip(0, rgb.width).astype(int)
        if x0 >= x1 or y0 >= y1:
            return
        matrix = pose.matrix * scale
        start = pose.matrix @ (np.array([x0, y0]) * scale + (tile.x, tile.y)) + pose.offset
        affine = (*matrix[0], start[0], *matrix[1], start[1])

        def seen(array: npt.NDArray[np.uint8]) -> Image.Image:
            return Image.fromarray(array).transform(
                (int(x1 - x0), int(y1 - y0)),
                Image.Transform.AFFINE,
                affine,
                Image.Resampling.BILINEAR,
            )

        opacity = seen(self.cutout.opacity)
        rgb.paste(seen(self.cutout.photo), (int(x0), int(y0)), opacity)
        covered = np.asarray(opacity) >= 128
        labels[y0:y1, x0:x1][covered] = self.label


@dataclass(frozen=True)
class DeformedScene:
    """A clip made of photos; see :class:`~tracenet.data.moving.MovingScene`."""

    picture: Image.Image
    labels: Image.Image
    poses: tuple[_Pose, ...]
    movers: tuple[_Mover, ...]
    box: Box
    pad_value: tuple[int, int, int]

    @property
    def size(self) -> Size:
        """See :class:`~tracenet.data.moving.MovingScene`."""
        return FRAME_SIDE, FRAME_SIDE

    def show(self, frame: int, tile: SquareTile, side: int) -> tuple[Rgb, Labels]:
        """See :class:`~tracenet.data.moving.MovingScene`."""
        mesh = _mesh(self.poses[frame], tile, side)

        def seen(image: Image.Image, resampling: Image.Resampling, colour: object) -> Image.Image:
            return image.transform(
                (side, side),
                Image.Transform.MESH,
                mesh,
                resampling,
                fillcolor=colour,  # type: ignore[arg-type]
            )

        rgb = seen(self.picture, Image.Resampling.BILINEAR, self.pad_value)
        labels = np.array(seen(self.labels, Image.Resampling.NEAREST, UNKNOWN))
        for mover in self.movers:
            mover.paint(frame, tile, rgb, labels)
        shown = np.array(rgb)
        for axis, start in enumerate((tile.y, tile.x)):
            end = max(0, round((FRAME_SIDE - start) * side / tile.side))
            beyond = (slice(None),) * axis + (slice(end, None),)
            shown[beyond], labels[beyond] = self.pad_value, UNKNOWN
        return shown, labels


def deformed_scene(
    crop: Crop,
    frames: int,
    draw: Callable[[], AnnotatedPhoto],
    pad_value: tuple[int, int, int],
    motion: Motion,
    random: np.random.Generator,
) -> DeformedScene | None:
    """A clip of some frames in which a thing moves, or None where nothing can be followed.

    Args:
        crop: what moves as a whole, PICTURE_SIDE pixels high and wide.
        frames: how many.
        draw: gives photos from which things are cut out.
        pad_value: RGB colour beside a photo.
        motion: how much moves.
        random: of everything random.
    """
    low, high = np.log(motion.factor)
    motion = _scaled(motion, float(np.exp(random.uniform(low, high))))
    labels = np.where(crop.masks.any(0), np.uint8(OTHER), np.uint8(0))
    labels[crop.ignore & (labels == 0)] = UNKNOWN
    movers: list[_Mover] = []
    box: Box | None = None
    if random.random() < 0.5:
        inner = slice(MARGIN, MARGIN + FRAME_SIDE)
        things = [m for m in crop.masks[crop.tapped] if m[inner, inner].sum() >= LEAST_AREA]
        if not things:
            return None
        thing = things[random.integers(len(things))]
        labels[thing] = THING
        box = _bounds(thing[inner, inner])
    else:
        gone = _absence(frames, random) if random.random() < 0.25 else frozenset[int]()
        mover = _mover(draw(), frames, THING, None, gone, motion, random)
        if mover is None:
            return None
        movers.append(mover)
        box = _mover_box(mover)
    if random.random() < 0.5:
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        at = middle if random.random() < 0.7 else None
        # From the second frame on: in the first, the user sees what is meant.
        hidden = frozenset({0}) if random.random() < 0.6 else frozenset[int]()
        other = _mover(draw(), frames, OTHER, at, hidden, motion, random)
        if other is not None:
            movers.append(other)
    return DeformedScene(
        Image.fromarray(crop.photo),
        Image.fromarray(labels),
        _poses(frames, (MARGIN + FRAME_SIDE / 2,) * 2, motion, random),
        tuple(movers),
        box,
        pad_value,
    )


def _scaled(motion: Motion, factor: float) -> Motion:
    return replace(
        motion,
        shift=motion.shift * factor,
        turn=motion.turn * factor,
        grow=motion.grow * factor,
        shear=motion.shear * factor,
        bend=motion.bend * factor,
    )


def _poses(
    frames: int,
    middle: tuple[float, float],
    motion: Motion,
    random: np.random.Generator,
    *,
    bent: bool = True,
    enlarged: float = 1.0,
    at: tuple[float, float] = (FRAME_SIDE / 2, FRAME_SIDE / 2),
    speed: tuple[float, float] = (0.0, 0.0),
) -> tuple[_Pose, ...]:
    """A random walk; in the first frame, ``middle`` of the picture lies upright ``at`` a place."""
    turn = grow = shear = 0.0
    place, bends = np.array(at, np.float64), np.zeros_like(_KNOTS)
    poses = []
    for frame in range(frames):
        if frame:
            turn += random.normal() * motion.turn
            grow += random.normal() * motion.grow
            shear += random.normal() * motion.shear
            place = place + speed + random.normal(size=2) * motion.shift * FRAME_SIDE
            bends = bends + random.normal(size=bends.shape) * motion.bend
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = rotation @ np.array([[1, shear], [0, 1]]) / (enlarged * np.exp(grow))
        offset = np.array(middle) - matrix @ place
        poses.append(_Pose(matrix, offset, bends if bent and frame else None))
    return tuple(poses)


def _mover(
    photo: AnnotatedPhoto,
    frames: int,
    label: int,
    at: tuple[float, float] | None,
    gone: Set[int],
    motion: Motion,
    random: np.random.Generator,
) -> _Mover | None:
    """A thing of a photo that moves; past a place in one of the frames, if one is given."""
    if not len(photo.masks):
        return None
    thing = int(random.integers(len(photo.masks)))
    settings = CopyPaste(extent=(0.12, 0.7))
    cutout = cut_out(photo, thing, FRAME_SIDE, Augmentation(colour=0.3), settings, random)
    if cutout.mask.sum() < LEAST_AREA:
        return None
    height, width = cutout.mask.shape
    speed = random.normal(size=2) * 0.06 * FRAME_SIDE * motion.shift / Motion.shift
    if at is None:
        at = tuple(random.uniform(0.1, 0.9, 2) * FRAME_SIDE)
    else:
        met = int(random.integers(1, frames))
        aside = random.normal(size=2) * 0.5 * (width, height)
        at = tuple(np.array(at) + aside - met * speed)
    poses = _poses(
        frames, (width / 2, height / 2), motion, random, bent=False, at=at, speed=tuple(speed)
    )  # fmt: skip
    return _Mover(cutout, poses, label, gone)


def _mover_box(mover: _Mover) -> Box:
    """Of what the frame shows of it in the first frame."""
    x0, y0, x1, y1 = _bounds(mover.cutout.mask)
    left, top = -mover.poses[0].offset

    def inside(value: float) -> float:
        return min(max(value, 0.0), float(FRAME_SIDE))

    return inside(x0 + left), inside(y0 + top), inside(x1 + left), inside(y1 + top)


def _absence(frames: int, random: np.random.Generator) -> frozenset[int]:
    """Frames after the first in which a thing is gone: some in a row."""
    start = int(random.integers(1, frames))
    return frozenset(range(start, int(random.integers(start + 1, frames + 1))))


def _bounds(mask: npt.NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _mesh(
    pose: _Pose, tile: SquareTile, side: int
) -> list[tuple[tuple[int, int, int, int], tuple[float, ...]]]:
    """The patches of a canvas, and where the corners of each lie in the picture."""
    edges = np.linspace(0, side, MESH + 1).round().astype(int)
    points = np.stack(np.meshgrid(edges, edges), -1).reshape(-1, 2) * (tile.side / side)
    there = pose(points + np.array([tile.x, tile.y])).reshape(MESH + 1, MESH + 1, 2)
    return [
        (
            (int(edges[i]), int(edges[j]), int(edges[i + 1]), int(edges[j + 1])),
            (*there[j, i], *there[j + 1, i], *there[j + 1, i + 1], *there[j, i + 1]),
        )
        for j in range(MESH)
        for i in range(MESH)
    ]
