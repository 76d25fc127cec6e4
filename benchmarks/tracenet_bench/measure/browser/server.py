"""The demo's server, which counts what it sends: what a first visit of the page loads."""

from __future__ import annotations

import socket
from typing import Any

from tracenet_demo.server import DemoServer


class CountingServer(DemoServer):
    """Counts the bytes that it sends, headers included."""

    sent = 0

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, counted."""
        connection, address = super().get_request()
        return _CountedSocket(connection, self), address  # type: ignore[return-value]


class _CountedSocket:
    def __init__(self, connection: socket.socket, server: CountingServer) -> None:
        self._connection = connection
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data)
        self._server.sent += memoryview(data).nbytes
