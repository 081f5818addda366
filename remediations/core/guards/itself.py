"""The remediator does not repair itself."""

from __future__ import annotations

import re

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.alert import Target
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason

OWN_ALERTS = frozenset(
    {
        "ControlCoreAlertPathBroken",
        "ControlCoreAlertsQuarantined",
        "ControlCoreAlertsTruncated",
        "ControlCoreAnnouncementsFailing",
        "ControlCoreJournalLogPinned",
        "ControlCoreJournalNotWritable",
        "ControlCoreRemediationDowngraded",
        "ControlCoreRemediationFailing",
        "ControlCoreRemediationLooping",
        "ControlCoreRemediatorAbsent",
    }
)
"""The alerts of rules/controlcore-remediator.yml."""
OWN_NAMES = frozenset({"controlcore-remediator", "remediator"})
NAMING_LABELS = ("job", "component", "service", "container", "deployment")
POD_SUFFIX = re.compile(r"-[a-z0-9]+-[a-z0-9]{5}")
"""What a Deployment's controllers put behind its name: the hash of the template, and five characters."""


@guard(order=290, reasons=frozenset({HoldReason.ITSELF}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds what an alert says about the remediator, and what would act on the Deployment that this process runs in.

    A policy's matcher may be wide. Whoever acts on the news that its own actions fail goes round in circles, and a
    process that replaces itself cannot prove that it helped.
    """
    labels, target = request.remediation.alert.labels, request.remediation.target
    named = [name for name in NAMING_LABELS if labels.get(name) in OWN_NAMES]
    if labels.get("alertname") in OWN_ALERTS or named:
        return holds(HoldReason.ITSELF, f"{labels.get('alertname', 'the alert')} is about the remediator: for people")
    start = request.facts.start.value
    if start is not None and _is_ours(target, start.pod):
        return holds(HoldReason.ITSELF, f"{target.key} is what this process runs in")
    return PASSED


def _is_ours(target: Target, pod: str) -> bool:
    """Whether this pod (namespace/name) is one of the target's."""
    namespace, _, name = pod.partition("/")
    if target.kind != "Deployment" or namespace != target.namespace or not name.startswith(target.name):
        return False
    return POD_SUFFIX.fullmatch(name[len(target.name) :]) is not None
