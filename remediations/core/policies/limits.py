"""What a policy file allows and demands beside actions: how much, how often, in which situations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LimitScope(StrEnum):
    """What the writes are counted over."""

    TARGET = "target"
    ACTION = "action"
    POLICY = "policy"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many writes in so much time, for each target, action or policy by itself, or for all together."""

    scope: LimitScope
    most: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StormLimit:
    """So many new alerts in so much time are a storm; it lasts until so long after the last such moment."""

    alerts: int = 50
    window_seconds: float = 300.0
    cooldown_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class BreakerLimit:
    """So many writes in a row without proven success open the breaker of an action on a target."""

    failures: int = 3
    close_seconds: float = 14400.0
    """Seconds after the last of them until it closes by itself."""


@dataclass(frozen=True, slots=True)
class ConnectionBudget:
    """What a replica costs the database."""

    per_replica: int
    limit: str
    """PromQL for the number of connections that the database accepts."""
    collectors: tuple[str, ...]
    max_age_seconds: float = 300.0
    share: float = 0.8
    """So much of the limit may be used by all replicas together."""


class HoldIf(StrEnum):
    """Which answer of a policy's own guard holds."""

    EMPTY = "empty"
    NONEMPTY = "nonempty"


@dataclass(frozen=True, slots=True)
class CustomGuard:
    """A question of the policy's owner to Prometheus, whose answer may hold."""

    name: str
    promql: str
    hold_if: HoldIf
    reason: str
    """The sentence that people read."""
    collectors: tuple[str, ...] = ()
    freshness: str = ""
    """PromQL whose value is the Unix time of the newest data behind the question, for other people's exporters."""
    max_age_seconds: float = 300.0


class Consent(StrEnum):
    """A lock that a policy's owner has looked at and accepts."""

    CHANGED_CONFIGURATION = "changed_configuration"
    UNREAD_CONFIGURATION = "unread_configuration"
    UNPINNED_IMAGE = "unpinned_image"
    REPLICAS_OWNER = "replicas_owner"
    """Without an autoscaler: that whoever delivers the Deployment may set spec.replicas back."""
