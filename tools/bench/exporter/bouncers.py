"""One round over 10, 100 and 1,000 bouncers on one core: its time, its CPU, and the sockets it needs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.exporter.fake_bouncers import FarmServer
from tools.bench.exporter.scrape import count_samples
from tools.bench.exporter.setup import read_collections, running_exporter
from tools.bench.load import Spread, cpu_seconds, get, open_sockets, resident_mib, send_many, summarise
from tools.bench.section import Options, Section, Target, at_most, table, targets
from tools.servers.http import read_url
from tools.servers.sidecar import ExporterServer

COUNTS = {10: 1, 100: 1, 1000: 2}
"""How many bouncers, and how many intervals they are watched for after the first round."""
INTERVAL_SECONDS = 15.0
DEADLINE_SECONDS = 14.9
CONCURRENT = {"policy": 16, "bouncer_caches": 8}
"""The shipped `max_concurrent` of the collectors that ask bouncers."""
SAMPLE_SECONDS = 0.01
DROPPED = "controlcore_exporter_dropped_series_total{"
SCRAPES = 100


@dataclass(frozen=True, slots=True)
class Probing:
    """The cost of probing this many bouncers.

    Rounds in seconds; `failures` are rounds that did not reach all in time.
    """

    bouncers: int
    rounds: tuple[float, ...]
    failures: int
    cpu_share: float
    sockets: int
    """Most open sockets beyond those that were open between two rounds."""
    resident: float
    samples: int
    scrape: Spread


def settings_of(farm: FarmServer, count: int) -> dict[str, Any]:
    """An exporter that queries this many bouncers every 15 s, with the default number of concurrent requests."""
    pace = {"interval_seconds": INTERVAL_SECONDS, "timeout_seconds": DEADLINE_SECONDS}
    return {
        "scope": "all",
        "bouncers": farm.bouncers(count),
        "collectors": dict.fromkeys(CONCURRENT, pace),
    }


def keep_to_one_core(pid: int, core: int) -> None:
    """Limits a process and its threads to one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {core})


def separate(exporter: ExporterServer, farm: FarmServer) -> None:
    """Gives the exporter one core, and the farm a second core if there is one."""
    cores = sorted(os.sched_getaffinity(0))
    keep_to_one_core(exporter.process.pid, cores[0])
    keep_to_one_core(farm.process.pid, cores[-1])


def most_sockets(pid: int, seconds: float) -> tuple[int, int]:
    """The least and most sockets that a process had open in this time."""
    ends_at = time.monotonic() + seconds
    seen = [open_sockets(pid)]
    while time.monotonic() < ends_at:
        time.sleep(SAMPLE_SECONDS)
        seen.append(open_sockets(pid))
    return min(seen), max(seen)


def refuse_losses(exporter: ExporterServer) -> None:
    """Raises RuntimeError when series were dropped: the page would not represent this many bouncers."""
    page = read_url(f"{exporter.url}/metrics").decode()
    lost = [line for line in page.splitlines() if line.startswith(DROPPED) and not line.endswith((" 0", " 0.0"))]
    if lost:
        raise RuntimeError(f"the exporter dropped series: {lost}")


def measure_count(count: int, intervals: int) -> Probing:
    """The first round over this many bouncers, and the rounds of some further intervals."""
    with FarmServer() as farm, running_exporter(settings_of(farm, count)) as exporter:
        separate(exporter, farm)
        pid = exporter.process.pid
        before, began = cpu_seconds(pid), time.monotonic()
        least, most = most_sockets(pid, intervals * INTERVAL_SECONDS)
        share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
        results = read_collections(exporter)["policy"].results
        refuse_losses(exporter)
        scrape = summarise(send_many(get(exporter.port, "/metrics"), SCRAPES)[0], None, 0)
        return Probing(
            count,
            tuple(float(each["duration_seconds"]) for each in results),
            sum(not each["is_success"] for each in results),
            share,
            most - least,
            resident_mib(pid),
            count_samples(exporter.port),
            scrape,
        )


def describe(found: Sequence[Probing]) -> list[str]:
    """The table."""
    head = (
        "bouncers",
        "a round (min to max of rounds)",
        "failed",
        "CPU of one core",
        "sockets at most",
        "RSS",
        "samples",
        "scrape",
    )
    rows = [
        (
            f"{each.bouncers:,}",
            f"{min(each.rounds):.2f} to {max(each.rounds):.2f} s ({len(each.rounds)})" if each.rounds else "none ended",
            each.failures,
            f"{each.cpu_share:.1%}",
            each.sockets,
            f"{each.resident:.0f} MiB",
            f"{each.samples:,}",
            each.scrape.describe(),
        )
        for each in found
    ]
    return table(head, rows)


def judge(found: Sequence[Probing]) -> list[Target]:
    """The targets: the slowest round over the most bouncers, and the sockets of all."""
    largest = max(found, key=lambda each: each.bouncers)
    slowest = max(largest.rounds, default=None) if not largest.failures else None
    aim = f"{largest.bouncers:,} bouncers within one interval of {INTERVAL_SECONDS:g} s on one core"
    bound = sum(CONCURRENT.values())
    asked = f"never more than {bound} sockets for probes"
    sockets = max(each.sockets for each in found)
    missed = Target(aim, f"{largest.failures} of {len(largest.rounds)} rounds did not reach all", holds=False)
    return [
        missed if largest.failures else at_most(aim, INTERVAL_SECONDS, slowest, "s"),
        Target(asked, f"{sockets}", sockets <= bound),
    ]


def many_bouncers(_: Options) -> list[str]:
    """Each number in turn."""
    found = [measure_count(count, intervals) for count, intervals in COUNTS.items()]
    return [
        "Each round sends every bouncer three requests (health, allow, deny), each over a new connection, and",
        "also reads the size of its caches; all bouncers are one light process on another core.",
        "",
        *describe(found),
        *targets(judge(found)),
    ]


SECTION = Section("bouncers", "Growth with the number of bouncers", many_bouncers)
