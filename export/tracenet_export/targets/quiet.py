"""Silence for the converters' libraries."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing on stdout and stderr, from C++ neither, no warnings, no logs.

    The libraries report progress there, say that they cannot run models on this system, that they
    know no torch later than they were tested with, and what packages that they import say of each
    other. What goes wrong they raise.
    """
    disabled = logging.root.manager.disable
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    logging.disable(logging.ERROR)
    try:
        with (
            Path(os.devnull).open("wb") as nowhere,
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
            yield
    finally:
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        logging.disable(disabled)
