"""Clips to train on: deformed photos, real clips, tiles that follow a thing."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scenes import Scenes, make_scene, scene_map
from scipy.ndimage import binary_dilation

from tracenet.data import CopyPaste, DataError
from tracenet.data.clip_scene import ClipScene, draw_clip_scene, scene_labels
from tracenet.data.clips import Clip, held_back, open_clips, trained_on
from tracenet.data.moving import OTHER, THING, UNKNOWN, Interrupted, Removed, SquareTile
from tracenet.data.video import VideoDataset, VideoInputs

PAD = (128, 128, 128)
PHOTOS = Scenes([make_scene(300, 400, seed=seed) for seed in range(4)])
INPUTS = VideoInputs(frames_per_step=6, copy_paste=CopyPaste(probability=0), steps=10)


def write_clip(folder: Path, frames: int = 4, height: int = 90, width: int = 120) -> None:
    """A square, 1, that moves to the right, a disc, 2, that stays, and a strip of unknown."""
    folder.mkdir(parents=True)
    for number in range(frames):
        numbers = scene_map(height, width, seed=3, things=2)
        numbers[numbers == 1] = 0
        numbers[20:50, 10 + 8 * number : 40 + 8 * number] = 1
        photo = np.stack([numbers * 40, numbers * 20, 255 - numbers], -1)
        Image.fromarray(photo).save(folder / f"{number:05}.jpg", quality=95)
        Image.fromarray(numbers).save(folder / f"{number:05}.png")


def write_clips(root: Path, names: list[str], **more: object) -> Path:
    for name in names:
        write_clip(root / name)
    rows = [{"id": name, "set": "squares", "frames": 4, "step": 1} | more for name in names]
    (root / "index.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return root


def test_batches_are_a_function_of_seed_and_step(tmp_path: Path) -> None:
    clips = open_clips(write_clips(tmp_path, ["a", "b"]))
    inputs = VideoInputs(frames_per_step=6, lengths=(2, 3), clip_share=0.5, steps=10)
    batch, again, other = (VideoDataset(PHOTOS, clips, inputs, PAD, seed)[3] for seed in (1, 1, 2))
    for name, values in vars(batch).items():
        assert torch.equal(values, vars(again)[name]), name
    assert not (batch.image.shape == other.image.shape and torch.equal(batch.image, other.image))


def test_a_batch() -> None:
    batch = VideoDataset(PHOTOS, [], INPUTS, PAD, 0)[0]
    assert batch.image.shape == (6, 3, 256, 256)
    assert batch.image.dtype == torch.uint8
    assert batch.truth.shape == batch.known.shape == batch.others.shape == (6, 256, 256)
    assert batch.first.shape == (2, 64, 64)
    assert batch.tile.shape == (3, 2, 3)
    assert not batch.carried[0].any()
    assert not (batch.truth & batch.others).any()
    assert not (batch.truth & ~batch.known).any()
    assert (batch.truth[:2].sum((1, 2)) >= 100).all()
    assert (batch.tile[..., 2] >= 256 / INPUTS.enlargement - 1e-4).all()


def test_cross_entropy_counts_fewer_cells_later() -> None:
    shares = [float(VideoDataset(PHOTOS, [], INPUTS, PAD, 0)[step].hard) for step in (0, 5, 9)]
    assert shares[0] == 1
    assert shares[0] > shares[1] > shares[2] == pytest.approx(INPUTS.hard_share)


def test_the_first_mask_is_the_things() -> None:
    batch = VideoDataset(
        PHOTOS, [], VideoInputs(frames_per_step=12, perturbed=0, steps=1), PAD, 4
    )[0]  # fmt: skip
    shares = torch.nn.functional.avg_pool2d(batch.truth[: len(batch.first)].float(), 4)
    torch.testing.assert_close(batch.first, shares)


def test_things_come_and_go() -> None:
    """A thing may be gone, and come back; where it is, its colour is that of its photo."""
    inputs = VideoInputs(
        frames_per_step=40, lengths=(5,), copy_paste=CopyPaste(probability=0), steps=1
    )  # fmt: skip
    dataset = VideoDataset(PHOTOS, [], inputs, PAD, 7)
    seen = torch.cat([dataset[s].truth.flatten(1).any(1).view(5, -1) for s in range(4)], 1)
    assert seen[0].all()
    gone = (~seen).any(0)
    assert 0.03 < float(gone.float().mean()) < 0.5
    back = [any(a and not b for b, a in pairwise(clip)) for clip in seen.T]
    assert any(back)


@given(
    x=st.floats(0, 60), y=st.floats(0, 40), side=st.floats(20, 120), frame=st.integers(0, 3)
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_tile_of_a_clip_shows_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, side: float, frame: int
) -> None:
    root = tmp_path_factory.getbasetemp() / "shown"
    if not root.exists():
        write_clips(root, ["a"])
    (clip,) = open_clips(root)
    scene = ClipScene(clip, (0, 1, 2, 3), 1, False, (1.0, 1.0, 1.0), PAD)
    rgb, labels = scene.show(frame, SquareTile(x, y, side), 64)
    assert rgb.shape == (64, 64, 3)
    numbers = clip.instance_map(frame)
    wanted = scene_labels(numbers, 1)
    for row, column in np.random.default_rng(0).integers(0, 64, (30, 2)):
        at = x + (column + 0.5) * side / 64, y + (row + 0.5) * side / 64
        beyond = at[0] > 121 or at[1] > 91
        if not beyond and (at[0] > 118 or at[1] > 88):
            continue  # a tile's end is rounded to canvas pixels
        # Whichever pixel is within a pixel of the place.
        around = wanted[
            max(0, int(at[1] - 1)) : int(at[1] + 2), max(0, int(at[0] - 1)) : int(at[0] + 2)
        ]
        assert labels[row, column] in ([UNKNOWN] if beyond else around)
        if beyond:
            assert tuple(rgb[row, column]) == PAD


def test_labels() -> None:
    numbers = np.array([[0, 1, 2, 255]], np.uint8)
    assert scene_labels(numbers, 2).tolist() == [[0, OTHER, THING, UNKNOWN]]


def test_frames_of_a_clip(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    orders = set()
    for seed in range(60):
        scene = draw_clip_scene(clip, 3, 4, PAD, np.random.default_rng(seed))
        assert scene is not None
        steps = np.diff(scene.frames)
        assert abs(steps).min() >= 1
        assert len({*np.sign(steps)}) == 1
        orders.add(scene.frames)
    assert {(0, 1, 2), (3, 2, 1), (0, 2, 3), (3, 1, 0)} <= orders
    scene = draw_clip_scene(clip, 6, 1, PAD, np.random.default_rng(0))  # longer than the clip
    assert scene is not None
    assert sorted(scene.frames) == [0, 1, 2, 3, 3, 3]


def test_cut_to_another_scene(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    plain = ClipScene(clip, (0, 1), 1, False, (1.0, 1.0, 1.0), PAD)
    scene = Interrupted(plain, {1}, plain)
    whole = SquareTile(0, 0, 120)
    assert (scene.show(0, whole, 64)[1] == THING).any()
    rgb, labels = scene.show(1, whole, 64)
    assert not (labels == THING).any()
    np.testing.assert_array_equal(rgb, plain.show(0, whole, 64)[0])


@given(down=st.floats(-0.5, 0.5), right=st.floats(-0.5, 0.5), rim=st.floats(0.004, 0.03))
@settings(max_examples=30, deadline=None)
def test_a_thing_taken_out(
    tmp_path_factory: pytest.TempPathFactory, down: float, right: float, rim: float
) -> None:
    root = tmp_path_factory.getbasetemp() / "removed"
    if not root.exists():
        write_clips(root, ["a"])
    (clip,) = open_clips(root)
    plain = ClipScene(clip, (0, 1), 1, False, (1.0, 1.0, 1.0), PAD)
    scene = Removed(plain, {1}, rim, (down, right))
    whole = SquareTile(0, 0, 120)
    for before, after in zip(plain.show(0, whole, 256), scene.show(0, whole, 256), strict=True):
        np.testing.assert_array_equal(before, after)
    (rgb, labels), (shown, drawn) = plain.show(1, whole, 256), scene.show(1, whole, 256)
    thing = labels == THING
    assert not (drawn == THING).any()
    np.testing.assert_array_equal(drawn[~thing], labels[~thing])
    far = binary_dilation(thing, iterations=12)
    np.testing.assert_array_equal(shown[~far], rgb[~far])
    # Of the thing's colour nothing is left, wherever that was taken from, but where it was blurred.
    colour = np.median(rgb[thing], axis=0)
    assert (np.abs(shown[thing].astype(int) - colour).max(1) > 20).mean() > 0.9


def test_a_tile_that_is_all_thing_is_grey_without_it(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    plain = ClipScene(clip, (0, 1), 1, False, (1.0, 1.0, 1.0), PAD)
    rgb, labels = Removed(plain, {1}, 0.02, (0.1, 0.1)).show(1, SquareTile(25, 25, 10), 64)
    assert not (labels == THING).any()
    assert (rgb == rgb[0, 0]).all()


def test_nothing_is_known_beyond_a_photo_that_moves() -> None:
    """What lies there is padding."""
    batch = VideoDataset(PHOTOS, [], VideoInputs(frames_per_step=24, lost=1, steps=1), PAD, 3)[0]
    image, known = batch.image.permute(0, 2, 3, 1), batch.known
    assert 0.01 < float((~known).float().mean()) < 0.6
    beyond = image[~known].float()
    beside = (beyond - torch.tensor(PAD)).abs().amax(1)
    assert float((beside < 60).float().mean()) > 0.8  # but for what is ignored, and for filming


@given(
    x=st.floats(0, 1), y=st.floats(0, 1), side=st.floats(0.05, 1), tall=st.booleans()
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_cut_to_a_scene_of_another_shape(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, side: float, tall: bool
) -> None:
    root = tmp_path_factory.getbasetemp() / "shapes"
    if not root.exists():
        write_clips(root, ["wide"])
        write_clip(root / "tall", height=300)
        with (root / "index.jsonl").open("a") as index:
            index.write(json.dumps({"id": "tall", "set": "s", "frames": 4, "step": 1}))
    scenes = [
        ClipScene(clip, (0, 1), 1, False, (1.0, 1.0, 1.0), PAD) for clip in open_clips(root)
    ]  # fmt: skip
    shown, other = scenes if tall else scenes[::-1]
    scene = Interrupted(shown, {1}, other)
    height, width = scene.size
    length = max(20.0, side * max(height, width))
    tile = SquareTile(x * max(0.0, width - length), y * max(0.0, height - length), length)
    rgb, labels = scene.show(1, tile, 64)
    assert rgb.shape == (64, 64, 3)
    assert not (labels == THING).any()


# Folders


def test_every_fifth_of_a_set_is_held_back(tmp_path: Path) -> None:
    root = write_clips(tmp_path, list("abcdefgklm"))
    row = {"id": "z", "set": "photos", "frames": 4}
    write_clip(root / "z")
    with (root / "index.jsonl").open("a") as index:
        index.write(json.dumps(row))
    clips = open_clips(root)
    assert [clip.id for clip in held_back(clips)] == ["e", "m", "z"]
    assert [clip.id for clip in trained_on(clips)] == list("abcdfgkl")
    assert len(clips[0]) == 4
    with pytest.raises(DataError, match="none is left to train on"):
        trained_on([clips[-1]])


def test_davis(tmp_path: Path) -> None:
    write_clip(tmp_path / "all" / "bear", frames=3)
    for folder, suffix in (("JPEGImages/480p/bear", "jpg"), ("Annotations/480p/bear", "png")):
        (tmp_path / folder).mkdir(parents=True)
        for path in (tmp_path / "all" / "bear").glob(f"*.{suffix}"):
            path.rename(tmp_path / folder / path.name)
    (clip,) = open_clips(tmp_path)
    assert (clip.id, clip.set, len(clip), clip.even) == ("bear", "davis", 3, True)
    assert clip.photo(2).shape == (90, 120, 3)
    assert set(np.unique(clip.instance_map(0))) == {0, 1, 2, 255}
    # DAVIS 2016's maps have 0 and 255.
    path = tmp_path / "Annotations/480p/bear/00000.png"
    Image.fromarray((clip.instance_map(0) == 1).astype(np.uint8) * 255).save(path)
    assert set(np.unique(clip.instance_map(0))) == {0, 1}


def test_only_in_davis_layout_is_255_a_thing(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"], set="davis"))
    Image.fromarray(np.full((90, 120), 255, np.uint8)).save(clip.maps[0])
    assert set(np.unique(clip.instance_map(0))) == {255}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "lists no clip"),
        ("{", "line 1, is damaged"),
        ("[]", "line 1, is damaged: it is not an object"),
        ('{"id": "a", "set": "s"}', "lacks 'frames'"),
        ('{"id": "a", "set": "s", "frames": "4"}', "frames is a whole number"),
        ('{"id": 1, "set": "s", "frames": 4}', "id is text"),
        ('{"id": "a", "set": "s", "frames": 1}', "needs 2 at least"),
        ('{"id": "a", "set": "s", "frames": 5}', r"00004\.jpg does not exist, but the clip a"),
        ('{"id": "a", "set": "s", "frames": 4}\n{"id": "a", "set": "s", "frames": 4}', "2 times"),
    ],
)
def test_wrong_folders(tmp_path: Path, line: str, message: str) -> None:
    write_clips(tmp_path, ["a"])
    (tmp_path / "index.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        open_clips(tmp_path)


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no clips; give a folder"):
        open_clips(tmp_path)
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    clip.maps[0].write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read"):
        clip.instance_map(0)
    Image.new("RGB", (120, 90)).save(clip.maps[1])
    with pytest.raises(DataError, match="one uint8 channel"):
        clip.instance_map(1)
    Image.new("L", (10, 10)).save(clip.maps[2])
    with pytest.raises(DataError, match="size of its frame, 120 x 90"):
        clip.photo(2)
    with pytest.raises(DataError, match="size of its frame, 120 x 90"):
        _ = ClipScene(clip, (2,), 1, False, (1.0, 1.0, 1.0), PAD).size


def test_photos_without_things() -> None:
    bare = Scenes([make_scene(300, 400, things=0)])
    with pytest.raises(DataError, match="check that the photos have masks"):
        VideoDataset(bare, [], INPUTS, PAD, 0)[0]


def test_clips_without_frames_to_follow_are_drawn_again(tmp_path: Path) -> None:
    (clip,) = open_clips(write_clips(tmp_path, ["a"]))
    empty = Clip("e", "s", True, clip.frames, clip.maps[:1] * 4)
    Image.new("L", (120, 90)).save(clip.maps[0])
    assert draw_clip_scene(empty, 3, 1, PAD, np.random.default_rng(0)) is None
