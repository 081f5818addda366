"""The remediator's sections: figures of tools/bench/webhook.py as Markdown."""

from __future__ import annotations

from tools.bench.section import Options, Section, at_most, table, targets
from tools.bench.webhook import Acknowledgement, measure_acknowledgement, measure_repair
from tools.servers.kubernetes import open_cluster

KINDS = {"repeat": "join open remediations", "open": "begin new ones, while the engine decides those before"}
ACKNOWLEDGED_MS = 50.0
RESIDENT_MIB = 128.0


def describe_acknowledgement(rows: list[Acknowledgement]) -> list[str]:
    """Each number of alerts, and the worst p99 and memory against their targets."""
    cells = [
        (row.alerts, KINDS[row.kind], row.spread.describe(), row.spread.cpu(), f"{row.resident:.0f} MiB")
        for row in rows
    ]
    head = ("alerts a request", "what they do", "p50 / p99 (min to max)", "CPU a request", "RSS")
    slowest = max(row.spread.p99 * 1e3 for row in rows)
    largest = max(row.resident for row in rows)
    return table(head, cells) + targets(
        (
            at_most("p99 at most 50 ms", ACKNOWLEDGED_MS, slowest, "ms"),
            at_most("RSS at most 128 MiB", RESIDENT_MIB, largest, "MiB", 0),
        )
    )


def acknowledgement(_: Options) -> list[str]:
    """Durable acknowledgements of webhooks."""
    return describe_acknowledgement(measure_acknowledgement())


def repair(_: Options) -> list[str]:
    """The way from an alert to the changed Deployment against a bare PATCH, on a real API server."""
    with open_cluster() as cluster:
        ours, bare = measure_repair(cluster)
    rows = (("alert, journal, facts, decision, PATCH", ours.describe()), ("bare PATCH", bare.describe()))
    times = f"The whole way takes {ours.p50 / bare.p50:.1f} times a bare PATCH (p50)."
    return [*table(("way", "p50 / p99 (min to max)"), rows), "", times]


SECTIONS = (
    Section("acknowledgement", "Webhook: durable acknowledgement (SQLite, synchronous=FULL)", acknowledgement),
    Section("repair", "Alert sent until the Deployment is seen changed, against a bare PATCH", repair),
)
