"""Reads the questions for Prometheus in a policy file, as far as their faults show without a Prometheus."""

from __future__ import annotations

import re

from remediations.core.yaml_node import Node

COLLECTORS = (
    "api",
    "audit",
    "backup",
    "bluegreen",
    "bouncer_caches",
    "bouncers",
    "compliance",
    "decision_latency",
    "decisions",
    "logins",
    "opa",
    "opal",
    "pip",
    "policies",
    "policy",
    "policy_parity",
    "policy_sync",
    "postgres",
    "postgres_canary",
    "postgres_maintenance",
    "postgres_server",
    "redis",
    "redis_keys",
    "repository",
    "telemetry",
    "tls",
    "tuning",
    "users",
    "workloads",
)
"""The exporter's collectors; `make generate` writes their names, because the remediator never imports the exporter."""
ALERTS = re.compile(r"\bALERTS(?:_FOR_STATE)?\b")
CLOSING = {")": "(", "]": "[", "}": "{"}
TOKEN = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`|\#[^\n]*|[][(){}"'`]""")
"""A string, a comment, or one bracket or quote of its own.

https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals
"""


def read_promql(node: Node) -> str:
    """A question for Prometheus."""
    promql = node.text()
    if ALERTS.search(promql):
        node.fault("ALERTS says what Prometheus thought, not what is: ask for the metric itself")
    unpaired = find_unpaired(promql)
    if unpaired:
        node.fault(f"not PromQL: {unpaired}")
    return promql


def find_unpaired(promql: str) -> str:
    """The bracket or quote that has no other; empty when each has. The rest of the grammar is Prometheus' own."""
    opened: list[tuple[str, int]] = []
    for found in TOKEN.finditer(promql):
        part, place = found.group(), found.start() + 1
        if part in CLOSING:
            if not opened or opened.pop()[0] != CLOSING[part]:
                return f"{part} in character {place} closes nothing"
        elif part in CLOSING.values():
            opened.append((part, place))
        elif len(part) == 1 and part != "#":
            return f"{part} in character {place} is never closed"
    return "" if not opened else f"{opened[-1][0]} in character {opened[-1][1]} is never closed"


def read_collectors(node: Node) -> tuple[str, ...]:
    """The exporter's collectors behind a question."""
    if node.value == []:
        node.fault("must not be empty: without a collector nobody knows how old the answer is")
    names: list[str] = []
    for item in node.items():
        if item.value in names:
            item.fault(f"{item.value!r} stands here twice")
        else:
            names.append(item.choice(COLLECTORS))
    return tuple(names)
