"""The page over HTTP: read-only, isolated from other origins, compressed where that helps."""

import errno
import os
import re
import socket
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from tracenet_demo.assets import INDEX, Asset
from tracenet_demo.errors import DemoError

# Of every response. The first two isolate the page from other origins, without which a browser
# gives it no memory that threads could share; the third lets the isolated page have its own files.
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
# The page's own policy stands in its index.html, for servers that send no such header.
_POLICY = re.compile(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"')
_METHODS = ("GET", "HEAD")
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


class DemoServer(ThreadingHTTPServer):
    """Serves assets by their URL path until it is shut down; each connection has a thread."""

    # Two servers on one port would answer in turns: POSIX refuses the second without port
    # sharing, Windows only without address reuse.
    allow_reuse_address = os.name == "posix"
    allow_reuse_port = False

    def __init__(self, assets: Mapping[str, Asset], host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises ``DemoError`` if that cannot be had."""
        self.assets = assets
        self.headers = {**_HEADERS, **_policy_of(assets[INDEX].content.decode())}
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise DemoError(_refusal(error, host, port)) from error

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up, as it does when its page is closed, is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _policy_of(index: str) -> dict[str, str]:
    """The page's policy as a header, which binds its workers, too."""
    found = _POLICY.search(index)
    return {"Content-Security-Policy": " ".join(found[1].split())} if found else {}


def _refusal(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken; give another with --port, or --port 0 for any free one."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used without special rights; give one from 1024 up."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; give another with --host."
    return f"{host} port {port} cannot be served on: {error.strerror}."


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    server_version = "tracenet-demo"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60
    """Seconds that a connection may be idle."""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.command not in _METHODS:
            self.close_connection = True  # its body is not read
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(_METHODS)})
            return False
        return True

    def do_GET(self) -> None:
        asset = self.server.assets.get(unquote(self.path.partition("?")[0]).removeprefix("/"))
        if asset is None:
            self._refuse(HTTPStatus.NOT_FOUND, {"Cache-Control": _ASK_AGAIN})
        else:
            self._send(asset)

    do_HEAD = do_GET  # noqa: N815 - named by http.server

    def _send(self, asset: Asset) -> None:
        accepted = _accepts_gzip(self.headers.get("Accept-Encoding", ""))
        compressed = asset.compressed() if accepted else None
        content = asset.content if compressed is None else compressed
        tag = f'"{asset.digest}"' if compressed is None else f'"{asset.digest}-gzip"'
        unchanged = _names(self.headers.get("If-None-Match", ""), tag)
        self.send_response(HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK)
        self.send_header("Cache-Control", _FOREVER if asset.named_by_content else _ASK_AGAIN)
        self.send_header("ETag", tag)
        self.send_header("Vary", "Accept-Encoding")
        if not unchanged:
            self.send_header("Content-Type", asset.media_type)
            self.send_header("Content-Length", str(len(content)))
            if compressed is not None:
                self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if not unchanged and self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        content = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only what is refused: a page has dozens of files."""
        if isinstance(code, int) and code >= HTTPStatus.BAD_REQUEST:
            super().log_request(code, size)

    def log_error(self, format: str, *values: object) -> None:
        """Nothing: refusals are logged as requests, and a connection may be idle till it ends."""


def _accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding allows gzip: by name or by ``*``, and not with weight 0."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        weights[coding] = float(weight) if re.fullmatch(r"[0-9]*\.?[0-9]+", weight) else 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _names(header: str, tag: str) -> bool:
    """Whether an If-None-Match holds this tag, weak or strong, or any."""
    return any(item.strip().removeprefix("W/") in ("*", tag) for item in header.split(","))
