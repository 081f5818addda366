"""The time from an alert to the API write, compared with a bare PATCH and stage by stage.

Both are timed from the first byte sent until a watch on the Deployments shows the change, in turn, each after the
previous rollout has ended, so that neither waits for the other's pods.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import ssl
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from tools.bench.load import Connection, Spread, cpu_seconds, post, summarise
from tools.bench.remediator.webhook import NAMESPACE, TARGETS, WEBHOOKS, alert, payload, policies
from tools.chart import REMEDIATOR, remediator_rights
from tools.servers.kubernetes.cluster import Cluster
from tools.servers.ports import free_port
from tools.servers.prometheus import PrometheusServer
from tools.servers.sidecar import RemediatorServer

REPAIR_SECONDS = 20.0
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
RULES = """
groups:
  - name: bench
    rules:
      - record: controlcore_scrape_collector_last_success_timestamp_seconds
        expr: vector(time())
        labels: {collector: bench}
"""
"""What makes the policies' answers fresh: a real exporter would publish it."""
PROMETHEUS = "global: {evaluation_interval: 500ms}\nrule_files: [rules.yml]\n"


@dataclass(frozen=True, slots=True)
class Repair:
    """One way from an alert to the changed Deployment, and its stages in seconds."""

    whole: float
    acknowledged: float
    """From sending the alert to its 200: parsed, matched, on disk."""
    stages: dict[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both ways, side by side."""

    ours: Spread
    bare: Spread
    stages: dict[str, float]
    """The median of each stage."""
    cpu_seconds: float
    """CPU of the remediator for one repair, verification of earlier ones included."""


def deployment(number: int) -> dict[str, Any]:
    """A target with one simulated pod."""
    name = f"target-{number}"
    container = {"name": "app", "image": "controlcore/bench:1", "resources": {"requests": {"cpu": "1m"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def path_of(number: int) -> str:
    """API path of a target."""
    return f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/target-{number}"


class GenerationWatch:
    """Records when each target's generation first rises, by the API server's watch."""

    def __init__(self, cluster: Cluster) -> None:
        """Takes the present generations as known."""
        access = cluster.client.access
        tls = ssl.create_default_context(cafile=str(access.certificate_authority))
        if access.client_certificate is not None:
            tls.load_cert_chain(access.client_certificate, access.client_key)
        listed = cluster.client.get(DEPLOYMENTS)
        self._known = {item["metadata"]["name"]: int(item["metadata"]["generation"]) for item in listed["items"]}
        self._news = threading.Condition()
        self.seen: dict[str, float] = {}
        address = urlsplit(access.server)
        self._connection = http.client.HTTPSConnection(address.netloc, context=tls)
        headers = {} if access.token is None else {"Authorization": f"Bearer {access.token}"}
        version = listed["metadata"]["resourceVersion"]
        self._connection.request("GET", f"{DEPLOYMENTS}?watch=true&resourceVersion={version}", headers=headers)
        self._answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._run, name="generations", daemon=True)

    def _run(self) -> None:
        try:
            for line in self._answer:
                at = time.perf_counter()
                metadata = json.loads(line)["object"]["metadata"]
                if int(metadata["generation"]) > self._known[metadata["name"]]:
                    with self._news:
                        self.seen.setdefault(metadata["name"], at)
                        self._news.notify_all()
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return  # closed by `running`

    def wait(self, name: str) -> float:
        """The time at which the target was first seen changed; TimeoutError after REPAIR_SECONDS."""
        with self._news:
            if not self._news.wait_for(lambda: name in self.seen, REPAIR_SECONDS):
                raise TimeoutError(f"{name} was not changed within {REPAIR_SECONDS} s")
        return self.seen[name]

    @contextmanager
    def running(self) -> Iterator[GenerationWatch]:
        """Watches while the block lasts."""
        self._thread.start()
        try:
            yield self
        finally:
            sock = self._connection.sock
            if sock is not None:
                sock.shutdown(2)
            self._thread.join(5)
            self._connection.close()


def measure_repair(cluster: Cluster) -> Comparison:
    """Alerts and bare PATCHes in turn, each on its own target."""
    cluster.create_namespace(NAMESPACE)
    cluster.apply([deployment(number) for number in range(2 * TARGETS)])
    for number in range(2 * TARGETS):
        cluster.wait_rolled_out(NAMESPACE, f"target-{number}")
    ours: list[Repair] = []
    bare: list[float] = []
    with PrometheusServer({"prometheus.yml": PROMETHEUS, "rules.yml": RULES}) as prometheus:
        # Policies in auto act only with rights that end where the policies end.
        document = policies("auto", free_port())
        cluster.apply(remediator_rights(yaml.safe_load(document)["policies"], NAMESPACE))
        settings = {
            "prometheus": {"url": prometheus.url},
            "kubernetes": {"kubeconfig": str(cluster.kubeconfig_for(NAMESPACE, REMEDIATOR))},
        }
        with (
            RemediatorServer(settings, document) as remediator,
            GenerationWatch(cluster).running() as watch,
        ):
            _wait_for_rule(prometheus)
            before = cpu_seconds(remediator.process.pid)
            for number in range(TARGETS):
                ours.append(_repair(remediator, watch, number))
                cluster.wait_rolled_out(NAMESPACE, f"target-{number}")
                bare.append(_patch(cluster, watch, TARGETS + number))
                cluster.wait_rolled_out(NAMESPACE, f"target-{TARGETS + number}")
            cpu = (cpu_seconds(remediator.process.pid) - before) / TARGETS
    names = ours[0].stages
    stages = {"acknowledged": statistics.median(each.acknowledged for each in ours)}
    stages |= {name: statistics.median(each.stages[name] for each in ours) for name in names}
    return Comparison(summarise([each.whole for each in ours], None, 0), summarise(bare, None, 0), stages, cpu)


def _wait_for_rule(prometheus: PrometheusServer) -> None:
    """Returns once the rule has been evaluated."""
    ends_at = time.monotonic() + REPAIR_SECONDS
    while not prometheus.query("controlcore_scrape_collector_last_success_timestamp_seconds"):
        if time.monotonic() > ends_at:
            raise TimeoutError("Prometheus does not evaluate the bench's rule")
        time.sleep(0.1)


def _repair(remediator: RemediatorServer, watch: GenerationWatch, number: int) -> Repair:
    """One alert until its change is seen."""
    request = post(remediator.port, WEBHOOKS, payload([alert(number)]), remediator.token)
    connection = Connection(request)
    started = time.perf_counter()
    status, body = connection.send(request.raw)
    acknowledged = time.perf_counter() - started
    connection.close()
    if status != 200:
        raise RuntimeError(f"webhook answered {status}: {body[:200]!r}")
    try:
        whole = watch.wait(f"target-{number}") - started
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{remediator.process.log_tail()}") from error
    return Repair(whole, acknowledged, _stages(remediator, number))


def _stages(remediator: RemediatorServer, number: int) -> dict[str, float]:
    """The time of each stage from the journal's records; waits for the write's record."""
    question = """
        SELECT record.kind, record.at, record.data FROM record JOIN remediation ON remediation.id = record.remediation
        WHERE remediation.policy = ? ORDER BY record.number"""
    ends_at = time.monotonic() + REPAIR_SECONDS
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    with closing(sqlite3.connect(f"file:{remediator.journal_path}?mode=ro", uri=True, timeout=5)) as connection:
        while "write" not in found:
            if time.monotonic() > ends_at:
                raise TimeoutError("the write is not in the journal")
            rows = connection.execute(question, (f"restart-{number}",)).fetchall()
            found = {kind: (at, json.loads(data)) for kind, at, data in rows}
            time.sleep(0.01)
    decided = found["decision"][1]["seconds"]
    sent = found["write"][1]["seconds"]
    begun = {kind: at for kind, (at, _) in found.items()}
    judging = begun["decision"] - begun["claimed"] - decided["facts"] - decided["evidence"]
    return {
        "claimed": begun["claimed"] - begun["received"],
        "facts": decided["facts"],
        "evidence": decided["evidence"],
        "judged": judging,
        "intent": begun["write"] - begun["decision"] - sent,
        "sent": sent,
    }


def _patch(cluster: Cluster, watch: GenerationWatch, number: int) -> float:
    """Seconds from sending a bare restart patch until the change is seen."""
    annotations = {"controlcore.io/operation-id": uuid.uuid4().hex}
    body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    started = time.perf_counter()
    cluster.client.patch(path_of(number), body)
    return watch.wait(f"target-{number}") - started
