"""A way to a real API server that fails as a test says: hung, refusing, late, cut off, or silent after the write.

It ends TLS with a certificate of its own and passes everything else on, the caller's token included: what comes through
was judged by the real API server. A kubeconfig for it differs from the cluster's in address and authority only.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from tools.servers.certificates import make_serving_pair
from tools.servers.kubernetes import Cluster

WRITES = frozenset({"PATCH", "POST", "PUT", "DELETE"})
EVERYTHING = WRITES | {"GET"}
PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")
FORWARD_SECONDS = 20.0


class Fault(Enum):
    """What happens to a request."""

    STATUS = "status"
    """Answered with an error status; the API server never hears of it."""
    LATE = "late"
    """Held until `release`, then passed on: it arrives when its sender has given up."""
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


class ApiFront:
    """One front. `fail` and `heal` take effect with the next request."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._order: Order | None = None
        self._released = threading.Event()
        self.arrived = threading.Event()
        """Set when a request has met a fault; with LOST, when the API server has answered it."""
        self.seen: list[tuple[str, str]] = []
        """Method and path of every request."""
        self.statuses: list[tuple[str, int]] = []
        """Method and status of everything that the API server has answered."""

    def fail(self, fault: Fault, methods: Collection[str] = EVERYTHING, status: int = 500) -> None:
        """Lets requests with these methods fail from now on."""
        self._released.clear()
        self.arrived.clear()
        self._order = Order(fault, frozenset(methods), status)

    def heal(self) -> None:
        """Passes on what comes from now on; what is held stays held."""
        self._order = None

    def release(self) -> None:
        """Lets what is held go on."""
        self._released.set()

    def kubeconfig(self, path: Path) -> Path:
        """The cluster's kubeconfig for its administrator, with this way to it."""
        return self.redirect(self._cluster.kubeconfig_path, path)

    def redirect(self, kubeconfig: Path, path: Path) -> Path:
        """Writes a kubeconfig that differs from the one given in its way only."""
        config = yaml.safe_load(kubeconfig.read_text())
        authority = base64.b64encode(self._pair.certificate_path.read_bytes()).decode()
        for entry in config["clusters"]:
            entry["cluster"] = {"server": self.url, "certificate-authority-data": authority}
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._pair = make_serving_pair(self._folder, "front")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._pair.certificate_path, self._pair.key_path)
        self.upstream_tls = ssl.create_default_context(cafile=str(self._cluster.access.certificate_authority))
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"front": self}))
        # The handshake belongs to the thread of the connection: a caller that never begins it must not stop the others.
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_ignored: object) -> None:
        """Ends when the callers have: close them first."""
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def order_for(self, method: str) -> Order | None:
        """What is to happen to a request with this method."""
        order = self._order
        return order if order is not None and method in order.methods else None

    def wait_released(self) -> None:
        """Returns when a held request may go on."""
        self._released.wait()

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the API server's answer."""
        place = urlsplit(self._cluster.server)
        connection = http.client.HTTPSConnection(
            place.hostname or "", place.port, context=self.upstream_tls, timeout=FORWARD_SECONDS
        )
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.statuses.append((method, answer.status))
            return answer.status, answer.headers.get("Content-Type", ""), content
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a caller that was killed is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: ApiFront

    def _serve(self) -> None:
        front, method = self.front, self.command
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name in PASSED_ON if (value := self.headers.get(name))}
        front.seen.append((method, self.path.split("?")[0]))
        order = front.order_for(method)
        if order is None:
            self._answer(*front.forward(method, self.path, headers, body))
        elif order.fault is Fault.STATUS:
            said = {"kind": "Status", "status": "Failure", "message": "as the test says", "code": order.status}
            self._answer(order.status, "application/json", json.dumps(said).encode())
            front.arrived.set()
        elif order.fault is Fault.LATE:
            front.arrived.set()
            front.wait_released()
            self.close_connection = True
            front.forward(method, self.path, headers, body)
        else:
            answer = front.forward(method, self.path, headers, body)
            front.arrived.set()
            self.close_connection = True
            if order.fault is Fault.LOST:
                front.wait_released()
            else:
                self._answer(*answer, sent=len(answer[2]) // 2)

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names are the base class's

    def _answer(self, status: int, content_type: str, body: bytes, sent: int | None = None) -> None:
        """Sends the answer, or only so many bytes of the body that it announces."""
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:sent])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass
