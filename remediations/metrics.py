"""The remediator's own metrics. Label values come from closed sets and the policy file, never from an alert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from chassis.http.connection_limits import Dropped
from chassis.process.build_info import build_info, version
from chassis.process.loop_watchdog import LoopWatchdog
from remediations.core.model.remediation import CLOSED, State
from remediations.journal.port import Sizes

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)


class Notification(StrEnum):
    """The outcome of one webhook request."""

    STORED = "stored"
    REJECTED = "rejected"
    """Too large, or aborted by the sender."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    """A valid credential without the needed role."""
    UNAVAILABLE = "unavailable"
    """Answered 503: Alertmanager keeps it and sends it again."""
    MALFORMED = "malformed"
    """Answered 400: not JSON, or not version 4."""


class AlertStatus(StrEnum):
    """The outcome of one alert of a stored request."""

    STORED = "stored"
    """Began a remediation."""
    DUPLICATE = "duplicate"
    """Joined an open one."""
    RESOLVED = "resolved"
    QUARANTINED = "quarantined"
    UNMATCHED = "unmatched"
    OWN = "own"
    """One of our announcements that was routed back, or an alert of `doctor`: nothing begins."""


class Announcement(StrEnum):
    """The outcome of one request to one Alertmanager."""

    SENT = "sent"
    FAILED = "failed"
    """It is sent again until it arrives or is no longer true."""


class EventStatus(StrEnum):
    """The outcome of one Event about a target."""

    CREATED = "created"
    FAILED = "failed"
    """Dropped: the right is missing, or the API server did not answer for a long time."""


class ActionOutcome(StrEnum):
    """The outcome of executing a plan; the last five come from verification."""

    WRITTEN = "written"
    REPLAYED = "replayed"
    """The object already carried the operation id: the write had arrived before."""
    DRY_RUN = "dry_run"
    DRY_RUN_REFUSED = "dry_run_refused"
    CHANGED = "changed"
    """The object had changed since the plan; decided again."""
    REFUSED = "refused"
    HELD = "held"
    """The server refused for now (a disruption budget)."""
    UNKNOWN = "unknown"
    """No answer: whether it arrived is checked before anything else."""
    LOST = "lost"
    """An error or no answer, and nothing was stored: an attempt that counts."""
    WAITING = "waiting"
    """Between two steps: the check after the first is not true yet."""
    STOPPED = "stopped"
    """The check after the first step did not become true in time: the others were not sent."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    REVERTED = "reverted"
    """Failed because someone else undid the write."""
    ESCALATED = "escalated"
    """Failed, and the policy's ladder has another rung."""


@dataclass(slots=True, eq=False)
class _JournalGauges(Collector):
    """The current state, as far as known: an unknown value is absent, never 0."""

    open: Mapping[State, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    is_writable: bool | None = None
    is_paused: bool | None = None
    watchdog_at: float | None = None
    doctor_at: float | None = None
    sources: dict[str, bool] = field(default_factory=dict)
    downgraded: Mapping[str, bool | None] = field(default_factory=dict)
    is_web_config_successful: bool | None = None
    are_credentials_readable: bool | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families, each without a sample if the value is unknown."""
        family = GaugeMetricFamily(
            "controlcore_remediation_open", "Remediations that are not closed, by state.", labels=("state",)
        )
        for state, number in self.open.items():
            family.add_metric((state.value,), number)
        yield family
        family = GaugeMetricFamily(
            "controlcore_remediation_journal_size_bytes",
            "Bytes of the journal's file (part data) and of its write-ahead log (part log).",
            labels=("part",),
        )
        for part, size in self.sizes.items():
            family.add_metric((part,), size)
        yield family
        yield _single(
            "controlcore_remediation_journal_writable",
            "1 when the journal could be written just now.",
            self.is_writable,
        )
        yield _single(
            "controlcore_remediation_paused", "1 while a pause or the pause file is in force.", self.is_paused
        )
        yield _single(
            "controlcore_remediation_webhook_last_watchdog_timestamp_seconds",
            "Unix time at which the alert ControlCoreWatchdog was last stored; absent until then.",
            self.watchdog_at,
        )
        yield _single(
            "controlcore_remediation_webhook_last_doctor_alert_timestamp_seconds",
            "Start, as a Unix time, of the newest alert of doctor --send-alert that was delivered; absent until then.",
            self.doctor_at,
        )
        yield _single(
            "controlcore_remediator_web_config_last_reload_successful",
            "Whether the last reload of server.web_config_file succeeded (1), or the previous one is still "
            "in force (0).",
            self.is_web_config_successful,
        )
        yield _single(
            "controlcore_remediator_credentials_readable",
            "Whether every token file had a token when it was last read (1); at 0, earlier tokens are still "
            "accepted, or there is none.",
            self.are_credentials_readable,
        )
        family = GaugeMetricFamily(
            "controlcore_remediator_source_up",
            "Whether Prometheus or Alertmanager answered its last probe (1) or not (0); absent before the first one.",
            labels=("source",),
        )
        for source, is_up in self.sources.items():
            family.add_metric((source,), float(is_up))
        yield family
        family = GaugeMetricFamily(
            "controlcore_remediation_policy_downgraded",
            "1 for a policy in auto that waits for approval because the API server does not limit our rights, 0 for "
            "one that acts; absent while unknown.",
            labels=("remediation",),
        )
        for policy, is_downgraded in self.downgraded.items():
            if is_downgraded is not None:
                family.add_metric((policy,), float(is_downgraded))
        yield family


class _Loop(Collector):
    """Blocks of the event loop, as counted by the watchdog."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Both counters."""
        watchdog = self._telemetry.watchdog
        yield CounterMetricFamily(
            "controlcore_remediation_event_loop_stalls",
            "Times that the remediator's event loop was blocked for 2 s or more; it answered no request meanwhile.",
            value=watchdog.stalls,
        )
        yield CounterMetricFamily(
            "controlcore_remediation_event_loop_blocked_seconds",
            "Total time that the remediator's event loop was blocked, in blocks of 2 s or more.",
            value=watchdog.blocked_seconds,
        )


def _single(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    """A gauge without labels; no sample if the value is None."""
    return GaugeMetricFamily(name, text, value=None if value is None else float(value))


class Telemetry:
    """Every metric of the program, on its own registry. Counters start at 0 for the given policy names.

    Creating it reads the installed version from the disk: do it off the event loop.
    """

    def __init__(self, policies: Iterable[str] = ()) -> None:
        self.version = version()
        self.registry = CollectorRegistry()
        build_info(self.registry, "controlcore_remediator_build_info")
        self._notifications = self._counter(
            "remediation_webhook_notifications", "Webhook requests, by outcome.", "status"
        )
        self._alerts = self._counter("remediation_webhook_alerts", "Alerts of stored requests, by outcome.", "status")
        self._decisions = self._counter(
            "remediation_decisions", "Decisions by policy and reason.", "remediation", "decision", "reason"
        )
        self._actions = self._counter(
            "remediation_actions", "Executed plans by outcome.", "remediation", "action", "outcome"
        )
        self._truncated = self._counter(
            "remediation_webhook_truncated_alerts", "Alerts that Alertmanager left out (set max_alerts to 0)."
        )
        self._dropped = Counter(
            "controlcore_remediator_connections_dropped",
            "Connections and requests that were refused before they were read, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self._announcements = self._counter(
            "remediation_announcements", "Requests to an Alertmanager with announcements.", "status"
        )
        self._events = self._counter("remediation_events", "Kubernetes Events about the targets.", "status")
        self._errors = self._counter("remediation_engine_errors", "Internal errors that ended a step of the engine.")
        self._duration = self._histogram(
            "remediation_duration_seconds", "Time from the write to the verdict.", "action"
        )
        self._to_write = self._histogram(
            "remediation_alert_to_write_seconds", "Time from receiving the alert to the write, holds included."
        )
        self._standing = _JournalGauges()
        self.registry.register(self._standing)
        self.watchdog = LoopWatchdog()
        """The counts of blocks of the event loop."""
        self.registry.register(_Loop(self))
        self._initialise(policies)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"controlcore_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"controlcore_{name}", text, labels, buckets=SECONDS, registry=self.registry)

    def _initialise(self, policies: Iterable[str]) -> None:
        """Creates the series for rates, so that a first event is an increase."""
        for notification in Notification:
            self._notifications.labels(notification.value)
        for dropped in Dropped:
            self._dropped.labels(dropped.value)
        for status in AlertStatus:
            self._alerts.labels(status.value)
        for announcement in Announcement:
            self._announcements.labels(announcement.value)
        for event in EventStatus:
            self._events.labels(event.value)
        for policy in policies:
            self._decisions.labels(policy, "act", "guards_passed")
            self._decisions.labels(policy, "not_needed", "condition_gone")

    def initialise_actions(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Creates the series of what policies may execute: pairs of a policy's name and an action."""
        for policy, action in pairs:
            self._duration.labels(action)
            for outcome in ActionOutcome:
                self._actions.labels(policy, action, outcome.value)

    def count_notification(self, status: Notification) -> None:
        """One webhook request ended like this."""
        self._notifications.labels(status.value).inc()

    def count_dropped(self, reason: Dropped) -> None:
        """One connection was refused."""
        self._dropped.labels(reason.value).inc()

    def count_alerts(self, status: AlertStatus, number: int) -> None:
        """This many alerts of a stored request ended like this."""
        self._alerts.labels(status.value).inc(number)

    def count_truncated(self, number: int) -> None:
        """Alertmanager reports that it left out this many alerts."""
        self._truncated.inc(number)

    def count_decision(self, policy: str, decision: str, reason: str) -> None:
        """One decision; `decision` is act, hold or not_needed, `reason` from a closed set."""
        self._decisions.labels(policy, decision, reason).inc()

    def count_action(self, policy: str, action: str, outcome: ActionOutcome) -> None:
        """One result of executing or verifying a plan."""
        self._actions.labels(policy, action, outcome.value).inc()

    def count_announcement(self, status: Announcement) -> None:
        """One request to one Alertmanager ended like this."""
        self._announcements.labels(status.value).inc()

    def count_event(self, status: EventStatus) -> None:
        """One Event ended like this."""
        self._events.labels(status.value).inc()

    def count_error(self) -> None:
        """One internal error at the engine's task boundary."""
        self._errors.inc()

    def observe_write(self, seconds_since_alert: float) -> None:
        """A write was made this long after its alert was received."""
        self._to_write.observe(max(0.0, seconds_since_alert))

    def observe_verdict(self, action: str, seconds_since_write: float) -> None:
        """A verdict was reached this long after the write."""
        self._duration.labels(action).observe(max(0.0, seconds_since_write))

    def see_downgrades(self, downgraded: Mapping[str, bool | None]) -> None:
        """Name of each policy in auto → whether it waits for approval instead; None while unknown."""
        self._standing.downgraded = downgraded

    def see_source(self, source: str, *, is_up: bool) -> None:
        """Prometheus or Alertmanager answered its last probe, or did not."""
        self._standing.sources[source] = is_up

    def see_watchdog(self, at: float) -> None:
        """The alert that always fires was stored at this Unix time: the whole path works."""
        self._standing.watchdog_at = at

    def see_doctor(self, starts_at: float) -> None:
        """An alert of `doctor` with this start time (Unix) was delivered."""
        self._standing.doctor_at = starts_at

    def see_journal(self, counts: Mapping[State, int] | None, sizes: Sizes | None, *, is_writable: bool) -> None:
        """The journal's state; None for counts or sizes that could not be read, which are then absent."""
        known = {} if counts is None else {state: counts.get(state, 0) for state in State if state not in CLOSED}
        self._standing.open = known
        self._standing.sizes = {} if sizes is None else {"data": sizes.data, "log": sizes.log}
        self._standing.is_writable = is_writable

    def see_web_config(self, *, is_successful: bool) -> None:
        """The web configuration was read."""
        self._standing.is_web_config_successful = is_successful

    def see_credentials(self, *, are_readable: bool) -> None:
        """The token files were read."""
        self._standing.are_credentials_readable = are_readable

    def see_pause(self, *, is_paused: bool | None) -> None:
        """Whether anything is paused; None if unknown."""
        self._standing.is_paused = is_paused
