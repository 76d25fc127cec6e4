"""Clips in the browser: what only they need is fetched then, and Python's masks come of it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import browser as browser
from demo_fixtures import serving_assets
from page_fixtures import Open, Opened, iou, page_with
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from PIL import Image
from tracking_export import TrackingExport

from tracenet.scene import generate_scene
from tracenet_demo.assets import Asset
from tracenet_demo.server import DemoServer
from tracenet_export.clips import MovingClip
from tracenet_runtime import FrameResult, TapSegmenter

HEIGHT, WIDTH = 180, 240
LENGTH = 12
TOUCHED, TAPPED, CORRECTED = 2, 5, 9

# What each script begins with; `said` has the frames as PNGs and masks to begin from.
_HELPERS = """async said => {
  const { segmenter } = window.tracenet;
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const blobs = said.frames.map(text => new Blob([bytes(text)], { type: "image/png" }));
  const options = { colorSpaceConversion: "none" };
  const source = {
    size: said.size, length: blobs.length,
    frame: number => createImageBitmap(blobs[number], options),
  };
  const packed = mask => {
    const bits = new Uint8Array(Math.ceil(mask.length / 8));
    mask.forEach((inside, i) => { if (inside) bits[i >> 3] |= 128 >> (i & 7); });
    return btoa(String.fromCharCode(...bits));
  };
  const told = ({ number, things }) =>
    [number, things.map(({ mask, presence, touched }) => [packed(mask), presence, touched])];
  const nameOf = work => work.then(() => null, error => `${error.name}: ${error.message}`);
"""


def with_manifest(folder: Path, **changed: Any) -> Path:
    """The bundle, with other values in its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changed}))
    return folder


@pytest.fixture(scope="module")
def bundle(small_tracking: TrackingExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small network that tracks and corrects."""
    folder = tmp_path_factory.mktemp("clips") / "bundle"
    shutil.copytree(small_tracking.folder, folder)
    # An untrained network's masks hang on single cells, which another engine rounds otherwise: the
    # golden clip is compared as one of fp16 is.
    return with_manifest(folder, precision="fp16")


@pytest.fixture(scope="module")
def server(built_assets: dict[str, Asset], built_page: Path, bundle: Path) -> Iterator[DemoServer]:
    with serving_assets(page_with(bundle, built_assets, built_page)) as running:
        yield running


@pytest.fixture(scope="module")
def clip() -> MovingClip:
    photo = generate_scene(240, 320, seed=5)
    one, two = (np.zeros(photo.shape[:2], np.bool_) for _ in range(2))
    one[70:150, 90:170] = True
    two[120:200, 180:240] = True
    return MovingClip(photo, (one, two), LENGTH)


def packed(mask: np.ndarray) -> str:
    return base64.b64encode(mask.astype(np.uint8).tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    bits = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(bits, count=HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.bool_)


def png(frame: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def run(phone: Opened, clip: MovingClip, script: str) -> Any:
    said = {
        "frames": [png(clip[number]) for number in range(LENGTH)],
        "size": {"height": HEIGHT, "width": WIDTH},
        "masks": [packed(mask) for mask in clip.truth(TOUCHED)],
        "corrected": packed(clip.truth(CORRECTED)[0]),
    }
    return phone.page.evaluate(f"{_HELPERS}{script}}}", said)


def tracked(bundle: Path, clip: MovingClip) -> list[list[FrameResult]]:
    """What Python's session gives, pass by pass."""
    segmenter = TapSegmenter.load(bundle, threads=1)
    with segmenter.open_video([clip[number] for number in range(LENGTH)]) as video:
        for which, mask in enumerate(clip.truth(TOUCHED)):
            video.frame(TOUCHED, which).start_from(mask)
        passes = [list(video.propagate())]
        video.frame(CORRECTED).start_from(clip.truth(CORRECTED)[0])
        passes.append(list(video.propagate()))
        video.frame(TAPPED).tap((150, 120))
        passes.append(list(video.propagate()))
    return passes


def test_a_clip_is_tracked_as_in_python(open_page: Open, clip: MovingClip, bundle: Path) -> None:
    phone = open_page()
    fetched: list[str] = []
    phone.context.on("request", lambda request: fetched.append(request.url.rpartition("/")[2]))
    phone.load()
    only_clips = [path.name for path in (bundle / "programs").glob("track*")]
    assert len(only_clips) == 5
    assert not set(fetched) & set(only_clips)
    found = run(
        phone,
        clip,
        """
  const stages = new Set();
  const video = await segmenter.openVideo(source, { onProgress: ({ stage }) => stages.add(stage) });
  const passes = [];
  const propagate = async () => {
    const pass = [];
    for await (const result of video.propagate()) pass.push(told(result));
    passes.push(pass);
  };
  for (const [which, mask] of said.masks.entries())
    await video.frame(2, which).startFrom(bytes(mask));
  await propagate();
  await video.frame(9).startFrom(bytes(said.corrected));
  await propagate();
  const tapped = await video.frame(5).tap(150, 120);
  await propagate();
  const { touched } = video;
  video.close();
  return {
    tracks: segmenter.bundle.tracks, stages: [...stages], passes, touched,
    tapped: packed(tapped.mask), closed: (await nameOf(video.result(0))).split(":")[0],
  };
""",
    )
    assert found["tracks"]
    assert found["stages"] == ["download", "open", "verify"]
    assert found["touched"] == [TOUCHED, TAPPED, CORRECTED]
    assert found["closed"] == "SessionClosed"
    # The service worker asks for them, too.
    assert set(only_clips) <= set(fetched)
    ious, masks = [], 0
    for results, pass_ in zip(tracked(bundle, clip), found["passes"], strict=True):
        for wanted, (number, things) in zip(results, pass_, strict=True):
            assert number == wanted.number
            for thing, (mask, presence, touched) in zip(wanted.things, things, strict=True):
                assert touched == thing.touched
                assert presence == pytest.approx(thing.presence, abs=0.02)
                ious.append(iou(unpacked(mask), thing.mask()))
                masks += bool(thing.mask().any())
    number, things = found["passes"][2][0]
    assert number == TAPPED
    assert found["tapped"] == things[0][0]
    assert len(ious) >= 4 * LENGTH
    assert masks > len(ious) / 2
    assert np.mean(ious) >= 0.98
    phone.assert_sound()


def test_what_goes_wrong_with_a_clip(open_page: Open, clip: MovingClip) -> None:
    phone = open_page()
    phone.load()
    said = run(
        phone,
        clip,
        """
  const aborted = new AbortController();
  const opening = nameOf(segmenter.openVideo(source, { signal: aborted.signal }));
  aborted.abort(new Error("not wanted"));
  let isDamaged = true;
  const damaged = { ...source, frame: number => {
    if (number === 4 && isDamaged) return Promise.reject(new RangeError("frame 4 is damaged"));
    return source.frame(number);
  } };
  const heard = { aborted: await opening };
  const video = await segmenter.openVideo(damaged);
  await video.frame(3).tap(150, 120);
  const all = async () => { for await (const _ of video.propagate()); };
  heard.damaged = await nameOf(all());
  isDamaged = false;
  heard.again = await nameOf(all());
  heard.known = (await video.result(11)) !== null;
  const small = await segmenter.openVideo({ ...source, size: { height: 10, width: 10 } });
  heard.size = await nameOf(small.frame(0).tap(1, 1));
  heard.empty = await nameOf(segmenter.openVideo({ ...source, length: 0 }));
  const stream = await segmenter.openStream();
  heard.early = await nameOf(stream.tap(1, 1));
  await stream.push(await source.frame(2));
  await stream.startFrom(bytes(said.masks[0]));
  const frame = await source.frame(3);
  const pushed = await stream.push(frame);
  heard.pushed = [pushed.number, pushed.things.length, frame.width];
  return heard;
""",
    )
    assert said == {
        "aborted": "Error: not wanted",
        "damaged": "RangeError: frame 4 is damaged",
        "again": None,
        "known": True,
        "size": "FrameError: All frames must be of one size, 10 x 10 pixels, not 240 x 180; "
        "resize them.",
        "empty": "FrameError: The clip has no frames; give one at least.",
        "early": "FrameError: There is no frame yet; push one, then tap on it.",
        "pushed": [1, 1, 0],
    }


def test_a_bundle_that_does_not_track(
    open_page: Open,
    clip: MovingClip,
    built_assets: dict[str, Asset],
    built_page: Path,
    bundle: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    untracked = page_with(with_manifest(folder, tracking=None), built_assets, built_page)
    with serving_assets(untracked) as other:
        phone = open_page(other)
        phone.load()
        tracks, refused = run(
            phone,
            clip,
            "return [segmenter.bundle.tracks, await nameOf(segmenter.openVideo(source))];",
        )
        assert not tracks
        assert refused.startswith("BundleError: The bundle of tiny does not track things")
