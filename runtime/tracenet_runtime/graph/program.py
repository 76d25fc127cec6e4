"""What a program takes and gives, and where it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Layout = Literal["NCHW", "NHWC"]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a program: 1 x C x H x W and a numpy dtype name.

    Engines take and give float32 whatever they compute in.
    """

    name: str
    shape: tuple[int, int, int, int]
    dtype: str = "float32"


@dataclass(frozen=True)
class Program:
    """A static-shape model; ``macs`` are the multiply-adds of one run.

    ``layout`` is the order of the axes in which it takes and gives tensors; the shapes of
    ``inputs`` and ``outputs`` are in the order N, C, H, W always.
    """

    macs: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    layout: Layout = "NCHW"


@dataclass(frozen=True)
class StoredProgram:
    """Where a program is: its file, relative to the bundle (for Core ML a folder).

    ``signature`` is its name in the file where that holds several.
    """

    file: str
    signature: str | None


@dataclass(frozen=True)
class ProgramFiles:
    """The programs of a bundle as an engine opens them.

    ``target`` is the kind of their files, in ``folder``; ``listed`` are all files of the bundle,
    of which alone an engine may read.
    """

    folder: Path
    target: str
    programs: Mapping[str, Program]
    stored: Mapping[str, StoredProgram]
    listed: frozenset[str]

    def path(self, program: str) -> Path:
        """The model file (for Core ML: the folder) of a program."""
        return self.folder / self.stored[program].file
