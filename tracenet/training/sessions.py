"""Simulated users who correct masks on tiles, for training on corrections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet.data.clicks import next_click
from tracenet.model.config import LEVELS
from tracenet.model.fullnet import gather_cells
from tracenet.model.mask_head import MaskProbability
from tracenet.model.network import Features, HeadOutputs
from tracenet.model.score import tap_score
from tracenet_runtime.answer.marks import Area, Mark, Stroke, guide_planes
from tracenet_runtime.contract import GUIDE_STRIDE, PROBABILITY_STRIDE

CLICK_STRIDE = 2
"""Canvas pixels per cell of the masks on which a simulated user looks for errors."""

SCRIBBLE_SHARE = 0.12
"""Of the gestures after the first."""

SCRIBBLE_TRIES = 6


@dataclass(frozen=True)
class OwnMasks:
    """TraceNet's answers to taps on tiles.

    Attributes:
        heads, features: what it says of N tiles.
        stride: canvas pixels per cell of its mask features.
    """

    heads: HeadOutputs
    features: Features
    stride: int

    def __call__(self, tile: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
        """The best level's score and mask at each of T taps.

        Args:
            tile: int64 T, the tile of each tap.
            taps: int64 T x 2, (x, y) canvas pixels.

        Returns:
            T, in [0, 1]; and T x h x w, probabilities at ``GUIDE_STRIDE``.
        """
        score = tap_score(
            *(
                gather_cells([level.float() for level in maps], tile, taps)
                for maps in (self.heads.class_logit, self.heads.quality_logit)
            )
        ).squeeze(-1)
        best = score.argmax(1)
        every = torch.arange(len(taps))
        filters = gather_cells([level.float() for level in self.heads.filter], tile, taps)
        sizes = torch.tensor([float(level.size_of_interest) for level in LEVELS])[best]
        probability = MaskProbability(self.stride)(
            self.features.mask.float()[tile],
            filters[every, best][:, :, None, None],
            (self.stride / 2 - (taps.float() + 0.5)).view(-1, 2, 1, 1),
            (1 / sizes).view(-1, 1, 1, 1),
        )
        cells = F.avg_pool2d(probability, GUIDE_STRIDE // PROBABILITY_STRIDE)
        return score[every, best], cells.squeeze(1)


class Sessions:
    """N users, each with a tile, a thing and the gestures so far.

    Args:
        truth, known: bool N x S x S.
        own: TraceNet's masks.
        random: what the users do.

    Attributes:
        prior: float N x h x w, the masks so far.
    """

    def __init__(
        self,
        truth: Tensor,
        known: Tensor,
        own: OwnMasks,
        random: np.random.Generator,
    ) -> None:
        def coarser(mask: Tensor) -> Tensor:
            return F.avg_pool2d(mask.float()[:, None], CLICK_STRIDE).squeeze(1)

        self.target = coarser(truth) > 0.5
        self.known = coarser(known) > 0.99
        self._truth: npt.NDArray[np.bool_] = self.target.numpy()
        self._known: npt.NDArray[np.bool_] = self.known.numpy()
        self._own, self._random = own, random
        count, side = len(truth), truth.shape[1] // GUIDE_STRIDE
        self.prior = torch.zeros(count, side, side)
        self._marks: list[list[Mark]] = [[] for _ in range(count)]
        self._clicked: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        self._evidence = torch.zeros(count, 2, side, side)

    def planes(self) -> Tensor:
        """N x P x h x w, as ``guide_planes`` fills them."""
        planes = [
            guide_planes(marks, prior.numpy(), *evidence.numpy())
            for marks, prior, evidence in zip(self._marks, self.prior, self._evidence, strict=True)
        ]
        return torch.from_numpy(np.stack(planes))

    def touched(self) -> Tensor:
        """Which cells were clicked: bool, as ``target``, which is what each click said."""
        touched = torch.zeros_like(self.target)
        for session, places in enumerate(self._clicked):
            for x, y in places:
                touched[session, y, x] = True
        return touched

    def tap(self, sessions: list[int], taps: Tensor) -> Tensor:
        """Each of these taps its thing; TraceNet's masks there, T x h x w."""
        for session, (x, y) in zip(sessions, taps.tolist(), strict=True):
            self._marks[session].append(Stroke(((x + 0.5, y + 0.5),), 0.0, True))
            self._clicked[session].append((x // CLICK_STRIDE, y // CLICK_STRIDE))
        return self._see(sessions, taps, [True] * len(sessions))

    def draw_box(self, session: int, box: Tensor) -> None:
        """It begins with a box (x0, y0, x1, y1)."""
        x0, y0, x1, y1 = box.tolist()
        area = Area((x0, y0, x1, y1))
        self._marks[session].append(area)
        side = self._truth.shape[1] * CLICK_STRIDE
        tap = [min(max(int(v), 0), side - 1) for v in area.middle]
        self._see([session], torch.tensor([tap]), [True])

    def start_from(self, session: int, mask: Tensor) -> None:
        """Its thing is what a mask, h x w, covers, more or less: evidence that is sure."""
        torch.maximum(self._evidence[session, 0], mask, out=self._evidence[session, 0])

    def correct(self, sessions: list[int], *, deepest: bool = False) -> None:
        """Each of these makes the next gesture, where anything is wrong with its mask."""
        masks = self.masks()
        made: list[tuple[int, tuple[int, int], bool]] = []
        for session in sessions:
            anywhere = not deepest and self._random.random() < 0.5
            click = next_click(
                masks[session],
                self._truth[session],
                self._known[session],
                self._clicked[session],
                random=None if deepest else self._random,
                depth=0.6 if anywhere else 1.0,
            )
            if click is None:
                if not self._marks[session]:  # a mask that was right from the start
                    click = next_click(
                        np.zeros_like(masks[session]),
                        self._truth[session],
                        self._known[session],
                    )
                if click is None:
                    continue
            self._clicked[session].append((click.x, click.y))
            jitter = (0.5, 0.5) if deepest else self._random.uniform(0, 1, 2)
            points = [self._on_canvas(click.x, click.y, jitter)]
            radius = 0.0
            if not deepest and self._random.random() < SCRIBBLE_SHARE:
                wrong = self._known[session] & (masks[session] != click.positive)
                wrong &= self._truth[session] == click.positive
                points += self._drawn(wrong, (click.x, click.y))
                radius = float(self._random.uniform(2, 9))
            stroke = Stroke(tuple(points), radius, click.positive)
            self._marks[session].append(stroke)
            x, y = stroke.middle
            made.append((session, (int(x), int(y)), click.positive))
        if made:
            numbers, taps, positive = zip(*made, strict=True)
            self._see(list(numbers), torch.tensor(taps), list(positive))

    def masks(self) -> npt.NDArray[np.bool_]:
        """The masks so far, on the cells on which users look for errors."""
        enlarged = F.interpolate(
            self.prior[:, None],
            scale_factor=GUIDE_STRIDE / CLICK_STRIDE,
            mode="bilinear",
            align_corners=False,
        )
        masks: npt.NDArray[np.bool_] = (enlarged.squeeze(1) > 0.5).numpy()
        return masks

    def _see(self, sessions: list[int], taps: Tensor, positive: list[bool]) -> Tensor:
        """Take TraceNet's masks at these taps as evidence."""
        score, masks = self._own(torch.tensor(sessions), taps)
        for session, said, seen in zip(
            sessions, positive, score[:, None, None] * masks, strict=True
        ):
            evidence = self._evidence[session, 0 if said else 1]
            torch.maximum(evidence, seen, out=evidence)
        return masks

    def _drawn(
        self, wrong: npt.NDArray[np.bool_], start: tuple[int, int]
    ) -> list[tuple[float, float]]:
        """Where a line goes on from a cell without leaving what is wrong; the longest of a few."""
        cells = np.flatnonzero(wrong)
        best: list[tuple[float, float]] = []
        longest = 0.0
        for place in self._random.choice(cells, SCRIBBLE_TRIES) if len(cells) else ():
            y, x = divmod(int(place), wrong.shape[1])
            length = float(np.hypot(x - start[0], y - start[1]))
            steps = np.linspace(0, 1, max(2, int(length)))
            across = np.rint(start[0] + steps * (x - start[0])).astype(int)
            down = np.rint(start[1] + steps * (y - start[1])).astype(int)
            if length > longest and wrong[down, across].all():
                longest, best = length, [self._on_canvas(x, y, (0.5, 0.5))]
        return best

    @staticmethod
    def _on_canvas(
        x: int, y: int, within: npt.NDArray[np.float64] | tuple[float, float]
    ) -> tuple[float, float]:
        return (x + float(within[0])) * CLICK_STRIDE, (y + float(within[1])) * CLICK_STRIDE
