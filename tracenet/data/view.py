"""Which part of a photo a canvas shows, and at which size."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class View:
    """A square canvas on a scaled photo.

    Attributes:
        size: side of the canvas, pixels.
        scaled: height and width of the scaled photo, canvas pixels, each at least 1.
        start: row and column of the scaled photo at which the canvas starts; negative where the
            photo starts on the canvas.
    """

    size: int
    scaled: tuple[int, int]
    start: tuple[int, int]

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that the photo covers."""
        rows, columns = (
            slice(max(0, start) - start, min(extent, start + self.size) - start)
            for extent, start in zip(self.scaled, self.start, strict=True)
        )
        return rows, columns

    def resize(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        """What fills `place`, of a photo or of another picture of its size."""
        rows, columns = self.place
        top, left = rows.start + self.start[0], columns.start + self.start[1]
        bottom, right = rows.stop + self.start[0], columns.stop + self.start[1]
        height, width = self.scaled
        box = (left * image.width / width, top * image.height / height,
               right * image.width / width, bottom * image.height / height)  # fmt: skip
        return image.resize((right - left, bottom - top), resampling, box=box)
