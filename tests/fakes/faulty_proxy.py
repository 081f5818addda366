"""A way to a server that fails as a test says: refusing, late, cut off, or silent after the request was served.

What comes through was judged by the real server behind it; the caller's credential is passed on.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tools.slowness import scaled

WRITES = frozenset({"PATCH", "POST", "PUT", "DELETE"})
EVERYTHING = WRITES | {"GET"}
PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")
FORWARD_SECONDS = 20.0


Answered = tuple[int, str, bytes, Sequence[str]]


class Fault(Enum):
    """What happens to a request."""

    STATUS = "status"
    """Answered with an error status; the request never reaches the server."""
    LATE = "late"
    """Held until `release`, then passed on: its sender may no longer wait when it arrives."""
    HALF = "half"
    """Half of its body is passed on; the rest never comes."""
    LOST = "lost"
    """Passed on; the answer is held until `release` and then thrown away."""
    CUT = "cut"
    """Passed on; half of the answer is sent, then the connection closes."""


@dataclass(frozen=True)
class Order:
    """Which requests fail, and how."""

    fault: Fault
    methods: Collection[str]
    status: int = 500


class Front:
    """One front of the server at an address. `fail` and `heal` take effect with the next request."""

    def __init__(self, upstream: str, upstream_tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._upstream_tls = upstream_tls
        self._order: Order | None = None
        self._released = threading.Event()
        self.arrived = threading.Event()
        """Set when a request has met a fault; with LOST, when the server has answered it."""
        self.spares_dry_runs = True
        """A dry run changes nothing: a fault is for what is meant, not for the question whether it would be refused."""
        self.seen: list[tuple[str, str]] = []
        """Method and path of every request; of a query only `?dryRun=All` is kept."""
        self.statuses: list[tuple[str, int]] = []
        """Method and status of everything that the server has answered, dry runs left out."""
        self.dry_runs: list[tuple[str, int]] = []
        """The same of dry runs."""

    def fail(self, fault: Fault, methods: Collection[str] = EVERYTHING, status: int = 500) -> None:
        """Lets requests with these methods fail from now on."""
        self._released.clear()
        self.arrived.clear()
        self._order = Order(fault, frozenset(methods), status)

    def heal(self) -> None:
        """Passes on new requests; held ones stay held."""
        self._order = None

    def release(self) -> None:
        """Releases held requests."""
        self._released.set()

    def own_tls(self) -> ssl.SSLContext | None:
        """What callers are met with; None for plain HTTP."""
        return None

    @property
    def url(self) -> str:
        """Where to connect instead."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"front": self}))
        self._tls = self.own_tls()
        if self._tls is not None:
            # The handshake belongs to the connection's thread: a caller that never begins it blocks no other.
            plain = self._server.socket
            self._server.socket = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_ignored: object) -> None:
        """It ends after its callers: close them first."""
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def order_for(self, method: str) -> Order | None:
        """The planned fault for a request with this method."""
        order = self._order
        return order if order is not None and method in order.methods else None

    def wait_released(self) -> None:
        """Returns when a held request may continue."""
        self._released.wait()

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answered:
        """Status, content type, body and warnings of the server's answer."""
        connection = self._connect()
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            statuses = self.dry_runs if "dryRun=All" in path else self.statuses
            statuses.append((method, answer.status))
            return answer.status, answer.headers.get("Content-Type", ""), content, answer.headers.get_all("Warning", [])
        finally:
            connection.close()

    def forward_half(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """Sends the first half of a request and holds the rest until `release`, which ends it."""
        connection = self._connect()
        try:
            connection.putrequest(method, path)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders(body[: len(body) // 2])
            self.arrived.set()
            self.wait_released()
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        place = urlsplit(self._upstream)
        if self._upstream_tls is None:
            return http.client.HTTPConnection(place.hostname or "", place.port, timeout=scaled(FORWARD_SECONDS))
        return http.client.HTTPSConnection(
            place.hostname or "", place.port, context=self._upstream_tls, timeout=scaled(FORWARD_SECONDS)
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a caller or server that was killed is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def _serve(self) -> None:
        front, method = self.front, self.command
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name in PASSED_ON if (value := self.headers.get(name))}
        is_dry_run = "dryRun=All" in self.path
        front.seen.append((method, self.path.split("?")[0] + ("?dryRun=All" if is_dry_run else "")))
        is_spared = front.spares_dry_runs and is_dry_run
        order = None if is_spared else front.order_for(method)
        if order is None:
            self._answer(*front.forward(method, self.path, headers, body))
        elif order.fault is Fault.STATUS:
            said = {"kind": "Status", "status": "Failure", "message": "as the test says", "code": order.status}
            self._answer(order.status, "application/json", json.dumps(said).encode())
            front.arrived.set()
        else:
            self.close_connection = True
            self._spoil(order.fault, method, headers, body)

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names are the base class's

    def _spoil(self, fault: Fault, method: str, headers: dict[str, str], body: bytes) -> None:
        """A request that gets no whole answer."""
        front = self.front
        if fault is Fault.HALF:
            front.forward_half(method, self.path, headers, body)
        elif fault is Fault.LATE:
            front.arrived.set()
            front.wait_released()
            self._answer(*front.forward(method, self.path, headers, body))
        else:
            answer = front.forward(method, self.path, headers, body)
            front.arrived.set()
            if fault is Fault.LOST:
                front.wait_released()
            else:
                self._answer(*answer, sent=len(answer[2]) // 2)

    def _answer(
        self, status: int, content_type: str, body: bytes, warnings: Sequence[str] = (), sent: int | None = None
    ) -> None:
        """Sends the answer, or only this many bytes of the announced body."""
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for warning in warnings:
                self.send_header("Warning", warning)
            self.end_headers()
            self.wfile.write(body[:sent])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass
