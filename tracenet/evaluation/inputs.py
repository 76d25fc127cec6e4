"""What a command line names: the model and the photos, each with what identifies it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tracenet.data import (
    AnnotatedPhoto,
    DataError,
    HeldOut,
    PhotoDataset,
    Problems,
    open_dataset,
)
from tracenet.data.clips import HELD_BACK_EVERY, Clip, held_back, open_clips
from tracenet.evaluation.adapter import OutsideClickModel, OutsideModel
from tracenet.evaluation.answers import ClickModel, TapModel
from tracenet.evaluation.click_scoring import MAX_CLICKS, ClickScoring
from tracenet.evaluation.clips.models import ClipModel, PropagatingNetwork, TrackingBundle
from tracenet.evaluation.clips.presence_scoring import PresenceScoring
from tracenet.evaluation.clips.scoring import ClipScoring
from tracenet.evaluation.correcting import Correcting
from tracenet.evaluation.fingerprint import fingerprint
from tracenet.evaluation.models import BundleReplay, FullNet
from tracenet.evaluation.protocol import SCORED_CANVAS, TAPS, TapProtocol, Taps
from tracenet.evaluation.regions import RegionReplay
from tracenet.evaluation.scoring import Scoring
from tracenet.evaluation.tap_scoring import TapScoring
from tracenet.evaluation.tapping_again import TappingAgain
from tracenet.evaluation.taps_file import FileTaps
from tracenet.model import DEFAULT_CANVAS, check_canvas, load_checkpoint, shipped_checkpoint
from tracenet.options import DEFAULT_NETWORK
from tracenet_runtime.bundle.records import MANIFEST_NAME
from tracenet_runtime.cores import warn_of_threads
from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.strategies.step import GUIDED


@dataclass(frozen=True)
class Input:
    """What identifies a model or a data set.

    Attributes:
        settings: equal exactly when the scores must be; holds hashes, not paths.
        about: what else a reader wants to know.
    """

    settings: Mapping[str, Any]
    about: Mapping[str, Any]


def open_clip_scoring(arguments: argparse.Namespace) -> tuple[Scoring[Any, Clip], Input]:
    """The network with propagation, or the bundle that tracks, and the protocol that are named."""
    if arguments.bundle and arguments.protocol != "interactive":
        segmenter, about = _segmenter(arguments)
        return _clip_scoring(TrackingBundle(segmenter), arguments), about
    path = arguments.checkpoint or shipped_checkpoint(DEFAULT_NETWORK)
    network = load_checkpoint(path)
    warn_of_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    if arguments.protocol == "interactive":
        # Only here: scikit-image takes a while to import.
        from tracenet.evaluation.clips.interactive import Corrected
        from tracenet.evaluation.clips.interactive_scoring import InteractiveScoring

        segmenter, about = _segmenter(arguments)
        if segmenter.strategy.name != GUIDED:
            raise TraceNetError(
                f"{arguments.bundle} has no guided look, which corrects frames; export a bundle of "
                "a network that has one"
            )
        rounds = InteractiveScoring(Corrected(segmenter, network), arguments.seed)
        both = {"network": fingerprint([path]), "corrections": dict(about.settings)}
        return rounds, Input(both, {**about.about, "evaluated": f"{path}, {arguments.bundle}"})
    scoring = _clip_scoring(PropagatingNetwork(network), arguments)
    settings = {"form": PropagatingNetwork.computed, "sha256": fingerprint([path])}
    return scoring, Input(settings, {"evaluated": str(path), "threads": arguments.threads})


def _clip_scoring(model: ClipModel, arguments: argparse.Namespace) -> Scoring[Any, Clip]:
    if arguments.protocol == "presence":
        return PresenceScoring(model, arguments.seed)
    return ClipScoring(model, arguments.seed, arguments.protocol or "first-mask")


def open_scored_clips(arguments: argparse.Namespace) -> tuple[ScoredClips, Input]:
    """The annotated clips; a ``DataError`` when there are none such."""
    clips = open_clips(arguments.clips)
    if arguments.held_back:
        clips = held_back(clips)
        if not clips:
            raise DataError(
                f"none of the clips of {arguments.clips} is held back from training: no set has "
                f"{HELD_BACK_EVERY} of them; leave --held-back out"
            )
    maps = [path for clip in clips for path in clip.maps]
    settings = {
        "form": "clips",
        "sha256": fingerprint(maps, repr([(clip.id, len(clip)) for clip in clips])),
        "held_back": arguments.held_back,
        "clips": len(clips),
    }
    return ScoredClips(clips), Input(settings, {"data": str(arguments.clips)})


class ScoredClips:
    """Clips as :class:`~tracenet.evaluation.scoring.Examples`."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips
        self.problems = Problems()

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Clip:
        return self._clips[index]


def open_scoring(arguments: argparse.Namespace) -> tuple[Scoring[Any, AnnotatedPhoto], Input]:
    """The model and the protocol that are named; a ``TraceNetError`` when there are none such."""
    if arguments.protocol == "clicks":
        model, about = _click_model(arguments)
        scoring = ClickScoring(
            model,
            arguments.seed,
            arguments.max_clicks or MAX_CLICKS,
            arguments.scored_canvas or SCORED_CANVAS,
            arguments.enlarge,
        )
        return scoring, about
    taps = _taps(arguments)
    tapped, about = _tap_model(arguments)
    return TapScoring(tapped, taps, arguments.seed, arguments.enlarge), about


def _taps(arguments: argparse.Namespace) -> Taps:
    if arguments.taps_from:
        return FileTaps.read(arguments.taps_from)
    return TapProtocol(
        arguments.protocol or "uniform",
        arguments.taps or TAPS,
        arguments.seed,
        arguments.scored_canvas or SCORED_CANVAS,
    )


def _click_model(arguments: argparse.Namespace) -> tuple[ClickModel, Input]:
    if arguments.model:
        return OutsideClickModel.load(arguments.model), _about_outside(arguments.model)
    if arguments.bundle:
        segmenter, about = _segmenter(arguments)
        if segmenter.strategy.name == GUIDED:
            return Correcting(segmenter), about
        return TappingAgain(BundleReplay(segmenter.viewer, segmenter.strategy)), about
    network, about = _network(arguments)
    return TappingAgain(network), about


def _tap_model(arguments: argparse.Namespace) -> tuple[TapModel, Input]:
    if arguments.model:
        return OutsideModel.load(arguments.model), _about_outside(arguments.model)
    if arguments.bundle:
        segmenter, about = _segmenter(arguments)
        return BundleReplay(segmenter.viewer, segmenter.strategy), about
    return _network(arguments)


def _network(arguments: argparse.Namespace) -> tuple[TapModel, Input]:
    path = arguments.checkpoint or shipped_checkpoint(DEFAULT_NETWORK)
    network = load_checkpoint(path)
    warn_of_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    height, width = arguments.canvas or DEFAULT_CANVAS
    check_canvas(height, width)
    canvas = Canvas(height, width, network.pad_value)
    model = RegionReplay(network, canvas) if arguments.replay else FullNet(network, canvas)
    settings = {
        "form": "replay by regions" if arguments.replay else "FullNet",
        "sha256": fingerprint([path]),
        "canvas": [height, width],
    }
    return model, Input(settings, {"evaluated": str(path), "threads": arguments.threads})


def _segmenter(arguments: argparse.Namespace) -> tuple[TapSegmenter, Input]:
    segmenter = TapSegmenter.load(
        arguments.bundle,
        engine=arguments.engine,
        threads=arguments.threads,
        schedule=arguments.schedule,
        canvas=arguments.canvas,
    )
    report = segmenter.engine_report
    assert report is not None  # it was loaded here
    settings = {
        "form": "bundle",
        "sha256": fingerprint(
            [Path(arguments.bundle) / MANIFEST_NAME]
        ),  # which has those of the rest
        "canvas": list(arguments.canvas) if arguments.canvas else None,
        "schedule": arguments.schedule,
        "engine": report.name,
    }
    about = {
        "evaluated": str(arguments.bundle),
        "threads": arguments.threads,
        "engine_says": dict(report.actual),
    }
    return segmenter, Input(settings, about)


def _about_outside(where: str) -> Input:
    """Of an outside model, which is loaded already."""
    source = where.rpartition(":")[0]
    if not source.endswith(".py"):
        spec = importlib.util.find_spec(source)
        source = (spec.origin if spec else None) or ""
    path = Path(source)
    settings = {
        "form": "outside model",
        "callable": where.rpartition(":")[2],
        "sha256": fingerprint([path]) if path.is_file() else None,
    }
    return Input(settings, {"evaluated": where})


def open_photos(arguments: argparse.Namespace) -> tuple[PhotoDataset, Input]:
    """The annotated photos; a ``DataError`` when there are none such."""
    photos = open_dataset(arguments.data, arguments.coco, arguments.lvis)
    if arguments.data:
        form, root = "folder", arguments.data
        maps = sorted(path for path in root.glob("*.png") if path.is_file())
        sizes = [(path.name, path.stat().st_size) for path in maps]
        content = fingerprint([root / "index.jsonl", *maps], repr(sizes))
    else:
        form = "coco" if arguments.coco else "lvis"
        root, _ = arguments.coco or arguments.lvis
        content = fingerprint([root])
    if arguments.held_out:
        photos = HeldOut(photos, arguments.held_out, training=False)
    settings = {
        "form": form,
        "sha256": content,
        "held_out": arguments.held_out,
        "photos": len(photos),
        "enlarged_to_megapixels": arguments.enlarge,
    }
    return photos, Input(settings, {"data": str(root)})


def versions() -> dict[str, str]:
    """Of the packages that the figures may depend on, those that are installed."""
    found = {}
    for package in ("tracenet", "torch", "numpy", "pillow", "scipy", "pycocotools", "onnxruntime"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
