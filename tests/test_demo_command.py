"""tracenet-demo as a command: its address, its options, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from demo_fixtures import write_page
from runtime_fixtures import write_tiny_bundle
from tool_checks import assert_one_sentence

from tracenet_demo import cli
from tracenet_demo.cli import main

COMMAND = """
import signal, sys
from pathlib import Path
from tracenet_demo import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.PAGE = Path(sys.argv[1])
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built page, and no bundle that came with it."""
    page = write_page(tmp_path / "page")
    monkeypatch.setattr(cli, "PAGE", page)
    monkeypatch.setattr(cli, "DEFAULT_BUNDLE", tmp_path / "no_bundle")
    return page


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_prints_its_address_and_serves_until_ctrl_c(page: Path, bundle: Path, host: str) -> None:
    options = ["--bundle", str(bundle), "--port", "0", "--host", host]
    command = [sys.executable, "-c", COMMAND, str(page), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = re.fullmatch(r"http://localhost:([0-9]+)/\n", process.stdout.readline())
        assert address is not None
        with socket.create_connection(("127.0.0.1", int(address[1])), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.endswith((page / "index.html").read_bytes())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout.read() == ""
        said = process.stderr.read().splitlines()
    assert said[-1] == "tracenet-demo: stopped"
    if host == "127.0.0.1":
        assert len(said) == 1
    else:
        assert f"adb reverse tcp:{address[1]} tcp:{address[1]}" in said[0]
        assert len(said) == 2


def test_the_default_bundle_is_that_of_the_package(
    page: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "DEFAULT_BUNDLE", bundle)
    served: list[list[str]] = []
    monkeypatch.setattr(
        cli.DemoServer, "serve_forever", lambda server: served.append(sorted(server.assets))
    )
    assert main(["--port", "0"]) == 0
    assert "bundle/manifest.json" in served[0]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "http://localhost:80/"),
        ("::1", "http://localhost:80/"),
        ("::", "http://localhost:80/"),
        ("192.0.2.7", "http://192.0.2.7:80/"),
        ("2001:db8::7", "http://[2001:db8::7]:80/"),
    ],
)
def test_the_address_can_be_opened(host: str, address: str) -> None:
    assert cli._address(host, 80) == address


def test_a_port_that_is_taken(page: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        arguments = ["--bundle", str(bundle), "--port", port]
        assert_one_sentence(main, arguments, f"Port {port} is taken; give another", capsys)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--host", "192.0.2.7"], "192.0.2.7 is no address of this machine; give another"),
        (["--host", "no.such.invalid"], "no.such.invalid is no address of this machine"),
    ],
)
def test_a_host_that_is_not_this_machine(
    page: Path,
    bundle: Path,
    options: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--bundle", str(bundle), "--port", "0", *options]
    assert_one_sentence(main, arguments, expected, capsys)


@pytest.mark.parametrize("port", ["-1", "65536", "http", "80.5", ""])
def test_a_port_that_is_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--port", port])
    assert stop.value.code == 2
    assert "is not a whole number from 0 to 65535" in capsys.readouterr().err


def test_a_page_that_is_not_built(
    page: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (page / "index.html").unlink()
    expected = "The page is not built; run `make page`"
    assert_one_sentence(main, ["--bundle", str(bundle)], expected, capsys)


def test_no_bundle_came_with_the_page(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_one_sentence(main, [], "No bundle came with the page; run `make page`", capsys)


def test_a_bundle_that_is_not_there(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--bundle", str(tmp_path / "nothing")]
    assert_one_sentence(main, arguments, "There is no bundle folder at", capsys)


def test_a_broken_bundle(page: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = bytearray((bundle / "table.bin").read_bytes())
    table[5] ^= 1
    (bundle / "table.bin").write_bytes(table)
    expected = "table.bin of the bundle was altered or damaged"
    assert_one_sentence(main, ["--bundle", str(bundle)], expected, capsys)
