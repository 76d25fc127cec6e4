"""Generated pictures: golden taps and parity need one that comes with no licence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter


def generate_scene(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Discs and boxes of many sizes on a soft background, with some noise.

    Returns:
        uint8 height x width x 3.
    """
    random = np.random.default_rng(seed)
    coarse = random.integers(60, 200, (4, 4, 3), dtype=np.uint8)
    scene = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    for extent in np.geomspace(min(height, width) * 0.6, 12, 14):
        x, y = random.uniform(-0.2, 0.9, 2) * (width, height)
        w, h = extent * random.uniform(0.6, 1.4, 2)
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x, y, x + max(w, 4), y + max(h, 4)), fill=colour)
    smooth = np.asarray(scene.filter(ImageFilter.GaussianBlur(0.7)), np.int16)
    noisy = smooth + random.integers(-6, 7, smooth.shape, dtype=np.int16)
    return noisy.clip(0, 255).astype(np.uint8)
