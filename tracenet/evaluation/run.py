"""A whole evaluation: every photo in some process, then the results in one place."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from tracenet.data import DataError
from tracenet.evaluation.inputs import (
    Input,
    open_clip_scoring,
    open_photos,
    open_scored_clips,
    open_scoring,
    versions,
)
from tracenet.evaluation.processes import Processes
from tracenet.evaluation.scores import PhotoScore, Score
from tracenet.evaluation.scoring import Example, Examples, Scoring
from tracenet.evaluation.store import Store
from tracenet_runtime.errors import OutputError
from tracenet_runtime.files import replacing

SCHEMA_VERSION = 2
"""Of the results and of the folder of an evaluation (docs/evaluation.md)."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        results: JSON-ready (docs/evaluation.md).
        table: the same in Markdown.
    """

    results: dict[str, Any]
    table: str


def run(arguments: argparse.Namespace) -> Evaluation | None:
    """Evaluate as the command line says; the results, in the main process alone.

    Raises:
        TraceNetError: an argument, the data or a file does not fit; the message says what.
    """
    processes = Processes()
    if arguments.clips:
        clips, about_clips = open_scored_clips(arguments)
        clip_scoring, about_model = open_clip_scoring(arguments)
        return _evaluate(clip_scoring, clips, (about_model, about_clips), arguments, processes)
    photos, about_photos = open_photos(arguments)
    if photos.problems and processes.is_main:
        print("\n".join(photos.problems.lines()), file=sys.stderr)
    scoring, about_model = open_scoring(arguments)
    return _evaluate(scoring, photos, (about_model, about_photos), arguments, processes)


def _evaluate(
    scoring: Scoring[Score, Example],
    photos: Examples[Example],
    about: tuple[Input, Input],
    arguments: argparse.Namespace,
    processes: Processes,
) -> Evaluation | None:
    model, data = about
    settings = {
        "schema_version": SCHEMA_VERSION,
        "model": dict(model.settings),
        "photos": dict(data.settings),
        **scoring.settings,
    }
    store = _open_store(arguments, scoring.kind, settings, processes)
    began = time.perf_counter()
    scores = _score_share(scoring, photos, store, processes)
    seconds = time.perf_counter() - began
    gathered = processes.gather(scores)
    if not processes.is_main:
        processes.close()
        return None
    everything = sorted(gathered, key=lambda score: score.index)
    if not any(score.instances for score in everything):
        raise DataError(scoring.nothing_to_score)
    results = {
        "schema_version": SCHEMA_VERSION,
        **scoring.summarise(everything),
        "conditions": _conditions(settings, about, everything, processes.count, seconds)
        | scoring.about(everything),
        "problems": photos.problems.to_dict(),
    }
    evaluation = Evaluation(results, scoring.table(results))
    if arguments.out:
        try:
            _write(
                arguments.out,
                evaluation,
                scoring.answers_file,
                "".join(scoring.answers(everything)),
            )
            scoring.write_pictures(arguments.out, everything, photos)
        except OSError as error:
            raise OutputError(
                f"{arguments.out} cannot be written: {error}; when it can, --resume writes the "
                "results"
            ) from error
    processes.close()
    return evaluation


def _open_store(
    arguments: argparse.Namespace,
    kind: type[Score],
    settings: dict[str, Any],
    processes: Processes,
) -> Store[Score] | None:
    if arguments.out is None:
        return None
    store = Store(arguments.out, processes.index, kind)
    if processes.is_main:
        store.start(settings, arguments.resume)
    processes.wait()
    if not processes.is_main:
        store.join(settings)
    return store


def _score_share(
    scoring: Scoring[Score, Example],
    photos: Examples[Example],
    store: Store[Score] | None,
    processes: Processes,
) -> list[PhotoScore[Score]]:
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
        score = scoring.score(index, photos[index])
        scores.append(score)
        if store:
            store.add(score)
    return scores


def _conditions(
    settings: Mapping[str, Any],
    about: Sequence[Input],
    scores: Sequence[PhotoScore[Score]],
    processes: int,
    seconds: float,
) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    for one in about:
        conditions |= one.about
    computed = Counter(score.computed for score in scores if score.instances)
    conditions |= {name: value for name, value in settings.items() if name != "schema_version"}
    return conditions | {
        "photos_computed_by": dict(sorted(computed.items())),
        "processes": processes,
        "seconds": round(seconds, 1),
        "versions": versions(),
    }


def _write(folder: Path, evaluation: Evaluation, answers_file: str, answers: str) -> None:
    texts = {
        "results.json": f"{json.dumps(evaluation.results, indent=2)}\n",
        "table.md": evaluation.table,
        answers_file: answers,
    }
    for name, text in texts.items():
        with replacing(folder / name) as file:
            # A path may have what no encoding has.
            file.write(text.encode(errors="backslashreplace"))
