"""The files that a list of photos names, looked for in a folder."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from tracenet.data.annotated import DataError, is_file
from tracenet.data.problems import Problem, Problems, printable
from tracenet_runtime.image.photo import photo_suffixes

_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


class PhotoFiles:
    """The files of a list, below one folder.

    Args:
        folder: where they are looked for.
        listed_in: the list, for messages.
        problems: where those that are missing are counted.
    """

    def __init__(self, folder: Path, listed_in: Path, problems: Problems) -> None:
        self._folder, self._listed_in, self._problems = folder, listed_in, problems
        self._first_missing: str | None = None

    def find(self, *names: str) -> str | None:
        """The first name, below the folder, of which there is a file; None, and counted, if none.

        Backslashes, with which Windows' tools separate folders, do as well as slashes.
        """
        for name in names:
            for spelled in dict.fromkeys((name, name.replace("\\", "/"))):
                if is_file(self._folder / spelled):
                    return spelled
        self._problems.add(Problem.MISSING_PHOTO, names[0])
        if self._first_missing is None:
            self._first_missing = names[0]
        return None

    def refuse_wrong_folder(self, listed: int) -> None:
        """Raise ``DataError`` if most of the ``listed`` photos were not found."""
        missing = self._problems.count(Problem.MISSING_PHOTO)
        if self._first_missing is not None and 2 * missing > listed:
            raise DataError(
                f"{missing} of the {listed} photos that {self._listed_in} lists are not in "
                f"{self._folder}, such as {printable(self._first_missing)}; "
                + _what_is_there(self._folder, self._first_missing)
            )


def _what_is_there(folder: Path, name: str) -> str:
    """The rest of the sentence: what the folder has instead of the file, and what to do."""
    wrong = "most probably it is the wrong folder"
    within = _names_in(folder)
    if within is None:
        return f"{wrong}: it does not exist or cannot be read"
    if not within:
        return f"{wrong}: it is empty"
    path = PurePosixPath(name.replace("\\", "/"))
    last = path.name
    if "://" in name:
        last = PurePosixPath(unquote(name.partition("?")[0])).name
    for beside in (str(path.parent), ".", *within):
        for there in _names_in(folder / beside) or []:
            if _alike(there) == _alike(last):
                found = printable(str(PurePosixPath(beside, there)))
                return f"there is {found} instead{_difference(last, there)}; {_remedy(name)}"
    suffixes = photo_suffixes()
    photos = (there for there in within if PurePosixPath(there).suffix.lower() in suffixes)
    return f"{wrong}: it has {printable(next(photos, within[0]))}"


def _names_in(folder: Path) -> list[str] | None:
    """What lies in a folder and is not hidden, sorted; None if that cannot be found out."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    except (OSError, ValueError):  # a name that no folder can have
        return None


def _alike(name: str) -> str:
    """Equal for names that people take for the same."""
    path = PurePosixPath(unicodedata.normalize("NFC", name).casefold())
    return path.stem + (".jpg" if path.suffix in _JPEG else path.suffix)


def _difference(listed: str, there: str) -> str:
    if listed == there:
        return ""
    if unicodedata.normalize("NFC", listed) == unicodedata.normalize("NFC", there):
        return ", whose accents are written in another Unicode normal form (NFC or NFD)"
    if listed.casefold() == there.casefold():
        return ", which differs in capital letters"
    return ""


def _remedy(name: str) -> str:
    if "://" in name:
        return "list the photos by their files in the folder, not by URLs"
    return "name the photos alike in the list and in the folder, or give another folder"
