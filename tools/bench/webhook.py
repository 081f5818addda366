"""The webhook's durable acknowledgement, and the way from an alert to the API write against a bare PATCH."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from tools.bench.load import Connection, Spread, cpu_seconds, measure, post, resident_mib, summarise
from tools.servers.kubernetes import Cluster
from tools.servers.ports import free_port
from tools.servers.prometheus import PrometheusServer
from tools.servers.sidecar import RemediatorServer

WEBHOOKS = "/api/v1/alerts"
TARGETS = 20
OPENING_REQUESTS = 60
NAMESPACE = "controlcore-bench"
REPAIR_SECONDS = 20.0
COLLECTOR = "bench"
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


def payload(alerts: list[dict[str, Any]]) -> bytes:
    """A webhook body of version 4 with these alerts."""
    return json.dumps(
        {
            "version": "4",
            "groupKey": "{}:{}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "controlcore-remediator",
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://127.0.0.1",
            "alerts": alerts,
        }
    ).encode()


def alert(number: int) -> dict[str, Any]:
    """A firing alert for the policy of this number, about a kilobyte long as real ones are."""
    return {
        "status": "firing",
        "labels": {"alertname": "Bench", "remediation": f"restart-{number}", "cluster": "bench", "n": str(number)},
        "annotations": {"description": "x" * 600},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": f"{number:016x}",
    }


def policies(mode: str, witness_port: int) -> str:
    """One policy for each target; its witness is an address where nobody listens, so it always confirms."""
    rows = [
        {
            "name": f"restart-{number}",
            "action": "restart_workload",
            "mode": mode,
            "targets": [{"namespace": NAMESPACE, "kind": "Deployment", "name": f"target-{number}"}],
            "condition": {"promql": "vector(1)", "collectors": [COLLECTOR]},
            "verify": {"promql": "vector(1)", "collectors": [COLLECTOR]},
            # The targets were made a moment ago, by the bench itself.
            "human_quiet_seconds": 0,
            "change_quiet_seconds": 0,
            "witnesses": [{"name": "own", "kind": "http", "url": f"http://127.0.0.1:{witness_port}/"}],
        }
        for number in range(TARGETS)
    ]
    document = {"identity": ['cluster="bench"'], "max_actions": 1000, "policies": rows}
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Durable acknowledgements for one number of alerts a request, which join open remediations or open new ones."""

    kind: str
    alerts: int
    spread: Spread
    resident: float


def measure_acknowledgement(counts: tuple[int, ...] = (1, 20), requests: int = 300) -> list[Acknowledgement]:
    """Posts over one kept connection; each answer is 200 after the alerts are on disk (SQLite, synchronous=FULL)."""
    settings = {"prometheus": {"url": f"http://127.0.0.1:{free_port()}"}}
    rows = []
    with RemediatorServer(settings, policies("observe", free_port())) as remediator:
        for count in counts:
            body = payload([alert(number) for number in range(count)])
            request = post(remediator.port, WEBHOOKS, body, remediator.token)
            spread = measure(request, count=requests, pid=remediator.process.pid)
            rows.append(Acknowledgement("repeat", count, spread, resident_mib(remediator.process.pid)))
    with RemediatorServer(settings, many_targets()) as remediator:
        rows.append(_measure_opening(remediator))
    return rows


def many_targets() -> str:
    """One policy with a target for each alert that `_measure_opening` sends."""
    document = yaml.safe_load(policies("observe", free_port()))
    (policy, *_) = document["policies"]
    names = [f"target-{number}" for number in range(OPENING_REQUESTS * TARGETS)]
    policy["targets"] = [{"namespace": NAMESPACE, "kind": "Deployment", "name": name} for name in names]
    return yaml.safe_dump({**document, "policies": [policy]}, sort_keys=False)


def _measure_opening(remediator: RemediatorServer) -> Acknowledgement:
    """Requests of twenty alerts that each begin a remediation; the engine works on those before meanwhile."""
    request = post(remediator.port, WEBHOOKS, b"", remediator.token)
    connection = Connection(request)
    times: list[float] = []
    before = cpu_seconds(remediator.process.pid)
    for number in range(OPENING_REQUESTS):
        alerts = [_opening_alert(number * TARGETS + each) for each in range(TARGETS)]
        raw = post(remediator.port, WEBHOOKS, payload(alerts), remediator.token).raw
        started = time.perf_counter()
        status, body = connection.send(raw)
        times.append(time.perf_counter() - started)
        if status != 200:
            raise RuntimeError(f"webhook answered {status}: {body[:200]!r}")
    connection.close()
    cpu = (cpu_seconds(remediator.process.pid) - before) / OPENING_REQUESTS
    return Acknowledgement("open", TARGETS, summarise(times, cpu, 0), resident_mib(remediator.process.pid))


def _opening_alert(number: int) -> dict[str, Any]:
    """An alert that chooses a target of its own."""
    found = alert(0)
    found["labels"] |= {"namespace": NAMESPACE, "deployment": f"target-{number}", "n": str(number)}
    found["fingerprint"] = f"{number:016x}"
    return found


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
    """Notes when each target's generation first rises, by polling its collection quickly from one thread."""

    def __init__(self, cluster: Cluster) -> None:
        """Takes the present generations as known."""
        self._cluster = cluster
        self._known = self._read()
        self.seen: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="generations", daemon=True)

    def _read(self) -> dict[str, int]:
        items = self._cluster.client.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")["items"]
        return {item["metadata"]["name"]: int(item["metadata"]["generation"]) for item in items}

    def _run(self) -> None:
        while not self._stop.is_set():
            for name, generation in self._read().items():
                if generation > self._known[name]:
                    self.seen.setdefault(name, time.perf_counter())

    def wait(self, name: str) -> float:
        """The time at which the target was first seen changed; TimeoutError after REPAIR_SECONDS."""
        ends_at = time.monotonic() + REPAIR_SECONDS
        while name not in self.seen:
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{name} was not changed within {REPAIR_SECONDS} s")
            time.sleep(0.0005)
        return self.seen[name]

    @contextmanager
    def running(self) -> Iterator[GenerationWatch]:
        """Watches while the block lasts."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()


def measure_repair(cluster: Cluster) -> tuple[Spread, Spread]:
    """(alert sent until the Deployment is seen changed, bare PATCH sent until the same), side by side, in turn."""
    cluster.create_namespace(NAMESPACE)
    cluster.apply([deployment(number) for number in range(2 * TARGETS)])
    for number in range(2 * TARGETS):
        cluster.wait_rolled_out(NAMESPACE, f"target-{number}")
    ours: list[float] = []
    bare: list[float] = []
    with PrometheusServer({"prometheus.yml": PROMETHEUS, "rules.yml": RULES}) as prometheus:
        settings = {
            "prometheus": {"url": prometheus.url},
            "kubernetes": {"kubeconfig": str(cluster.kubeconfig_path)},
        }
        with (
            RemediatorServer(settings, policies("auto", free_port())) as remediator,
            GenerationWatch(cluster).running() as watch,
        ):
            _wait_for_rule(prometheus)
            for number in range(TARGETS):
                ours.append(_repair(remediator, watch, number))
                bare.append(_patch(cluster, watch, TARGETS + number))
    return summarise(ours, None, 0), summarise(bare, None, 0)


def _wait_for_rule(prometheus: PrometheusServer) -> None:
    """Returns once the rule has been evaluated."""
    ends_at = time.monotonic() + REPAIR_SECONDS
    while not prometheus.query("controlcore_scrape_collector_last_success_timestamp_seconds"):
        if time.monotonic() > ends_at:
            raise TimeoutError("Prometheus does not evaluate the bench's rule")
        time.sleep(0.1)


def _repair(remediator: RemediatorServer, watch: GenerationWatch, number: int) -> float:
    """Seconds from sending the alert until the change is seen."""
    request = post(remediator.port, WEBHOOKS, payload([alert(number)]), remediator.token)
    connection = Connection(request)
    started = time.perf_counter()
    status, body = connection.send(request.raw)
    connection.close()
    if status != 200:
        raise RuntimeError(f"webhook answered {status}: {body[:200]!r}")
    try:
        return watch.wait(f"target-{number}") - started
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{remediator.process.log_tail()}") from error


def _patch(cluster: Cluster, watch: GenerationWatch, number: int) -> float:
    """Seconds from sending a bare restart patch until the change is seen."""
    annotations = {"controlcore.io/operation-id": uuid.uuid4().hex}
    body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    started = time.perf_counter()
    cluster.client.patch(path_of(number), body)
    return watch.wait(f"target-{number}") - started
