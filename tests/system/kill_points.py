"""What the kill test stands on: a Prometheus in the test, a workload on the real cluster, and a killer.

The killer follows the journal from outside and sends SIGKILL when a remediation reaches a state that was drawn, after a
delay that was drawn too. The product knows nothing of it.
"""

from __future__ import annotations

import json
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tools.servers.kubernetes import Cluster, is_rolled_out

NAME = "control-plane-api"
FRESHNESS = "controlcore_scrape_collector_last_success_timestamp_seconds"
OPEN_STATES = ("received", "claimed", "held", "planned", "writing", "verifying")
EARLY_STATES = ("received", "claimed", "writing", "writing", "writing")
"""What the killer waits for first. PLANNED lasts no longer than two commits; the delays reach it."""
LONGEST_DELAY_SECONDS = 0.16
"""Reaches over a whole write: before it has arrived, before its answer has, and after."""
NETWORK_DELAY_SECONDS = 0.06

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: control-plane-api, namespace: {namespace}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: control-plane-api}}}}
  template:
    metadata: {{labels: {{app: control-plane-api}}}}
    spec:
      containers: [{{name: api, image: "api:1", resources: {{requests: {{cpu: 100m}}}}}}]
"""
POLICIES = """
identity: ['cluster="test"']
max_actions: 1000
policies:
  - name: restart-api
    action: restart_workload
    mode: auto
    targets: [{{namespace: {namespace}, kind: Deployment, name: control-plane-api}}]
    condition: {{promql: fault, collectors: [api]}}
    verify: {{promql: well, collectors: [api]}}
    witnesses: [{{name: health, kind: http, url: "{url}/health"}}]
    cooldown_seconds: 0
    human_quiet_seconds: 0
    change_quiet_seconds: 0
    budget_actions: 1000
    retry_seconds: 0.3
"""


class Product:
    """The API on the cluster: it hangs from `break_it` until every pod of that moment has been replaced."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._broken_at = 0
        cluster.apply(DEPLOYMENT.format(namespace=namespace))
        cluster.wait_rolled_out(namespace, NAME)

    def read(self) -> dict[str, Any]:
        """The Deployment."""
        return self._cluster.client.get(f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{NAME}")

    @property
    def generation(self) -> int:
        """How often its specification has changed."""
        return int(self.read()["metadata"]["generation"])

    def break_it(self) -> None:
        """The pods that run now hang."""
        self._broken_at = self.generation

    @property
    def is_well(self) -> bool:
        """Whether other pods than the broken ones run, all of them."""
        found = self.read()
        return found["metadata"]["generation"] > self._broken_at and is_rolled_out(found)


class _Handler(BaseHTTPRequestHandler):
    """Prometheus' query API and the product's health page, on what the cluster shows now."""

    product: Product

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/health":
            self._answer(200 if self.product.is_well else 503, b"")
            return
        (promql,) = parse_qs(address.query)["query"]
        if promql.startswith(FRESHNESS):
            metric, value = {"collector": "api"}, time.time()
        else:
            metric, value = {}, float(self.product.is_well is (promql == "well"))
        result = [{"metric": metric, "value": [time.time(), str(value)]}]
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        self._answer(200, json.dumps(body).encode())

    def _answer(self, status: int, body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


@contextmanager
def watching(product: Product) -> Iterator[str]:
    """The address of a Prometheus that watches this product."""
    handler = type("Handler", (_Handler,), {"product": product})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class SlowNetwork:
    """A way to the API server on which every piece takes NETWORK_DELAY_SECONDS, each way.

    What has been sent arrives even when the sender has died meanwhile: such a write comes late.
    """

    def __init__(self, server: str) -> None:
        address = urlsplit(server)
        assert address.hostname is not None
        assert address.port is not None
        self._upstream = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        """Where to connect instead."""
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_ignored: object) -> None:
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                far = socket.create_connection(self._upstream)
                self._sockets.append(far)
                for ends in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=_carry, args=ends))
                    self._threads[-1].start()


def _carry(source: socket.socket, goal: socket.socket) -> None:
    """Moves bytes one way, late, until the end."""
    with suppress(OSError):
        while piece := source.recv(65536):
            time.sleep(NETWORK_DELAY_SECONDS)
            goal.sendall(piece)
    with suppress(OSError):
        goal.shutdown(socket.SHUT_WR)


@dataclass
class Killer:
    """Waits for a drawn state of the newest remediation, then for a drawn delay."""

    journal_path: Path
    chance: random.Random
    points: list[str] = field(default_factory=list)
    """In which state each kill found the remediation."""

    def wait(self, wanted: str, timeout_seconds: float) -> bool:
        """True when it is time to kill; False when the remediation closed first or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        with closing(sqlite3.connect(f"file:{self.journal_path}?mode=ro", uri=True, timeout=5)) as connection:
            while time.monotonic() < deadline:
                state = newest_state(connection)
                if state in {wanted, "verifying"}:
                    time.sleep(self.chance.uniform(0.0, LONGEST_DELAY_SECONDS))
                    state = newest_state(connection)
                if state and state not in OPEN_STATES:
                    return False
                if state in {wanted, "verifying"}:
                    self.points.append(state)
                    return True
                time.sleep(0.0005)
        return False

    def draw(self) -> str:
        """What to wait for at the next kill."""
        return self.chance.choice(EARLY_STATES)


def newest_state(connection: sqlite3.Connection) -> str:
    """The state of the remediation that began last; empty when there is none."""
    row = connection.execute("SELECT state FROM remediation ORDER BY id DESC LIMIT 1").fetchone()
    return "" if row is None else str(row[0])
