"""Memory for large pictures that is taken when it is written to, and given back in parts."""

import contextlib
import mmap
import sys


def blank_memory(size: int) -> mmap.mmap:
    """This many bytes of zeros, of which only the pages that are written to take memory."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    # Without the flags it is shared, and takes memory where it is read.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # Huge pages would take 2 MB for the first byte of each, which is all of a photo that is filled
    # column by column. Not every kernel has them.
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def give_back(memory: mmap.mmap, start: int, stop: int) -> int:
    """Give the whole pages of ``[start, stop)`` back to the system, where it takes them.

    ``start`` is the beginning of a page. What was there must not be read again. Returns the
    beginning of the first page that was kept.
    """
    end = stop - stop % mmap.PAGESIZE
    if end > start and hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED, start, end - start)
    return max(start, end)
