"""The limits and requirements of a policy file besides actions: how much, how often, in which situations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from remediations.core.fields import (
    Age,
    Count,
    Found,
    Name,
    PolicySection,
    Range,
    Text,
    UpToADay,
    WithinADay,
    expect_list,
)
from remediations.core.queries import Collectors, Promql


class LimitScope(StrEnum):
    """The scope in which writes are counted."""

    TARGET = "target"
    ACTION = "action"
    POLICY = "policy"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Limit(PolicySection):
    """At most this many writes within this time, separately for each target, action or policy, or for all together."""

    scope: LimitScope
    """The counted writes: those on each `target`, of each `action` or `policy`, or of the whole `system`."""
    most: Count
    """Maximum number of writes."""
    seconds: WithinADay
    """The time that `most` counts over."""


@dataclass(frozen=True, slots=True)
class StormLimit(PolicySection):
    """This many new alerts within this time are a storm; it lasts until some time after the last such moment."""

    alerts: Annotated[int, Range(2, 5000)] = 50
    """This number of new alerts within `window_seconds` is a storm. If it is too small, an ordinary outage with many
    symptoms is held."""
    window_seconds: WithinADay = 300.0
    """The time that `alerts` counts over."""
    cooldown_seconds: UpToADay = 900.0
    """How long the remediator does nothing after the last moment of the storm."""


@dataclass(frozen=True, slots=True)
class BreakerLimit(PolicySection):
    """This many writes in a row without proven success open the breaker of an action on a target."""

    failures: Count = 3
    """The breaker of an action on a target opens after this number of writes in a row without proven success. It
    also opens after one write that another user or program undid."""
    close_seconds: WithinADay = 14400.0
    """How long after the last of them the breaker closes by itself. If it is too small, the same action is tried again
    and again.
    """


@dataclass(frozen=True, slots=True)
class ConnectionBudget(PolicySection):
    """Database connections of a replica."""

    per_replica: Count
    """How many connections one replica opens at most. If it is too small, new pods may take the last connections."""
    limit: Promql
    """PromQL for the number of connections that the database accepts."""
    collectors: Collectors
    """The exporter's collectors behind it."""
    max_age_seconds: Age = 300.0
    """A limit older than this is unknown, and holds."""
    share: Annotated[float, Range(0.01, 1)] = 0.8
    """The share of the limit that all replicas together may use, with surge and terminating pods. At 1, no connection
    is left for people.
    """


class HoldIf(StrEnum):
    """The result of a policy's own guard that holds."""

    EMPTY = "empty"
    NONEMPTY = "nonempty"


@dataclass(frozen=True, slots=True)
class CustomGuard(PolicySection):
    """A query to Prometheus that the policy's owner defines, and whose result may hold."""

    name: Name
    """Its name in decisions and output."""
    promql: Promql
    """The query, over metrics of any exporter."""
    hold_if: HoldIf
    """Which result holds: `nonempty`, if there is a sample, or `empty`, if there is none."""
    reason: Text
    """The sentence that people read."""
    collectors: Collectors = ()
    """The exporter's collectors behind it; either these or `freshness`."""
    freshness: Promql = ""
    """PromQL whose value is the Unix time of the newest data behind it, for other exporters. Without collectors or
    freshness, an empty result and missing data could not be distinguished."""
    max_age_seconds: Age = 300.0
    """Data older than this holds."""

    def find_faults(self) -> Iterator[Found]:
        """The proof that data arrives."""
        if bool(self.collectors) == bool(self.freshness):
            yield (), "needs either collectors or freshness: otherwise an empty result and missing data look the same"


class Consent(StrEnum):
    """A hold that a policy's owner accepts."""

    CHANGED_CONFIGURATION = "changed_configuration"
    UNREAD_CONFIGURATION = "unread_configuration"
    UNPINNED_IMAGE = "unpinned_image"
    REPLICAS_OWNER = "replicas_owner"
    """Without an autoscaler: the tool that delivers the Deployment may set spec.replicas back."""


Consents = Annotated[
    frozenset[Consent], BeforeValidator(expect_list), Field(json_schema_extra=lambda schema: schema.pop("uniqueItems"))
]
