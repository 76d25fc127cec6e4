"""RGB pictures written to a file band by band.

Pillow encodes a picture that is in its memory as a whole, at 4 bytes a pixel. That of a large photo
is made in bands instead: a JPEG's by Pillow, joined here, a PNG's by zlib.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

BAND_ROWS = 128
"""Rows of every band but the last."""

JPEG_SIDE = 65_500
"""The most pixels that a side of a JPEG can have, by libjpeg."""

Bands = Iterable[npt.NDArray[np.uint8]]
Writer = Callable[[BinaryIO, int, int, Bands], None]

_FRAME, _SCAN, _END = 0xC0, 0xDA, b"\xff\xd9"
_RESTART = b"\xff\xd7"


def write_jpeg(file: BinaryIO, height: int, width: int, bands: Bands) -> None:
    """Write bands (uint8, rows x ``width`` x 3, RGB) that have ``height`` rows together.

    The picture is what Pillow makes of all of it with its own settings. A restart marker follows
    every row of blocks, of 16 pixels, and these markers count to 8 and begin anew: as a band has 8
    such rows, the data of bands follow each other with the marker that is missing between them.
    """
    for number, band in enumerate(bands):
        encoded = io.BytesIO()
        Image.fromarray(band).save(encoded, "JPEG", restart_marker_rows=1)
        data = bytearray(encoded.getvalue())
        frame_height, scan = _places(data)
        if number == 0:
            struct.pack_into(">H", data, frame_height, height)
            file.write(data[: -len(_END)])
        else:
            file.write(_RESTART)
            file.write(data[scan : -len(_END)])
    file.write(_END)


def _places(jpeg: bytearray) -> tuple[int, int]:
    """Where a JPEG has its height, and where its pixels' data begin."""
    frame_height, place = 0, 2
    while True:
        marker, length = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4])
        if marker == _FRAME:
            frame_height = place + 5
        place += 2 + length
        if marker == _SCAN:
            return frame_height, place


def write_png(file: BinaryIO, height: int, width: int, bands: Bands) -> None:
    """The same as a PNG, every row as the difference from the one above it."""
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packer = zlib.compressobj()
    above = np.zeros((1, 3 * width), np.uint8)
    for band in bands:
        rows = band.reshape(len(band), -1)
        filtered = np.empty((len(rows), 1 + 3 * width), np.uint8)
        filtered[:, 0] = 2  # the filter "up"
        np.subtract(rows[:1], above, out=filtered[:1, 1:])
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
        above = rows[-1:].copy()
        _write_chunk(file, b"IDAT", packer.compress(filtered.tobytes()))
    _write_chunk(file, b"IDAT", packer.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)))
    file.write(name + data)
    file.write(struct.pack(">I", zlib.crc32(name + data)))
