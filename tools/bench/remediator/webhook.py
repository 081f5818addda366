"""The webhook's durable acknowledgement."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import yaml

from tools.bench.load import Connection, Spread, cpu_seconds, measure, post, resident_mib, summarise
from tools.servers.ports import free_port
from tools.servers.sidecar import RemediatorServer

WEBHOOKS = "/api/v1/alerts"
TARGETS = 20
OPENING_REQUESTS = 60
NAMESPACE = "controlcore-bench"
COLLECTOR = "api"


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
    """One policy for each target; its witness is an address where nothing listens, so it always confirms."""
    rows = [
        {
            "name": f"restart-{number}",
            "action": "restart_workload",
            "mode": mode,
            "targets": [{"namespace": NAMESPACE, "kind": "Deployment", "name": f"target-{number}"}],
            "condition": {"promql": "vector(1)", "collectors": [COLLECTOR]},
            "verify": {"promql": "vector(2)", "collectors": [COLLECTOR]},
            # The targets were made a moment ago, by the bench itself.
            "human_quiet_seconds": 0,
            "change_quiet_seconds": 0,
            "witnesses": [{"name": "own", "kind": "http", "url": f"http://127.0.0.1:{witness_port}/"}],
        }
        for number in range(TARGETS)
    ]
    document = {"identity": ['cluster="bench"'], "max_actions": 1000, "policies": rows}
    return yaml.safe_dump(document, sort_keys=False)


def many_targets(count: int) -> str:
    """One policy with a target for each alert."""
    document = yaml.safe_load(policies("observe", free_port()))
    (policy, *_) = document["policies"]
    names = [f"target-{number}" for number in range(count)]
    policy["targets"] = [{"namespace": NAMESPACE, "kind": "Deployment", "name": name} for name in names]
    return yaml.safe_dump({**document, "policies": [policy]}, sort_keys=False)


def targeted_alert(number: int) -> dict[str, Any]:
    """An alert that chooses its own target."""
    found = alert(0)
    found["labels"] |= {"namespace": NAMESPACE, "deployment": f"target-{number}", "n": str(number)}
    found["fingerprint"] = f"{number:016x}"
    return found


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
    with RemediatorServer(settings, many_targets(OPENING_REQUESTS * TARGETS)) as remediator:
        rows.append(_measure_opening(remediator))
    return rows


def _measure_opening(remediator: RemediatorServer) -> Acknowledgement:
    """Requests of twenty alerts that each begin a remediation; the engine works on those before meanwhile."""
    request = post(remediator.port, WEBHOOKS, b"", remediator.token)
    connection = Connection(request)
    times: list[float] = []
    before = cpu_seconds(remediator.process.pid)
    for number in range(OPENING_REQUESTS):
        alerts = [targeted_alert(number * TARGETS + each) for each in range(TARGETS)]
        raw = post(remediator.port, WEBHOOKS, payload(alerts), remediator.token).raw
        started = time.perf_counter()
        status, body = connection.send(raw)
        times.append(time.perf_counter() - started)
        if status != 200:
            raise RuntimeError(f"webhook answered {status}: {body[:200]!r}")
    connection.close()
    cpu = (cpu_seconds(remediator.process.pid) - before) / OPENING_REQUESTS
    return Acknowledgement("open", TARGETS, summarise(times, cpu, 0), resident_mib(remediator.process.pid))
