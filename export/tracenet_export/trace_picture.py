"""A picture of what a tap computes: the input tile and each stage's region on the canvas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracenet.rft import Rect
from tracenet_runtime.files import replacing, with_parents


def save_trace_picture(
    path: Path,
    canvas: npt.NDArray[np.uint8],
    tap: tuple[int, int],
    tile: Rect,
    stages: Mapping[str, Rect],
    title: str,
) -> None:
    """Draw regions on the canvas; the file is written whole or not at all.

    Args:
        path: PNG to write.
        canvas: uint8 H x W x 3.
        tap: (x, y) canvas pixels.
        tile: the input tile.
        stages: by name, in canvas pixels.
        title: one line above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    height, width = canvas.shape[:2]
    figure = Figure(figsize=(9, 9 * height / width + 1.2), layout="constrained")
    axes = figure.add_subplot()
    # Everything beside the tile is never looked at.
    shade = np.full(canvas.shape[:2], 0.45)
    shade[tile.y0 : tile.y1, tile.x0 : tile.x1] = 1.0
    axes.imshow((canvas * shade[:, :, None]).astype(np.uint8))
    colours = [
        "#ffd166", "#ef476f", "#06d6a0", "#3a86ff", "#c77dff", "#f78c6b", "#83e377", "#00b4d8",
    ]  # fmt: skip
    outlines = {"input tile": tile} | dict(stages)
    for index, (name, rect) in enumerate(outlines.items()):
        colour = "white" if name == "input tile" else colours[(index - 1) % len(colours)]
        # Rectangles that coincide stay visible when each lies a little inside the one before.
        inset = index * 0.002 * min(height, width)
        axes.add_patch(
            Rectangle(
                (rect.x0 + inset, rect.y0 + inset),
                max(rect.width - 2 * inset, 1),
                max(rect.height - 2 * inset, 1),
                fill=False,
                edgecolor=colour,
                linewidth=2.5 if name == "input tile" else 1.8,
                label=f"{name}: {rect.width} x {rect.height} px",
            )
        )
    axes.plot(tap[0] + 0.5, tap[1] + 0.5, "o", markersize=9, markerfacecolor="white",
              markeredgecolor="black", label=f"tap ({tap[0]}, {tap[1]})")  # fmt: skip
    axes.set_title(title)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, facecolor="0.8")
    FigureCanvasAgg(figure)
    with with_parents(path), replacing(path) as file:
        figure.savefig(file, format="png")
