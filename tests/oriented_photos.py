"""Photos that say, in EXIF or in XMP, how they are to be turned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

_ORIENTATION, _XMP = 0x0112, 700
_STORED = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
}
"""How a picture is stored that an orientation turns upright."""


def write_oriented(path: Path, upright: Image.Image, exif: int | None, xmp: int | None) -> Path:
    """Write a picture that is upright by its EXIF orientation, whatever XMP says."""
    options: dict[str, Any] = {"quality": 95}
    tags = Image.Exif()
    if exif is not None:
        tags[_ORIENTATION] = exif
    if xmp is not None:
        packet = _xmp_packet(xmp)
        if path.suffix == ".tif":
            tags[_XMP] = packet
        elif path.suffix == ".png":
            options["pnginfo"] = text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", packet.decode())
        else:
            options["xmp"] = packet
    if len(tags):
        options["exif"] = tags
    stored = upright.transpose(_STORED[exif]) if exif in _STORED else upright
    stored.save(path, **options)
    assert (xmp is not None) == (b"tiff:Orientation" in path.read_bytes())
    return path


def _xmp_packet(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()
