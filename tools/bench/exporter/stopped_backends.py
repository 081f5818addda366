"""Scrapes with PostgreSQL, Redis, OPA and the API stopped by SIGSTOP, and how soon each is reported as down.

Each backend is stopped just after its collection, which is the worst moment: a whole interval passes before the next
one. The database comes last, because the API hangs with it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from tools.bench.exporter.setup import Field, api_pid, opened_field, read_collections, running_exporter
from tools.bench.load import Connection, Spread, get, send_many, summarise
from tools.bench.peers import postgres_exporter, redis_exporter
from tools.bench.section import Options, Section, Target, at_most, table, targets
from tools.servers.http import read_page
from tools.servers.sidecar import ExporterServer
from tools.standin.faults.datastore import frozen

LAST_RUN = "controlcore_scrape_collector_last_run_timestamp_seconds"
REQUESTS = 300
LIMIT_MS = 5.0
GRACE_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
SCRAPE_TIMEOUT_SECONDS = 10.0
"""Prometheus' default scrape timeout: a later answer does not count."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A stopped backend, the collector that detects it, and its series."""

    collector: str
    series: str
    stop: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How long it took until the series was 0; None when it did not come."""

    series: str
    interval_seconds: float
    seconds: float | None

    def judge(self) -> Target:
        """Whether it came in time."""
        aim = f"`{self.series}` 0 within one interval ({self.interval_seconds:g} s) and {GRACE_SECONDS:g} s"
        if self.seconds is None:
            return Target(aim, f"not within {PATIENCE_SECONDS:g} s", holds=False)
        return at_most(aim, self.interval_seconds + GRACE_SECONDS, self.seconds, "s")


@contextmanager
def _stopping(field: Field) -> Iterator[tuple[Backend, ...]]:
    """The backends in the order in which they are stopped; all are resumed at the end."""
    pid = api_pid(field.standin)
    bouncer = field.bouncers()[0]["name"]
    with ExitStack() as stack:
        stack.callback(os.kill, pid, signal.SIGCONT)

        def freeze(server: object) -> Callable[[], object]:
            return lambda: stack.enter_context(frozen(server))  # type: ignore[arg-type] # each has freeze and thaw

        yield (
            Backend("api", 'controlcore_component_up{component="api"}', lambda: os.kill(pid, signal.SIGSTOP)),
            Backend("redis", "controlcore_redis_up", freeze(field.stores.redis)),
            Backend("opa", f'controlcore_opa_up{{bouncer="{bouncer}"}}', freeze(field.engine)),
            Backend("postgres_canary", "controlcore_postgres_up", freeze(field.stores.postgres)),
        )


class _Watcher:
    """Reads our page repeatedly, and records when series of stopped backends are 0."""

    def __init__(self, ours: ExporterServer) -> None:
        self._ours = ours
        self._since: dict[str, float] = {}
        self.seen: dict[str, float] = {}

    def stop(self, backend: Backend) -> None:
        """Waits until the backend's collector has just ended a collection, and stops the backend."""
        run = f'{LAST_RUN}{{collector="{backend.collector}"}}'
        known = self._look().get(run)
        self._until(lambda page: page.get(run) != known)
        backend.stop()
        self._since[backend.series] = time.monotonic()

    def wait(self) -> None:
        """Returns when all are reported as down, or the time is over."""
        with suppress(TimeoutError):
            self._until(lambda _: len(self.seen) == len(self._since))

    def _until(self, holds: Callable[[dict[str, float]], bool]) -> None:
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not holds(self._look()):
            if time.monotonic() > ends_at:
                raise TimeoutError(f"waited in vain:\n{self._ours.process.log_tail()}")
            time.sleep(POLL_SECONDS)

    def _look(self) -> dict[str, float]:
        page = read_page(f"{self._ours.url}/metrics")
        for series, stopped_at in self._since.items():
            if page.get(series) == 0:
                self.seen.setdefault(series, time.monotonic() - stopped_at)
        return page


def stop_all(ours: ExporterServer, backends: Sequence[Backend]) -> list[Verdict]:
    """Stops one backend after the other and measures how soon each was reported as down."""
    intervals = {name: each.interval_seconds for name, each in read_collections(ours).items()}
    watcher = _Watcher(ours)
    for backend in backends:
        watcher.stop(backend)
    watcher.wait()
    return [Verdict(each.series, intervals[each.collector], watcher.seen.get(each.series)) for each in backends]


def one_scrape(port: int) -> str:
    """One scrape of a peer within Prometheus' default timeout: nothing, or its report about its backend."""
    request = replace(get(port, "/metrics", gzip=False), timeout_seconds=SCRAPE_TIMEOUT_SECONDS)
    started = time.monotonic()
    connection = Connection(request)
    try:
        _, body = connection.send(request.raw)
    except OSError:
        return f"no answer in {time.monotonic() - started:.1f} s: every series is lost"
    finally:
        connection.close()
    said = [line for line in body.decode().splitlines() if line.startswith(("pg_up ", "redis_up "))]
    return f"answers after {time.monotonic() - started:.2f} s: {', '.join(said) or 'no *_up at all'}"


def describe(well: Spread, stopped: Spread, peers: Sequence[tuple[str, str]]) -> list[str]:
    """Ours before and while, and one scrape of each peer."""
    rows = [
        ("controlcore-exporter, all well", well.describe()),
        ("controlcore-exporter, all four stopped", stopped.describe()),
        *peers,
    ]
    return table(("server", "scrape: p50 / p99 (min to max)"), rows)


def judge(stopped: Spread, verdicts: Sequence[Verdict]) -> list[Target]:
    """The targets of the section."""
    return [
        at_most(f"scrape p99 with all stopped at most {LIMIT_MS:g} ms", LIMIT_MS, stopped.p99 * 1e3, "ms"),
        *(verdict.judge() for verdict in verdicts),
    ]


def measure_frozen(field: Field) -> list[str]:
    """Everything of the section on running backends."""
    with (
        running_exporter(field.settings()) as ours,
        postgres_exporter(field.stores.exporter_url) as postgres,
        redis_exporter(field.stores.redis.url) as redis,
    ):
        request = get(ours.port, "/metrics")
        well = summarise(send_many(request, REQUESTS)[0], None, 0)
        with _stopping(field) as backends:
            verdicts = stop_all(ours, backends)
            stopped = summarise(send_many(request, REQUESTS)[0], None, 0)
            peers = [(peer.name, one_scrape(peer.port)) for peer in (postgres, redis)]
    return [*describe(well, stopped, peers), *targets(judge(stopped, verdicts))]


def frozen_backends(_: Options) -> list[str]:
    """Scrapes while nothing answers."""
    with opened_field() as field:
        return measure_frozen(field)


SECTION = Section("frozen", "PostgreSQL, Redis, OPA and the API stopped (SIGSTOP)", frozen_backends)
