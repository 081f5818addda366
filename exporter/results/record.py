"""The record of one collector: its state, its last values, its last results. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from chassis.errors import Reason
from exporter.collector import CollectorSpec
from exporter.items import Losses
from exporter.metrics import Family
from exporter.results.limits import Admitted, series_in

STALE_INTERVALS = 3
STALE_FLOOR_SECONDS = 60.0
HISTORY_LENGTH = 20
BREAKER_FAILURES = 5
"""Number of collections that raised in a row after which the collector runs only once a minute (or interval)."""


class CollectorState(StrEnum):
    """The state of a collector."""

    PENDING = "pending"
    """Its first collection has not ended."""
    OK = "ok"
    FAILING = "failing"
    NOT_CONFIGURED = "not configured"
    """Its source is not in the configuration; it will not run and publishes nothing."""


@dataclass(frozen=True, slots=True)
class AccessRefusal:
    """Why our own access to a component fails, so that its state is unknown."""

    reason: Reason
    message: str

    def __str__(self) -> str:
        """The refusal as one line."""
        return f"{self.reason.value}: {self.message}"


@dataclass(frozen=True, slots=True)
class CollectionOutcome:
    """How one collection ended. `admitted` None means that it raised and nothing is known."""

    collector: str
    began: float
    """Unix time."""
    began_monotonic: float
    duration_seconds: float
    admitted: Admitted | None = None
    components: dict[str, bool] = field(default_factory=dict)
    reason: Reason | None = None
    """None when it succeeded completely."""
    message: str = ""
    """What went wrong, for the log and the landing page. Never a label."""
    versions: dict[str, str] = field(default_factory=dict)
    """The versions that components report."""
    losses: Losses = field(default_factory=Losses)
    """Dropped items, also of a collection that raised."""
    refused: dict[str, AccessRefusal] = field(default_factory=dict)
    """The components that are unknown because our own access fails."""


@dataclass(frozen=True, slots=True)
class PastResult:
    """The stored summary of an ended collection."""

    began: float
    """Unix time."""
    duration_seconds: float
    reason: Reason | None
    message: str
    series: int | None
    """How many series it gave; None when it raised."""


@dataclass(slots=True)
class CollectorRecord:
    """The full record of one collector."""

    spec: CollectorSpec
    interval_seconds: float
    timeout_seconds: float
    opened_monotonic: float
    state: CollectorState = CollectorState.PENDING
    missing: str = ""
    """Which setting would configure it; empty unless the state is NOT_CONFIGURED."""
    families: tuple[Family, ...] = ()
    components: dict[str, bool] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    series: int | None = None
    """How many series the last collection with values gave; None before there was one."""
    collected_monotonic: float | None = None
    """Start of the collection that gave `families`; None before the first."""
    running_since: float | None = None
    """Start of the running collection (monotonic); None between collections."""
    is_overdue: bool = False
    last: CollectionOutcome | None = None
    last_success: float | None = None
    failures: int = 0
    """Collections in a row that raised."""
    history: deque[PastResult] = field(default_factory=lambda: deque(maxlen=HISTORY_LENGTH))
    """The last results, oldest first."""

    def max_age_seconds(self) -> float:
        """How old values may become before they are dropped."""
        return max(STALE_INTERVALS * self.interval_seconds, STALE_FLOOR_SECONDS)

    def is_stale(self, now_monotonic: float) -> bool:
        """Whether no value is recent enough to be published, although there was time to get one."""
        since = self.opened_monotonic if self.collected_monotonic is None else self.collected_monotonic
        return now_monotonic - since > self.max_age_seconds()


def past_of(outcome: CollectionOutcome) -> PastResult:
    """The summary of an outcome, kept after newer ones."""
    series = None if outcome.admitted is None else sum(series_in(family) for family in outcome.admitted.families)
    return PastResult(outcome.began, outcome.duration_seconds, outcome.reason, outcome.message, series)
