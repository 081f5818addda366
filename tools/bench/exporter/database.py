"""The load of the exporters on the monitored database in a minute: connections, statements, and its time for them.

The figures are the server's own: pg_stat_activity for connections, pg_stat_statements for statements. Ours and
postgres_exporter have separate roles, so that they are counted separately.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from tools.bench.exporter.scrape import count_samples
from tools.bench.exporter.setup import Field, opened_field, running_exporter
from tools.bench.peers import postgres_exporter
from tools.bench.section import Options, Section, Target, at_most, table, targets
from tools.standin.database import driverless
from tools.standin.stores import DATABASE, EXPORTER_ROLE

OURS, PEER = "controlcore-exporter", "postgres_exporter"
PEER_ROLE, PEER_PASSWORD = "peer_exporter", "loopback-peer"  # a made-up credential of a throw-away server
PRELOAD = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "on"}
ROLES = {EXPORTER_ROLE: OURS, PEER_ROLE: PEER}
WATCH_SECONDS = 60.0
SCRAPE_SECONDS = 15.0
SAMPLE_SECONDS = 0.02
CONNECTIONS_MAX = 2
STATEMENT_LENGTH = 90

CONNECTIONS = """
SELECT usename, count(*) FROM pg_stat_activity
 WHERE usename = ANY(%s) AND backend_type = 'client backend' GROUP BY 1
"""
STATEMENTS = """
SELECT r.rolname, s.calls, s.total_exec_time, s.rows, s.query
  FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
 WHERE r.rolname = ANY(%s) AND s.calls > 0
 ORDER BY s.total_exec_time DESC
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """One normalised statement of one exporter over the time watched; time in milliseconds."""

    who: str
    text: str
    calls: int
    milliseconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class Load:
    """The load measured in `seconds`."""

    seconds: float
    connections: dict[str, int]
    """Most at the same time, by exporter."""
    statements: tuple[Statement, ...]

    def of(self, who: str) -> list[Statement]:
        """The statements of one exporter, the most expensive first."""
        return [each for each in self.statements if each.who == who]


def shorten(text: str, length: int = STATEMENT_LENGTH) -> str:
    """A statement on one line, for a table."""
    words = " ".join(text.split()).replace("|", "\\|")
    return words if len(words) <= length else f"{words[: length - 1]}…"


@contextmanager
def watching(field: Field) -> Iterator[psycopg.Connection]:
    """A superuser's connection to the database, with the extension installed and a role for the peer."""
    with psycopg.connect(driverless(field.stores.database_url), autocommit=True) as admin:
        admin.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        field.stores.postgres.create_user(PEER_ROLE, PEER_PASSWORD)
        field.stores.postgres.run_sql(f"GRANT pg_monitor TO {PEER_ROLE}")
        yield admin


def watch(admin: psycopg.Connection, ports: Sequence[int], seconds: float) -> Load:
    """Scrapes these exporters every 15 s and reads what the server counted; their warm-up does not count."""
    roles = list(ROLES)
    most: Counter[str] = Counter()
    admin.execute("SELECT pg_stat_statements_reset()")
    began = time.monotonic()
    due = began
    while (now := time.monotonic()) < began + seconds:
        if now >= due:
            due += SCRAPE_SECONDS
            for port in ports:
                count_samples(port)
        for role, count in admin.execute(CONNECTIONS, (roles,)).fetchall():
            most[ROLES[role]] = max(most[ROLES[role]], count)
        time.sleep(SAMPLE_SECONDS)
    elapsed = time.monotonic() - began
    found = admin.execute(STATEMENTS, (roles,)).fetchall()
    statements = tuple(Statement(ROLES[role], text, calls, spent, rows) for role, calls, spent, rows, text in found)
    return Load(elapsed, dict(most), statements)


def measure_load(field: Field, seconds: float = WATCH_SECONDS) -> Load:
    """Ours and postgres_exporter side by side."""
    peer = postgres_exporter(field.stores.postgres.dsn(PEER_ROLE, DATABASE, PEER_PASSWORD))
    with watching(field) as admin, running_exporter(field.settings()) as ours, peer:
        count_samples(peer.port)
        return watch(admin, (ours.port, peer.port), seconds)


def describe(load: Load) -> list[str]:
    """What both cost in all, then each statement of ours, then those of the peer."""
    a_minute = 60.0 / load.seconds
    rows = []
    for who in (OURS, PEER):
        found = load.of(who)
        calls, spent = sum(each.calls for each in found), sum(each.milliseconds for each in found)
        mean = f"{spent / calls:.3f} ms" if calls else "none"
        rows.append((who, load.connections.get(who, 0), f"{calls * a_minute:.0f}", mean, f"{spent * a_minute:.1f} ms"))
    head = ("exporter", "connections at most", "statements a minute", "mean", "server's time a minute")
    lines = table(head, rows)
    for who in (OURS, PEER):
        cells = [
            (
                f"`{shorten(each.text)}`",
                f"{each.calls * a_minute:.0f}",
                f"{each.milliseconds / each.calls:.3f} ms",
                f"{each.milliseconds * a_minute:.1f} ms",
                f"{each.rows / each.calls:.0f}",
            )
            for each in load.of(who)
        ]
        lines += ["", *table((f"statement of {who}", "a minute", "mean", "time a minute", "rows"), cells)]
    return lines


def judge(load: Load) -> list[Target]:
    """The bound on connections, and the server's time beside the peer's."""
    aim = f"at most {CONNECTIONS_MAX} connections to the database"
    return [at_most(aim, CONNECTIONS_MAX, load.connections.get(OURS), "", 0)]


def database(_: Options) -> list[str]:
    """A minute of both exporters as shipped."""
    with opened_field(PRELOAD) as field:
        load = measure_load(field)
    return [
        f"{load.seconds:.0f} s of both as shipped, a scrape every {SCRAPE_SECONDS:g} s; ours collects apart.",
        "",
        *describe(load),
        *targets(judge(load)),
    ]


SECTION = Section("database", "Load on the monitored database", database)
