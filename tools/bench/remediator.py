"""The remediator's sections: figures of tools/bench/webhook.py as Markdown."""

from __future__ import annotations

from tools.bench.repair import Comparison, measure_repair
from tools.bench.section import Options, Section, at_most, table, targets
from tools.bench.webhook import Acknowledgement, measure_acknowledgement
from tools.servers.kubernetes import open_cluster

KINDS = {"repeat": "join open remediations", "open": "begin new ones, while the engine decides those before"}
ACKNOWLEDGED_MS = 50.0
RESIDENT_MIB = 128.0
REPAIR_RATIO = 1.5
REPAIR_SECONDS = 1.0
STAGES = {
    "acknowledged": "alert sent until 200: parsed, matched, on disk",
    "claimed": "alert parsed until a worker has it, the commit included",
    "facts": "facts: 2 rounds of reads (Prometheus; Kubernetes) and a probe of our own",
    "evidence": "first judgement, then evidence: 1 round of reads",
    "judged": "waiting for its turn, history, guards, plan",
    "intent": "decision, evidence and intent on disk",
    "sent": "PATCH until its answer",
}
"""The first one overlaps with what follows: the worker begins when the alert is on disk."""


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


def describe_repair(found: Comparison) -> list[str]:
    """Both ways, where the time of ours goes, and the targets."""
    rows = (
        ("alert, journal, facts, decision, PATCH", found.ours.describe()),
        ("bare PATCH over a connection of its own", found.bare.describe()),
    )
    lines = table(("way", "p50 / p99 (min to max)"), rows)
    stages = [(STAGES[name], f"{seconds * 1e3:.2f} ms") for name, seconds in found.stages.items()]
    lines += ["", *table(("stage of the whole way", "median"), stages)]
    ratio = found.ours.p50 / found.bare.p50
    lines += ["", f"CPU of the remediator for one repair, verification included: {found.cpu_seconds * 1e3:.0f} ms."]
    return lines + targets(
        (
            at_most("p50 at most 1.5 times a bare PATCH", REPAIR_RATIO, ratio, "times"),
            at_most("p99 at most 1 s", REPAIR_SECONDS, found.ours.p99, "s"),
        )
    )


def repair(_: Options) -> list[str]:
    """The way from an alert to the changed Deployment against a bare PATCH, on a real API server."""
    with open_cluster() as cluster:
        return describe_repair(measure_repair(cluster))


SECTIONS = (
    Section("acknowledgement", "Webhook: durable acknowledgement (SQLite, synchronous=FULL)", acknowledgement),
    Section("repair", "Alert sent until the Deployment is seen changed, against a bare PATCH", repair),
)
