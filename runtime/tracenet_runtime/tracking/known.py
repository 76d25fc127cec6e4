"""What is known of a thing of a clip, frame by frame."""

from dataclasses import dataclass, field


@dataclass
class KnownThing:
    """What is known of a thing, by the numbers of frames; as ``kept`` says, in few bytes.

    ``given`` are the user's masks; ``cells`` what passes brought or, where passes have ``begun``,
    the user's mask as they see it, and ``before`` what was there until then. ``ends`` are touched
    frames at which a pass ended because one was to begin there.
    """

    given: dict[int, bytes] = field(default_factory=dict)
    cells: dict[int, bytes] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    before: dict[int, bytes | None] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)

    def stop(self, number: int, direction: int) -> int | None:
        """The next frame in this direction from which passes have begun."""
        beyond = [t for t in self.begun if (t - number) * direction > 0]
        return min(beyond, key=lambda t: abs(t - number), default=None)

    def source(self, number: int, at: int) -> int | None:
        """The touched frame from which what is known of ``at`` was carried, for a pass from
        ``number``: the one beyond ``at``, or behind ``number`` where there is none; None for none.
        """
        beyond = self.stop(number, at - number)
        return self.stop(number, number - at) if beyond is None else beyond

    def renewed_after(self, number: int, at: int) -> bool:
        """Whether a frame from ``number`` to before ``at`` is touched, so that passes from there
        are still to come.
        """
        low, high = sorted((number, at))
        waiting = {t for t in self.given if low < t < high} - self.begun
        self.ends |= waiting
        return bool(waiting)
