"""Models from outside: any callable ``segment(image, (x, y)) -> mask`` for taps, and
``segment(image, clicks, previous_mask) -> mask`` for clicks; does not import torch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tracenet.evaluation.answers import ClickAnswer, ClickSession, LevelMasks, Photo, PhotoAnswers
from tracenet.evaluation.metrics import Mask
from tracenet_runtime.errors import TraceNetError, first_line

if TYPE_CHECKING:
    from tracenet.evaluation.protocol import Tap  # which imports torch

Segment = Callable[..., Any]
Said = tuple[int, int, bool]
"""A click as an outside model gets it: x, y, and whether it is of the thing."""


class AdapterError(TraceNetError):
    """An outside model cannot be loaded, fails, or gives something that is no mask."""


class _Outside:
    def __init__(self, name: str, segment: Segment) -> None:
        self._name, self._segment = name, segment

    @classmethod
    def load(cls, where: str) -> Self:
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


class OutsideModel(_Outside):
    """A callable that gets the photo (uint8 H x W x 3, RGB) and a tap, and gives a bool H x W."""

    def open(self, photo: Photo, name: str) -> PhotoAnswers:
        """See :class:`~tracenet.evaluation.answers.TapModel`."""
        return _OutsideAnswers(_Asked(self._name, self._segment, photo, name))


class OutsideClickModel(_Outside):
    """A callable that gets the photo, clicks and the mask before them, and gives a bool H x W.

    The clicks are all of the thing so far, each (x, y, positive), in the order given; the mask is
    what it gave before the last one, None at the first.
    """

    def open(self, photo: Photo, name: str) -> ClickSession:
        """See :class:`~tracenet.evaluation.answers.ClickModel`."""
        return _OutsideSession(_Asked(self._name, self._segment, photo, name))


class _OutsideAnswers:
    many = False

    def __init__(self, asked: _Asked) -> None:
        self.computed, self._asked = asked.computed, asked

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        for mask in self.chosen_level(taps):
            yield LevelMasks((), (mask,), 0)

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Mask]:
        for tap in taps:
            yield self._asked.mask(f"for the tap {tap}", tap)


class _OutsideSession:
    def __init__(self, asked: _Asked) -> None:
        self.computed, self._asked = asked.computed, asked
        self._clicks: list[Said] = []
        self._mask: Mask | None = None

    def click(self, x: int, y: int, positive: bool) -> ClickAnswer:
        self._clicks.append((x, y, positive))
        # A copy of the clicks: a model may keep or change its list.
        given = self._clicks.copy(), self._mask
        mask = self._asked.mask(f"for click {len(self._clicks)}, {(x, y, positive)},", *given)
        self._mask = mask
        return ClickAnswer(mask, None)

    def clear(self) -> None:
        self._clicks, self._mask = [], None


class _Asked:
    """A callable that is asked about one photo."""

    def __init__(self, computed: str, segment: Segment, photo: Photo, name: str) -> None:
        self.computed, self._segment, self._name = computed, segment, name
        # A model that draws on the photo would be asked about its own drawing the next time.
        self._photo = photo.view()
        self._photo.flags.writeable = False

    def mask(self, about: str, *arguments: object) -> Mask:
        where = f"{about} on {self._name}"
        try:
            with redirect_stdout(sys.stderr):  # stdout belongs to the results
                mask = self._segment(self._photo, *arguments)
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
