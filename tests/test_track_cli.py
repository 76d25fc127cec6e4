"""tracenet-track: clips as files, and what is written of them."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from runtime_fixtures import write_tiny_bundle
from test_tracking import ByColour, iou
from tool_checks import assert_one_sentence, run_json

from tracenet_runtime import TapSegmenter, VideoSession
from tracenet_runtime.clips.file import ClipFile
from tracenet_runtime.clips.output import WebmWriter
from tracenet_runtime.errors import ClipError
from tracenet_runtime.image.rle import decode_rle
from tracenet_runtime.track_cli import main

HEIGHT, WIDTH, LENGTH = 96, 128, 12
UNEVEN = [0, 40, 80, 200, 210, 250, 400, 433, 467, 500, 900, 1000]
"""Milliseconds."""


def thing_in(number: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[20:60, 10 + 4 * number : 50 + 4 * number] = True
    return mask


def frame_of(number: int) -> np.ndarray:
    frame = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    frame[thing_in(number)] = (250, 0, 0)
    return frame


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "mpeg4",
    times: Sequence[int] = UNEVEN,
    aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    gop: int = 5,
    rate: int | None = None,
    between: int = 0,
) -> Path:
    """``rate`` is for codecs whose frames are evenly spaced, ``between`` the most B-frames."""
    with av.open(str(path), "w", options=options or {}) as out:
        quality = {"crf": "10", "b": "0"} if "vp9" in codec else {"qmin": "1", "qmax": "3"}
        if between:
            quality["bf"] = str(between)
        stream = out.add_stream(codec, rate=rate or 20, options=quality)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, rate or 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for pixels, time in zip(frames, times, strict=False):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = time * (rate or 1000) // 1000, Fraction(1, rate or 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.rate = 8000
        out.mux(stream.encode(sound))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("track")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    return write_tiny_bundle(folder / "bundle", guided=True)


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    return write_clip(folder / "clip.mp4", [frame_of(n) for n in range(LENGTH)])


@pytest.fixture(scope="module")
def mask(folder: Path) -> Path:
    path = folder / "mask.png"
    Image.fromarray(thing_in(3).astype(np.uint8) * 255).save(path)
    return path


@pytest.fixture
def tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny bundle has no programs for clips; what is red is followed."""

    def open_video(self: TapSegmenter, frames: Sequence[np.ndarray]) -> VideoSession:
        return VideoSession(self._open_view, ByColour(), frames)

    monkeypatch.setattr(TapSegmenter, "open_video", open_video)


# Clips as files


@pytest.mark.parametrize(
    ("name", "codec", "between"),
    [
        ("a.mp4", "mpeg4", 0), ("a.mp4", "mpeg4", 2), ("a.webm", "libvpx-vp9", 0),
        ("a.mkv", "mpeg4", 2), ("a.avi", "mpeg4", 0), ("a.ts", "mpeg2video", 0),
        ("a.ts", "mpeg2video", 2), ("a.mpg", "mpeg2video", 2),
    ],
)  # fmt: skip
def test_frames_in_any_order(tmp_path: Path, name: str, codec: str, between: int) -> None:
    """Also where frames are stored in another order, with so many between those they refer to."""
    times = range(0, 40 * LENGTH, 40)
    frames = [frame_of(n) for n in range(LENGTH)]
    path = write_clip(tmp_path / name, frames, codec, times, rate=25, between=between)
    with ClipFile(path) as clip:
        assert len(clip) == LENGTH
        assert clip.size == (HEIGHT, WIDTH)
        seen = [time - clip.times[0] for time in clip.times]
        assert seen == pytest.approx([time / 1000 for time in times], abs=1e-3)
        numbers = [*range(LENGTH), *reversed(range(LENGTH)), 7, 2, 11, 0, -1]
        for number in numbers:
            assert np.abs(clip[number].astype(int) - frames[number]).mean() < 6
        with pytest.raises(IndexError):
            clip[LENGTH]


def test_few_frames_are_kept_and_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracenet_runtime.clips.file._KEPT_BYTES", 0)
    frames = [frame_of(n % LENGTH) for n in range(60)]
    with ClipFile(
        write_clip(tmp_path / "a.mp4", frames, times=range(0, 6000, 100), gop=20)
    ) as clip:
        decoded = 0
        decode = clip._container.decode

        def counting(*arguments: Any) -> Any:
            nonlocal decoded
            for frame in decode(*arguments):
                decoded += 1
                yield frame

        clip._container = type("Counted", (), {
            "decode": staticmethod(counting), "seek": clip._container.seek,
            "close": clip._container.close,
        })  # type: ignore[assignment]  # fmt: skip
        for number in range(60):
            assert clip[number].shape == (HEIGHT, WIDTH, 3)
        assert decoded <= 60
        assert len(clip._cache) == 8
        decoded = 0
        for number in reversed(range(60)):
            assert np.abs(clip[number].astype(int) - frames[number]).mean() < 6
        # Each of three stretches at most three times.
        assert 52 <= decoded <= 60 * 3
        assert len(clip._cache) == 8


def test_frames_that_are_not_shown(tmp_path: Path) -> None:
    """An edit list that begins after the first frames, as that of a clip that a phone trimmed."""
    path = tmp_path / "trimmed.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(LENGTH):
            frame = av.VideoFrame.from_ndarray(frame_of(number), "rgb24")
            frame.pts, frame.time_base = number - 3, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with ClipFile(path) as clip:
        assert len(clip) == LENGTH - 3
        for number in (0, 8, 4):
            wanted = frame_of(number + 3).astype(int)
            assert np.abs(clip[number].astype(int) - wanted).mean() < 6


def test_a_list_of_other_files_is_no_clip(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n")
    with pytest.raises(ClipError, match="not a clip that can be read"):
        ClipFile(path)
    path.write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
    with pytest.raises(ClipError, match="not a clip that can be read"):
        ClipFile(path)


def test_uneven_times(clip: Path) -> None:
    with ClipFile(clip) as opened:
        assert opened.times == pytest.approx([time / 1000 for time in UNEVEN], abs=1e-3)


@given(
    turned=st.booleans(), across=st.sampled_from([-1, 1]), down=st.sampled_from([-1, 1]),
    aspect=st.sampled_from([Fraction(1), Fraction(2), Fraction(1, 2), Fraction(4, 3)]),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_frames_are_as_a_player_shows_them(
    folder: Path, turned: bool, across: int, down: int, aspect: Fraction
) -> None:
    """By plain loops: where the matrix of the file takes each pixel."""
    a, b, c, d = (0, across, down, 0) if turned else (across, 0, 0, down)
    one = 1 << 16
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[:24, 32:], stored[24:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    path = write_clip(folder / "turned.mp4", [stored], aspect=aspect, matrix=matrix)
    with ClipFile(path) as clip:
        shown = clip[0]
        assert shown.shape[:2] == clip.size
    wide, high = round(64 * max(Fraction(1), aspect)), round(48 / min(Fraction(1), aspect))
    assert clip.size == ((wide, high) if turned else (high, wide))
    for row in (4, 44):
        for column in (4, 60):
            x, y = column * wide // 64, row * high // 48
            to_x, to_y = a * x + c * y, b * x + d * y
            height, width = clip.size
            place = (
                int(to_y if to_y > 0 else height + to_y),
                int(to_x if to_x > 0 else width + to_x),
            )
            assert np.abs(shown[place].astype(int) - stored[row, column]).max() < 40


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mpeg4"), ("a.webm", "libvpx-vp9")])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.8])
def test_a_clip_that_is_cut_off(tmp_path: Path, name: str, codec: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, HEIGHT, WIDTH, 3), np.uint8)
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    times = range(0, 4000, 100)
    path = write_clip(tmp_path / name, list(noise), codec, times, options=options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ClipError, match=r"a\.\w+ (is|holds) .*\.$"), ClipFile(path) as clip:
        [clip[number] for number in range(len(clip))]


def test_a_damaged_transport_stream(tmp_path: Path) -> None:
    """Damage there can bring forth streams that the file did not announce."""
    frames = [frame_of(n) for n in range(LENGTH)]
    times = range(0, 40 * LENGTH, 40)
    path = write_clip(tmp_path / "a.ts", frames, "mpeg2video", times, rate=25)
    whole, random, read = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(60):
        content = np.frombuffer(whole, np.uint8).copy()
        content[random.integers(0, len(content), 40)] = random.integers(0, 256, 40)
        path.write_bytes(content.tobytes())
        with suppress(ClipError), ClipFile(path) as clip:
            read += sum(len(clip[number]) > 0 for number in range(len(clip))) == LENGTH
    assert read < 60


def test_a_stream_that_was_not_announced(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV looks for it in a list."""

    class Container:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def demux(self) -> Any:
            yield from self._container.demux()
            raise IndexError("list index out of range")

    opening = av.open
    monkeypatch.setattr("av.open", lambda *a, **more: Container(opening(*a, **more)))
    with pytest.raises(ClipError, match="damaged or incomplete"):
        ClipFile(clip)


@pytest.mark.parametrize("aspect", [(20_000, 1), (1, 20_000)])
def test_frames_that_are_shown_too_large(tmp_path: Path, aspect: tuple[int, int]) -> None:
    frame = np.zeros((160, 160, 3), np.uint8)
    path = write_clip(tmp_path / "a.mp4", [frame], "libvpx-vp9", aspect=Fraction(4, 3))
    written = b"pasp" + struct.pack(">2I", 4, 3)
    assert path.read_bytes().count(written) == 1
    path.write_bytes(path.read_bytes().replace(written, b"pasp" + struct.pack(">2I", *aspect)))
    with pytest.raises(ClipError, match="more than the 200 megapixels that are read"):
        ClipFile(path)


def test_a_frame_that_cannot_be_converted(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Frame:
        def reformat(self, **wanted: Any) -> Any:
            raise ValueError("no such conversion")

    with ClipFile(clip) as opened:
        monkeypatch.setitem(opened._cache, 4, Frame())
        with pytest.raises(ClipError, match="frame 4: no such conversion"):
            opened[4]


# The tool


def test_masks_film_and_json(
    tracks: None, tmp_path: Path, bundle: Path, clip: Path, mask: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out, film = tmp_path / "masks", tmp_path / "seen.webm"
    arguments = [str(clip), "--frame", "3", "--from", str(mask), "--bundle", str(bundle)]
    report = run_json(main, [*arguments, "--out", str(out), "--overlay", str(film)], capsys)
    assert (report["height"], report["width"]) == (HEIGHT, WIDTH)
    assert [frame["frame"] for frame in report["frames"]] == list(range(LENGTH))
    assert [frame["time"] for frame in report["frames"]] == pytest.approx(
        [time / 1000 for time in UNEVEN], abs=1e-3
    )
    assert sorted(path.name for path in out.iterdir()) == [f"{n:05}.png" for n in range(LENGTH)]
    for frame in report["frames"]:
        numbers = np.asarray(Image.open(out / frame["mask"]))
        truth = thing_in(frame["frame"])
        assert numbers.dtype == np.uint8
        assert set(np.unique(numbers)) == {0, 1}
        assert iou(numbers == 1, truth) > 0.8
        (thing,) = frame["things"]
        assert thing["present"]
        assert thing["touched"] == (frame["frame"] == 3)
        assert 0.5 < thing["score"] <= 1
        assert thing["box"] == pytest.approx([np.flatnonzero(truth.any(0))[0], 20,
            np.flatnonzero(truth.any(0))[-1] + 1, 60], abs=4)  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(out / "00003.png")) == 1, thing_in(3))
    with av.open(str(film)) as written:
        (stream,) = written.streams
        assert stream.type == "video"
        assert stream.codec_context.name == "vp9"
        frames = list(written.decode(stream))
    assert [float(frame.time) for frame in frames] == pytest.approx(
        [time / 1000 for time in UNEVEN], abs=1e-3
    )
    picture = frames[0].to_ndarray(format="rgb24")
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture[40, 30, 2] > 90  # tinted
    assert picture[80, 100, 2] == pytest.approx(100, abs=12)


def test_several_things_and_corrections(
    tracks: None, bundle: Path, clip: Path, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--frame", "3", "--from", str(mask), "--not-at", "100,80", "--frame", "8",
                 "--not-at", "50,40", "--frame", "5", "--box", "10,10,90,80"]  # fmt: skip
    report = run_json(main, [str(clip), *arguments, "--bundle", str(bundle)], capsys)
    touched = [[v["touched"] for v in frame["things"]] for frame in report["frames"]]
    assert touched == [[n in (3, 8), n == 5] for n in range(LENGTH)]
    for frame in report["frames"]:
        for thing in frame["things"]:
            seen = decode_rle(*thing["mask_rle"]["size"], thing["mask_rle"]["counts"])
            assert seen.shape == (HEIGHT, WIDTH)
            assert seen.any() == (thing["box"] is not None)


def test_text(
    tracks: None, bundle: Path, clip: Path, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(clip), "--frame", "3", "--from", str(mask), "--bundle", str(bundle)]) == 0
    shown = capsys.readouterr()
    assert f"{LENGTH} frames of {WIDTH} x {HEIGHT}" in shown.out
    assert f"thing 0  seen in {LENGTH} of {LENGTH} frames, mean score" in shown.out
    assert "tracking" in shown.err


def test_masks_take_the_place_of_masks_alone(
    tracks: None, tmp_path: Path, bundle: Path, clip: Path, mask: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "masks"
    arguments = [str(clip), "--from", str(mask), "--bundle", str(bundle), "--out", str(out)]
    out.mkdir()
    (out / "00099.png").write_bytes(b"")
    assert main(arguments) == 0
    assert len(list(out.iterdir())) == LENGTH
    capsys.readouterr()
    (out / "holiday.png").write_bytes(b"precious")
    assert_one_sentence(main, arguments, "holds holiday.png, which is no mask", capsys)
    assert (out / "holiday.png").read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [out]


def test_what_fails_on_the_way_leaves_nothing(
    tracks: None, tmp_path: Path, bundle: Path, clip: Path, mask: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    film = tmp_path / "film.webm"
    film.write_bytes(b"before")

    class Full(io.RawIOBase):
        def write(self, content: Any) -> int:
            raise OSError(28, os.strerror(28))

        def writable(self) -> bool:
            return True

    class OnFullDisk(WebmWriter):
        def __init__(self, file: Any, *others: Any) -> None:
            super().__init__(Full(), *others)  # type: ignore[arg-type]

    monkeypatch.setattr("tracenet_runtime.clips.output.WebmWriter", OnFullDisk)
    arguments = [str(clip), "--from", str(mask), "--bundle", str(bundle),
                 "--out", str(tmp_path / "masks"), "--overlay", str(film)]  # fmt: skip
    assert_one_sentence(main, arguments, "No space left", capsys)
    assert film.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [film]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["CLIP", "--at", "500,3"], "is outside the photo"),
        (["CLIP", "--frame", "12", "--at", "3,3"], "no frame 12; the clip has 12, numbered from 0"),
        (["CLIP", "--not-at", "3,3"], "begin with a positive gesture"),
        (["CLIP", "--at", "3,3", "--overlay", "a.mp4"], "a.mp4 must end in .webm"),
        (["CLIP", "--from", "BUNDLE/manifest.json"], "not a picture"),
        (["none.mp4", "--at", "3,3"], "There is no clip at none.mp4"),
        (["BUNDLE", "--at", "3,3"], "is not a file"),
        (["BUNDLE/manifest.json", "--at", "3,3"], "not a clip that can be read"),
        (["EMPTY", "--at", "3,3"], "is empty"),
        (["SOUND", "--at", "3,3"], "holds no video"),
    ],
)
def test_refusals(
    tracks: None, tmp_path: Path, bundle: Path, clip: Path, arguments: list[str], expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "empty.mp4").write_bytes(b"")
    sound = write_sound(tmp_path / "sound.mkv")
    places = {"CLIP": clip, "BUNDLE": bundle, "EMPTY": tmp_path / "empty.mp4", "SOUND": sound}
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    assert_one_sentence(main, [*arguments, "--bundle", str(bundle)], expected, capsys)


def test_the_clip_itself_is_not_written_over(
    tracks: None, tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "a.webm", [frame_of(0)], "libvpx-vp9")
    arguments = [str(clip), "--at", "3,3", "--overlay", str(clip), "--bundle", str(bundle)]
    assert_one_sentence(main, arguments, "is the clip itself", capsys)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["CLIP", "--from", "OUT/00000.png", "--out", "OUT"], "00000.png, a mask of --from, lies"),
        (["OUT/00001.png", "--at", "3,3", "--out", "OUT"], "00001.png, the clip itself, lies in"),
        (["CLIP", "--at", "3,3", "--out", "OUT", "--overlay", "OUT/a.webm"], "lies in"),
        (["CLIP", "--at", "3,3", "--out", "b.webm", "--overlay", "b.webm"], "lies in b.webm"),
        (["CLIP", "--from", "a.webm", "--overlay", "a.webm"], "a.webm is a mask of --from"),
    ],
)
def test_nothing_is_written_over_what_is_read(
    tracks: None, tmp_path: Path, bundle: Path, clip: Path, arguments: list[str], expected: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "masks"
    out.mkdir()
    Image.fromarray(thing_in(0)).save(out / "00000.png")
    (out / "00001.png").symlink_to(clip)
    before = {path: path.read_bytes() for path in out.iterdir()}
    for name, path in {"CLIP": clip, "OUT": out}.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    assert_one_sentence(main, [*arguments, "--bundle", str(bundle)], expected, capsys)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_refusal_leaves_no_folders(
    tracks: None, tmp_path: Path, bundle: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    arguments = ["--at", "500,3", "--bundle", str(bundle), "--out", str(tmp_path / "a/b/c/masks")]
    assert_one_sentence(main, [str(clip), *arguments], "is outside the photo", capsys)
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


@pytest.mark.parametrize("arguments", [["--overlay", "none/a.webm"], ["--out", "CLIP/masks"]])
def test_what_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, clip: Path, arguments: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The bundle, which is not there, is not even looked for."""
    monkeypatch.chdir(tmp_path)
    arguments = [argument.replace("CLIP", str(clip)) for argument in arguments]
    assert main([str(clip), "--at", "3,3", "--bundle", "none", *arguments]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in said
    assert list(tmp_path.iterdir()) == []


def test_a_map_has_254_things_at_most(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = ["--at", "3,3"] * 255
    arguments = [str(clip), *many, "--bundle", "none", "--out", str(tmp_path / "masks")]
    assert_one_sentence(main, arguments, "tell 254 things apart, not 255", capsys)
    assert_one_sentence(main, [*arguments[:1], *arguments[3:]], "no bundle", capsys)


def test_a_clip_is_tracked_once_for_all_corrections_of_a_frame(
    tracks: None, bundle: Path, clip: Path, mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    propagate = VideoSession.propagate

    def counted(video: VideoSession) -> Any:
        passes.append(video.touched)
        return propagate(video)

    monkeypatch.setattr(VideoSession, "propagate", counted)
    arguments = ["--frame", "3", "--from", str(mask), "--frame", "8", "--not-at", "50,40",
                 "--not-at", "52,40", "--frame", "9", "--not-at", "60,40"]  # fmt: skip
    assert main([str(clip), *arguments, "--bundle", str(bundle)]) == 0
    assert passes == [(3,), (3, 8), (3, 8, 9)]


def test_a_bundle_that_does_not_track(
    bundle: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(clip), "--at", "3,3", "--bundle", str(bundle)]
    assert_one_sentence(main, arguments, "does not track things through clips", capsys)


def test_without_a_gesture(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(clip), "--frame", "3"])
    assert ended.value.code == 2
    assert "give a gesture" in capsys.readouterr().err


def test_without_pyav(clip: Path, bundle: Path) -> None:
    script = (
        "import sys; sys.modules['av'] = None\n"
        "from tracenet_runtime.track_cli import main\n"
        f"sys.exit(main([{str(clip)!r}, '--at', '3,3', '--bundle', {str(bundle)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "tracenet-track: av is not installed; run: pip install 'tracenet[onnxruntime,video]'\n"
    )


def test_help_is_in_short_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
