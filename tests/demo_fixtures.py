"""A page made by hand, and the demo's server in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from tracenet_demo.assets import Asset, read_assets
from tracenet_demo.server import DemoServer

POLICY = """<meta http-equiv="Content-Security-Policy" content="default-src 'self'" />"""
SCRIPT = b"export const answer = 42;\n" * 100


def write_page(folder: Path) -> Path:
    """Files of every kind that a page has, some of which shrink and some of which do not."""
    files = {
        "index.html": f"<!doctype html>{POLICY}<title>page</title>".encode() + b"<p>text</p>" * 100,
        "sw.js": SCRIPT,
        "manifest.webmanifest": b'{"name": "page"}',
        "icon.png": bytes(range(256)),
        "assets/main-Ab3_-xYz.js": SCRIPT,
        "assets/plain.mjs": SCRIPT,
        "assets/ort-12345678.wasm": b"\0asm" * 100,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@contextlib.contextmanager
def serving(page: Path, bundle: Path) -> Iterator[DemoServer]:
    """The server on a free port of this machine."""
    with serving_assets(read_assets(page, bundle)) as server:
        yield server


@contextlib.contextmanager
def serving_assets(assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """The server of files that were read before."""
    with DemoServer(assets, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Client:
    """Asks the server for paths exactly as they are written."""

    def __init__(self, server: DemoServer) -> None:
        self.port = server.server_port

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        """The response and its body; ``If_None_Match="..."`` is the header If-None-Match."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()
