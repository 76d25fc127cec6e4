"""A stream in the browser's page, of the frames that the native one gets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from tracenet_bench.measure.clips import PERIOD, SETTLED, ClipOfPhoto

if TYPE_CHECKING:
    from playwright.sync_api import Page

# `next` takes as many frames as it is told, and gives the milliseconds of each: from the frame to
# the thing's mask. The frame is cut out of the clip before that.
_OPEN = """async ({ address, corners, size: [height, width], at }) => {
  const pixels = await createImageBitmap(await (await fetch(address)).blob());
  const stream = await window.tracenet.segmenter.openStream();
  let number = 0;
  const push = async () => {
    const [x, y] = corners[number++ % corners.length];
    const frame = await createImageBitmap(pixels, x, y, width, height);
    const start = performance.now();
    const mask = (await stream.push(frame))?.things[0].mask;
    return { mask, milliseconds: performance.now() - start };
  };
  window.next = async count => {
    const taken = [];
    while (taken.length < count) taken.push((await push()).milliseconds);
    return taken;
  };
  await push();
  await stream.tap(...at);
}"""


def clip_as_picture(clip: ClipOfPhoto) -> bytes:
    """What its frames are windows of, as PNG."""
    written = io.BytesIO()
    Image.fromarray(clip.pixels).save(written, "png", compress_level=1)
    return written.getvalue()


def open_in_browser(page: Page, clip: ClipOfPhoto, address: str) -> None:
    """Open the stream, whose picture is at the address, tap, and fill the thing's memory."""
    corners = [clip.corner(number) for number in range(PERIOD)]
    about = {"address": address, "corners": corners, "size": clip.size, "at": clip.tapped}
    page.evaluate(_OPEN, about)
    next_in_browser(page, SETTLED)


def next_in_browser(page: Page, frames: int) -> list[float]:
    """Milliseconds of each of so many next frames, from the frame to the thing's mask."""
    taken: list[float] = page.evaluate("count => window.next(count)", frames)
    return taken
