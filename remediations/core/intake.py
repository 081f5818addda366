"""Reads Alertmanager's webhook payload, version 4, alert by alert.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Fields that are not named here are ignored
(Alertmanager adds some from time to time, such as notification_reason). The top-level `status` is not used: it is
"firing" if any alert fires. Each alert has its own status.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from chassis.errors import ControlCoreError
from remediations.core.model.alert import Alert, Delivery, Match, Quarantined
from remediations.core.model.names import DOCTOR, OWN_ALERTS
from remediations.core.policies.matchers import MatcherError
from remediations.core.policies.policy import PolicySet, choose_target, matches
from remediations.core.policies.time_windows import parse_clock

VERSION = "4"
WATCHDOGS = frozenset({"ControlCoreWatchdog", "Watchdog"})
"""Names of the alert that always fires; the second is from older rule files."""
MAX_LABEL_BYTES = 64 * 1024
"""An alert with larger labels is quarantined, because labels identify it and cannot be cut."""
MAX_ANNOTATION_CHARACTERS = 1024
"""Characters kept of each annotation: no decision reads one."""
MAX_ANNOTATIONS = 32
"""Number of annotations kept of an alert."""
MAX_BRACKETS = 200_000
"""Objects and lists in one body; a storm of 16,000 alerts has about 50,000."""
MAX_TRUNCATED = 1_000_000_000
"""A larger number cannot be a count of alerts."""
MAX_RAW_CHARACTERS = 2048
"""Characters kept of a quarantined alert."""


class PayloadError(ControlCoreError):
    """The whole body can never be accepted (answered 400); the message names the field."""


class _Envelope(msgspec.Struct, frozen=True):
    """The payload without its alerts."""

    version: str
    alerts: list[msgspec.Raw]
    truncated_alerts: int = msgspec.field(name="truncatedAlerts", default=0)


class _WireAlert(msgspec.Struct, frozen=True):
    """One alert as Alertmanager sends it.

    `endsAt` and `generatorURL` are not read, because nothing may depend on them.
    """

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: str
    annotations: dict[str, str] = {}
    starts_at: str = msgspec.field(name="startsAt", default="")


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_WIRE_ALERT = msgspec.json.Decoder(_WireAlert)
"""Created at import, before there is a second thread (`codec._prepared` says why)."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A parsed body: the valid alerts, and the parts that could not be read."""

    alerts: tuple[Alert, ...]
    quarantined: tuple[Quarantined, ...] = ()
    truncated: int = 0
    """How many alerts Alertmanager left out (max_alerts); they are never delivered."""
    own: int = 0
    """How many alerts we sent ourselves (announcements that were routed back, alerts of `doctor`); not in `alerts`."""
    doctor_at: float | None = None
    """Start time of the newest firing alert of `doctor`, Unix seconds; None without one."""

    @property
    def has_watchdog(self) -> bool:
        """Whether the alert that always fires is among them: proof that the path works."""
        return any(alert.name in WATCHDOGS and alert.is_firing for alert in self.alerts)


def parse_payload(body: bytes) -> Payload:
    """The body as alerts. Raises PayloadError if it is not JSON or not a version 4 payload.

    An alert that cannot be read is quarantined with the reason; the other alerts are not affected. Alerts that we sent
    ourselves are counted and left out.
    """
    if body.count(b"{") + body.count(b"[") > MAX_BRACKETS:
        raise PayloadError(f"the body holds more than {MAX_BRACKETS} objects and lists; set max_alerts")
    envelope = _parse_envelope(body)
    alerts: list[Alert] = []
    quarantined: list[Quarantined] = []
    for raw in envelope.alerts:
        piece = bytes(raw)
        try:
            alerts.append(_parse_alert(piece))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            quarantined.append(_quarantine(piece, str(error)))
    others = tuple(alert for alert in alerts if alert.name not in OWN_ALERTS)
    truncated = min(max(0, envelope.truncated_alerts), MAX_TRUNCATED)
    return Payload(others, tuple(quarantined), truncated, len(alerts) - len(others), _doctor_at(alerts))


def _doctor_at(alerts: Iterable[Alert]) -> float | None:
    """The newest start of a firing alert of `doctor`; a time that cannot be read is left out."""
    found = [parse_clock(alert.starts_at) for alert in alerts if alert.name == DOCTOR and alert.is_firing]
    return max((at for at in found if at is not None), default=None)


def _parse_envelope(body: bytes) -> _Envelope:
    """The envelope, its version checked."""
    try:
        envelope = _ENVELOPE.decode(body)
    except msgspec.ValidationError as error:
        raise PayloadError(f"not a webhook payload: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"the body is not JSON: {error}") from error
    if envelope.version != VERSION:
        raise PayloadError(f'version: expected "{VERSION}", got "{envelope.version[:16]}"')
    return envelope


def _parse_alert(piece: bytes) -> Alert:
    """One alert; raises msgspec.ValidationError naming the field."""
    wire = _WIRE_ALERT.decode(piece)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in wire.labels.items())
    if size > MAX_LABEL_BYTES:
        raise msgspec.ValidationError(f"labels larger than {MAX_LABEL_BYTES} bytes")
    if not wire.fingerprint:
        raise msgspec.ValidationError("Expected a value - at `$.fingerprint`")
    return Alert(
        fingerprint=wire.fingerprint,
        name=wire.labels.get("alertname", ""),
        is_firing=wire.status == "firing",
        labels=wire.labels,
        annotations=_cut(wire.annotations),
        starts_at=wire.starts_at,
    )


def _cut(annotations: Mapping[str, str]) -> dict[str, str]:
    """The first annotations by name, each cut to its beginning."""
    kept = sorted(annotations)[:MAX_ANNOTATIONS]
    return {name[:MAX_ANNOTATION_CHARACTERS]: annotations[name][:MAX_ANNOTATION_CHARACTERS] for name in kept}


def _quarantine(piece: bytes, problem: str) -> Quarantined:
    """The part as it arrived, cut, and readable whatever its bytes are."""
    return Quarantined(problem, piece[: MAX_RAW_CHARACTERS * 4].decode("utf-8", "replace")[:MAX_RAW_CHARACTERS])


@dataclass(frozen=True, slots=True)
class Deduplication:
    """When two deliveries are the same alert: which labels only name the sender, and for how long."""

    replica_labels: frozenset[str] = frozenset({"prometheus_replica", "replica"})
    seconds: float = 60.0


def match_alerts(
    payload: Payload, policy_set: PolicySet, received_at: float, sameness: Deduplication = Deduplication()
) -> Delivery:
    """The payload as a delivery for the journal: every matching pair of an alert and a policy, with the target."""
    found: list[Match] = []
    quarantined = list(payload.quarantined)
    unmatched = 0
    for alert in payload.alerts:
        try:
            pairs = tuple(_pairs(alert, policy_set, sameness.replica_labels))
        except MatcherError as error:
            quarantined.append(_quarantine(msgspec.json.encode(alert), str(error)))
            continue
        found.extend(pairs)
        unmatched += not pairs
    return Delivery(received_at, tuple(found), unmatched, tuple(quarantined), sameness.seconds)


def content_of(alert: Alert, replica_labels: frozenset[str]) -> str:
    """A digest of the alert's labels without those that name a replica of the sender.

    It contains nothing else: with two Prometheus servers `startsAt` differs, and the fingerprint includes the replica
    label.
    """
    labels = sorted(item for item in alert.labels.items() if item[0] not in replica_labels)
    return hashlib.blake2b(msgspec.json.encode(labels), digest_size=16).hexdigest()


def _pairs(alert: Alert, policy_set: PolicySet, replica_labels: frozenset[str]) -> Iterable[Match]:
    """One match for each policy that matches the alert."""
    content = ""
    for policy in policy_set.policies:
        if matches(policy, alert.labels):
            content = content or content_of(alert, replica_labels)
            yield Match(alert, policy.name, choose_target(policy, alert.labels), content)
