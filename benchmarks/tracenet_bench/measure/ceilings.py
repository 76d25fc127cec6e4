"""What this machine can do at best: multiply-adds and bytes per second, with so many threads.

``python -m tracenet_bench.measure.ceilings THREADS`` measures in a process of its own and prints
JSON.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet_bench.device.constraint import Launcher
from tracenet_bench.measure.children import ChildFailedError, result_of

Floats = npt.NDArray[np.float32]

_SIDE = 1024
_COPIED_BYTES = 128 << 20
"""With its copy, several times what most processors have for a last-level cache."""

_ATTEMPTS = 10


def peak_macs_per_second(threads: int) -> float:
    """fp32 multiply-adds per second of a large matrix product; the best of several.

    By ONNX Runtime where it is installed, else by numpy, whose threads the environment decides.
    """
    random = np.random.default_rng(0)
    left, right = (random.random((_SIDE, _SIDE), np.float32) for _ in range(2))
    seconds = best_seconds(_matrix_product(left, right, threads))
    return float(_SIDE**3 / seconds)


def bandwidth(threads: int) -> float:
    """Bytes read and written per second by copying, each thread its part; the best of several."""
    source = np.ones(_COPIED_BYTES // 4, np.float32)
    parts = list(
        zip(
            np.array_split(source, threads),
            np.array_split(np.empty_like(source), threads),
            strict=True,
        )
    )
    with ThreadPoolExecutor(threads) as pool:
        seconds = best_seconds(
            lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))
        )
    return 2 * source.nbytes / seconds


def best_seconds(work: Callable[[], object]) -> float:
    """The shortest of several runs."""
    times = []
    for _ in range(_ATTEMPTS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def measure_ceilings(
    launcher: Launcher, threads: Sequence[int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Multiply-adds and bytes per second by number of threads, in a process for each.

    What fails, such as within a device's memory, is left out; why is said on standard error.

    Raises:
        ConstraintError: the system does not limit a process as it should.
    """
    macs, copied = {}, {}
    for count in threads:
        try:
            found = result_of(
                launcher.command("tracenet_bench.measure.ceilings", str(count)), count
            )
        except ChildFailedError as failed:
            tqdm.write(
                f"the machine's peak is not known with {count} thread(s): {failed}", file=sys.stderr
            )
            continue
        macs[count], copied[count] = found["macs"], found["bytes"]
    return macs, copied


def _matrix_product(left: Floats, right: Floats, threads: int) -> Callable[[], object]:
    if any(importlib.util.find_spec(package) is None for package in ("onnx", "onnxruntime")):
        return lambda: left @ right
    import onnxruntime
    from onnx import TensorProto, helper

    from tracenet_runtime.engines.onnxruntime import session_options

    square = [_SIDE, _SIDE]
    matrices = [helper.make_tensor_value_info(v, TensorProto.FLOAT, square) for v in "abc"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])], "product", matrices[:2], matrices[2:]
    )
    # An ordinary opset, and a format that every release of ONNX Runtime since reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(threads), providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"a": left, "b": right})


def main() -> int:
    """Print both as JSON."""
    threads = int(sys.argv[1])
    print(json.dumps({"macs": peak_macs_per_second(threads), "bytes": bandwidth(threads)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
