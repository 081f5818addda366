"""The announcements of a remediation in Alertmanager: which alerts are current, with which labels and texts.

Pure. Labels come from closed sets and the policy file; text from an alert is only in annotations, made harmless. No
label is called `remediation`, because that label names a policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.clock import format_rfc3339
from remediations.core.model.alert import Mode
from remediations.core.model.names import ACTED, HELD, PLANNED
from remediations.core.model.reasons import EXPLANATIONS, PAGE
from remediations.core.policies.policy import Policy
from remediations.notifications.timeline import Milestone, MilestoneKind, Timeline, harmless

Labels = tuple[tuple[str, str], ...]

SHORT = 128
QUIET_MODES = frozenset({Mode.OBSERVE, Mode.DRY_RUN})
"""Modes in which a hold has no consequence."""
LINKS = ("runbook_url", "dashboard_url")
"""Annotations of the alert that its announcements repeat."""
_LINK = re.compile(r"https?://\S+|[^\s:]+", re.ASCII)
"""An http address, or a path where the links of the rules are relative; no other scheme."""


@dataclass(frozen=True, slots=True)
class AnnouncedAlert:
    """One alert: `ends_at` None while it is current."""

    labels: Labels
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class AnnouncementForm:
    """What the settings say about every announcement."""

    extra_labels: Mapping[str, str]
    least_seconds: float
    """An action is announced for this time, even if its remediation closes sooner."""
    command: str = "controlcore-remediator"
    """How people call this program."""


def announce(timeline: Timeline, form: AnnouncementForm) -> tuple[AnnouncedAlert, ...]:
    """The alerts of a remediation now.

    Alertmanager sends no notification for an alert that has ended before its group was due: hence `least_seconds`.
    """
    if timeline.policy is None or not timeline.moments:
        return ()
    closed_at = timeline.remediation.updated_at if timeline.is_closed else None
    found: list[AnnouncedAlert] = []
    acted = next((moment for moment in timeline.moments if moment.kind is MilestoneKind.ACTED), None)
    last = timeline.moments[-1]
    if acted is not None:
        ends_at = None if closed_at is None else max(closed_at, acted.at + form.least_seconds)
        found.append(_announced_alert(timeline, timeline.policy, acted, form, ends_at))
    if last.kind in {MilestoneKind.HELD, MilestoneKind.PLANNED} and closed_at is None:
        found.append(_announced_alert(timeline, timeline.policy, last, form, None))
    elif last.kind is MilestoneKind.PLANNED and closed_at is not None and timeline.policy.mode in QUIET_MODES:
        found.append(_announced_alert(timeline, timeline.policy, last, form, closed_at + form.least_seconds))
    return tuple(found)


def _announced_alert(
    timeline: Timeline, policy: Policy, moment: Milestone, form: AnnouncementForm, ends_at: float | None
) -> AnnouncedAlert:
    """One alert about one milestone."""
    name = {MilestoneKind.ACTED: ACTED, MilestoneKind.HELD: HELD}.get(moment.kind, PLANNED)
    needs_person = moment.kind is not MilestoneKind.ACTED and moment.reason != "guards_passed"
    labels = {
        **form.extra_labels,
        "alertname": name,
        "severity": "warning" if needs_person and policy.mode not in QUIET_MODES else "info",
        "policy": policy.name,
        "mode": policy.mode.value,
        "reason": moment.reason,
    }
    if timeline.is_listed:
        target = timeline.remediation.target
        labels |= {"namespace": target.namespace, "kind": target.kind, "name": target.name}
    annotations = _annotations(timeline, policy, moment, form.command)
    return AnnouncedAlert(tuple(sorted(labels.items())), annotations, moment.at, ends_at)


def _annotations(timeline: Timeline, policy: Policy, moment: Milestone, command: str) -> dict[str, str]:
    """What happens, why, what a person can do, and how to stop it."""
    remediation = timeline.remediation
    target, alert = harmless(remediation.target.key, SHORT), harmless(remediation.alert.name, SHORT)
    found = {
        "summary": f"{_verb(moment, policy)} by policy {policy.name} on {target}",
        "description": f"{moment.reason}: {moment.detail}" if moment.detail else moment.reason,
        "alert": alert,
        "remediation_id": remediation.id,
        "show": f"{command} show {remediation.id}",
        "stop": (
            f"this policy: {command} pause --policy {policy.name.partition(':')[0]} --reason WHY; "
            f"everything: pause --all --reason WHY; this alert: a silence of {alert} in Alertmanager"
        ),
    }
    if moment.kind is not MilestoneKind.ACTED and moment.reason in EXPLANATIONS:
        found["help"] = f"{EXPLANATIONS[moment.reason][1]} ({PAGE}#{moment.reason})"
    found |= {name: link for name in LINKS if (link := _link(remediation.alert.annotations.get(name, "")))}
    if _waits_for_approval(moment, policy):
        found["approve"] = f"{command} approve {remediation.id} prints the plan and the line to copy"
        found["reject"] = f"{command} reject {remediation.id}"
    return found


def _link(text: str) -> str:
    """The alert's link, or nothing if it is not one: a link that was cut or redacted would lead nowhere."""
    return text if _LINK.fullmatch(text) and harmless(text) == text else ""


def _waits_for_approval(moment: Milestone, policy: Policy) -> bool:
    """Whether nothing happens until a person answers."""
    return moment.kind is MilestoneKind.PLANNED and policy.mode not in QUIET_MODES and moment.reason != "guards_passed"


def _verb(moment: Milestone, policy: Policy) -> str:
    """What happened, in words."""
    if moment.kind is MilestoneKind.ACTED:
        return "Repair carried out"
    if moment.kind is MilestoneKind.HELD:
        return "Repair held"
    if policy.mode in QUIET_MODES:
        return f"Repair planned but not carried out (mode {policy.mode.value})"
    return "Repair waits for approval" if _waits_for_approval(moment, policy) else "Repair about to be carried out"


def to_wire(standing: AnnouncedAlert, now: float, lifetime_seconds: float) -> dict[str, Any]:
    """The alert in the format of `POST /api/v2/alerts`.

    Both times are always given: without startsAt Alertmanager uses endsAt for it, and without endsAt the alert would
    end after its own resolve_timeout. A current alert expires after `lifetime_seconds` unless it is sent again.
    """
    ends_at = now + lifetime_seconds if standing.ends_at is None else standing.ends_at
    return {
        "labels": dict(standing.labels),
        "annotations": dict(standing.annotations),
        "startsAt": format_rfc3339(min(standing.starts_at, ends_at)),
        "endsAt": format_rfc3339(ends_at),
    }
