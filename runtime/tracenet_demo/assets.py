"""What is served: every file of the page and of the bundle, read once.

A request is looked up among these by name and never opens a file, so no path, link or file that
appears later can lead to anything else.
"""

import gzip
import hashlib
import re
import threading
from pathlib import Path, PurePosixPath

from tracenet_demo.errors import DemoError
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.bundle.records import MANIFEST_NAME
from tracenet_runtime.errors import BundleError

TARGET = "onnx"
"""Of the bundles that the page can run."""

INDEX = "index.html"

# Not those of the system, which differ from one machine to the next.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
}
_OTHER_TYPE = "application/octet-stream"

# As Vite names what it builds: the name changes with the content.
_NAMED_BY_CONTENT = re.compile(r"assets/[^/]+-[\w-]{8}\.\w+")


class Asset:
    """One file as it is sent: its bytes, its media type, its SHA-256 in hexadecimal digits.

    ``named_by_content`` says that another content would have another name, so that whoever has
    it need not ask for it again.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.media_type = _TYPES.get(PurePosixPath(name).suffix.lower(), _OTHER_TYPE)
        self.digest = hashlib.sha256(content).hexdigest()
        self.named_by_content = _NAMED_BY_CONTENT.fullmatch(name) is not None
        self._compressed: bytes | None = None
        self._compressing = threading.Lock()

    def compressed(self) -> bytes | None:
        """The content as gzip, made at the first call; None if that is no smaller."""
        with self._compressing:
            if self._compressed is None:
                self._compressed = gzip.compress(self.content, mtime=0)
        return self._compressed if len(self._compressed) < len(self.content) else None


def read_assets(page: Path, bundle: Path) -> dict[str, Asset]:
    """By URL path without the leading slash: the page's files, and the bundle's in ``bundle/``.

    Raises ``BundleError`` if the bundle is broken or the page cannot run it, ``DemoError`` if the
    page is not built or cannot be read.
    """
    assets = _read_page(page)
    for name, content in _read_bundle(bundle).items():
        assets[f"bundle/{name}"] = Asset(content, f"bundle/{name}")
    return assets


def _read_page(folder: Path) -> dict[str, Asset]:
    if not (folder / INDEX).is_file():
        raise DemoError(
            "The page is not built; run `make page` in a clone of the project (it needs Node), or "
            "install a wheel that `make wheel` made."
        )
    try:
        contents = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    except OSError as error:
        raise DemoError(f"The page cannot be read from {folder}: {error.strerror}.") from error
    assets = {name: Asset(content, name) for name, content in contents.items()}
    assets[""] = assets[INDEX]
    return assets


def _read_bundle(folder: Path) -> dict[str, bytes]:
    """What the manifest lists, and the manifest; nothing else that may lie in the folder."""
    bundle = Bundle.open(folder)
    if bundle.manifest.target != TARGET:
        raise BundleError(
            f"The bundle {folder} is of target {bundle.manifest.target}, which no browser runs; "
            f"export one with tracenet-export --target {TARGET}."
        )
    try:
        return {
            name: (folder / name).read_bytes() for name in (MANIFEST_NAME, *bundle.manifest.files)
        }
    except OSError as error:
        raise BundleError(f"The bundle {folder} cannot be read: {error.strerror}.") from error
