"""ONNX Runtime on the CPU."""

import contextlib
import ctypes
import functools
import posixpath
import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy.typing as npt
import onnxruntime

from tracenet_runtime.engines import EngineSettings
from tracenet_runtime.engines.onnx_files import external_locations
from tracenet_runtime.errors import BundleError, first_line, refuse_if_out_of_memory
from tracenet_runtime.graph.program import ProgramFiles

_ONLY_FATAL = 4

_ARENA = 1 << 27
"""Bytes of address space that the arena reserves at once; only what is used takes memory."""


class OnnxRuntimeEngine:
    """One inference session per program, all created at once."""

    def __init__(self, sessions: Mapping[str, Any]) -> None:
        self.actual = {
            "version": onnxruntime.__version__,
            "threads": min(
                session.get_session_options().intra_op_num_threads for session in sessions.values()
            ),
        }
        self._sessions = sessions
        self._output_names = {
            program: [output.name for output in session.get_outputs()]
            for program, session in sessions.items()
        }

    def run(self, program: str, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """All outputs of a program by name; ``BundleError`` when ONNX Runtime refuses to run."""
        names = self._output_names[program]
        try:
            outputs = self._sessions[program].run(names, dict(inputs))
        except Exception as error:  # its errors share no base class
            refuse_if_out_of_memory(error, f"run the program {program!r}")
            raise BundleError(
                f"ONNX Runtime cannot run the program {program!r}: {first_line(error)}; "
                "export the bundle again."
            ) from error
        return dict(zip(names, outputs, strict=True))


def session_options(threads: int) -> Any:
    """How every session is run, with this many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Every session has threads of its own. Between runs they must not wait actively, as they do
    # by default: they would take the cores from the next program's.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = _ONLY_FATAL
    # One arena for all sessions, since one program runs at a time; each would keep its own.
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A pattern is a second plan of the same memory, in a block of its own.
    options.enable_mem_pattern = False
    return options


@functools.cache
def _register_arena() -> None:
    """The arena of this process's sessions: one large block, whose free parts join.

    In blocks of the sizes that happen to be asked for, what a small early layer gave back would
    never serve a large later one.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg({"initial_chunk_size_bytes": _ARENA})
    with contextlib.suppress(Exception):  # the app has registered one of its own, which serves too
        onnxruntime.create_and_register_allocator(memory, arena)


def open_engine(
    files: ProgramFiles, programs: Collection[str], settings: EngineSettings
) -> OnnxRuntimeEngine:
    """A session for each of these programs of a bundle.

    Raises ``BundleError`` when ONNX Runtime refuses a model, or when a model keeps weights in a
    file that the bundle does not list (releases before 1.24 would open any file named there).
    """
    _register_arena()
    options = session_options(settings.threads)
    sessions = {}
    for name in programs:
        _check_external_data(files, name)
        try:
            sessions[name] = onnxruntime.InferenceSession(
                files.path(name), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors share no base class
            refuse_if_out_of_memory(error, f"open the program {name!r}")
            raise BundleError(
                f"ONNX Runtime does not accept the program {name!r}: {first_line(error)}; "
                "export the bundle again."
            ) from error
    _give_back_freed_memory()
    return OnnxRuntimeEngine(sessions)


def _give_back_freed_memory() -> None:
    """What optimising the models took and gave back, glibc would keep: 200 MB with r50-fpn."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in other C libraries
        if trim is not None:
            trim(0)


def _check_external_data(files: ProgramFiles, program: str) -> None:
    try:
        locations = external_locations(files.path(program).read_bytes())
    except (ValueError, OSError) as error:
        raise BundleError(
            f"The program {program!r} is not an ONNX model ({error}); export the bundle again."
        ) from error
    folder = posixpath.dirname(files.stored[program].file)
    for location in locations:
        if posixpath.join(folder, location) not in files.listed:
            raise BundleError(
                f"The program {program!r} keeps weights in {location!r}, which the bundle does "
                "not list; export the bundle again."
            )
