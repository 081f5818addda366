"""The remediator's sections: figures of tools/bench/remediator/webhook.py as Markdown."""

from __future__ import annotations

from tools.bench.remediator.journal import ROWS, measure_large, measure_resume
from tools.bench.remediator.repair import Comparison, measure_repair
from tools.bench.remediator.storm import STORM_ALERTS, measure_storm, measure_sustained
from tools.bench.remediator.webhook import Acknowledgement, measure_acknowledgement
from tools.bench.section import Options, Section, at_most, table, targets
from tools.servers.kubernetes.cluster import open_cluster

KINDS = {"repeat": "join open remediations", "open": "begin new ones, while the engine decides those before"}
ACKNOWLEDGED_MS = 50.0
RESIDENT_MIB = 128.0
REPAIR_RATIO = 1.5
STORM_SECONDS = 1.0
SUSTAINED = (20, 5)
RESUMED_SECONDS = 10.0
LISTED_MS = 100.0
DECIDED_RATIO = 1.2
REPAIR_SECONDS = 1.0
STAGES = {
    "acknowledged": "alert sent until 200: parsed, matched, on disk",
    "claimed": "alert parsed until a worker has it, the commit included",
    "facts": "facts and evidence: Prometheus in 2 rounds, Kubernetes in 3, a probe of our own",
    "evidence": "evidence that had to wait for a plan (first decisions: none)",
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
        ("bare PATCH over a new connection", found.bare.describe()),
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


def storm(_: Options) -> list[str]:
    """Huge requests, and the memory that stays."""
    found = measure_storm()
    rows = [
        (f"{number * STORM_ALERTS:,} to {(number + 1) * STORM_ALERTS:,}", f"{seconds * 1e3:.0f} ms")
        for number, seconds in enumerate(found.seconds)
    ]
    lines = table(("new alerts, in one request", "until 200"), rows)
    lines += ["", f"RSS before {found.idle:.0f} MiB, afterwards {found.resident:.0f} MiB."]
    return lines + targets(
        (
            at_most("5,000 alerts in one request stored in less than 1 s", STORM_SECONDS, max(found.seconds), "s"),
            at_most("RSS at most 128 MiB after 10,000 alerts", RESIDENT_MIB, found.resident, "MiB", 0),
        )
    )


def sustained(_: Options) -> list[str]:
    """A thousand alerts a second from another process."""
    found = [measure_sustained(alerts) for alerts in SUSTAINED]
    rows = [(row.alerts, f"{row.rate:.0f}", row.spread.describe(), row.spread.cpu()) for row in found]
    head = ("alerts a request", "alerts a second", "p50 / p99 (min to max), from when it was due", "CPU a request")
    slowest = max(row.spread.p99 * 1e3 for row in found)
    return table(head, rows) + targets((at_most("p99 at most 50 ms", ACKNOWLEDGED_MS, slowest, "ms"),))


def resume(_: Options) -> list[str]:
    """How soon a killed remediator continues."""
    found = measure_resume()
    text = f"{len(found)} kills while a claim was held: {', '.join(f'{seconds:.2f}' for seconds in found)} s."
    return [text, *targets((at_most("SIGKILL until resumed at most 10 s", RESUMED_SECONDS, max(found), "s"),))]


def large(_: Options) -> list[str]:
    """The cost of a hundred thousand remediations in the journal."""
    found = measure_large()
    rows = (
        ("question behind `list`", "", f"{found.query * 1e3:.1f} ms"),
        ("`list`, the whole process", f"{found.whole_empty * 1e3:.0f} ms", f"{found.whole * 1e3:.0f} ms"),
        ("alert received until decided", f"{found.decided_empty * 1e3:.1f} ms", f"{found.decided * 1e3:.1f} ms"),
        ("`serve` started until it answers", "", f"{found.start:.1f} s"),
    )
    head = ("what", "empty journal", f"{ROWS:,} remediations, {found.size_bytes / 2**20:.0f} MiB")
    ratio = found.decided / found.decided_empty
    return table(head, rows) + targets(
        (
            at_most("the question behind `list` at most 100 ms", LISTED_MS, found.query * 1e3, "ms", 1),
            at_most("decision time unchanged (at most 1.2 times)", DECIDED_RATIO, ratio, "times"),
        )
    )


SECTIONS = (
    Section("acknowledgement", "Webhook: durable acknowledgement (SQLite, synchronous=FULL)", acknowledgement),
    Section("repair", "Alert sent until the Deployment is seen changed, against a bare PATCH", repair),
    Section("storm", "Webhook: 5,000 new alerts in one request, twice", storm),
    Section("sustained", "Webhook: 1,000 alerts a second for 5 s", sustained),
    Section("resume", "Killed while it held a claim", resume),
    Section("journal", "A journal of 100,000 remediations", large),
)
