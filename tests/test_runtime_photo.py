"""Every kind of photo becomes upright RGB, and everything else a PhotoError."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from tracenet_runtime import photo as photo_module
from tracenet_runtime.errors import OutOfMemory, PhotoError
from tracenet_runtime.photo import check_photo, load_photo

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


def test_pillow_limit_neither_warns_nor_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (40, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_photo(path)
    assert Image.MAX_IMAGE_PIXELS == 10


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


@pytest.mark.parametrize("step", ["open", "load", "getexif"])
def test_memory_that_is_refused_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuses(*arguments: object, **options: object) -> None:
        raise MemoryError

    path = save(tmp_path / "a.png", Image.new("RGB", (4, 3)))
    monkeypatch.setattr(Image if step == "open" else PngImageFile, step, refuses)
    with pytest.raises(OutOfMemory, match=r"not enough memory to (open|decode) .*a\.png"):
        load_photo(path)
