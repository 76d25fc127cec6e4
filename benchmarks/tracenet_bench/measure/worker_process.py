"""The process that measures one configuration: commands in, figures out, one JSON object per line.

It times by itself, so that the pipe to the benchmark is in no figure. Nothing is imported above the
clock but what reads commands: ``load`` is from nothing imported to ready for the first tap.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tracenet_bench.measure.clips import TimedClip
    from tracenet_bench.measure.models import BundleModel, Model

Reply = dict[str, Any]


class Server:
    """Answers commands; ``say`` sends one line to the benchmark."""

    def __init__(self, say: Callable[[Reply], None]) -> None:
        self._say = say
        self._model: Model | None = None
        self._observed = False
        self._photo: npt.NDArray[np.uint8] | None = None
        self._path = ""
        self._clips: dict[str, TimedClip] = {}

    def answer(self, request: Mapping[str, Any]) -> Reply:
        """The reply to a command; whatever goes wrong is a reply too."""
        try:
            reply: Reply = getattr(self, f"do_{request['command']}")(request)
        except Exception as error:
            traceback.print_exc()
            return {"error": _sentence(error)}
        return reply

    def do_start(self, request: Mapping[str, Any]) -> Reply:
        """Nothing but the answer: the process runs, within its limits."""
        return {}

    def do_load(self, request: Mapping[str, Any]) -> Reply:
        """Open the model that the request describes; milliseconds since nothing was imported."""
        began = time.perf_counter()
        from tracenet_bench.measure.models import open_model

        self._observed = request["observed"]
        observe = (lambda stage: self._say({"stage": stage})) if self._observed else None
        self._model = open_model(request["model"], observe)
        return {"milliseconds": _since(began), **self._model.about}

    def do_check(self, request: Mapping[str, Any]) -> Reply:
        """Whether the model gives what it should; an error where not."""
        assert self._model is not None
        self._model.check()
        return {}

    def do_photo(self, request: Mapping[str, Any]) -> Reply:
        """Take a decoded photo (``.npy``) in place of the one before it."""
        import numpy as np

        self._photo = None  # never two at a time: they would count as the model's memory
        self._photo, self._path = np.load(request["path"]), request["path"]
        return {}

    def do_tap(self, request: Mapping[str, Any]) -> Reply:
        """One tap: milliseconds in all and by stage, and multiply-adds.

        Where memory is measured, time alone: counting multiply-adds may take memory.
        """
        assert self._model is not None
        assert self._photo is not None
        at = tuple(request["at"])
        began = time.perf_counter()
        result = self._model.tap(self._photo, at)
        milliseconds = _since(began)
        if self._observed:
            return {"milliseconds": milliseconds, "stages": {}, "macs": None}
        stages, macs = self._model.figures(self._photo, result)
        return {"milliseconds": milliseconds, "stages": stages, "macs": macs}

    def do_place(self, request: Mapping[str, Any]) -> Reply:
        """Where a correction of what a tap gives stays on its tile, or null."""
        model, photo = self._bundle()
        return {"place": model.place_to_correct(photo, tuple(request["at"]))}

    def do_correct(self, request: Mapping[str, Any]) -> Reply:
        """What corrects a tap at ``at``, at ``place``: figures as a tap's, by operation."""
        model, photo = self._bundle()
        at, place = tuple(request["at"]), tuple(request["place"])
        return {name: vars(took) for name, took in model.correct(photo, at, place).items()}

    def do_track(self, request: Mapping[str, Any]) -> Reply:
        """What it takes to carry things to the next frame of a clip of the photo, by operation."""
        model, photo = self._bundle()
        if self._path not in self._clips:
            self._clips[self._path] = model.tracker(photo)
        return {name: vars(took) for name, took in self._clips[self._path].next().items()}

    def do_clip_memory(self, request: Mapping[str, Any]) -> Reply:
        """The resident memory early and late in a long clip of the photo, in bytes."""
        model, photo = self._bundle()
        return {"resident": model.memory_of_clip(photo, request["frames"])}

    def do_stream(self, request: Mapping[str, Any]) -> Reply:
        """Taps one after the other, each equally often, until so many seconds are over."""
        assert self._model is not None
        assert self._photo is not None
        taps, count = [tuple(at) for at in request["taps"]], 0
        began = time.perf_counter()
        while count == 0 or time.perf_counter() - began < request["seconds"]:
            for at in taps:
                self._model.tap(self._photo, at)
            count += len(taps)
        return {"taps": count, "milliseconds": _since(began)}

    def do_memory(self, request: Mapping[str, Any]) -> Reply:
        """The largest resident memory so far, in bytes."""
        from tracenet_bench.measure.memory import peak_resident

        return {"peak": peak_resident()}

    def _bundle(self) -> tuple[BundleModel, npt.NDArray[np.uint8]]:
        from tracenet_bench.measure.models import BundleModel

        assert isinstance(self._model, BundleModel)
        assert self._photo is not None
        return self._model, self._photo


def _since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)


def _sentence(error: Exception) -> str:
    from tracenet_runtime.errors import TraceNetError, is_out_of_memory

    said = next(iter(str(error).strip().splitlines()), "")
    if is_out_of_memory(error):
        # What our own errors advise behind the semicolon is not for a benchmark.
        reason = said.rpartition(";")[0] or said
        return f"out of memory{f': {reason}' if reason else ''}"

    from tracenet_runtime.tool import not_installed

    if isinstance(error, ModuleNotFoundError) and (sentence := not_installed(error, "bench")):
        return sentence
    return said if isinstance(error, TraceNetError) else f"{type(error).__name__}: {said}"


def _private_pipes() -> tuple[IO[str], IO[str]]:
    """Commands and replies on descriptors of their own: libraries may print, and read, as usual."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull) as nothing:  # noqa: PTH123 - a descriptor, not a path
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


def main() -> int:
    """Serve until the benchmark closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark, which closes us
    requests, replies = _private_pipes()

    def say(reply: Reply) -> None:
        replies.write(f"{json.dumps(reply)}\n")
        replies.flush()

    server = Server(say)
    for line in requests:
        try:
            say(server.answer(json.loads(line)))
        except BrokenPipeError:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
