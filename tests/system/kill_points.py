"""The environment of the kill test: a Prometheus in the test, a workload on the real cluster, and a killer.

The killer follows the journal from outside and sends SIGKILL when a remediation reaches a random state, after a random
delay. The product is not modified.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tools.servers.kubernetes.cluster import Cluster, is_rolled_out
from tools.slowness import scaled

NAME = "control-plane-api"
TRIGGERS = ("/policy-updater/trigger", "/data-updater/trigger")
FRESHNESS = "controlcore_scrape_collector_last_success_timestamp_seconds"
OPEN_STATES = ("received", "claimed", "held", "planned", "writing", "verifying")
EARLY_STATES = ("received", "claimed", "claimed", "writing", "writing", "writing")
"""The event that the killer waits for first. PLANNED and the intent are one commit, so it is never visible."""
LONGEST_DELAYS = {"socket": 0.02, "received": 0.01, "claimed": 0.4, "writing": 0.1, "verifying": 0.2}
"""Each reaches over all that happens in a state: `socket` from the first byte sent until after the acknowledgement,
`claimed` over facts, evidence and the commit of the intent, `writing` over a write's way, its answer and after."""
CALL_SECONDS = 0.03
"""A call of an action takes this long before it counts, and again before it is answered."""

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
storm: {{alerts: 5000}}
breaker: {{failures: 100}}
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
  - name: reload-policies
    action: trigger_policy_update
    mode: auto
    targets: [{{namespace: {namespace}, kind: OpalClient, name: opal}}]
    parameters: {{url: "{url}"}}
    condition: {{promql: stale, collectors: [api]}}
    verify: {{promql: fresh, collectors: [api]}}
    verify_timeout_seconds: 15
    cooldown_seconds: 0
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
        """The number of changes of its specification."""
        return int(self.read()["metadata"]["generation"])

    def break_it(self) -> None:
        """The pods that run now hang."""
        self._broken_at = self.generation

    @property
    def is_well(self) -> bool:
        """Whether all pods run, and none of them is a broken one."""
        found = self.read()
        return found["metadata"]["generation"] > self._broken_at and is_rolled_out(found)


class Opal:
    """A client of the policy server: it is stale from `break_it` until a request to load again."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._broken_at: Counter[str] = Counter()
        self.is_deaf = False
        """Answers calls and does nothing about them."""

    def break_it(self) -> None:
        """Its loaded policies are old."""
        self._broken_at = self._calls.copy()

    def call(self, path: str) -> None:
        """One call of an action."""
        self._calls[path] += 1

    def calls(self) -> Counter[str]:
        """Calls since `break_it`, by path."""
        return self._calls - self._broken_at

    @property
    def is_well(self) -> bool:
        """Whether everything was loaded again."""
        return len(self.calls()) == len(TRIGGERS) and not self.is_deaf


class _Handler(BaseHTTPRequestHandler):
    """Prometheus' query API, the product's health page and the triggers, on what the cluster shows now."""

    product: Product
    opal: Opal

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/health":
            self._answer(200 if self.product.is_well else 503, b"")
            return
        (promql,) = parse_qs(address.query)["query"]
        if promql.startswith(FRESHNESS):
            metric, value = {"collector": "api"}, time.time()
        else:
            metric, value = {}, float(self._is_true(promql))
        result = [{"metric": metric, "value": [time.time(), str(value)]}]
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        self._answer(200, json.dumps(body).encode())

    def do_POST(self) -> None:
        time.sleep(CALL_SECONDS)
        self.opal.call(self.path)
        time.sleep(CALL_SECONDS)
        self._answer(200, b"{}")

    def _is_true(self, promql: str) -> bool:
        if promql in {"stale", "fresh"}:
            return self.opal.is_well is (promql == "fresh")
        return self.product.is_well is (promql == "well")

    def _answer(self, status: int, body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


@contextmanager
def watching(product: Product, opal: Opal) -> Iterator[str]:
    """The address of a Prometheus that watches both; the triggers are there too."""
    handler = type("Handler", (_Handler,), {"product": product, "opal": opal})
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


@dataclass
class Killer:
    """Waits for a drawn state of the newest remediation, then for a drawn delay."""

    journal_path: Path
    chance: random.Random
    points: list[str] = field(default_factory=list)
    """The remediation's state at each kill."""

    def wait(self, wanted: str, timeout_seconds: float) -> bool:
        """True when it is time to kill; False when the remediation closed first or the time is up."""
        deadline = time.monotonic() + scaled(timeout_seconds)
        with closing(sqlite3.connect(f"file:{self.journal_path}?mode=ro", uri=True, timeout=5)) as connection:
            while time.monotonic() < deadline:
                state = newest_state(connection)
                if state in {wanted, "verifying"}:
                    time.sleep(self.chance.uniform(0.0, LONGEST_DELAYS[state]))
                    # Wherever it is by now is where it is killed.
                    state = newest_state(connection)
                    if state in OPEN_STATES:
                        self.points.append(state)
                        return True
                if state and state not in OPEN_STATES:
                    return False
                time.sleep(0.0005)
        return False

    def draw(self) -> str:
        """The event to wait for at the next kill."""
        return self.chance.choice(EARLY_STATES)


def newest_state(connection: sqlite3.Connection) -> str:
    """The state of the newest remediation; empty without one."""
    row = connection.execute("SELECT state FROM remediation ORDER BY id DESC LIMIT 1").fetchone()
    return "" if row is None else str(row[0])
