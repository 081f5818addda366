"""The cost of a large journal, and how soon a killed remediator continues."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remediations.journal.sqlite.adapter import open_journal
from tools.bench.load import Connection, post
from tools.bench.remediator.webhook import NAMESPACE, TARGETS, WEBHOOKS, alert, payload, policies
from tools.servers.ports import free_port
from tools.servers.sidecar import ROOT, RemediatorServer

ROWS = 100_000
RECORDS_EACH = 3
DETAIL = "x" * 500
LISTINGS = 20
LISTS = 3
KILLS = 5
PAUSE_SECONDS = 0.1
"""Between two alerts, so that none waits for the one before."""
WAIT_SECONDS = 30.0
BEGIN = """
INSERT INTO remediation (id, policy, namespace, kind, name, state, alert, created_at, updated_at, next_at, fence,
    reason, operation_id, plan, written_at)
VALUES (?, 'restart-0', ?, 'Deployment', ?, 'succeeded', ?, ?, ?, ?, 1, 'succeeded', ?, ?, ?)"""
RECORD = "INSERT INTO record (remediation, at, kind, state, data) VALUES (?, ?, ?, 'succeeded', ?)"


@dataclass(frozen=True, slots=True)
class Large:
    """A journal of ROWS remediations against an empty one. Seconds."""

    size_bytes: int
    query: float
    """The question behind `list`, median."""
    whole: float
    """`controlcore-remediator list` from start to end, median."""
    whole_empty: float
    start: float
    """From starting `serve` until it answers."""
    decided: float
    """From an alert's receipt until its decision, median."""
    decided_empty: float


def measure_large() -> Large:
    """An empty journal and one with ROWS closed remediations in it, side by side and in turn."""
    with _server() as empty, _server() as large:
        large.stop()
        fill(large.journal_path, time.time())
        started = time.perf_counter()
        large.start()
        start = time.perf_counter() - started
        whole = [(_time_list(empty), _time_list(large)) for _ in range(LISTS)]
        decided = _decide_in_turn((empty, large))
        return Large(
            large.journal_path.stat().st_size,
            asyncio.run(_time_query(large.journal_path)),
            statistics.median(pair[1] for pair in whole),
            statistics.median(pair[0] for pair in whole),
            start,
            decided[1],
            decided[0],
        )


def _server() -> RemediatorServer:
    """A remediator whose Prometheus refuses, so that every alert is decided at once: held."""
    settings = {"prometheus": {"url": f"http://127.0.0.1:{free_port()}"}}
    return RemediatorServer(settings, policies("observe", free_port()))


def fill(path: Path, now: float) -> None:
    """Writes ROWS closed remediations of the last 80 days, and the stories behind them, straight into the file."""
    about = json.dumps({**_stored_alert(), "annotations": {"description": DETAIL}})
    plan = json.dumps({"action": "restart_workload"})
    step = 80 * 86400.0 / ROWS
    with closing(sqlite3.connect(path)) as connection, connection:
        for number in range(ROWS):
            at = now - 86400.0 - (ROWS - number) * step
            name = f"{int(at * 1000) * 0x10000 + number % 0x10000:016x}{number:08x}"
            place = (NAMESPACE, f"old-{number % 50}")
            connection.execute(BEGIN, (name, *place, about, at, at + 60, at, name, plan, at + 1))
            for kind in ("received", "decision", "verification")[:RECORDS_EACH]:
                connection.execute(RECORD, (name, at, kind, json.dumps({"detail": DETAIL})))


def _stored_alert() -> dict[str, Any]:
    """An alert as the journal keeps it."""
    found = alert(0)
    return {
        "fingerprint": found["fingerprint"],
        "name": "Bench",
        "is_firing": True,
        "labels": found["labels"],
        "starts_at": found["startsAt"],
    }


async def _time_query(path: Path) -> float:
    """The median of the listing behind `list`."""
    times = []
    async with open_journal(path, is_checked=False) as journal:
        for _ in range(LISTINGS):
            started = time.perf_counter()
            await journal.listing()
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def _time_list(remediator: RemediatorServer) -> float:
    """A whole process that lists."""
    command = (sys.executable, "-m", "remediations", "--config.file", str(remediator.settings_path), "list")
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _decide_in_turn(remediators: Sequence[RemediatorServer]) -> list[float]:
    """The median time from receipt to decision over one alert for each policy, one after the other, of each."""
    since = time.time()
    for number in range(TARGETS):
        for remediator in remediators:
            _send(remediator, alert(number))
            time.sleep(PAUSE_SECONDS)
    return [statistics.median(_decided(remediator, since)) for remediator in remediators]


def _decided(remediator: RemediatorServer, since: float) -> list[float]:
    """Seconds from receipt to the first decision of everything that was received since then."""
    question = """
        SELECT min(decided.at) - received.at FROM record AS received
        JOIN record AS decided ON decided.remediation = received.remediation AND decided.kind = 'decision'
        WHERE received.kind = 'received' AND received.at >= ? GROUP BY received.remediation"""
    ends_at = time.monotonic() + WAIT_SECONDS
    times: list[float] = []
    with closing(sqlite3.connect(f"file:{remediator.journal_path}?mode=ro", uri=True, timeout=5)) as connection:
        while time.monotonic() < ends_at and len(times) < TARGETS:
            times = [float(row[0]) for row in connection.execute(question, (since,)).fetchall()]
            time.sleep(0.1)
    if len(times) < TARGETS:
        raise TimeoutError(f"{len(times)} of {TARGETS} alerts were decided")
    return times


def _send(remediator: RemediatorServer, one: dict[str, Any]) -> None:
    """Delivers an alert."""
    request = post(remediator.port, WEBHOOKS, payload([one]), remediator.token)
    connection = Connection(request)
    status, body = connection.send(request.raw)
    connection.close()
    if status != 200:
        raise RuntimeError(f"webhook answered {status}: {body[:200]!r}")


def measure_resume() -> list[float]:
    """Seconds from SIGKILL until the next record of the remediation that was claimed, KILLS times.

    Its Prometheus accepts and never answers, so the claim is always held when the process is killed.
    """
    times = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            "prometheus": {"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout_seconds": 8},
            "worker": {"facts_timeout_seconds": 8, "lease_seconds": 10},
        }
        with RemediatorServer(settings, policies("observe", free_port())) as remediator:
            _send(remediator, alert(0))
            for _ in range(KILLS):
                before = _wait_claimed(remediator, 0)
                killed = time.perf_counter()
                remediator.kill()
                remediator.start()
                _wait_claimed(remediator, before)
                times.append(time.perf_counter() - killed)
    return times


def _wait_claimed(remediator: RemediatorServer, after: int) -> int:
    """The number of the newest claim's record, once there is one after the given."""
    question = "SELECT max(number) FROM record WHERE kind = 'claimed'"
    ends_at = time.monotonic() + WAIT_SECONDS
    with closing(sqlite3.connect(f"file:{remediator.journal_path}?mode=ro", uri=True, timeout=5)) as connection:
        while time.monotonic() < ends_at:
            ((number,),) = connection.execute(question).fetchall()
            if number is not None and number > after:
                return int(number)
            time.sleep(0.005)
    raise TimeoutError("the remediation is not claimed")
