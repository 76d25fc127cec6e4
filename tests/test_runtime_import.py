"""What importing the runtime brings with it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import tracenet_runtime, tracenet_runtime.cli, tracenet_runtime.track_cli",
            ["torch", "onnxruntime", "onnx", "pycocotools", "av", "tracenet", "tracenet_export"],
        ),
        (
            "import tracenet_runtime.engines.onnxruntime",
            ["torch", "onnx", "tracenet", "tracenet_export"],
        ),
    ],
)
def test_import_stays_light(statement: str, absent: list[str]) -> None:
    script = f"{statement}\nimport sys\nprint([m for m in {absent} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
