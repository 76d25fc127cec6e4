"""Files that are written whole or not at all."""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write into that takes the place of ``path`` when the block ends well.

    Until then, and for good if the block or the disk fails, ``path`` is as it was: what is written
    goes to a hidden file beside it. What has taken its place outlasts a power cut. A link stays,
    and the file that it names is replaced.

    Raises:
        OSError: it cannot be written, or is there and no file.
    """
    target = _file_to_replace(path)
    # Not the whole name with more about it, which may be as long as a name can be.
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    partial = target.with_name(f".{digest}.{os.getpid()}.part")
    # Left by a process that was killed; in a container, the next one may have its number again.
    partial.unlink(missing_ok=True)
    file = partial.open("xb")
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def with_parents(path: Path) -> Iterator[None]:
    """Within it the folders are there that lead to ``path``; those made for it go if it fails.

    Raises:
        OSError: they cannot be made.
    """
    new = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):  # somebody else has put something there
            for folder in new:
                folder.rmdir()
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` that takes its place when the block ends well, and else vanishes.

    What is there then is lost, so look at it before. A link stays, and the folder that it names is
    replaced.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    with with_parents(path), _beside(path) as folder:
        yield folder


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    # Its name without that of `path`, which may be as long as a name can be.
    folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    old = folder.with_name(f"{folder.name}-old")
    try:
        yield folder
        folder.chmod(0o755)
        if path.exists():
            path.replace(old)
        folder.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.replace(path)
        for leftover in (folder, old):
            shutil.rmtree(leftover, ignore_errors=True)


def check_writing(writer: AbstractContextManager[object]) -> None:
    """Try what :func:`replacing` and others of its kind do, before long work on what goes there.

    Nothing is left behind, and what there is stays as it is. Raises what the writer raises.
    """
    with suppress(_OnlyTriedError), writer:
        raise _OnlyTriedError


class _OnlyTriedError(Exception):
    """Keeps what was opened from taking the place of what is there."""


def _file_to_replace(path: Path) -> Path:
    """Where links lead. Looked at before the work, so that a name too long is refused then."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):  # what takes its place would end a device or a pipe
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    return target


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths name the same file, be it there or not, and wherever links lead."""
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist yet
        pass
    try:
        return os.path.realpath(one) == os.path.realpath(other)
    except OSError:  # both are relative to a folder that is gone
        return one == other
