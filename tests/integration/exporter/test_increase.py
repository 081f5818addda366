"""What Prometheus makes of the counters: never more than what happened, whatever happens to the audit log meanwhile."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.fakes.running_exporter import running_exporter
from tests.fakes.short_rows import allow_short_rows
from tests.fakes.waiting import wait_for
from tools.servers.prometheus import PrometheusServer
from tools.servers.versions import Generation
from tools.standin.database import drop_tables, install_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.running_exporter import RunningExporter
    from tools.servers.postgres import PostgresServer

pytestmark = pytest.mark.timeout(150)

WINDOW = "10m"
SCRAPE_SECONDS = 1.0
DECISIONS, FAILURES = "controlcore_policy_decisions_total", "controlcore_login_failures_total"
COLLECTORS = ("decisions", "logins")
CONFIGURATION = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: exporter
    static_configs: [{{targets: ["{address}"], labels: {{instance: exporter}}}}]
"""
SETTINGS = {
    name: {"interval_seconds": 0.4, "timeout_seconds": 5.0, "settle_seconds": 0.2, "query_timeout_seconds": 3.0}
    for name in COLLECTORS
}
INSERT = "INSERT INTO audit_logs (event_type, outcome, environment) "
OLD_ROWS = """
INSERT INTO audit_logs (event_type, outcome, environment)
SELECT e, o, 'sandbox'
  FROM generate_series(1, {rows}) n, (VALUES ('ACCESS_GRANTED', 'PERMIT'), ('USER_LOGIN_FAILED', 'FAILURE')) AS v (e, o)
"""


@dataclass
class World:
    """One database, one exporter that is restarted at times, and Prometheus servers that scrape it all along."""

    server: PostgresServer
    url: str
    folder: Path
    stack: ExitStack
    servers: tuple[PrometheusServer, ...] = ()
    exporter: RunningExporter | None = None
    written: dict[str, int] = field(default_factory=lambda: {DECISIONS: 0, FAILURES: 0})
    since_start: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.removeprefix("/")

    def run(self, sql: str) -> None:
        self.server.run_sql(sql, self.name)

    def start(self) -> None:
        """Runs a new exporter; the target of the Prometheus servers keeps its name."""
        if self.exporter is not None:
            self.exporter.end()
        self.since_start = {DECISIONS: 0, FAILURES: 0}
        settings = {"database": {"url": self.url}, "collectors": SETTINGS, "guide_names": False}
        self.exporter = self.stack.enter_context(running_exporter(self.folder, settings))
        address = self.exporter.url.removeprefix("http://")
        files = {"prometheus.yml": CONFIGURATION.format(address=address)}
        if not self.servers:
            self.servers = tuple(
                self.stack.enter_context(PrometheusServer(files, generation)) for generation in Generation
            )
        else:
            for server in self.servers:
                server.write_files(files)
                server.reload()
        self.settle()

    def write(self, decisions: int, failures: int) -> None:
        """Writes rows that count, and waits until every Prometheus has seen them counted."""
        rows = ["('ACCESS_GRANTED', 'PERMIT', 'production')"] * decisions
        rows += ["('USER_LOGIN_FAILED', 'FAILURE', NULL)"] * failures
        self.run(f"{INSERT} VALUES {', '.join(rows)}")
        for metric, count in ((DECISIONS, decisions), (FAILURES, failures)):
            self.written[metric] += count
            self.since_start[metric] += count
        self.settle()

    def settle(self) -> None:
        """Returns once collections began after now, and every Prometheus shows what was written since the start."""
        now = time.time()
        assert self.exporter is not None
        self.exporter.wait_for(lambda samples: all(last_run(samples, name) > now + 0.7 for name in COLLECTORS), 20)
        for server in self.servers:
            wait_until(lambda server=server: shown(server) == self.since_start, f"{server.url}: {self.since_start}")


def shown(server: PrometheusServer) -> dict[str, float | None]:
    return {metric: server.value(f"sum({metric})") for metric in (DECISIONS, FAILURES)}


def last_run(samples: dict[str, float], collector: str) -> float:
    return samples.get(f'controlcore_scrape_collector_last_success_timestamp_seconds{{collector="{collector}"}}', 0.0)


def wait_until(holds: Callable[[], bool], message: str, seconds: float = 20.0) -> None:
    wait_for(holds, seconds, describe=lambda: message)


def increase_of_samples(server: PrometheusServer, metric: str) -> float:
    """The sum of all rises of every series, a fall counting as a reset: what increase() is without extrapolation."""
    found = 0.0
    for series in server.read("query", query=f"{metric}[{WINDOW}]")["result"]:
        values = [float(value) for _, value in series["values"]]
        found += sum(b - a if b >= a else b for a, b in pairwise(values))
    return found


@contextmanager
def opened_world(server: PostgresServer, url: str, folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(server, url, folder, stack)
        install_schema(url)
        allow_short_rows(url)
        world.run(OLD_ROWS.format(rows=50))
        world.start()
        yield world


def truncate(world: World) -> None:
    """Empties the table; the first rows of an empty one may be a restored backup and do not count."""
    world.run("TRUNCATE audit_logs")
    world.settle()
    world.run(OLD_ROWS.format(rows=7))


def recreate(world: World) -> None:
    """Drops the tables and brings them back with a backup's rows, as CC_DROP_TABLES and a restore do."""
    drop_tables(world.url)
    allow_short_rows(world.url)
    world.run(OLD_ROWS.format(rows=300))


EVENTS: dict[str, Callable[[World], None]] = {
    "restart": World.start,
    "purge of the old": lambda world: world.run("DELETE FROM audit_logs WHERE id <= 40"),
    "purge of everything": lambda world: world.run("DELETE FROM audit_logs"),
    "truncate": truncate,
    "truncate and restore": lambda world: world.run(
        "TRUNCATE audit_logs RESTART IDENTITY; " + OLD_ROWS.format(rows=500)
    ),
    "schema change": lambda world: world.run(
        "ALTER TABLE audit_logs ADD IF NOT EXISTS latency_ms float8, DROP COLUMN IF EXISTS reason"
    ),
    "rewrite": lambda world: world.run("VACUUM FULL audit_logs"),
    "another installation": recreate,
}


@pytest.mark.parametrize("seed", [1])
def test_increase_is_exactly_what_was_written_whatever_happens_in_between(postgres_server, database, tmp_path, seed):
    """Each event happens between two writes, in a random order for each seed."""
    order = random.Random(seed).sample(sorted(EVENTS), len(EVENTS))  # noqa: S311 - an order, no secret
    with opened_world(postgres_server, database, tmp_path) as world:
        for number, name in enumerate(order, 1):
            world.write(decisions=number, failures=2 * number)
            EVENTS[name](world)
            world.settle()
        world.write(decisions=3, failures=1)
        for server in world.servers:
            for metric, written in world.written.items():
                assert increase_of_samples(server, metric) == written, (server.generation, metric, order)
                extrapolated = server.value(f"sum(increase({metric}[{WINDOW}]))")
                seconds = server.value(f"count_over_time(up[{WINDOW}])") * SCRAPE_SECONDS
                limit = written * (1 + 2.2 * SCRAPE_SECONDS / (seconds - 2))
                assert extrapolated is not None
                assert 0 < extrapolated <= limit, (server.generation, metric, order)
