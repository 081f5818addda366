"""Scrapes of ours and of the peers side by side in one run, with the backends well."""

from __future__ import annotations

import gzip
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tools.bench.client_python import ClientPythonServer
from tools.bench.exporter.setup import Field, opened_field, running_exporter
from tools.bench.load import Spread, cpu_seconds, get, resident_mib, send_many, summarise
from tools.bench.peers import postgres_exporter, redis_exporter
from tools.bench.section import Options, Section, Target, at_least, at_most, table, targets
from tools.servers.http import read_url
from tools.servers.process import Server

BOUNCERS = 42
"""As many as give our page about 2,000 samples."""
ROUNDS = 5
REQUESTS = 100
"""Requests of one server in one round."""
WARM_UP = 20
CPU_REQUESTS = 3000
"""Scrapes for CPU alone: the kernel counts it in hundredths of a second."""
MINUTE_SECONDS = 60.0
INTERVAL_SECONDS = 15.0
OURS = "controlcore-exporter"
POSTGRES, REDIS, CLIENT = "postgres_exporter", "redis_exporter", "client_python's server"


@dataclass(slots=True)
class Racer:
    """One server, and what was measured of it. Times are seconds."""

    name: str
    port: int
    pid: int
    is_kept: bool = True
    times: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    """p50 of each round."""
    samples: int = 0
    bytes: int = 0
    cpu_seconds: float | None = None
    minute_seconds: float | None = None
    resident: float = 0.0

    @property
    def spread(self) -> Spread:
        """All rounds together."""
        return summarise(self.times, self.cpu_seconds, self.bytes)


def count_samples(port: int) -> int:
    """Samples on a page, whichever server's."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
        text = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
    return sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))


@contextmanager
def running_racers(field: Field) -> Iterator[list[Racer]]:
    """Starts ours, the two peers, and client_python's server with our page."""
    with ExitStack() as stack:
        ours = stack.enter_context(running_exporter(field.settings(BOUNCERS)))
        servers: list[tuple[str, int, Server, bool]] = [(OURS, ours.port, ours, True)]
        for name, peer in (
            (POSTGRES, postgres_exporter(field.stores.exporter_url)),
            (REDIS, redis_exporter(field.stores.redis.url)),
        ):
            stack.enter_context(peer)
            servers.append((name, peer.port, peer, True))
        same = stack.enter_context(ClientPythonServer(read_url(f"{ours.url}/metrics").decode()))
        # Its server speaks HTTP/1.0: every scrape is a new connection. Ours is measured in the same way.
        servers += [(CLIENT, same.port, same, False), (f"{OURS}, a connection each", ours.port, ours, False)]
        yield [Racer(name, port, server.process.pid, is_kept) for name, port, server, is_kept in servers]


def race(racers: Sequence[Racer], rounds: int = ROUNDS, requests: int = REQUESTS) -> None:
    """Scrapes each server in turn, several times over, so that a slow moment of the machine meets all."""
    for _ in range(rounds):
        for racer in racers:
            request = get(racer.port, "/metrics")
            send_many(request, WARM_UP, is_kept=racer.is_kept)
            times, racer.bytes = send_many(request, requests, is_kept=racer.is_kept)
            racer.times += times
            racer.rounds.append(summarise(times, None, 0).p50)
    for racer in racers:
        racer.samples, racer.resident = count_samples(racer.port), resident_mib(racer.pid)


def weigh(racers: Sequence[Racer]) -> None:
    """CPU of a scrape: of many for ours and client_python's server, of fewer where each takes long."""
    for racer in racers:
        count = max(REQUESTS, min(CPU_REQUESTS, int(3.0 / racer.spread.p50)))
        before = cpu_seconds(racer.pid)
        send_many(get(racer.port, "/metrics"), count, is_kept=racer.is_kept)
        racer.cpu_seconds = (cpu_seconds(racer.pid) - before) / count


def live_a_minute(racers: Sequence[Racer], seconds: float = MINUTE_SECONDS) -> None:
    """CPU in a minute of scrapes every 15 s: the peers collect during a scrape, ours independently."""
    one_each = list({racer.pid: racer for racer in racers}.values())
    before = {racer.pid: cpu_seconds(racer.pid) for racer in one_each}
    for _ in range(int(seconds / INTERVAL_SECONDS)):
        for racer in one_each:
            count_samples(racer.port)
        time.sleep(INTERVAL_SECONDS)
    for racer in racers:
        racer.minute_seconds = cpu_seconds(racer.pid) - before[racer.pid]


def describe(racers: Sequence[Racer]) -> list[str]:
    """The table."""
    head = ("server", "samples", "p50 / p99 (min to max)", "p50 of the rounds", "CPU a scrape", "CPU a minute", "bytes")
    rows = [
        (
            racer.name,
            racer.samples,
            racer.spread.describe(),
            f"{min(racer.rounds) * 1e3:.2f} to {max(racer.rounds) * 1e3:.2f} ms",
            racer.spread.cpu(),
            "unknown" if racer.minute_seconds is None else f"{racer.minute_seconds * 1e3:.0f} ms",
            racer.bytes,
        )
        for racer in racers
    ]
    return table(head, rows)


def judge(racers: Sequence[Racer]) -> list[Target]:
    """The targets of the section."""
    named = {racer.name: racer.spread for racer in racers}
    ours = named[OURS]
    cpu = ours.cpu_seconds_per_request
    found = [
        at_most("scrape p50 at most 1 ms", 1.0, ours.p50 * 1e3, "ms"),
        at_most("scrape p99 at most 3 ms", 3.0, ours.p99 * 1e3, "ms"),
        at_most("CPU a scrape at most 0.2 ms", 0.2, None if cpu is None else cpu * 1e3, "ms"),
    ]
    for peer, wanted in ((POSTGRES, 10.0), (REDIS, 3.0)):
        ratio = named[peer].p50 / ours.p50 if peer in named else None
        found.append(at_least(f"at least {wanted:.0f} times as fast as {peer} (p50)", wanted, ratio, "times"))
    return found


def scrapes(_: Options) -> list[str]:
    """Scrapes side by side."""
    with opened_field() as opened, running_racers(opened) as racers:
        live_a_minute(racers)
        race(racers)
        weigh(racers)
    return [
        f"{ROUNDS} rounds of {REQUESTS} scrapes each, gzip, in turn; CPU a minute at a scrape every 15 s.",
        "",
        *describe(racers),
        *targets(judge(racers)),
    ]


SECTION = Section("scrape", "Scrapes side by side", scrapes)
