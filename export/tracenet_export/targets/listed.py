"""What PyTorch lists anew for every program that is converted."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from torch._export import utils

_LISTING = "_materialize_cpp_cia_ops"


@contextlib.contextmanager
def operators_listed_once() -> Iterator[None]:
    """Each decomposition would list all of PyTorch's operators, again for each of their namespaces.

    That takes a tenth of a conversion. No operator is registered meanwhile.
    """
    listing = getattr(utils, _LISTING, None)
    if listing is None:  # a version of PyTorch that lists them elsewhere, each time
        yield
        return
    setattr(utils, _LISTING, functools.cache(listing))
    try:
        yield
    finally:
        setattr(utils, _LISTING, listing)
