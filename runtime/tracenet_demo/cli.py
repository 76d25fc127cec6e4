"""tracenet-demo: the page that taps photos, served to a browser."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tracenet_demo.assets import read_assets
from tracenet_demo.errors import DemoError
from tracenet_demo.server import DemoServer
from tracenet_runtime.arguments import whole_number
from tracenet_runtime.tool import ToolParser, print_results, run_tool

PAGE = Path(__file__).parent / "page"
"""The built page, part of the wheel."""

DEFAULT_BUNDLE = Path(__file__).parent / "bundle"
"""The bundle that is served unless another is named, part of the wheel."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_EPILOG = """\
example:
  tracenet-demo --bundle out/bundle --port 8000

It prints the address to open and serves until Ctrl-C. Photos stay in the browser. The address goes
to standard output, everything else to standard error. The exit code is 2 for anything wrong with
the arguments, the page, the bundle or the port, and 130 after Ctrl-C.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tracenet-demo`` with these arguments (the process's by default); the exit code."""
    arguments = _parser().parse_args(argv)
    return run_tool("tracenet-demo", "onnxruntime", lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = ToolParser(
        prog="tracenet-demo",
        description="Serve a page that segments the thing under a tap, computed in the browser.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="the exported network, of target onnx (default: the bundle that came with the page)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8000,
        metavar="N",
        help="the port, 0 for any free one (default: %(default)s)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="the address to listen on, 0.0.0.0 for all of this machine's (default: %(default)s, "
        "which only this machine reaches)",
    )
    return parser


def _run(arguments: argparse.Namespace) -> None:
    assets = read_assets(PAGE, arguments.bundle or _default_bundle())
    with DemoServer(assets, arguments.host, arguments.port) as server:
        if arguments.host not in _LOOPBACK:
            print(
                "tracenet-demo: over plain http a browser allows offline use and threads only on "
                f"localhost; for a phone on a cable run: adb reverse tcp:{server.server_port} "
                f"tcp:{server.server_port}, and open http://localhost:{server.server_port}/ on it",
                file=sys.stderr,
            )
        if print_results(_address(arguments.host, server.server_port)):
            server.serve_forever()


def _default_bundle() -> Path:
    if not DEFAULT_BUNDLE.is_dir():
        raise DemoError(
            "No bundle came with the page; run `make page` in a clone of the project, or "
            "tracenet-export --target onnx --precision fp16 --out DIR and give "
            "--bundle DIR."
        )
    return DEFAULT_BUNDLE


def _address(host: str, port: int) -> str:
    """What to open in a browser of this machine."""
    if host in (*_LOOPBACK, "0.0.0.0", "::"):
        return f"http://localhost:{port}/"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
