"""Propagation's programs on an engine."""

from collections.abc import Mapping

import numpy as np

from tracenet_runtime.errors import not_finite
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.graph.program import Program
from tracenet_runtime.tracking.check import FEATURES
from tracenet_runtime.tracking.contract import KEY_STRIDE, TILE_SIDE
from tracenet_runtime.tracking.records import Tracking
from tracenet_runtime.tracking.tracker import FloatArray, Frame

Features = Mapping[str, FloatArray]
"""What the programs keep of a tile, as the engine gives it: 1 x C x h x w by name."""

_SIDE = TILE_SIDE // KEY_STRIDE


class TrackPrograms:
    """What :class:`~tracenet_runtime.tracking.tracker.TrackNetwork` asks for, of a bundle.

    ``engine`` has the programs of ``tracking`` open, ``programs`` says what they take. It may be
    used by several threads if its engine may. Raises ``BundleError`` when an engine refuses to run,
    or answers with numbers that are not finite.
    """

    def __init__(
        self,
        tracking: Tracking,
        programs: Mapping[str, Program],
        engine: Engine,
        pad_value: tuple[int, int, int],
    ) -> None:
        self._tracking, self._programs, self._engine = tracking, programs, engine
        self._pad_value = pad_value

    @property
    def pad_value(self) -> tuple[int, int, int]:
        """RGB colour beside a frame."""
        return self._pad_value

    def encode(self, tile: Frame) -> tuple[Features, FloatArray]:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        outputs = self._run(self._tracking.frame, {}, {"image": tile.transpose(2, 0, 1)})
        key = _finite(_cells(outputs["key"]))
        return {name: outputs[name] for name in FEATURES}, key

    def value(self, features: Features, mask: FloatArray, others: FloatArray) -> FloatArray:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        outputs = self._run(self._tracking.value, features, {"masks": np.stack([mask, others])})
        return _finite(_cells(outputs["value"]))

    def decode(
        self, features: Features, read: FloatArray, prior: FloatArray
    ) -> tuple[FloatArray, float]:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        planes = {"read": read.T.reshape(-1, _SIDE, _SIDE), "prior": prior[None]}
        outputs = self._run(self._tracking.decode, features, planes)
        mask, presence = (_shares(outputs[name]) for name in ("mask", "presence"))
        return mask[0, 0], float(presence.max())

    def fuse(self, features: Features, planes: FloatArray) -> FloatArray:
        """See :class:`~tracenet_runtime.tracking.tracker.TrackNetwork`."""
        outputs = self._run(self._tracking.fuse, features, {"planes": planes})
        share: FloatArray = _shares(outputs["share"])[0, 0]
        return share

    def _run(
        self, name: str, features: Features, planes: Mapping[str, FloatArray | Frame]
    ) -> dict[str, FloatArray]:
        """A program on the features that it takes, and on planes C x h x w of the host's."""
        program = self._programs[name]
        last = program.layout == "NHWC"
        inputs = {key: value for key, value in features.items() if key in program.inputs}
        for key, value in planes.items():
            inputs[key] = _laid_out(value, last)
        return self._engine.run(name, inputs)


def _laid_out(plane: FloatArray | Frame, channels_last: bool) -> FloatArray:
    """C x h x w as float32 1 x C x h x w, in memory as the program takes it."""
    if channels_last:
        cells = np.ascontiguousarray(plane.transpose(1, 2, 0), np.float32)
        return cells.transpose(2, 0, 1)[None]
    return np.ascontiguousarray(plane, np.float32)[None]


def _cells(plane: FloatArray) -> FloatArray:
    """1 x C x h x w -> cells x C."""
    return np.ascontiguousarray(plane[0].reshape(plane.shape[1], -1).T)


def _finite(values: FloatArray) -> FloatArray:
    if not np.isfinite(values).all():
        raise not_finite()
    return values


def _shares(values: FloatArray) -> FloatArray:
    """Probabilities and the like, which whole numbers' arithmetic may put beyond 0 and 1."""
    shares: FloatArray = _finite(values).clip(0, 1)
    return shares
