"""How old data is when a real Prometheus scrapes it: mode `phase` against mode `interval`, at 5 s and at 15 s.

The age is the scrape's own timestamp less the time at which the collector's last successful collection began, so it
holds the collection's duration too. A pair of Prometheus servers scrapes one exporter more: their phases differ, and
since nothing is collected twice in an interval only one of them can be served young data.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from exporter.collectors import discover
from tools.bench.exporter.setup import Field, opened_field, read_collections, running_exporter
from tools.bench.section import Options, Section, Target, at_most, table, targets
from tools.servers.prometheus import PrometheusServer
from tools.servers.sidecar import ExporterServer

INTERVALS = (5, 15)
FAST_SECONDS = 15.0
"""Collectors with at most this interval are fast: their interval becomes that of the scrapes."""
LOCK_SECONDS = 120.0
WATCH_SECONDS = 60.0
LIMIT_SECONDS = 1.0
JITTER_SHARE = 0.05
LAST_SUCCESS = "controlcore_scrape_collector_last_success_timestamp_seconds"
LOCKED = "controlcore_exporter_collection_phase_locked"
PHASE, PAIR, INTERVAL = "phase", "pair", "interval"
MODES = {PHASE: "phase", PAIR: "phase", INTERVAL: "interval"}


@dataclass(frozen=True, slots=True)
class Age:
    """One exporter as one Prometheus saw it: ages in seconds of every fast collector at every scrape."""

    kind: str
    interval_seconds: int
    prometheus: str
    ages: tuple[float, ...]
    collections: float | None
    """Most collections of one collector in an interval, on average."""

    @property
    def p95(self) -> float | None:
        """95th percentile; None without a scrape."""
        ordered = sorted(self.ages)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else None


def job_name(kind: str, interval: int) -> str:
    """The job of one exporter."""
    return f"{kind}-{interval}"


def fast_collectors() -> tuple[str, ...]:
    """The collectors whose shipped interval is short."""
    return tuple(spec.name for spec in discover() if spec.settings().interval_seconds <= FAST_SECONDS)


def settings_of(field: Field, mode: str, interval: int) -> dict[str, Any]:
    """An exporter in this mode whose fast collectors collect once in an interval of the scrapes."""
    settings = field.settings()
    collectors: dict[str, Any] = settings["collectors"]
    for name in fast_collectors():
        collectors[name] = {**collectors.get(name, {}), "interval_seconds": interval}
    return {**settings, "collection": {"mode": mode}}


def prometheus_file(replica: str, exporters: dict[tuple[str, int], ExporterServer]) -> str:
    """A configuration that scrapes these exporters, each at its interval; replicas scrape at different times."""
    jobs = [
        {
            "job_name": job_name(kind, interval),
            "scrape_interval": f"{interval}s",
            "scrape_timeout": f"{min(interval, 10)}s",
            "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}],
        }
        for (kind, interval), exporter in exporters.items()
    ]
    return yaml.safe_dump({"global": {"external_labels": {"replica": replica}}, "scrape_configs": jobs})


@dataclass(frozen=True, slots=True)
class Race:
    """All exporters and both Prometheus servers of one run."""

    exporters: dict[tuple[str, int], ExporterServer]
    servers: dict[str, PrometheusServer]


@contextmanager
def running_race(intervals: Sequence[int] = INTERVALS) -> Iterator[Race]:
    """Starts one exporter for each mode and interval, and a pair of Prometheus servers."""
    with ExitStack() as stack:
        field = stack.enter_context(opened_field())
        exporters = {
            (kind, interval): stack.enter_context(running_exporter(settings_of(field, mode, interval)))
            for interval in intervals
            for kind, mode in MODES.items()
        }
        pairs = {key: exporter for key, exporter in exporters.items() if key[0] == PAIR}
        servers = {
            replica: stack.enter_context(PrometheusServer({"prometheus.yml": prometheus_file(replica, scraped)}))
            for replica, scraped in (("a", exporters), ("b", pairs))
        }
        yield Race(exporters, servers)


def wait_until_locked(race: Race) -> None:
    """Returns when every exporter in mode `phase` has learned its scrapers, according to Prometheus."""
    wanted = sum(1 for kind, _ in race.exporters if MODES[kind] == "phase")
    ends_at = time.monotonic() + LOCK_SECONDS
    while len(race.servers["a"].query(f"{LOCKED} == 1")) < wanted:
        if time.monotonic() > ends_at:
            raise RuntimeError(f"not every exporter has learned its scrapers within {LOCK_SECONDS:g} s")
        time.sleep(0.5)


def read_ages(server: PrometheusServer, job: str, seconds: float) -> tuple[float, ...]:
    """The ages at the scrapes of the last seconds, of the fast collectors."""
    names = "|".join(fast_collectors())
    query = f'{LAST_SUCCESS}{{job="{job}",collector=~"{names}"}}[{int(seconds)}s]'
    found = server.read("query", query=query)["result"]
    return tuple(float(moment) - float(value) for series in found for moment, value in series["values"])


def read_pace(exporter: ExporterServer, interval: int, seconds: float) -> float | None:
    """Most collections of one fast collector in an interval, over the last seconds; None when there were too few."""
    paces = []
    fast = set(fast_collectors())
    for name, each in read_collections(exporter).items():
        starts = [start for start in each.starts if start >= each.starts[-1] - seconds] if each.starts else []
        if name in fast and len(starts) > 1:
            paces.append((len(starts) - 1) * interval / (starts[-1] - starts[0]))
    return max(paces, default=None)


def measure_ages(race: Race, seconds: float = WATCH_SECONDS) -> list[Age]:
    """Every exporter as every Prometheus that scrapes it sees it."""
    wait_until_locked(race)
    time.sleep(max(interval for _, interval in race.exporters))  # the first collections in phase have been scraped
    time.sleep(seconds)
    return [
        Age(
            kind,
            interval,
            replica,
            read_ages(server, job_name(kind, interval), seconds),
            read_pace(exporter, interval, seconds),
        )
        for (kind, interval), exporter in race.exporters.items()
        for replica, server in race.servers.items()
        if replica == "a" or kind == PAIR
    ]


def rank(found: Sequence[Age]) -> list[tuple[str, Age]]:
    """Each row with what it is called; of a pair the better served Prometheus comes first."""
    rows: list[tuple[str, Age]] = []
    for interval in sorted({each.interval_seconds for each in found}):
        here = [each for each in found if each.interval_seconds == interval]
        pair = sorted((each for each in here if each.kind == PAIR), key=lambda each: each.p95 or 0.0)
        rows += [("phase, one Prometheus", each) for each in here if each.kind == PHASE]
        rows += list(zip(("phase, a pair: one", "phase, a pair: the other"), pair, strict=False))
        rows += [("interval", each) for each in here if each.kind == INTERVAL]
    return rows


def describe(found: Sequence[Age]) -> list[str]:
    """The table."""
    head = ("scrapes every", "mode", "p50 / p95 (max) of the age", "ages", "collections an interval, at most")
    rows = [
        (
            f"{each.interval_seconds} s",
            name,
            f"{statistics.median(each.ages):.2f} / {each.p95:.2f} s ({max(each.ages):.2f})" if each.ages else "none",
            len(each.ages),
            "unknown" if each.collections is None else f"{each.collections:.2f}",
        )
        for name, each in rank(found)
    ]
    return table(head, rows)


def judge(found: Sequence[Age]) -> list[Target]:
    """p95 of who is to be served young data, and never more than one collection in an interval."""
    aims = [
        at_most(
            f"{name}, every {each.interval_seconds} s: p95 of the age at most {LIMIT_SECONDS:g} s",
            LIMIT_SECONDS,
            each.p95,
            "s",
        )
        for name, each in rank(found)
        if name in {"phase, one Prometheus", "phase, a pair: one"}
    ]
    paces = [each.collections for each in found]
    most = None if None in paces else max(pace for pace in paces if pace is not None)
    aim = f"one collection in an interval, whatever scrapes ({JITTER_SHARE:.0%} for jitter)"
    return [*aims, at_most(aim, 1.0 + JITTER_SHARE, most, "")]


def age(_: Options) -> list[str]:
    """All at the same time on the same backends."""
    with running_race() as race:
        found = measure_ages(race)
    return [
        f"{len(fast_collectors())} fast collectors at the interval of the scrapes, {WATCH_SECONDS:g} s, all at once.",
        "",
        *describe(found),
        *targets(judge(found)),
    ]


SECTION = Section("age", "Age of data at the scrape, with real Prometheus servers", age)
