"""Reads the parts of a policy file that several places share: queries, windows, limits, guards, the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from remediations.core.policies.limits import (
    BreakerLimit,
    ConnectionBudget,
    Consent,
    CustomGuard,
    HoldIf,
    Limit,
    LimitScope,
    StormLimit,
)
from remediations.core.policies.policy import Query
from remediations.core.policies.time_windows import MAX_WINDOW_SECONDS, Window, WindowError, parse_cron, parse_moment
from remediations.core.queries import read_collectors, read_promql
from remediations.core.yaml_node import Node, Range, not_allowed

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
NAME_RULE = "a name: lower-case letters, digits, - and _, at most 63 characters"
COUNT = Range(1, 1000)
ARRIVALS = Range(2, 5000)
DAY = 86400.0
NUMBERS = {
    "cooldown_seconds": Range(0, DAY),
    "budget_seconds": Range(1, DAY),
    "verify_timeout_seconds": Range(1, DAY),
    "expires_seconds": Range(1, DAY),
    "retry_seconds": Range(0.1, 3600),
    "max_actions_seconds": Range(1, DAY),
    "max_age_seconds": Range(1, 3600),
    "timeout_seconds": Range(0.1, 30),
    "human_quiet_seconds": Range(0, DAY),
    "change_quiet_seconds": Range(0, DAY),
    "approval_seconds": Range(1, DAY),
    "window_seconds": Range(1, DAY),
    "close_seconds": Range(1, DAY),
    "seconds": Range(1, DAY),
    "duration_seconds": Range(60, MAX_WINDOW_SECONDS),
    "share": Range(0.01, 1),
}
"""No window reaches beyond a day: the journal's history for decisions does not either."""


def read_numbers(nodes: Mapping[str, Node], seconds: tuple[str, ...], counts: tuple[str, ...]) -> dict[str, Any]:
    """The numbers that are given; the others keep their defaults."""
    given: dict[str, Any] = {name: nodes[name].number(NUMBERS[name]) for name in seconds if name in nodes}
    return given | {name: nodes[name].integer(COUNT) for name in counts if name in nodes}


def read_names(node: Node) -> tuple[str, ...]:
    """A list of names without repetition."""
    names: list[str] = []
    for item in node.items():
        name = item.text(NAME, NAME_RULE)
        if name in names:
            item.fault(f"{name!r} stands here twice")
        names.append(name)
    return tuple(names)


def read_query(node: Node) -> Query:
    """A question to Prometheus; it must say which collectors make its answer fresh."""
    nodes = node.keys(("promql", "collectors", "max_age_seconds"), ("promql", "collectors"))
    promql = read_promql(nodes["promql"]) if "promql" in nodes else ""
    collectors = read_collectors(nodes["collectors"]) if "collectors" in nodes else ()
    return Query(promql, collectors, **read_numbers(nodes, ("max_age_seconds",), ()))


def read_queries(node: Node) -> dict[str, Query]:
    """Questions by name."""
    entries = node.entries()
    for name, item in entries.items():
        Node(name, item.path, item.faults).text(NAME, NAME_RULE)
    return {name: read_query(item) for name, item in entries.items()}


def read_windows(node: Node) -> tuple[Window, ...]:
    """Times: each either a cron line with a duration, or from one moment to another; always with a time zone."""
    return tuple(window for window in (_window(item) for item in node.items()) if window is not None)


def _window(node: Node) -> Window | None:
    """One window; None when it cannot be read."""
    nodes = node.keys(("name", "timezone", "cron", "duration_seconds", "from", "to"), ("name", "timezone"))
    pair = {"cron", "duration_seconds"} if "cron" in nodes else {"from", "to"}
    if not pair <= set(nodes) or (set(nodes) - pair) != {"name", "timezone"}:
        node.fault("expected name and timezone, and either cron with duration_seconds, or from with to")
        return None
    name, faults = nodes["name"].text(), len(node.faults)
    try:
        zone = ZoneInfo(nodes["timezone"].text() or "?")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        nodes["timezone"].fault("is no time zone of the IANA database, like Europe/Berlin")
        return None
    try:
        if "cron" in nodes:
            seconds = nodes["duration_seconds"].number(NUMBERS["duration_seconds"])
            return Window(name, zone, parse_cron(nodes["cron"].text()), seconds)
        begins_at = parse_moment(nodes["from"].text(), zone)
        ends_at = parse_moment(nodes["to"].text(), zone, is_end=True)
    except WindowError as error:
        if len(node.faults) == faults:
            node.fault(str(error))
        return None
    if ends_at <= begins_at:
        node.fault("ends before it begins")
    return Window(name, zone, begins_at=begins_at, ends_at=ends_at)


def read_guards(node: Node) -> tuple[CustomGuard, ...]:
    """The policy owner's own questions."""
    guards = [_guard(item) for item in node.items()]
    names = [guard.name for guard in guards]
    for name in sorted({name for name in names if names.count(name) > 1}):
        node.fault(f"the name {name!r} is used {names.count(name)} times")
    return tuple(guards)


def _guard(node: Node) -> CustomGuard:
    """One question: which answer holds, why, and how one knows that data arrives at all."""
    allowed = ("name", "promql", "hold_if", "reason", "collectors", "freshness", "max_age_seconds")
    nodes = node.keys(allowed, ("name", "promql", "hold_if", "reason"))
    if ("collectors" in nodes) == ("freshness" in nodes):
        node.fault("needs either collectors or freshness: without, no answer and no data look the same")
    return CustomGuard(
        nodes["name"].text(NAME, NAME_RULE) if "name" in nodes else "",
        read_promql(nodes["promql"]) if "promql" in nodes else "",
        HoldIf(nodes["hold_if"].choice(list(HoldIf))) if "hold_if" in nodes else HoldIf.NONEMPTY,
        nodes["reason"].text() if "reason" in nodes else "",
        read_collectors(nodes["collectors"]) if "collectors" in nodes else (),
        read_promql(nodes["freshness"]) if "freshness" in nodes else "",
        **read_numbers(nodes, ("max_age_seconds",), ()),
    )


def read_consents(node: Node) -> frozenset[Consent]:
    """The locks that the policy's owner accepts."""
    return frozenset(Consent(item.choice(list(Consent))) for item in node.items())


def read_connections(node: Node) -> ConnectionBudget:
    """What a replica costs the database."""
    allowed = ("per_replica", "limit", "collectors", "max_age_seconds", "share")
    nodes = node.keys(allowed, ("per_replica", "limit", "collectors"))
    return ConnectionBudget(
        nodes["per_replica"].integer(COUNT) if "per_replica" in nodes else 1,
        read_promql(nodes["limit"]) if "limit" in nodes else "",
        read_collectors(nodes["collectors"]) if "collectors" in nodes else (),
        **read_numbers(nodes, ("max_age_seconds", "share"), ()),
    )


def read_limits(node: Node) -> tuple[Limit, ...]:
    """Budgets: at most so many writes in so much time, for each of something."""
    limits = []
    for item in node.items():
        nodes = item.keys(("scope", "most", "seconds"), ("scope", "most", "seconds"))
        if set(nodes) == {"scope", "most", "seconds"}:
            scope = LimitScope(nodes["scope"].choice(list(LimitScope)))
            limits.append(Limit(scope, nodes["most"].integer(COUNT), nodes["seconds"].number(NUMBERS["seconds"])))
    return tuple(limits)


def read_storm(node: Node) -> StormLimit:
    """When alerts are a storm."""
    nodes = node.keys(("alerts", "window_seconds", "cooldown_seconds"))
    alerts = {"alerts": nodes["alerts"].integer(ARRIVALS)} if "alerts" in nodes else {}
    return StormLimit(**alerts, **read_numbers(nodes, ("window_seconds", "cooldown_seconds"), ()))


def read_breaker(node: Node) -> BreakerLimit:
    """When repairs that do not help stop."""
    nodes = node.keys(("failures", "close_seconds"))
    return BreakerLimit(**read_numbers(nodes, ("close_seconds",), ("failures",)))


def read_graph(node: Node, known: Mapping[str, Query]) -> dict[str, tuple[str, ...]]:
    """Which dependency stands on which; reports names that nobody defines, and circles."""
    graph = {name: read_names(item) for name, item in node.entries().items()}
    for name, below in graph.items():
        for other in (name, *below):
            if other not in known:
                node.child(name, None).fault(not_allowed(other, known))
        if name in closure(below, graph):
            node.child(name, None).fault("stands on itself")
    return graph


def closure(names: tuple[str, ...], graph: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names and everything that they stand on, each once; a root cause comes after its symptom."""
    found: list[str] = []
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting += graph.get(name, ())
    return tuple(found)
