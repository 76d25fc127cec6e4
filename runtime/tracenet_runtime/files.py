"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write into that takes the place of ``path`` when the block ends well.

    Until then, and for good if the block or the disk fails, ``path`` is as it was: what is written
    goes to a hidden file beside it. What has taken its place outlasts a power cut.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    # Left by a process that was killed; in a container, the next one may have its number again.
    partial.unlink(missing_ok=True)
    file = partial.open("xb")
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
