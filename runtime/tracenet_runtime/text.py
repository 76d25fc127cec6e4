"""Text from files that people write, as their editors save it."""

import json
from pathlib import Path


def read_text(path: Path) -> str:
    """The text of a file of JSON or TOML in UTF-8, UTF-16 or UTF-32, without a byte order mark.

    Editors of Windows begin with the mark, and some of its tools write UTF-16.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such text.
    """
    content = path.read_bytes()
    return content.decode(json.detect_encoding(content))
