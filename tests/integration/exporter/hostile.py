"""A server in the place of every HTTP backend, that answers well, badly, too much, too slowly or not at all."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tools.slowness import scaled

GOOD = {
    "status": "ok",
    "client_count": 1,
    "server_count": 1,
    "online": True,
    "result": [],
    "running": False,
    "cache_stats": {"total_keys": 0},
    "policy_cache": {"size": 0, "expired_count": 0},
    "decision_cache": {"size": 0},
}
OPA_PAGE = b"# TYPE go_threads gauge\ngo_threads 7\n"
HUGE_BYTES = 6 * 1024 * 1024


class Hostile:
    """Set `mode` to good, html, huge, drip or hang; `refuse` closes the port until the next mode is set."""

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._server: socketserver.ThreadingTCPServer | None = None
        self._mode = "good"
        self.port = 0
        self.asked = 0

    @property
    def url(self) -> str:
        """The address that all settings name."""
        return f"http://127.0.0.1:{self.port}"

    def set_mode(self, mode: str) -> None:
        """Behaves like this from now on; waiting clients get no answer."""
        self._mode = mode
        waiting, self._changed = self._changed, threading.Event()
        waiting.set()
        if mode == "refuse":
            self._close()
        elif self._server is None:
            self._listen()

    def answer(self, connection: socket.socket) -> None:
        """Treats one connection as the mode says."""
        changed = self._changed
        request = connection.recv(65536)
        if not request.startswith((b"GET ", b"POST ")):
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nwhat was that?")
            return
        while b"\r\n\r\n" not in request:
            part = connection.recv(65536)
            if not part:
                return
            request += part
        self.asked += 1
        if self._mode == "hang":
            changed.wait(scaled(30))
        elif self._mode == "drip":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
            while not changed.wait(0.05):
                connection.sendall(b"[")
        else:
            body = self._body(request)
            head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)

    def _body(self, request: bytes) -> bytes:
        """The mode's answer to this request."""
        if self._mode == "html":
            return b"<!doctype html><title>502</title>"
        if self._mode == "huge":
            return b'{"status": "' + b"x" * HUGE_BYTES + b'"}'
        if request.startswith(b"GET /v1/policies "):
            return b'{"result": []}'  # an engine answers with nothing beside the list
        if request.startswith(b"GET /metrics"):
            return OPA_PAGE
        return json.dumps(GOOD | {"allow": b"canary-allow" in request}).encode()

    def _listen(self) -> None:
        """Opens the port, the same as before when there was one."""
        hostile = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    hostile.answer(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _close(self) -> None:
        """Closes the port."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._changed.set()
        self._close()
