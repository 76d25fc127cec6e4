"""Which of the files in a folder are its photos."""

from pathlib import Path

from tracenet_runtime.errors import PhotoError
from tracenet_runtime.image.photo import photo_suffixes

INDEX = "index.jsonl"
"""In a folder of annotated photos ``ID.jpg``, of which ``ID.png`` are the instance maps."""

_JPEG = frozenset({".jpg", ".jpeg"})


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder in the order of their names; what lies deeper does not count.

    They are the files with a suffix of a format that `load_photo` reads, in capitals or not, but
    hidden ones (``._a.jpg``, which a Mac leaves beside ``a.jpg``), and instance maps: a PNG beside
    the JPEG of the same name, and all of them where ``index.jsonl`` lies beside JPEGs.

    Raises:
        PhotoError: the folder is missing or cannot be read.
    """
    suffixes = photo_suffixes()
    try:
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
        )
        annotated = (folder / INDEX).is_file()
    except OSError as error:
        raise PhotoError(
            f"The folder {folder} cannot be read: {error.strerror or error}; name another."
        ) from error
    photographed = {path.stem for path in files if path.suffix.lower() in _JPEG}
    return [
        path
        for path in files
        if path.suffix.lower() != ".png"
        or not photographed
        or not (annotated or path.stem in photographed)
    ]
