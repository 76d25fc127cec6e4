"""What is kept of an evaluation: a line of JSON per photo."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, Generic, Protocol, Self, TypeVar


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

    def to_dict(self) -> dict[str, Any]:
        """See :class:`Scored`."""
        return {
            "instance": self.instance,
            "category": self.category,
            "area": self.area,
            "band_pixels": list(self.band_pixels),
            "taps": [list(astuple(tap)) for tap in self.taps],
            "above": self.above,
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Self:
        """See :class:`Scored`."""
        return cls(
            line["instance"],
            line["category"],
            line["area"],
            tuple(line["band_pixels"]),
            tuple(TapScore(*tap) for tap in line["taps"]),
            line["above"],
        )


@dataclass(frozen=True, slots=True)
class ClickScore:
    """A click (x, y), a pixel of the photo that was clicked on, and what it gave.

    Attributes:
        positive: it lies on the thing.
        obeyed: its pixel has its label.
        iou: of the mask after it.
    """

    x: int
    y: int
    positive: bool
    obeyed: bool
    iou: float


@dataclass(frozen=True, slots=True)
class SequenceScore:
    """The clicks on one instance, each correcting what those before it gave.

    Attributes:
        instance: its id in the source.
        category: None where the source has none.
        area: photo pixels.
        clicks: in order, at least one; fewer than the most where nothing was left to correct.
    """

    instance: int
    category: str | None
    area: int
    clicks: tuple[ClickScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """See :class:`Scored`."""
        return {
            "instance": self.instance,
            "category": self.category,
            "area": self.area,
            "clicks": [list(astuple(click)) for click in self.clicks],
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Self:
        """See :class:`Scored`."""
        return cls(
            line["instance"],
            line["category"],
            line["area"],
            tuple(ClickScore(*click) for click in line["clicks"]),
        )


class Scored(Protocol):
    """The score of one instance, by whatever protocol."""

    @property
    def instance(self) -> int:
        """Its id in the source."""
        ...

    @property
    def category(self) -> str | None:
        """None where the source has none."""
        ...

    @property
    def area(self) -> int:
        """Photo pixels."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives an equal object back."""
        ...

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        ...


Score = TypeVar("Score", bound=Scored)


@dataclass(frozen=True, slots=True)
class PhotoScore(Generic[Score]):
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
    instances: tuple[Score, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives an equal object back."""
        return {
            "index": self.index,
            "photo": self.photo,
            "computed": self.computed,
            "instances": [score.to_dict() for score in self.instances],
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any], kind: type[Score]) -> PhotoScore[Score]:
        """The inverse of `to_dict`; ``kind`` is that of its instances' scores."""
        return PhotoScore(
            line["index"],
            line["photo"],
            line["computed"],
            tuple(kind.from_dict(score) for score in line["instances"]),
        )
