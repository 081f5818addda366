"""`make bench`: prints every figure with its spread; `--write FILE` keeps the same text."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from tools.bench.scrape import Row, measure_frozen, measure_well, opened_field
from tools.bench.webhook import measure_acknowledgement, measure_repair
from tools.servers.kubernetes import open_cluster

TARGETS = """Targets: scrape p50 at most 1 ms at 500 samples, unchanged with the backends frozen; each `*_up 0` within
one interval + 2 s; webhook p99 below 50 ms at 20 alerts; RSS of the exporter at most 80 MiB (100 with Kubernetes),
of the remediator 128. CPU a scrape of ours leaves out collecting, which runs beside it; CPU a minute holds both.
Latencies are p50 / p99 (minimum to maximum) of one run on one machine: quote ratios."""


KINDS = {"repeat": "join open remediations", "open": "begin new ones, while the engine decides those before"}


def machine() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {kind}"


def scrape_table(rows: list[Row]) -> list[str]:
    """Scrapes with everything well."""
    lines = [
        "| server | samples | p50 / p99 (min to max) | CPU a scrape | CPU a minute at 15 s | bytes | RSS |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.spread is None or row.resident is None:
            continue
        minute = "unknown" if row.cpu_seconds_per_minute is None else f"{row.cpu_seconds_per_minute * 1e3:.0f} ms"
        cells = (row.server, row.samples, row.spread.describe(), row.spread.cpu(), minute, row.spread.body_bytes)
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} | {row.resident:.0f} MiB |")
    return lines


def frozen_table(rows: list[Row]) -> list[str]:
    """Scrapes with PostgreSQL and Redis stopped."""
    lines = ["| server | scrape | what it says |", "|---|---|---|"]
    lines += [
        f"| {row.server} | {'none' if row.spread is None else row.spread.describe()} | {row.note} |" for row in rows
    ]
    return lines


def measure_all() -> list[str]:
    """Every section as lines of Markdown."""
    lines = ["# Benchmarks", "", f"Printed by `make bench`. Machine: {machine()}.", "", TARGETS, ""]
    with opened_field() as field:
        lines += ["## Scrapes, 300 each, gzip, one kept connection", "", *scrape_table(measure_well(field)), ""]
        lines += [
            "## The same with PostgreSQL and Redis frozen (SIGSTOP)",
            "",
            *frozen_table(measure_frozen(field)),
            "",
        ]
    lines += ["## Webhook: durable acknowledgement (SQLite, synchronous=FULL)", ""]
    lines += [
        "| alerts a request | what they do | p50 / p99 (min to max) | CPU a request | RSS |",
        "|---|---|---|---|---|",
    ]
    for row in measure_acknowledgement():
        figures = f"{row.spread.describe()} | {row.spread.cpu()} | {row.resident:.0f} MiB"
        lines.append(f"| {row.alerts} | {KINDS[row.kind]} | {figures} |")
    with open_cluster() as cluster:
        ours, bare = measure_repair(cluster)
    lines += ["", "## Alert sent until the Deployment is seen changed, against a bare PATCH", ""]
    lines += ["| way | p50 / p99 (min to max) |", "|---|---|"]
    lines += [f"| alert, journal, facts, decision, PATCH | {ours.describe()} |", f"| bare PATCH | {bare.describe()} |"]
    lines += ["", f"The whole way takes {ours.p50 / bare.p50:.1f} times a bare PATCH (p50)."]
    return lines


def main() -> None:
    """Measures, prints, and writes when asked to."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--write", type=Path, help="write the same text to this file")
    arguments = parser.parse_args()
    text = "\n".join(measure_all()) + "\n"
    print(text, end="")
    if arguments.write is not None:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
