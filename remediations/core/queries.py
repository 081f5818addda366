"""The Prometheus queries of a policy file, checked as far as possible without a Prometheus."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.json_schema import JsonSchemaValue

from remediations.core.fields import Listed, OneOf, TextForm, Unique

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
"""A string, a comment, or a single bracket or quote.

https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals
"""


def find_unpaired(promql: str) -> str:
    """The bracket or quote without a counterpart; empty if there is none. Prometheus checks the rest of the grammar."""
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


class PromqlForm(TextForm):
    """A query in a policy."""

    def require(self, value: str) -> str:
        """The question."""
        TextForm.require(self, value)
        if ALERTS.search(value):
            raise ValueError("ALERTS shows the state of alerts, not of the product: query the metric itself")
        unpaired = find_unpaired(value)
        if unpaired:
            raise ValueError(f"not PromQL: {unpaired}")
        return value

    def schema(self) -> JsonSchemaValue:
        """Any text without `ALERTS`."""
        return TextForm.schema(self) | {"not": {"pattern": ALERTS.pattern}}


def _some(collectors: tuple[str, ...]) -> tuple[str, ...]:
    """The collectors; raises ValueError without one."""
    if not collectors:
        raise ValueError("must not be empty: without a collector, the age of the result is unknown")
    return collectors


Promql = Annotated[str, PromqlForm()]
Collectors = Annotated[
    Listed[Annotated[str, OneOf(lambda: COLLECTORS)]],
    AfterValidator(_some),
    Unique(),
    Field(json_schema_extra={"minItems": 1}),
]
"""The exporter's collectors behind a query."""
