"""Models from outside: any callable ``segment(image, (x, y)) -> mask``; does not import torch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tracenet.evaluation.answers import LevelMasks, Photo, PhotoAnswers
from tracenet.evaluation.metrics import Mask
from tracenet_runtime.errors import TraceNetError, first_line

if TYPE_CHECKING:
    from tracenet.evaluation.protocol import Tap  # which imports torch

Segment = Callable[[Photo, "Tap"], Any]


class AdapterError(TraceNetError):
    """An outside model cannot be loaded, fails, or gives something that is no mask."""


class OutsideModel:
    """A callable that gets the photo (uint8 H x W x 3, RGB) and a tap, and gives a bool H x W."""

    def __init__(self, name: str, segment: Segment) -> None:
        self._name, self._segment = name, segment

    @classmethod
    def load(cls, where: str) -> OutsideModel:
        """The callable at ``module:name`` or ``file.py:name``; its code is run.

        Raises:
            AdapterError: there is none.
        """
        source, separator, name = where.rpartition(":")
        if not (separator and source and name):
            raise AdapterError(
                f"{where!r} names no callable; give my_module:segment or my_model.py:segment"
            )
        segment = getattr(_module(source), name, None)
        if not callable(segment):
            raise AdapterError(f"{source} has no callable {name!r}")
        return cls(where, segment)

    def open(self, photo: Photo, name: str) -> PhotoAnswers:
        """See :class:`~tracenet.evaluation.answers.TapModel`."""
        # A model that draws on the photo would be asked about its own drawing at the next tap.
        photo = photo.view()
        photo.flags.writeable = False
        return _OutsideAnswers(self._name, self._segment, photo, name)


class _OutsideAnswers:
    many = False

    def __init__(self, computed: str, segment: Segment, photo: Photo, name: str) -> None:
        self.computed = computed
        self._segment, self._photo, self._name = segment, photo, name

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        for mask in self.chosen_level(taps):
            yield LevelMasks((), (mask,), 0)

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Mask]:
        for tap in taps:
            yield self._mask(tap)

    def _mask(self, tap: Tap) -> Mask:
        where = f"for the tap {tap} on {self._name}"
        try:
            with redirect_stdout(sys.stderr):  # stdout belongs to the results
                mask = self._segment(self._photo, tap)
        except (Exception, SystemExit) as error:
            raise AdapterError(f"{self.computed} failed {where}: {_place(error)}") from error
        height, width = self._photo.shape[:2]
        if not isinstance(mask, np.ndarray):
            given = type(mask).__name__
        elif mask.dtype != np.bool_ or mask.shape != (height, width):
            given = f"{mask.dtype} {' x '.join(map(str, mask.shape))}"
        else:
            return mask
        raise AdapterError(
            f"{self.computed} gave {given} {where}; it must give a numpy bool array, "
            f"{height} x {width}"
        )


def _module(source: str) -> ModuleType:
    path = Path(source)
    try:
        if source.endswith(".py"):
            if not path.is_file():
                raise AdapterError(f"{source} does not exist; give module:name or file.py:name")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(path.stem, module)  # for dataclasses and pickles in it
            _find_modules_in(path.parent)  # as `python FILE` does
            with redirect_stdout(sys.stderr):
                spec.loader.exec_module(module)
            return module
        # As `python -m` has it; an installed command has its own folder there instead.
        _find_modules_in(Path())
        with redirect_stdout(sys.stderr):
            return importlib.import_module(source)
    except AdapterError:
        raise
    except (Exception, SystemExit) as error:
        raise AdapterError(f"{source} cannot be imported: {_place(error)}") from error


def _find_modules_in(folder: Path) -> None:
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def _place(error: Exception | SystemExit) -> str:
    """What a foreign error says, and the line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {first_line(error)} ({frame.filename}, line {frame.lineno})"
