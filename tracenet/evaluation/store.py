"""The folder of an evaluation: scores as they come, so that it can be gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic

from tracenet.evaluation.scores import PhotoScore, Score
from tracenet_runtime.errors import OutputError
from tracenet_runtime.files import replacing

SETTINGS = "settings.json"
PARTS = "parts"


class Store(Generic[Score]):
    """Scores on disk: one line per photo, in one file per process.

    A line is written when its photo is done and begins to count when its end is there, so that a
    process that is killed loses no more than the photo it was at.
    """

    def __init__(self, folder: Path, process: int, kind: type[Score]) -> None:
        """``kind`` is that of the instances' scores."""
        self.folder, self._kind = folder, kind
        self._part = folder / PARTS / f"{process:05d}.jsonl"

    def start(self, settings: dict[str, Any], resume: bool) -> None:
        """Begin, or go on with what was begun with the same settings.

        Raises:
            OutputError: the folder has something else in it, or cannot be written.
        """
        try:
            there = self.folder.is_dir() and any(self.folder.iterdir())
            if there and not (self.folder / SETTINGS).is_file():
                raise OutputError(
                    f"{self.folder} is not empty and holds no evaluation; give another --out"
                )
            if there and not resume:
                raise OutputError(
                    f"{self.folder} holds an evaluation already; go on with it by --resume, or "
                    "give another --out"
                )
        except OSError as error:
            raise _unusable(self.folder, error) from error
        self.join(settings)

    def join(self, settings: dict[str, Any]) -> None:
        """As `start` with ``resume``, for processes beside the one that starts."""
        path = self.folder / SETTINGS
        try:
            if path.is_file():
                _check_settings(path, settings)
            else:
                self.folder.mkdir(parents=True, exist_ok=True)
                with replacing(path) as file:
                    file.write(f"{json.dumps(settings, indent=2)}\n".encode())
            self._part.parent.mkdir(exist_ok=True)
            _cut_broken_line(self._part)
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def read(self) -> dict[int, PhotoScore[Score]]:
        """The photos that are done, by index."""
        done: dict[int, PhotoScore[Score]] = {}
        for part in sorted(self._part.parent.glob("*.jsonl")):
            try:
                lines = [json.loads(line) for line in _whole_lines(part)]
                scores = [PhotoScore.from_dict(line, self._kind) for line in lines]
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise OutputError(
                    f"{part} is damaged ({error}); remove it, and --resume does its photos again"
                ) from error
            done |= {score.index: score for score in scores}
        return done

    def add(self, score: PhotoScore[Score]) -> None:
        """Note a photo that is done."""
        line = json.dumps(score.to_dict(), separators=(",", ":")) + "\n"
        try:
            with self._part.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self._part} cannot be written: {error}; when it can, --resume goes on"
            ) from error


def _unusable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder} cannot be written: {error}; give another --out")


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise ValueError("it holds no settings")
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(f"{path} is damaged: {error}; give another --out") from error
    if before != settings:
        raise OutputError(
            f"{path.parent} holds an evaluation with other settings "
            f"({', '.join(sorted(_differing(before, settings)))}); give another --out"
        )


def _differing(a: dict[str, Any], b: dict[str, Any]) -> Iterator[str]:
    for key in a.keys() | b.keys():
        if a.get(key) != b.get(key):
            both = isinstance(a.get(key), dict) and isinstance(b.get(key), dict)
            inner = _differing(a[key], b[key]) if both else iter(())
            yield from [f"{key}.{name}" for name in inner] or [key]


def _whole_lines(part: Path) -> list[bytes]:
    content = part.read_bytes()
    return content[: content.rfind(b"\n") + 1].splitlines()


def _cut_broken_line(part: Path) -> None:
    """Whatever was being written when a process was killed goes."""
    if part.is_file():
        os.truncate(part, part.read_bytes().rfind(b"\n") + 1)
