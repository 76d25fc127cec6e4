"""Constrains its own process, for good, and then runs a module in it.

``python -m tracenet_bench.device.constrained_process CONSTRAINT MODULE [ARGUMENT ...]``;
CONSTRAINT is what ``constraint.Constraint.of_one_process`` gives, as JSON. It imports nothing but
the standard library, so that the module begins with nothing imported.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import sys
from collections.abc import Collection
from pathlib import Path

REFUSED = 71
"""Exit code where the system does not limit the process: EX_OSERR of sysexits.h."""

_STACK_BYTES = 1 << 20
"""Of a new thread, as on Android; glibc's own choice on Linux is 8 MB."""


def constrain(cores: Collection[int], memory: int, group: str | None) -> None:
    """Constrain this process; before an engine is imported, which starts threads.

    Args:
        cores: numbers of those that it may use.
        memory: bytes that it may take.
        group: folder of the control group that is made for it; None to limit it by rlimit.

    Raises:
        OSError, ValueError: the system refuses.
    """
    os.sched_setaffinity(0, cores)
    if group is None:
        _limit_data(memory)
    else:
        _join_group(Path(group), memory)


def _limit_data(memory: int) -> None:
    import resource  # which Windows has not

    _use_small_stacks()
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _join_group(group: Path, memory: int) -> None:
    group.mkdir()
    (group / "memory.max").write_text(str(memory))
    swap = group / "memory.swap.max"
    if swap.exists():  # not where the system has no swap
        swap.write_text("0")
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _use_small_stacks() -> None:
    """Threads that are started from now on get small stacks, where the C library is glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "pthread_setattr_default_np"):
        return
    attributes = ctypes.create_string_buffer(256)  # larger than any pthread_attr_t
    library.pthread_attr_init(attributes)
    library.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_BYTES))
    library.pthread_setattr_default_np(attributes)
    library.pthread_attr_destroy(attributes)


def main() -> int:
    """Run the module, or say in one sentence why this process cannot be constrained."""
    constraint, sys.argv = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        constrain(**constraint)
    except (OSError, ValueError) as error:
        print(
            f"The system does not limit a process to {len(constraint['cores'])} cores and "
            f"{constraint['memory']} bytes ({error}); leave --device out, or measure elsewhere.",
            file=sys.stderr,
        )
        return REFUSED
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
