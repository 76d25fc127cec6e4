"""One process of ``tap_memory``: runs tracenet-tap with the arguments that it is given.

It prints the process's peak memory as JSON, in bytes, and what the tool prints on standard error.
"""

from __future__ import annotations

import contextlib
import json
import sys

from tracenet_bench.measure.memory import peak_resident
from tracenet_runtime.cli import main as tap


def main() -> int:
    """Entry point. Returns the tool's exit code."""
    with contextlib.redirect_stdout(sys.stderr):
        code = tap(sys.argv[1:])
    print(json.dumps(peak_resident()))
    return code


if __name__ == "__main__":
    sys.exit(main())
