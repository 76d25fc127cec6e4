"""Files by their content, so that an evaluation is gone on with only on the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def fingerprint(paths: Iterable[Path], text: str = "") -> str:
    """SHA-256, in hexadecimal, of a text and the content of files."""
    digest = hashlib.sha256(text.encode())
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
