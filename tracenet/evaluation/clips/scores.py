"""What is kept of a thing in a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """A thing that was followed; see :class:`~tracenet.evaluation.scores.Scored`.

    Attributes:
        instance: its number in the clip's maps.
        area: frame pixels in the first frame.
        set: that its clip is of.
        j, f: of each frame but the first and the last.
        category: None; clips have no categories.
    """

    instance: int
    area: int
    set: str
    j: tuple[float, ...]
    f: tuple[float, ...]
    category: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scores.Scored`."""
        return {
            "instance": self.instance,
            "area": self.area,
            "set": self.set,
            "j": list(self.j),
            "f": list(self.f),
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Self:
        """See :class:`~tracenet.evaluation.scores.Scored`."""
        return cls(line["instance"], line["area"], line["set"], tuple(line["j"]), tuple(line["f"]))
