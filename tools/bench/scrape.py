"""Scrapes of ours and of the peers in one run: well, and with their backends frozen."""

from __future__ import annotations

import gzip
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from demo.observation import read_page
from demo.standin.datastore import frozen
from demo.standin.running import BOUNCERS, running_standin
from demo.stores import Stores, opened_stores
from tools.bench.load import Connection, Spread, cpu_seconds, get, measure, resident_mib
from tools.bench.peers import Peer, postgres_exporter, redis_exporter
from tools.bench.section import Options, Section, table
from tools.servers.sidecar import ExporterServer

COUNT = 300
SAMPLES_WANTED = 500
BOUNCER_COUNT = 14
"""So many bouncers that our page has at least SAMPLES_WANTED samples, as postgres_exporter's has."""
DOWN_SECONDS = 60.0
MINUTE_SECONDS = 60.0
INTERVAL_SECONDS = 15.0
SCRAPE_TIMEOUT_SECONDS = 10.0
"""Prometheus' default scrape timeout: an answer that comes later is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One server's figures."""

    server: str
    samples: int | None
    spread: Spread | None
    note: str = ""
    resident: float | None = None
    cpu_seconds_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """What is measured: the backends, ours and the peers."""

    stores: Stores
    ours: ExporterServer
    peers: tuple[Peer, Peer]


@contextmanager
def opened_field() -> Iterator[Field]:
    """Starts the backends, the stand-in, our exporter and the two peers."""
    with ExitStack() as stack:
        stores = stack.enter_context(opened_stores())
        standin = stack.enter_context(running_standin(stores.database_url, stores.redis.url))
        settings = {
            "database": {"url": stores.exporter_url},
            "redis": {"url": stores.redis.url},
            "api": {"url": standin.api_url},
            "scope": "all",
            "bouncers": [
                {"name": f"bouncer-{number}", "url": standin.bouncers[BOUNCERS[number % len(BOUNCERS)]]}
                for number in range(BOUNCER_COUNT)
            ],
        }
        ours = stack.enter_context(ExporterServer(settings))
        peers = (
            stack.enter_context(postgres_exporter(stores.exporter_url)),
            stack.enter_context(redis_exporter(stores.redis.url)),
        )
        _wait_for_page(ours)
        yield Field(stores, ours, peers)


def _wait_for_page(ours: ExporterServer) -> None:
    """Returns when every collector has run."""
    ends_at = time.monotonic() + 30
    while read_page(f"{ours.url}/metrics").get("controlcore_postgres_up") != 1:
        if time.monotonic() > ends_at:
            raise RuntimeError(f"our exporter has no figures yet:\n{ours.process.log_tail()}")
        time.sleep(0.2)
    time.sleep(12)  # one full interval of the slowest default collector, so that the page is whole


def count_samples(port: int) -> int:
    """Samples on a page, whichever server's."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
        text = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
    return sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))


def measure_well(field: Field) -> list[Row]:
    """Every server with its backends well, over one kept connection with gzip."""
    minutes = _measure_minute(field)
    rows = []
    for name, port, pid in _servers(field):
        spread = measure(get(port, "/metrics"), count=COUNT, pid=pid)
        rows.append(Row(name, count_samples(port), spread, "", resident_mib(pid), minutes[name]))
    return rows


def _measure_minute(field: Field) -> dict[str, float]:
    """CPU seconds of each server in a minute of scrapes every 15 s.

    The peers collect within a scrape and ours beside it: only a whole minute holds the cost of both.
    """
    servers = _servers(field)
    before = {name: cpu_seconds(pid) for name, _, pid in servers}
    for _ in range(int(MINUTE_SECONDS / INTERVAL_SECONDS)):
        for _, port, _ in servers:
            count_samples(port)
        time.sleep(INTERVAL_SECONDS)
    return {name: cpu_seconds(pid) - before[name] for name, _, pid in servers}


def measure_frozen(field: Field) -> list[Row]:
    """Every server with PostgreSQL and Redis stopped, and how soon ours says so."""
    rows = []
    with frozen(field.stores.postgres), frozen(field.stores.redis):
        started = time.monotonic()
        delays = _await_down(field.ours, started)
        ours, *peers = _servers(field)
        spread = measure(get(ours[1], "/metrics"), count=COUNT, pid=ours[2])
        note = ", ".join(f"{name} {_say_delay(seconds)}" for name, seconds in sorted(delays.items()))
        rows.append(Row(ours[0], None, spread, note))
        rows += [Row(name, None, None, _one_scrape(port)) for name, port, _ in peers]
    return rows


def _await_down(ours: ExporterServer, started: float) -> dict[str, float | None]:
    """Seconds until each `*_up` is 0 on our page; None for one that is not within DOWN_SECONDS."""
    delays: dict[str, float | None] = {"controlcore_postgres_up": None, "controlcore_redis_up": None}
    while None in delays.values() and time.monotonic() - started < DOWN_SECONDS:
        page = read_page(f"{ours.url}/metrics")
        for name in [each for each, seconds in delays.items() if seconds is None and page.get(each) == 0]:
            delays[name] = time.monotonic() - started
        time.sleep(0.1)
    return delays


def _say_delay(seconds: float | None) -> str:
    return f"NOT 0 within {DOWN_SECONDS:.0f} s" if seconds is None else f"0 after {seconds:.1f} s"


def _one_scrape(port: int) -> str:
    """What one scrape of a peer brings within Prometheus' default timeout: nothing, or what it says of its backend."""
    request = get(port, "/metrics", gzip=False)
    started = time.monotonic()
    try:
        connection = Connection(replace(request, timeout_seconds=SCRAPE_TIMEOUT_SECONDS))
        _, body = connection.send(request.raw)
    except OSError:
        return f"no answer in {time.monotonic() - started:.1f} s: every series is lost"
    connection.close()
    said = [line for line in body.decode().splitlines() if line.startswith(("pg_up ", "redis_up "))]
    return f"answers after {time.monotonic() - started:.2f} s: {', '.join(said) or 'no *_up at all'}"


def _servers(field: Field) -> list[tuple[str, int, int]]:
    """Name, port and pid of each server, ours first."""
    servers = [("controlcore-exporter", field.ours.port, field.ours.process.pid)]
    return servers + [(peer.name, peer.port, peer.process.pid) for peer in field.peers]


def scrape_table(rows: list[Row]) -> list[str]:
    """Scrapes with everything well."""
    cells = []
    for row in rows:
        if row.spread is None or row.resident is None:
            continue
        minute = "unknown" if row.cpu_seconds_per_minute is None else f"{row.cpu_seconds_per_minute * 1e3:.0f} ms"
        figures = (row.spread.describe(), row.spread.cpu(), minute, row.spread.body_bytes)
        cells.append((row.server, row.samples, *figures, f"{row.resident:.0f} MiB"))
    head = ("server", "samples", "p50 / p99 (min to max)", "CPU a scrape", "CPU a minute at 15 s", "bytes", "RSS")
    return table(head, cells)


def frozen_table(rows: list[Row]) -> list[str]:
    """Scrapes with PostgreSQL and Redis stopped."""
    cells = [(row.server, "none" if row.spread is None else row.spread.describe(), row.note) for row in rows]
    return table(("server", "scrape", "what it says"), cells)


def well(_: Options) -> list[str]:
    """Scrapes side by side with the backends well."""
    with opened_field() as field:
        return scrape_table(measure_well(field))


def stopped(_: Options) -> list[str]:
    """Scrapes side by side with the backends frozen."""
    with opened_field() as field:
        return frozen_table(measure_frozen(field))


SECTIONS = (
    Section("scrape", "Scrapes, 300 each, gzip, one kept connection", well),
    Section("frozen", "The same with PostgreSQL and Redis frozen (SIGSTOP)", stopped),
)
