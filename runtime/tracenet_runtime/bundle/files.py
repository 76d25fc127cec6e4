"""The bundle on disk: opened, checked byte for byte, never trusted."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracenet_runtime.bundle.check import check_files_listed, check_manifest
from tracenet_runtime.bundle.checked_json import parse_json
from tracenet_runtime.bundle.golden import Golden, parse_golden
from tracenet_runtime.bundle.parser import parse_manifest
from tracenet_runtime.bundle.records import MANIFEST_NAME, FileRecord, Manifest
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.program import ProgramFiles

_MAX_MANIFEST_BYTES = 16 << 20


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Bundle":
        """Read a bundle and check all of it: types, sizes, hashes, and every window for every tap.

        Canvases between the smallest and the largest that a schedule serves are not checked here
        but when they are first used (``check_choice``).

        Raises ``BundleError`` when it is missing, damaged, altered, malformed, of another schema
        version, or reaches outside its folder.
        """
        folder = Path(path)
        try:
            return cls._open(folder)
        except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
            reason = error.strerror if isinstance(error, OSError) else error
            raise BundleError(f"The bundle {folder} cannot be read: {reason}.") from error

    @property
    def golden_photo(self) -> Path:
        """The photo that the golden taps are on."""
        return self.folder / self.manifest.golden_photo

    def golden(self) -> Golden:
        """The golden taps; ``BundleError`` when they are malformed."""
        name = self.manifest.golden_file
        data = _read_checked(self.folder, name, self.manifest.files[name])
        return parse_golden(parse_json(data, name), len(self.manifest.schedules))

    @property
    def program_files(self) -> ProgramFiles:
        """The programs, for an engine to open."""
        manifest = self.manifest
        return ProgramFiles(
            self.folder,
            manifest.target,
            manifest.programs,
            manifest.stored,
            frozenset(manifest.files),
        )

    @classmethod
    def _open(cls, folder: Path) -> "Bundle":
        if not folder.is_dir():
            raise BundleError(
                f"There is no bundle folder at {folder}; export one with tracenet-export or name "
                "another with --bundle."
            )
        manifest_path = folder / MANIFEST_NAME
        if not manifest_path.is_file():
            raise BundleError(f"{folder} has no {MANIFEST_NAME}; it is not a bundle.")
        if manifest_path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{manifest_path} is too large to be a manifest.")
        _refuse_links_out(folder)
        manifest = parse_manifest(parse_json(manifest_path.read_bytes(), MANIFEST_NAME))
        check_files_listed(manifest)
        for program in manifest.stored.values():
            _refuse_unlisted(folder, program.file, manifest)
        for name, record in manifest.files.items():
            _check_file(folder, name, record)
        data = _read_checked(folder, manifest.table_file, manifest.files[manifest.table_file])
        if len(data) != 4 * manifest.table_count:
            raise BundleError(
                f"{manifest.table_file} does not hold {manifest.table_count} numbers of 4 bytes; "
                "export the bundle again."
            )
        table = np.frombuffer(data, "<i4").astype(np.int32)
        check_manifest(manifest, table)
        bundle = cls(folder, manifest)
        bundle.golden()
        return bundle


def _refuse_links_out(folder: Path) -> None:
    """No link may lead out of the folder, listed or not: an engine opens files by itself."""
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise BundleError(
                    f"{path} links to a file outside the bundle; copy the file into it instead."
                )


def _refuse_unlisted(folder: Path, program: str, manifest: Manifest) -> None:
    """What lies in a program's folder (Core ML) may be read by an engine, so it must be listed."""
    for path in (folder / program).rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and name not in manifest.files:
            raise BundleError(
                f"The bundle has {name}, which its manifest does not list; remove it or export the "
                "bundle again."
            )


def _check_file(folder: Path, name: str, record: FileRecord) -> None:
    path = folder / name
    if not path.is_file():
        raise BundleError(f"The bundle lacks its file {name}; copy or export it again.")
    if path.stat().st_size != record.size:
        raise BundleError(
            f"{name} of the bundle has {path.stat().st_size} bytes instead of {record.size}; "
            "copy or export the bundle again."
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _compare_hash(name, digest, record)


def _read_checked(folder: Path, name: str, record: FileRecord) -> bytes:
    """The content of a listed file, hashed as read, so that what was checked is what is used."""
    data = (folder / name).read_bytes()
    _compare_hash(name, hashlib.sha256(data).hexdigest(), record)
    return data


def _compare_hash(name: str, digest: str, record: FileRecord) -> None:
    if digest != record.sha256:
        raise BundleError(
            f"{name} of the bundle was altered or damaged (its SHA-256 differs); "
            "copy or export the bundle again."
        )
