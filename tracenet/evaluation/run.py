"""A whole evaluation: every photo in some process, then the results in one place."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from tracenet.data import AnnotatedPhoto, DataError, PhotoDataset
from tracenet.evaluation.answers import TapModel
from tracenet.evaluation.evaluate import ALL_PIXELS_BELOW, THRESHOLD, score_photo
from tracenet.evaluation.fingerprint import fingerprint
from tracenet.evaluation.inputs import Input, open_model, open_photos, versions
from tracenet.evaluation.pictures import write_pictures
from tracenet.evaluation.processes import Processes
from tracenet.evaluation.protocol import SCORED_AREA, SCORED_CANVAS, TAPS, TapProtocol
from tracenet.evaluation.report import markdown
from tracenet.evaluation.scores import PhotoScore
from tracenet.evaluation.store import Store
from tracenet.evaluation.summary import summarise
from tracenet.evaluation.taps_file import TAPS_FILE, FileTaps, tap_lines
from tracenet_runtime.errors import OutputError
from tracenet_runtime.files import replacing

SCHEMA_VERSION = 2
"""Of the results and of the folder of an evaluation (docs/evaluation.md)."""


def run(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Evaluate as the command line says; the results, in the main process alone.

    Raises:
        TraceNetError: an argument, the data or a file does not fit; the message says what.
    """
    processes = Processes()
    taps = _taps(arguments)
    photos, about_photos = open_photos(arguments)
    if photos.problems and processes.is_main:
        print("\n".join(photos.problems.lines()), file=sys.stderr)
    model, about_model = open_model(arguments)
    settings = {
        "schema_version": SCHEMA_VERSION,
        "model": dict(about_model.settings),
        "photos": dict(about_photos.settings),
        "taps": _tap_settings(taps, arguments.seed),
    }
    store = _open_store(arguments, settings, processes)
    began = time.perf_counter()
    scores = _score_share(model, photos, taps, store, processes, arguments.enlarge)
    seconds = time.perf_counter() - began
    gathered = processes.gather(scores)
    if not processes.is_main:
        processes.close()
        return None
    everything = sorted(gathered, key=lambda score: score.index)
    if not any(score.instances for score in everything):
        raise DataError(_nothing_to_score(taps))
    protocol = taps.protocol if isinstance(taps, FileTaps) else taps.name
    results = {
        "schema_version": SCHEMA_VERSION,
        **summarise(everything, protocol, arguments.seed),
        "conditions": _conditions(
            settings, [about_model, about_photos], everything, processes.count, seconds
        ),
        "problems": photos.problems.to_dict(),
    }
    if isinstance(taps, FileTaps):
        results["conditions"]["taps_from"] = str(taps.path)
        missing = _not_found(taps, everything)
        results["conditions"]["instances_of_taps_from_not_found"] = missing
        if missing:
            print(
                f"{missing} of the {len(taps.taps)} instances of {taps.path} are not among these "
                "photos and are not scored",
                file=sys.stderr,
            )
    if arguments.out:
        try:
            _write(arguments.out, results, everything, "".join(tap_lines(everything, protocol)))
            write_pictures(arguments.out, everything, photos, model, arguments.enlarge)
        except OSError as error:
            raise OutputError(
                f"{arguments.out} cannot be written: {error}; when it can, --resume writes the "
                "results"
            ) from error
    processes.close()
    return results


def _taps(arguments: argparse.Namespace) -> TapProtocol | FileTaps:
    if arguments.taps_from:
        return FileTaps.read(arguments.taps_from)
    return TapProtocol(
        arguments.tap_protocol or "uniform",
        arguments.taps or TAPS,
        arguments.seed,
        arguments.scored_canvas or SCORED_CANVAS,
    )


def _nothing_to_score(taps: TapProtocol | FileTaps) -> str:
    if isinstance(taps, FileTaps):
        return (
            f"{taps.path} has no tap on an instance of these photos; name the photos that it is of"
        )
    return (
        f"there is no instance of at least {SCORED_AREA} pixels on a canvas of "
        f"{taps.scored_canvas} pixels to score; name other photos or a larger --scored-canvas"
    )


def _tap_settings(taps: TapProtocol | FileTaps, seed: int) -> dict[str, Any]:
    common = {"threshold": THRESHOLD, "all_pixels_below": ALL_PIXELS_BELOW, "seed": seed}
    if isinstance(taps, FileTaps):
        return common | {"protocol": taps.protocol, "sha256": fingerprint([taps.path])}
    return common | {
        "protocol": taps.name,
        "per_instance": taps.taps,
        "scored_canvas": taps.scored_canvas,
        "minimum_area": SCORED_AREA,
    }


def _open_store(
    arguments: argparse.Namespace, settings: dict[str, Any], processes: Processes
) -> Store | None:
    if arguments.out is None:
        return None
    store = Store(arguments.out, processes.index)
    if processes.is_main:
        store.start(settings, arguments.resume)
    processes.wait()
    if not processes.is_main:
        store.join(settings)
    return store


def _score_share(
    model: TapModel,
    photos: PhotoDataset,
    taps: TapProtocol | FileTaps,
    store: Store | None,
    processes: Processes,
    megapixels: float | None = None,
) -> list[PhotoScore]:
    """This process's photos; those that are done already come from the store."""
    done = store.read() if store else {}
    share = processes.share(len(photos))
    scores = [done[index] for index in share if index in done]
    left = [index for index in share if index not in done]
    for index in tqdm(
        left,
        unit="photo",
        desc="evaluating",
        total=len(share),
        initial=len(scores),
        disable=not processes.is_main,
    ):
        example: AnnotatedPhoto = photos[index]
        score = score_photo(model, index, example, taps.draw(index, example), megapixels)
        scores.append(score)
        if store:
            store.add(score)
    return scores


def _conditions(
    settings: Mapping[str, Any],
    about: Sequence[Input],
    scores: Sequence[PhotoScore],
    processes: int,
    seconds: float,
) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    for one in about:
        conditions |= one.about
    computed = Counter(score.computed for score in scores if score.instances)
    every = [score.above is not None for photo in scores for score in photo.instances]
    conditions |= {name: settings[name] for name in ("model", "photos", "taps")}
    return conditions | {
        "photos_computed_by": dict(sorted(computed.items())),
        "instances_all_pixels_tapped": sum(every),
        "processes": processes,
        "seconds": round(seconds, 1),
        "versions": versions(),
    }


def _not_found(taps: FileTaps, scores: Sequence[PhotoScore]) -> int:
    scored = {(photo.photo, one.instance) for photo in scores for one in photo.instances}
    return len(taps.taps.keys() - scored)


def _write(
    folder: Path, results: Mapping[str, Any], scores: Sequence[PhotoScore], taps: str
) -> None:
    texts = {
        "results.json": f"{json.dumps(results, indent=2)}\n",
        "table.md": markdown(results),
        TAPS_FILE: taps,
    }
    for name, text in texts.items():
        with replacing(folder / name) as file:
            # A path may have what no encoding has.
            file.write(text.encode(errors="backslashreplace"))
