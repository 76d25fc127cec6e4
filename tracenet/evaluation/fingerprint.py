"""Files by their content, so that an evaluation is gone on with only on the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tracenet_runtime.errors import TraceNetError


def fingerprint(paths: Iterable[Path], text: str = "") -> str:
    """SHA-256, in hexadecimal, of a text and the content of files, one after the other.

    Raises:
        TraceNetError: a file cannot be read.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for path in paths:
        try:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            raise TraceNetError(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()
