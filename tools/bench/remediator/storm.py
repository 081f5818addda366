"""The effect of a storm of alerts: one huge request, a thousand alerts a second, and the memory afterwards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from tools.bench.load import Connection, Spread, cpu_seconds, post, resident_mib, summarise
from tools.bench.remediator.webhook import TARGETS, WEBHOOKS, alert, payload, policies, targeted_alert
from tools.servers.ports import free_port
from tools.servers.sidecar import RemediatorServer

STORM_ALERTS = 5000
STORMS = 2
ALERTS_PER_SECOND = 1000
SUSTAINED_SECONDS = 5.0
SENDERS = 4
"""Connections that send side by side, as Alertmanager's groups do."""


@dataclass(frozen=True, slots=True)
class Storm:
    """Huge requests, each of alerts that were not known before."""

    seconds: tuple[float, ...]
    resident: float
    """MiB after all of them."""
    idle: float
    """MiB before the first."""


@dataclass(frozen=True, slots=True)
class Sustained:
    """Requests at a fixed rate; each latency counts from when the request was due, so waiting in line counts too."""

    alerts: int
    """In one request."""
    rate: float
    """Alerts a second that were really sent."""
    spread: Spread


def measure_storm() -> Storm:
    """Each request begins STORM_ALERTS remediations; the engine works on those before meanwhile."""
    settings = {"prometheus": {"url": f"http://127.0.0.1:{free_port()}"}}
    with RemediatorServer(settings, policies("observe", free_port())) as remediator:
        idle = resident_mib(remediator.process.pid)
        seconds = []
        for number in range(STORMS):
            alerts = [targeted_alert(number * STORM_ALERTS + each) for each in range(STORM_ALERTS)]
            request = post(remediator.port, WEBHOOKS, payload(alerts), remediator.token)
            connection = Connection(request)
            started = time.perf_counter()
            status, body = connection.send(request.raw)
            seconds.append(time.perf_counter() - started)
            connection.close()
            if status != 200:
                raise RuntimeError(f"webhook answered {status}: {body[:200]!r}")
        return Storm(tuple(seconds), resident_mib(remediator.process.pid), idle)


def measure_sustained(alerts: int) -> Sustained:
    """ALERTS_PER_SECOND for SUSTAINED_SECONDS in requests of this size; the first ones open, the others join."""
    settings = {"prometheus": {"url": f"http://127.0.0.1:{free_port()}"}}
    with RemediatorServer(settings, policies("observe", free_port())) as remediator:
        body = payload([alert(number % TARGETS) for number in range(alerts)])
        raw = post(remediator.port, WEBHOOKS, body, remediator.token).raw
        count = int(ALERTS_PER_SECOND * SUSTAINED_SECONDS / alerts)
        pace = alerts / ALERTS_PER_SECOND
        before = cpu_seconds(remediator.process.pid)
        started = time.perf_counter()
        times = _send_paced(remediator, raw, count, pace)
        took = time.perf_counter() - started
        cpu = (cpu_seconds(remediator.process.pid) - before) / count
    return Sustained(alerts, count * alerts / took, summarise(times, cpu, 0))


def _send_paced(remediator: RemediatorServer, raw: bytes, count: int, pace: float) -> list[float]:
    """Sends `count` requests, one every `pace` seconds, over SENDERS connections; the latencies in seconds."""
    times: list[float] = []
    failures: list[str] = []
    begins_at = time.perf_counter() + 0.1

    def run(first: int) -> None:
        connection = Connection(post(remediator.port, WEBHOOKS, b"", remediator.token))
        for number in range(first, count, SENDERS):
            due = begins_at + number * pace
            time.sleep(max(0.0, due - time.perf_counter()))
            status, body = connection.send(raw)
            times.append(time.perf_counter() - due)
            if status != 200:
                failures.append(f"{status}: {body[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=run, args=(first,), name=f"sender-{first}") for first in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures or len(times) != count:
        raise RuntimeError(f"{len(failures)} of {count} refused, {count - len(times)} lost: {failures[:1]}")
    return times
