"""The loopback-only admin route `/_fault`, reachable even while the program's own event loop is blocked."""

from __future__ import annotations

import ipaddress
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from tools.standin.faults.switches import FaultBox, UnknownFaultError, parse_fault

PATH = "/_fault"
CRASH_DELAY_SECONDS = 0.05
BURN_PERIOD_SECONDS = 0.1
IDLE_SECONDS = 1.0


def is_loopback(peer: str | None) -> bool:
    """Whether the peer's address is a loopback address; an unknown or malformed one is not."""
    try:
        return peer is not None and ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def answer_admin(
    box: FaultBox, peer: str | None, method: str, target: str, body: bytes
) -> tuple[int, dict[str, object]]:
    """Apply one request to `/_fault` and return status and body.

    GET shows, POST switches on, DELETE clears all or `?kind=`.
    """
    if not is_loopback(peer):
        return 403, {"error": "only loopback peers may switch faults"}
    if method == "POST":
        try:
            fault = parse_fault(body)
        except UnknownFaultError as error:
            return 400, {"error": str(error)}
        box.switch_on(fault)
        if fault.kind == "crash":
            threading.Timer(CRASH_DELAY_SECONDS, os._exit, (1,)).start()
    elif method == "DELETE":
        box.clear(parse_qs(urlsplit(target).query).get("kind", [None])[0])
    return 200, {"pid": os.getpid()} | box.describe()


class _Handler(BaseHTTPRequestHandler):
    box: ClassVar[FaultBox]
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if urlsplit(self.path).path == PATH:
            status, answer = answer_admin(self.box, self.client_address[0], self.command, self.path, body)
        else:
            status, answer = 404, {"error": f"only {PATH} is here"}
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (the base class looks them up by these names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Stay silent."""


def serve_admin(box: FaultBox) -> str:
    """Serve `/_fault` on a free loopback port in a daemon thread; returns its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"box": box}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def burn_cpu(box: FaultBox, limit_millicores: float) -> None:
    """Keep this process at the CPU usage of its `cpu` fault, at most at its limit; never returns.

    The process's own work counts, as under a container's limit; `limit_millicores` 0 means no limit.
    """
    burnt_until = time.process_time()
    while True:
        fault = box.get("cpu")
        if fault is None:
            box.wait_for_change(IDLE_SECONDS)
            burnt_until = time.process_time()
            continue
        share = min(fault.millicores, limit_millicores or fault.millicores) / 1000
        period_ends_at = time.monotonic() + BURN_PERIOD_SECONDS
        used_up_at = burnt_until + share * BURN_PERIOD_SECONDS
        while time.process_time() < used_up_at and time.monotonic() < period_ends_at:
            sum(range(500))
        burnt_until = max(used_up_at, time.process_time() - BURN_PERIOD_SECONDS)
        time.sleep(max(0.0, period_ends_at - time.monotonic()))
