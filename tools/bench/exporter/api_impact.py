"""/health of the API while the database is frozen: with our exporter, without, and with a naive prober.

The API's handlers block its event loop while they wait for the database, so one request that reads it freezes /health
for all clients. The database is frozen just after our canary has found it healthy, which is the worst moment. The naive
prober queries the API's database endpoint every 10 s, like a blackbox probe: it shows the possible harm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tools.bench.exporter.setup import Field, opened_field, running_exporter
from tools.bench.load import Connection, Spread, get, summarise
from tools.bench.section import Options, Section, Target, at_most, table, targets
from tools.servers.http import is_answered, read_page
from tools.standin.faults.datastore import frozen

FREEZE_SECONDS = 15.0
PAUSE_SECONDS = 0.02
PROBE_SECONDS = 10.0
PROBED_PATH = "/opal/bouncer-pairs"
REQUEST_SECONDS = 30.0
MARGIN_MS = 5.0
SLOWEST_MS = 1000.0
"""A request that met a blocked event loop takes seconds."""
ALONE, OURS, NAIVE = "without exporter", "with controlcore-exporter", "with a probe of the API's database endpoint"
CANARY_RUN = 'controlcore_scrape_collector_last_run_timestamp_seconds{collector="postgres_canary"}'
CANARY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Health:
    """Latencies of /health during one freeze."""

    who: str
    spread: Spread


def ask_health(url: str, seconds: float) -> Spread:
    """Queries /health repeatedly over one connection, and waits for late answers."""
    port = int(url.rpartition(":")[2])
    request = get(port, "/health", gzip=False)
    connection = Connection(request)
    times: list[float] = []
    ends_at = time.monotonic() + seconds
    try:
        while time.monotonic() < ends_at:
            started = time.perf_counter()
            connection.send(request.raw)
            times.append(time.perf_counter() - started)
            time.sleep(PAUSE_SECONDS)
    finally:
        connection.close()
    return summarise(times, None, 0)


class _Asker(threading.Thread):
    """Queries /health during the freeze in a separate task, so that the freeze ends in time even without an answer."""

    def __init__(self, url: str) -> None:
        super().__init__(name="health", daemon=True)
        self._url = url
        self.spread: Spread | None = None

    def run(self) -> None:
        """Queries until the freeze is over."""
        self.spread = ask_health(self._url, FREEZE_SECONDS)


def freeze_and_ask(field: Field, who: str) -> Health:
    """The latencies of /health during one freeze of the database."""
    asker = _Asker(field.standin.api_url)
    with frozen(field.stores.postgres):
        asker.start()
        time.sleep(FREEZE_SECONDS)
    asker.join(REQUEST_SECONDS)
    if asker.spread is None:
        raise RuntimeError("/health did not answer after the freeze")
    _wait_for(lambda: is_answered(f"{field.standin.api_url}/health"), REQUEST_SECONDS)
    return Health(who, asker.spread)


def _wait_for(holds: Callable[[], bool], seconds: float) -> None:
    ends_at = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(0.05)


@contextmanager
def probing(url: str) -> Iterator[None]:
    """Queries an address every 10 s, whatever the result."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            is_answered(url, timeout_seconds=5.0)
            stop.wait(PROBE_SECONDS)

    thread = threading.Thread(target=run, name="prober", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def measure_harm(field: Field) -> list[Health]:
    """The three in turn."""
    found = [freeze_and_ask(field, ALONE)]
    with running_exporter(field.settings()) as ours:
        page = f"{ours.url}/metrics"
        known = read_page(page).get(CANARY_RUN)
        _wait_for(lambda: read_page(page).get(CANARY_RUN) != known, CANARY_SECONDS)
        found.append(freeze_and_ask(field, OURS))
    with probing(f"{field.standin.api_url}{PROBED_PATH}"):
        found.append(freeze_and_ask(field, NAIVE))
    return found


def describe(found: Sequence[Health]) -> list[str]:
    """The table."""
    rows = [(each.who, each.spread.count, each.spread.describe()) for each in found]
    return table(("who asks besides", "answers", "/health: p50 / p99 (min to max)"), rows)


def judge(found: Sequence[Health]) -> list[Target]:
    """Our exporter compared with none, and whether the naive prober proves that the measurement detects harm."""
    named = {each.who: each.spread for each in found}
    alone, ours, naive = named[ALONE], named[OURS], named[NAIVE]
    limit = alone.p99 * 1e3 + MARGIN_MS
    blocked = naive.most > 100 * alone.p99
    return [
        at_most(
            f"p99 with ours at most {MARGIN_MS:g} ms above that without ({limit:.2f} ms)", limit, ours.p99 * 1e3, "ms"
        ),
        at_most("no request waits for the database: slowest with ours at most 1,000 ms", 1000.0, ours.most * 1e3, "ms"),
        Target("harm would be seen: the probe freezes /health", f"slowest {naive.most:.2f} s", blocked),
    ]


def harm(_: Options) -> list[str]:
    """The API without its own traffic, so that only the probers can freeze it."""
    with opened_field(traffic_interval_seconds=0.0) as field:
        found = measure_harm(field)
    return [
        f"The database is frozen for {FREEZE_SECONDS:g} s, just after our canary found it well; no other traffic.",
        "",
        *describe(found),
        *targets(judge(found)),
    ]


SECTION = Section("harm", "Do no harm: /health of the API with the database frozen", harm)
