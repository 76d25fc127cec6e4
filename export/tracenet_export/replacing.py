"""A folder that is replaced as a whole, or left as it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tracenet_export.errors import ExportError
from tracenet_runtime.bundle.records import MANIFEST_NAME
from tracenet_runtime.files import replacing_folder


@contextlib.contextmanager
def replacing_bundle(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block succeeds, and else vanishes.

    Raises:
        ExportError: ``out`` exists and is no bundle, or cannot be written.
    """
    check_replaceable(out)
    try:
        with replacing_folder(out) as folder:
            yield folder
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error


def check_replaceable(out: Path) -> None:
    """Refuse what is neither absent, nor an empty folder, nor a bundle and nothing besides.

    Raises:
        ExportError: it holds something else, or cannot be read.
    """
    try:
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return
        # Others have a manifest.json too.
        manifest = json.loads((out / MANIFEST_NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        manifest = None
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
    listed = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(listed, dict) or "schema_version" not in manifest:
        raise ExportError(f"{out} exists and is no bundle; give another --out")
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    foreign = sorted(there - listed.keys() - {MANIFEST_NAME})
    if foreign:
        raise ExportError(
            f"{out} holds {foreign[0]}, which is no part of the bundle there and would be lost; "
            "move it or give another --out"
        )
