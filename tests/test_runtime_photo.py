"""Every kind of photo becomes upright RGB, and everything else a PhotoError."""

import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from oriented_photos import write_oriented
from PIL import Image, ImageOps, PngImagePlugin, features
from PIL.PngImagePlugin import PngImageFile

from tracenet_runtime.errors import OutOfMemory, PhotoError
from tracenet_runtime.image import decode as decode_module
from tracenet_runtime.image import photo as photo_module
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.image.pixels import check_photo

RED, WHITE = (255, 0, 0), (255, 255, 255)


def close(a: np.ndarray, b: object, tolerance: int = 3) -> bool:
    return bool(np.all(np.abs(a.astype(int) - np.asarray(b, int)) <= tolerance))


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = RED  # the top left corner of the upright picture
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(undo(upright)))
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    path = save(tmp_path / f"a.{suffix}", image, exif=exif, **options.get(suffix, {}))
    assert close(load_photo(path), upright, 8)


@pytest.mark.parametrize("exif", [None, 1, 3, 6])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_an_orientation_in_xmp_does_not_count(
    tmp_path: Path, suffix: str, exif: int | None
) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = RED
    for xmp in (None, 6, 8):
        path = write_oriented(tmp_path / f"a.{suffix}", Image.fromarray(upright), exif, xmp)
        assert close(load_photo(path), upright, 100)


def test_exif_as_text_or_after_the_pixels_of_a_png_does_not_count(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")
    picture = Image.new("RGB", (8, 4), RED)
    raw = save(tmp_path / "raw.png", picture, pnginfo=text)
    assert load_photo(raw).shape == (4, 8, 3)
    late = PngImagePlugin.PngInfo()
    late.add(b"eXIf", data.removeprefix(b"Exif\0\0"), after_idat=True)
    assert load_photo(save(tmp_path / "late.png", picture, pnginfo=late)).shape == (4, 8, 3)


def test_plain_formats_become_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (4, 3), RED)
    for name, mode in (("a.png", "P"), ("a.gif", "P"), ("a.bmp", "RGB"), ("a.ppm", "RGB")):
        photo = load_photo(save(tmp_path / name, red.convert(mode)))
        assert photo.shape == (3, 4, 3)
        assert photo.dtype == np.uint8
        assert photo.flags.writeable
        assert close(photo, RED)
    cmyk = load_photo(save(tmp_path / "cmyk.jpg", red.convert("CMYK"), quality=95))
    assert close(cmyk, RED, 6)
    gray = load_photo(save(tmp_path / "l.png", Image.new("L", (2, 2), 77)))
    assert close(gray, 77, 0)
    bits = load_photo(save(tmp_path / "1.png", Image.new("1", (2, 2), 1)))
    assert close(bits, 255, 0)


def test_transparency_is_dropped_over_white(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    rgba.putpixel((1, 0), (255, 0, 0, 0))
    expected = [[RED, WHITE]]
    assert close(load_photo(save(tmp_path / "rgba.png", rgba)), expected)
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    assert close(load_photo(save(tmp_path / "p.png", palette, transparency=b"\xff\x00")), expected)
    half = load_photo(save(tmp_path / "la.png", Image.new("LA", (1, 1), (0, 128))))
    assert close(half, 127, 1)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    photo = load_photo(save(tmp_path / f"a.{suffix}", Image.fromarray(values)))
    assert photo[0, :, 0].tolist() == [round(v / 257) for v in values[0].tolist()]


INTEGERS = [np.int8, np.uint16, np.int16, np.uint32, np.int32]


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_a_tiff_are_scaled_from_their_whole_range_or_refused(
    tmp_path: Path, dtype: type[np.integer], order: str, compression: str | None
) -> None:
    info = np.iinfo(dtype)
    ramp = np.array([[0, info.max // 2, info.max]], dtype)
    path = tmp_path / "a.tif"
    for photometric, expected in (("minisblack", [0, 127, 255]), ("miniswhite", [255, 128, 0])):
        tifffile.imwrite(
            path, ramp, byteorder=order, photometric=photometric, compression=compression
        )
        # What Pillow does not open at all, or would take the bytes of in the wrong order.
        if not opened_rightly(dtype, order, photometric, compression):
            with pytest.raises(PhotoError, match=r"convert it to JPEG or PNG\.$"):
                load_photo(path)
            continue
        levels = load_photo(path)[0, :, 0]
        assert close(levels, expected, 1)
        assert levels[[0, 2]].tolist() == [expected[0], expected[2]]


def opened_rightly(
    dtype: type[np.integer], order: str, photometric: str, compression: str | None
) -> bool:
    if photometric == "miniswhite":
        return dtype is np.uint16 and order == "<"
    if order == ">" and dtype in (np.int16, np.int32):
        return compression is None
    return dtype is not np.uint32 or order == "<"


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_negative_numbers_of_a_tiff_are_refused(tmp_path: Path, dtype: type[np.integer]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[5, -1]], dtype), byteorder="<")
    with pytest.raises(PhotoError, match="negative pixels have no agreed shade; convert it"):
        load_photo(tmp_path / "a.tif")


def write_gray_tiff(
    path: Path, bits: int, data: bytes, width: int, photometric: int | None
) -> Path:
    """A TIFF of one row, with just the tags that a reader needs."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (277, 1), (278, 1), (279, len(data))]
    if photometric is not None:
        tags.append((262, photometric))
    tags.append((273, 8 + 2 + 12 * (len(tags) + 1) + 4))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags))
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data)
    return path


def test_12_bits_and_a_white_zero(tmp_path: Path) -> None:
    path = write_gray_tiff(tmp_path / "12.tif", 12, b"\x00\x08\x00", 2, 1)
    assert load_photo(path)[0, :, 0].tolist() == [0, 128]
    assert load_photo(write_gray_tiff(path, 12, b"\xff\xf0\x00", 2, 1))[0, 0, 0] == 255
    levels = np.array([0, 257, 65535], "<u2").tobytes()
    assert load_photo(write_gray_tiff(path, 16, levels, 3, 0))[0, :, 0].tolist() == [255, 254, 0]
    assert load_photo(write_gray_tiff(path, 8, b"\x00\x01\xff", 3, 0))[0, :, 0].tolist() == [
        255,
        254,
        0,
    ]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_that_does_not_say_what_is_black_is_refused(tmp_path: Path, bits: int) -> None:
    path = write_gray_tiff(tmp_path / "a.tif", bits, bytes(4), 2, None)
    with pytest.raises(PhotoError, match=r"whether 0 is black or white; convert it"):
        load_photo(path)


def test_floats_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "f.tif", np.zeros((2, 2), np.float32))
    with pytest.raises(PhotoError, match="no agreed range; convert it to JPEG or PNG"):
        load_photo(tmp_path / "f.tif")


def test_colours_of_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((2, 2, 3), (76, 85, 255), np.uint8), photometric="ycbcr")
    assert close(load_photo(path), RED, 3)
    lab = np.full((2, 2, 3), (138, 81, 70), np.uint8)  # L of 255, a and b signed
    tifffile.imwrite(path, lab, photometric="cielab")
    assert close(load_photo(path), RED, 12)
    tifffile.imwrite(path, np.full((2, 2, 4), (0, 255, 255, 0), np.uint8), photometric="separated")
    assert close(load_photo(path), RED)
    half = np.full((2, 2, 2), (64, 128), np.uint8)
    for alpha, expected in (("assocalpha", 191), ("unassalpha", 159)):
        tifffile.imwrite(
            path, half, photometric="minisblack", planarconfig="contig", extrasamples=[alpha]
        )
        assert close(load_photo(path), expected, 1)


def test_transparent_gray_of_16_bits_is_white(tmp_path: Path) -> None:
    gray = Image.fromarray(np.array([[0, 1000]], np.uint16))
    path = save(tmp_path / "a.png", gray, transparency=1000)
    assert load_photo(path)[0, :, 0].tolist() == [0, 255]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_and_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.avif", Image.new("RGB", (32, 16), RED), quality=95, exif=exif)
    photo = load_photo(path)
    assert photo.shape == (32, 16, 3)
    assert close(photo, RED, 6)


def test_what_is_empty_or_has_no_pixels_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(PhotoError, match="is empty"):
        load_photo(path)
    starts = (
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + bytes(4) + b"\0\0\0\x02\x08\x02\0\0\0\0\0\0\0",
        b"GIF89a" + bytes(10) + b";",
        b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    for start in starts:
        path.write_bytes(start)
        with pytest.raises(PhotoError, match=r"has no pixels, it is 0 x"):
            load_photo(path)


def test_one_pixel(tmp_path: Path) -> None:
    assert load_photo(save(tmp_path / "a.png", Image.new("RGB", (1, 1), RED))).shape == (1, 1, 3)


def test_not_a_photo(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("hello")
    empty = tmp_path / "empty.png"
    empty.touch()
    for path in (text, empty, tmp_path, tmp_path / "missing.jpg", tmp_path / "a\0b", text / "x"):
        with pytest.raises(PhotoError, match=r"\.$"):
            load_photo(path)


def test_formats_that_start_other_programs_are_not_tried(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(PhotoError):
        load_photo(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_truncated_at_any_place(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = save(tmp_path / f"a.{suffix}", Image.fromarray(noise)).read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    for length in range(1, len(whole) * 9 // 10, max(1, len(whole) // 12)):
        cut.write_bytes(whole[:length])
        with pytest.raises(PhotoError):
            load_photo(cut)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "gif"])
def test_corrupt_gives_a_photo_or_a_photo_error(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = save(tmp_path / f"a.{suffix}", Image.fromarray(noise), exif=exif).read_bytes()
    damaged = tmp_path / f"b.{suffix}"
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
        for _ in range(150):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.integers(0, 256)
            damaged.write_bytes(data)
            try:
                check_photo(load_photo(damaged))
            except PhotoError:
                refused += 1
    assert refused


def test_size_limit_is_checked_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (40, 30)))
    monkeypatch.setattr(photo_module, "MAX_PIXELS", 1200)
    assert load_photo(path).shape == (30, 40, 3)
    monkeypatch.setattr(photo_module, "MAX_PIXELS", 1199)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PhotoError, match="40 x 30"):
        load_photo(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "gif"])
def test_pillow_limit_neither_warns_nor_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = save(tmp_path / f"a.{suffix}", Image.new("RGB", (40, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_photo(path)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.skipif(sys.platform != "linux", reason="others give no memory back in parts")
@pytest.mark.parametrize(
    ("name", "mode", "most"), [("a.jpg", "RGB", 6), ("a.png", "RGBA", 8), ("b.jpg", "CMYK", 8)]
)
def test_memory_per_pixel(tmp_path: Path, name: str, mode: str, most: float) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    code = (
        "import sys; from tracenet_bench.measure.memory import peak_resident;"
        "from tracenet_runtime import load_photo; load_photo(sys.argv[1]); print(peak_resident())"
    )
    peaks = []
    for width in (4000, 8000):
        path = save(tmp_path / name, Image.new(mode, (width, 4000)), exif=exif)
        peaks.append(int(subprocess.check_output([sys.executable, "-c", code, str(path)])))
    assert (peaks[1] - peaks[0]) / 16e6 <= most


@pytest.mark.parametrize("exif", range(1, 9))
def test_bands_of_a_photo_fit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exif: int
) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    tags = Image.Exif()
    tags[0x0112] = exif
    paths = [
        save(tmp_path / f"a.{suffix}", Image.fromarray(noise), exif=tags)
        for suffix in ("jpg", "png")
    ]
    whole = [load_photo(path) for path in paths]
    monkeypatch.setattr(decode_module, "_BAND_PIXELS", 400)
    for path, photo in zip(paths, whole, strict=True):
        np.testing.assert_array_equal(load_photo(path), photo)
        with Image.open(path) as image:
            np.testing.assert_array_equal(photo, np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.slow
def test_100_megapixels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("L", (12_500, 8_000), 90))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_photo(path).shape == (8_000, 12_500, 3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        [[[0, 0, 0]]],
    ],
)
def test_check_photo_refuses(array: object) -> None:
    with pytest.raises(PhotoError):
        check_photo(array)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", ["open", "load", "Exif"])
def test_memory_that_is_refused_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuses(*arguments: object, **options: object) -> None:
        raise MemoryError

    path = save(tmp_path / "a.png", Image.new("RGB", (4, 3)))
    where = {"open": Image, "load": PngImageFile, "Exif": Image}[step]
    monkeypatch.setattr(where, step, refuses)
    with pytest.raises(OutOfMemory, match=r"not enough memory to (open|decode) .*a\.png"):
        load_photo(path)
