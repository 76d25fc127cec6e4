"""What carries masks through clips, as exported: programs against PyTorch, and clips tracked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracking_export import TRACKING, TrackingExport

from tracenet.evaluation.clips.models import PropagatingNetwork, TrackingBundle
from tracenet.evaluation.propagator import TorchPropagation
from tracenet.model import TraceNet
from tracenet.scene import generate_scene
from tracenet_export.clips import MovingClip
from tracenet_export.programs import local_macs
from tracenet_export.tracking import tracking_programs
from tracenet_runtime import BundleError, TapSegmenter
from tracenet_runtime import segmenter as module
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.graph.program import TensorSpec
from tracenet_runtime.tracking.check import FEATURES
from tracenet_runtime.tracking.passes import ClipPasses
from tracenet_runtime.tracking.records import TRACKING_DESCRIBED
from tracenet_runtime.tracking.tracker import Tracker

LENGTH = 12


@pytest.fixture(scope="module")
def segmenter(small_tracking: TrackingExport) -> TapSegmenter:
    return TapSegmenter.load(small_tracking.folder, threads=1)


@pytest.fixture(scope="module")
def clip() -> MovingClip:
    photo = generate_scene(240, 320, seed=5)
    one, two = (np.zeros(photo.shape[:2], np.bool_) for _ in range(2))
    one[70:150, 90:170] = True
    two[120:200, 180:240] = True
    return MovingClip(photo, (one, two), LENGTH)


def iou(one: np.ndarray, two: np.ndarray) -> float:
    union = np.count_nonzero(one | two)
    return np.count_nonzero(one & two) / union if union else 1.0


def error(given: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(given - wanted).max() / np.abs(wanted).max())


def test_what_the_manifest_says(small_tracking: TrackingExport) -> None:
    manifest = small_tracking.manifest
    tracking, programs = manifest["tracking"], manifest["programs"]
    assert tracking["described"] == TRACKING_DESCRIBED
    assert tracking["rule"] == {"fill": 0.5, "enlarge": 3.0, "lost": 0.5, "sure": 0.8}
    # Nine frames of 256 cells, a key of 64 and a value of 128 numbers of four bytes.
    assert tracking["memory_bytes"] == {"one": 9 * 256 * 192 * 4, "further": 9 * 256 * 128 * 4}
    shapes = {
        part: [
            [(v["name"], v["shape"][1:]) for v in programs[name][role]]
            for role in ("inputs", "outputs")
        ]
        for part, name in tracking["programs"].items()
    }
    features = [("fine", [8, 64, 64]), ("coarse", [16, 32, 32]), ("deep", [24, 16, 16])]
    edges = ("edges", [6, 128, 128])
    assert shapes == {
        "frame": [[("image", [3, 256, 256])], [edges, *features, ("key", [64, 16, 16])]],
        "value": [[*features, ("masks", [2, 64, 64])], [("value", [128, 16, 16])]],
        "decode": [
            [edges, *features, ("read", [128, 16, 16]), ("prior", [1, 64, 64])],
            [("mask", [1, 128, 128]), ("presence", [1, 16, 16])],
        ],
        "fuse": [[features[0], ("planes", [6, 64, 64])], [("share", [1, 128, 128])]],
    }


def test_what_only_clips_need_lies_apart(small_tracking: TrackingExport) -> None:
    """A tap's programs ask for nothing in the file of clips, and none of its weights lie twice."""
    folder = small_tracking.folder / "programs"
    for path in folder.glob("*.onnx"):
        assert (b"tracking.bin" in path.read_bytes()) == path.name.startswith("track_"), path
    network = small_tracking.network
    assert network.propagation is not None
    assert network.fusion is not None
    own = sum(
        p.numel() for part in (network.propagation, network.fusion) for p in part.parameters()
    )
    everything = sum(p.numel() for p in network.parameters())
    assert (folder / "tracking.bin").stat().st_size < 1.2 * 4 * own
    assert b"weights.bin" in (folder / "track_frame.onnx").read_bytes()
    both = sum((folder / name).stat().st_size for name in ("weights.bin", "tracking.bin"))
    assert both < 1.2 * 4 * everything


def test_each_program_is_pytorchs(small_tracking: TrackingExport, segmenter: TapSegmenter) -> None:
    ours, twin = segmenter.track_network(), TorchPropagation(small_tracking.network)
    random = np.random.default_rng(0)
    tile = generate_scene(256, 256, seed=4)
    features, key = ours.encode(tile)
    wanted, wanted_key = twin.encode(tile)
    assert error(key, wanted_key) < 1e-4
    for name in FEATURES:
        assert error(features[name], getattr(wanted, name).numpy()) < 1e-4, name
    mask, others = random.random((2, 64, 64), np.float32)
    value = twin.value(wanted, mask, others)
    assert error(ours.value(features, mask, others), value) < 1e-4
    (given, presence), (cells, present) = (
        n.decode(f, value, mask) for n, f in ((ours, features), (twin, wanted))
    )
    assert error(given, cells) < 1e-4
    assert presence == pytest.approx(present, abs=1e-5)
    assert 0.01 < (cells > 0.5).mean() < 0.99
    planes = random.random((6, 64, 64), np.float32)
    assert error(ours.fuse(features, planes), twin.fuse(wanted, planes)) < 1e-4


def test_a_clip_is_tracked_as_in_pytorch(
    small_tracking: TrackingExport, segmenter: TapSegmenter, clip: MovingClip
) -> None:
    tracking = segmenter.bundle.manifest.tracking
    assert tracking is not None
    networks = segmenter.track_network(), TorchPropagation(small_tracking.network)
    found = []
    for network in networks:
        passes = ClipPasses(network, clip, tracking.rule)  # type: ignore[type-var]
        for touched in (0, LENGTH - 1):
            passes.touch(touched, dict(enumerate(clip.truth(touched))))
            assert touched in iter(passes.advance, None)
            list(iter(passes.advance, None))
        found.append([passes.mask(n, thing) for n in range(LENGTH) for thing in (0, 1)])
    ours, wanted = found
    ious = [iou(one, two) for one, two in zip(ours, wanted, strict=True)]
    assert np.mean(ious) >= 0.98
    assert any(mask.any() for mask in wanted)


def test_a_clip_is_opened(segmenter: TapSegmenter, clip: MovingClip) -> None:
    with segmenter.open_video(clip) as video:
        given = video.frame(3).tap((100, 90)).mask
        results = {result.number: result for result in video.propagate()}
        assert results.keys() == set(range(LENGTH))
        assert np.array_equal(results[3].things[0].mask(), given)
    with segmenter.open_stream() as stream:
        assert stream.push(clip[3]) is None
        stream.tap((100, 90))
        result = stream.push(clip[4])
        assert result is not None
        wanted = results[4].things[0]
        assert result.things[0].presence == wanted.presence
        # But for the steps in which a clip's masks are kept.
        assert iou(result.things[0].mask(), wanted.mask()) > 0.95


def test_a_bundle_is_scored_on_clips_as_its_network(
    small_tracking: TrackingExport, segmenter: TapSegmenter, clip: MovingClip
) -> None:
    frames = [clip[number] for number in range(5)]
    models = TrackingBundle(segmenter), PropagatingNetwork(small_tracking.network)
    ours, wanted = (list(model.follow(frames, clip.truth(0))) for model in models)
    assert len(ours) == 4
    for one, two in zip(ours, wanted, strict=True):
        assert all(iou(a, b) > 0.98 for a, b in zip(one, two, strict=True))
    assert np.array_equal(models[0].tap(frames[0], 80, 90), segmenter.tap(frames[0], (80, 90)).mask)


def test_what_the_check_found(small_tracking: TrackingExport) -> None:
    parity = small_tracking.report["parity"]
    assert parity["clips"]["frames"] == 6
    assert parity["clips"]["things"] == 2
    assert parity["clips"]["iou_mean"] >= 0.98
    assert parity["clips"]["frame_iou_mean"] >= 0.995
    assert parity["clips"]["seen"] >= 0.5
    outputs = parity["programs"]["track_decode"]["outputs"]
    assert outputs.keys() == {"mask", "presence"}
    assert max(v["max"] for v in outputs.values()) < 1e-4
    assert "Clips against PyTorch" in (small_tracking.folder / "parity.md").read_text()


def test_programs_of_clips_are_opened_with_the_first(
    small_tracking: TrackingExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[list[str]] = []
    load_engine = module.load_engine

    def loading(*arguments: Any) -> Any:
        opened.append(sorted(arguments[-1]))
        return load_engine(*arguments)

    monkeypatch.setattr(module, "load_engine", loading)
    segmenter = TapSegmenter.load(small_tracking.folder, threads=1)
    assert not any(name.startswith("track_") for name in opened[0])
    assert segmenter.track_network() is segmenter.track_network()
    assert opened[1:] == [["track_decode", "track_frame", "track_fuse", "track_value"]]


def rewritten(small_tracking: TrackingExport, folder: Path, golden: Mapping[str, Any]) -> Path:
    """A copy of the bundle with another golden.json."""

    shutil.copytree(small_tracking.folder, folder)
    content = json.dumps(golden).encode()
    (folder / "golden.json").write_bytes(content)
    manifest = small_tracking.manifest
    manifest["files"]["golden.json"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_golden_clip_is_replayed(small_tracking: TrackingExport, tmp_path: Path) -> None:
    golden = json.loads((small_tracking.folder / "golden.json").read_text())
    (clip,) = golden["clips"]
    assert len(clip["frames"]) == 3
    assert all(len(frame["masks_rle"]) == 2 for frame in clip["frames"])
    segmenter = TapSegmenter.load(small_tracking.folder, threads=1)
    segmenter.check_golden_clips()
    # Another answer is found out when the first clip is opened, and not before.
    height, width = clip["size"]
    clip["frames"][2]["masks_rle"][1]["counts"] = "0" + everything(height * width)
    folder = rewritten(small_tracking, tmp_path / "other", golden)
    wrong = TapSegmenter.load(folder, threads=1)
    with pytest.raises(BundleError, match="frame number 3 of the golden clip"):
        wrong.track_network()
    TapSegmenter.load(folder, threads=1, verify=False).track_network()
    clip["frames"][2]["at"] = [300, 0]
    folder = rewritten(small_tracking, tmp_path / "beyond", golden)
    with pytest.raises(BundleError, match="does not fit the golden photo"):
        TapSegmenter.load(folder, threads=1).track_network()


def everything(pixels: int) -> str:
    """The run of a full mask, as pycocotools writes a number."""
    text = ""
    while True:
        bits, pixels = pixels & 0x1F, pixels >> 5
        more = pixels != 0 or bool(bits & 0x10)
        text += chr(48 + bits + 32 * more)
        if not more:
            return text


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("described", "top_k"), 21, "described.top_k must be 20"),
        (("described", "fusion_planes"), ["old"], "fusion_planes must be"),
        (("memory_bytes", "one"), 1, "memory_bytes.one must be 1769472"),
        (("rule", "fill"), 1.5, "fill must be from 0.01 to 1"),
        (("rule", "lost"), -1, "lost must be from 0 to 1"),
        (("rule", "enlarge"), 0, "enlarge must be from 0.01 to 256"),
        (("programs", "fuse"), "none", "uses the program 'none'"),
        (("programs", "fuse"), "track_value", "'track_value' are not what 'fuse'"),
        (("programs", "frame"), "track_value", "does not give 'edges'"),
    ],
)
def test_another_manifest_is_refused(
    small_tracking: TrackingExport, tmp_path: Path, path: tuple[str, str], value: object, said: str
) -> None:
    manifest = small_tracking.manifest
    manifest["tracking"][path[0]][path[1]] = value
    folder = tmp_path / "bundle"
    shutil.copytree(small_tracking.folder, folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=said):
        Bundle.open(folder)


def test_a_network_that_does_not_track(segmenter: TapSegmenter) -> None:
    for config in (
        dataclasses.replace(TRACKING, fusion_channels=None),
        dataclasses.replace(TRACKING, fusion_channels=None, track_channels=None),
    ):
        assert tracking_programs(TraceNet(config)) == (None, ())
    manifest = dataclasses.replace(segmenter.bundle.manifest, tracking=None)
    bundle = dataclasses.replace(segmenter.bundle, manifest=manifest)
    with pytest.raises(BundleError, match="does not track things through clips"):
        TapSegmenter(bundle, segmenter.viewer._engine).open_video([generate_scene(64, 64, 0)])


def test_every_operator_is_local() -> None:
    """The tracer counts multiply-adds, and refuses what is not local."""
    tracking, programs = tracking_programs(TraceNet(TRACKING))
    assert tracking is not None
    for program in programs:
        smaller = [
            TensorSpec(s.name, (1, s.shape[1], s.shape[2] // 2, s.shape[3] // 2))
            for s in program.inputs
        ]
        assert program.macs == 4 * local_macs(program.module, smaller) > 0


def test_from_equal_memory(
    small_tracking: TrackingExport, segmenter: TapSegmenter, clip: MovingClip
) -> None:
    twin = TorchPropagation(small_tracking.network)
    tracker = Tracker(twin, 2)
    tracker.touch(0, clip[0], clip.truth(0))
    tracker.step(1, clip[1])
    copied = tracker.copied(segmenter.track_network())
    before = tracker.memory.frames
    ours = copied.step(2, clip[2])
    assert tracker.memory.frames == before == (0, 1)
    for one, two in zip(ours, tracker.step(2, clip[2]), strict=True):
        assert one.view == two.view
        # Not the largest difference: rounding may turn which cell of the memory is the 20th.
        assert np.abs(one.probability - two.probability).mean() < 1e-5
        assert iou(one.mask(), two.mask()) >= 0.995
