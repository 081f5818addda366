"""What a policy file allows and demands beside actions: how much, how often, in which situations."""

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
    """What the writes are counted over."""

    TARGET = "target"
    ACTION = "action"
    POLICY = "policy"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Limit(PolicySection):
    """At most so many writes in so much time, for each target, action or policy by itself, or for all together."""

    scope: LimitScope
    """What is counted: the writes on each `target`, of each `action` or `policy`, or of the whole `system`."""
    most: Count
    """Maximum number of writes."""
    seconds: WithinADay
    """The time that `most` counts over."""


@dataclass(frozen=True, slots=True)
class StormLimit(PolicySection):
    """So many new alerts in so much time are a storm; it lasts until so long after the last such moment."""

    alerts: Annotated[int, Range(2, 5000)] = 50
    """This number of new alerts within `window_seconds` is a storm. Too small holds on an ordinary outage, whose
    symptoms are many."""
    window_seconds: WithinADay = 300.0
    """The time that `alerts` counts over."""
    cooldown_seconds: UpToADay = 900.0
    """How long nothing is done after the last moment of the storm."""


@dataclass(frozen=True, slots=True)
class BreakerLimit(PolicySection):
    """So many writes in a row without proven success open the breaker of an action on a target."""

    failures: Count = 3
    """This number of writes in a row without proven success opens the breaker of an action on a target. One that
    somebody else took back opens it alone."""
    close_seconds: WithinADay = 14400.0
    """How long after the last of them it closes by itself. Too small tries the same again and again."""


@dataclass(frozen=True, slots=True)
class ConnectionBudget(PolicySection):
    """What a replica costs the database."""

    per_replica: Count
    """How many connections one replica opens at most. Too small lets new pods take the last ones."""
    limit: Promql
    """PromQL for the number of connections that the database accepts."""
    collectors: Collectors
    """The exporter's collectors behind it."""
    max_age_seconds: Age = 300.0
    """A limit older than this is unknown, and holds."""
    share: Annotated[float, Range(0.01, 1)] = 0.8
    """The part of the limit that all replicas together may use, with surge and pods on their way out. At 1 nothing is
    left for people."""


class HoldIf(StrEnum):
    """Which answer of a policy's own guard holds."""

    EMPTY = "empty"
    NONEMPTY = "nonempty"


@dataclass(frozen=True, slots=True)
class CustomGuard(PolicySection):
    """A question of the policy's owner to Prometheus, whose answer may hold."""

    name: Name
    """Its name in decisions and stories."""
    promql: Promql
    """The question, to any exporter's metrics."""
    hold_if: HoldIf
    """Which answer holds: `nonempty`, when there is a sample, or `empty`, when there is none."""
    reason: Text
    """The sentence that people read."""
    collectors: Collectors = ()
    """The exporter's collectors behind it; either these or `freshness`."""
    freshness: Promql = ""
    """PromQL whose value is the Unix time of the newest data behind it, for other people's exporters. Without one of
    the two, no answer and no data would look the same."""
    max_age_seconds: Age = 300.0
    """Data older than this holds."""

    def find_faults(self) -> Iterator[Found]:
        """How one knows that data arrives at all."""
        if bool(self.collectors) == bool(self.freshness):
            yield (), "needs either collectors or freshness: without, no answer and no data look the same"


class Consent(StrEnum):
    """A lock that a policy's owner has looked at and accepts."""

    CHANGED_CONFIGURATION = "changed_configuration"
    UNREAD_CONFIGURATION = "unread_configuration"
    UNPINNED_IMAGE = "unpinned_image"
    REPLICAS_OWNER = "replicas_owner"
    """Without an autoscaler: that whoever delivers the Deployment may set spec.replicas back."""


Consents = Annotated[
    frozenset[Consent], BeforeValidator(expect_list), Field(json_schema_extra=lambda schema: schema.pop("uniqueItems"))
]
