"""What is kept of an evaluation: a line of JSON per photo."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TapScore:
    """A tap (x, y), a photo pixel, and what it gave.

    Attributes:
        band: of the instance, 1 to 5.
        level: that answered; None for a model without levels.
        iou: of the mask that was given.
        oracle: IoU of the best level's mask; None where only one was asked.
        boundary_iou: of the mask that was given.
    """

    x: int
    y: int
    band: int
    level: str | None
    iou: float
    oracle: float | None
    boundary_iou: float


@dataclass(frozen=True, slots=True)
class InstanceScore:
    """The taps on one instance.

    Attributes:
        instance: its id in the source.
        category: None where the source has none.
        area: photo pixels.
        band_pixels: how many of them each band holds.
        taps: as drawn.
        above: how many of all its pixels, tapped, give an IoU above the threshold; None where
            they were not all tapped.
    """

    instance: int
    category: str | None
    area: int
    band_pixels: tuple[int, ...]
    taps: tuple[TapScore, ...]
    above: int | None


@dataclass(frozen=True, slots=True)
class PhotoScore:
    """The scored instances of one photo.

    Attributes:
        index: of the photo in its dataset.
        photo: its name.
        computed: what answered, and on which canvas.
        instances: in the dataset's order.
    """

    index: int
    photo: str
    computed: str
    instances: tuple[InstanceScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives an equal object back."""
        return {
            "index": self.index,
            "photo": self.photo,
            "computed": self.computed,
            "instances": [
                {
                    "instance": score.instance,
                    "category": score.category,
                    "area": score.area,
                    "band_pixels": list(score.band_pixels),
                    "taps": [list(astuple(tap)) for tap in score.taps],
                    "above": score.above,
                }
                for score in self.instances
            ],
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> PhotoScore:
        """The inverse of `to_dict`."""
        return cls(
            line["index"],
            line["photo"],
            line["computed"],
            tuple(
                InstanceScore(
                    score["instance"],
                    score["category"],
                    score["area"],
                    tuple(score["band_pixels"]),
                    tuple(TapScore(*tap) for tap in score["taps"]),
                    score["above"],
                )
                for score in line["instances"]
            ),
        )
