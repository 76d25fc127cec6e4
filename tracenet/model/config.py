"""Network configurations: frozen, and saved as JSON beside the weights."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tracenet_runtime.errors import TraceNetError

BackboneName = Literal["resnet50", "resnet101", "mobilenetv2", "shufflenetv2", "shufflenetv2-1.5x"]
NeckName = Literal["fpn", "ghost-pan"]
MaskStride = Literal[4, 8]


@dataclass(frozen=True)
class Level:
    """One pyramid level that can answer a tap.

    Attributes:
        name: "P3" ... "P7".
        stride: canvas pixels per cell.
        size_of_interest: canvas pixels. The level is meant for things that reach at most this far
            from the tap to any side (and further than the previous level's), and it divides the
            mask head's relative coordinates.
    """

    name: str
    stride: int
    size_of_interest: int

    def output(self, kind: Literal["score", "box", "filter"]) -> str:
        """Name of one of the network's outputs at this level, such as ``p3_score``."""
        return f"{self.name.lower()}_{kind}"


LEVELS: tuple[Level, ...] = tuple(
    Level(f"P{index}", 2**index, 2 ** (index + 3)) for index in range(3, 8)
)
"""P3-P7, finest first: strides 8 to 128, sizes of interest 64 to 1024 (arXiv 1904.01355)."""

COARSEST_STRIDE = LEVELS[-1].stride
"""Canvas heights and widths are multiples of this (128)."""


class CanvasError(TraceNetError):
    """The network cannot compute on a canvas of this size."""


def check_canvas(height: int, width: int) -> None:
    """Raise ``CanvasError`` unless both sides are multiples of the coarsest stride.

    A side is never rounded: the answers, and what they cost, are those of the canvas named.
    """
    if height % COARSEST_STRIDE or width % COARSEST_STRIDE:
        fitting = [-(-side // COARSEST_STRIDE) * COARSEST_STRIDE for side in (height, width)]
        raise CanvasError(
            f"a canvas of {height}x{width} does not fit the network; give multiples of "
            f"{COARSEST_STRIDE}, such as {fitting[0]}x{fitting[1]}"
        )


DEFAULT_CANVAS = (512, 512)
"""Height and width of a single look."""

MASK_FEATURES = 8
"""Channels of the mask features."""

MASK_HEAD_LAYERS = ((MASK_FEATURES + 2, 8), (8, 8), (8, 1))
"""Input and output channels of the mask head's 1x1 layers; two coordinates join the features."""

FILTER_SIZE = sum(inputs * outputs + outputs for inputs, outputs in MASK_HEAD_LAYERS)
"""Parameters of the mask head that the controller predicts at a cell (169)."""


GUIDE_CHANNELS = (32, 80, 128, 160)
"""Of a guided look that is added to a network, at strides 4, 8, 16, 32."""

TRACK_CHANNELS = (12, 32, 96, 192)
"""Of the propagation that is added to a network, at strides 2, 4, 8, 16."""

FUSION_CHANNELS = 48
"""Of the fusion that is added to a network with propagation, at stride 8."""


@dataclass(frozen=True)
class TraceNetConfig:
    """Everything that defines the network besides its weights.

    Attributes:
        name: what users call it, such as ``mobilenetv2-fpn``.
        backbone: which trunk gives C1, C3, C4, C5.
        neck: what makes P3-P7 of C3, C4, C5.
        pixel_mean, pixel_std: the network's first step is ``(rgb - mean) / std`` on 0-255 values.
        pyramid_channels: channels of P3-P7.
        tower_channels, tower_depth: the two towers of the heads.
        mask_channels, mask_depth: the mask branch at stride 8.
        mask_stride: canvas pixels per cell of the mask features. At 4 the branch goes on there,
            with half of its channels, and sees C1.
        kernel: kernel of the pyramid's, the towers' and the mask branch's convolutions.
        separable: make those convolutions depthwise-separable, and the predictors 1x1.
        guide_channels: of the guided look, which corrects masks, at strides 4, 8, 16 and 32; a
            network without it has none. It reads the mask branch at stride 4.
        track_channels: of the propagation, which carries masks through clips, at strides 2, 4, 8
            and 16; a network without it has none. It reads the mask branch at stride 4, too.
        fusion_channels: of the fusion, which merges what two propagations say, at stride 8; 0 for
            none. It reads what propagation does.
    """

    name: str
    backbone: BackboneName
    neck: NeckName = "fpn"
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    pyramid_channels: int = 256
    tower_channels: int = 256
    tower_depth: int = 4
    mask_channels: int = 128
    mask_depth: int = 4
    mask_stride: MaskStride = 8
    kernel: int = 3
    separable: bool = False
    guide_channels: tuple[int, ...] = ()
    track_channels: tuple[int, ...] = ()
    fusion_channels: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON-ready values.

        Propagation and fusion are left out where there are none, so that a run that began before
        there were any has the same settings still.
        """
        values = dataclasses.asdict(self)
        absent = [part for part in ("track_channels", "fusion_channels") if not values[part]]
        return {name: value for name, value in values.items() if name not in absent}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TraceNetConfig:
        """Inverse of :meth:`to_dict`.

        Raises:
            ValueError: a key is unknown or missing, there is no such trunk, neck or mask stride, or
                pixels cannot be normalised so.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown keys in the network configuration: {', '.join(unknown)}")
        arguments: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        for key, (what, choices) in _CHOICES.items():
            if arguments.get(key, choices[0]) not in choices:
                raise ValueError(
                    f"there is no {what} {arguments[key]!r}; choose one of "
                    f"{', '.join(map(str, choices))}"
                )
        try:
            config = cls(**arguments)
        except TypeError as error:
            raise ValueError(f"incomplete network configuration: {error}") from None
        # JSON as Python reads it has NaN and Infinity.
        if not all(map(math.isfinite, (*config.pixel_mean, *config.pixel_std))):
            raise ValueError("pixel_mean and pixel_std must be finite numbers")
        if min(config.pixel_std) <= 0:
            raise ValueError("pixel_std must be above 0")
        if config.guide_channels and (len(config.guide_channels), config.mask_stride) != (4, 4):
            raise ValueError("guide_channels are four numbers, of a network of mask_stride 4")
        if config.track_channels and (len(config.track_channels), config.mask_stride) != (4, 4):
            raise ValueError("track_channels are four numbers, of a network of mask_stride 4")
        if config.fusion_channels and not config.track_channels:
            raise ValueError("fusion_channels are for a network with track_channels")
        return config


_CHOICES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "backbone": ("trunk", get_args(BackboneName)),
    "neck": ("neck", get_args(NeckName)),
    "mask_stride": ("mask stride", get_args(MaskStride)),
}

_PAN = TraceNetConfig(
    "shufflenetv2-pan",
    "shufflenetv2",
    "ghost-pan",
    pyramid_channels=96,
    tower_channels=96,
    tower_depth=3,
    mask_channels=64,
    mask_depth=3,
    mask_stride=4,
    kernel=5,
    separable=True,
)

CONFIGS: dict[str, TraceNetConfig] = {
    config.name: config
    for config in (
        TraceNetConfig("r50-fpn", "resnet50"),
        TraceNetConfig("r101-fpn", "resnet101"),
        TraceNetConfig(
            "mobilenetv2-fpn",
            "mobilenetv2",
            pixel_mean=(128.0, 128.0, 128.0),
            pixel_std=(128.0, 128.0, 128.0),
            pyramid_channels=96,
            tower_channels=96,
            tower_depth=3,
            mask_channels=64,
            mask_depth=3,
            kernel=5,
            separable=True,
        ),
        _PAN,
        dataclasses.replace(
            _PAN,
            name="shufflenetv2-1.5x-pan",
            backbone="shufflenetv2-1.5x",
            pyramid_channels=128,
        ),
    )
}
"""The shipped configurations by name: the paper's two (arXiv 2406.14874) and ours for phones."""
