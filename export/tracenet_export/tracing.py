"""What PyTorch does for every program that it traces, and nobody here reads."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from torch._export import utils
from torch.fx import config

_LISTING = "_materialize_cpp_cia_ops"
_NO_STACKS = "do_not_emit_stack_traces"


@contextlib.contextmanager
def lean_tracing() -> Iterator[None]:
    """Programs are traced and decomposed in an eighth less time, and become the same files.

    Each decomposition would list all of PyTorch's operators, again for each of their namespaces; no
    operator is registered meanwhile. And each node would note the lines of Python that it comes
    from, which no target writes. A version of PyTorch that has either elsewhere does as it does.
    """
    with contextlib.ExitStack() as until:
        if (listing := getattr(utils, _LISTING, None)) is not None:
            until.callback(setattr, utils, _LISTING, listing)
            setattr(utils, _LISTING, functools.cache(listing))
        if (noted := getattr(config, _NO_STACKS, None)) is not None:
            until.callback(setattr, config, _NO_STACKS, noted)
            setattr(config, _NO_STACKS, True)
        yield
