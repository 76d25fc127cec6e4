"""Do the programs take and give what carrying masks needs?"""

from collections.abc import Mapping

from tracenet_runtime.errors import contradiction
from tracenet_runtime.graph.program import Program, TensorSpec
from tracenet_runtime.tracking.contract import (
    FUSION_PLANES,
    KEY_CHANNELS,
    KEY_STRIDE,
    MASK_STRIDE,
    PLANE_STRIDE,
    TILE_SIDE,
    VALUE_CHANNELS,
)
from tracenet_runtime.tracking.records import Tracking

FEATURES = {"edges": 2, "fine": 4, "coarse": 8, "deep": 16}
"""What is kept of a frame -> tile pixels per cell; how many channels it has is the network's."""

VALUE_PLANES = 2
"""The thing's mask, and the sum of the others'."""


def tensors_of(widths: Mapping[str, int]) -> dict[str, tuple[list[TensorSpec], list[TensorSpec]]]:
    """What each program takes and gives, in order.

    ``widths`` are the channels of ``FEATURES``.
    """

    def plane(name: str, channels: int, stride: int) -> TensorSpec:
        return TensorSpec(name, (1, channels, TILE_SIDE // stride, TILE_SIDE // stride))

    features = [plane(name, widths[name], stride) for name, stride in FEATURES.items()]
    _, fine, coarse, deep = features
    key = plane("key", KEY_CHANNELS, KEY_STRIDE)
    prior, read = plane("prior", 1, PLANE_STRIDE), plane("read", VALUE_CHANNELS, KEY_STRIDE)
    found = [plane("mask", 1, MASK_STRIDE), plane("presence", 1, KEY_STRIDE)]
    return {
        "frame": ([plane("image", 3, 1)], [*features, key]),
        "value": (
            [fine, coarse, deep, plane("masks", VALUE_PLANES, PLANE_STRIDE)],
            [plane("value", VALUE_CHANNELS, KEY_STRIDE)],
        ),
        "decode": ([*features, read, prior], found),
        "fuse": (
            [fine, plane("planes", len(FUSION_PLANES), PLANE_STRIDE)],
            [plane("share", 1, MASK_STRIDE)],
        ),
    }


def check_tracking(tracking: Tracking, programs: Mapping[str, Program]) -> None:
    """Raise ``BundleError`` unless the programs are there and fit together."""
    for name in tracking.programs.values():
        if name not in programs:
            raise contradiction(f"tracking uses the program {name!r}, which there is not")
    outputs = programs[tracking.frame].outputs
    for name in FEATURES:
        if name not in outputs:
            raise contradiction(f"the program {tracking.frame!r} does not give {name!r}")
    wanted = tensors_of({name: outputs[name].shape[1] for name in FEATURES})
    for part, name in tracking.programs.items():
        program = programs[name]
        for role, specs, found in zip(
            ("inputs", "outputs"), wanted[part], (program.inputs, program.outputs), strict=True
        ):
            if {spec.name: spec for spec in specs} != dict(found):
                raise contradiction(
                    f"the {role} of the program {name!r} are not what {part!r} of tracking has"
                )
