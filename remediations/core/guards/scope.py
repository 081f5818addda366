"""Guards on scope: which alert and target are ours, and whether the cluster limits our rights."""

from __future__ import annotations

import re

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.alert import Mode, Target
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import MISSING, NO_ORCHESTRATOR
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.matchers import MatcherError


@guard(order=200, reasons=frozenset({HoldReason.FOREIGN_TARGET}))
def identity(request: GuardInput) -> GuardOutcome:
    """Holds unless the alert's labels satisfy every identity matcher; auto without any matcher holds too."""
    matchers = request.policy_set.identity
    if not matchers and request.policy.mode is Mode.AUTO:
        return holds(HoldReason.FOREIGN_TARGET, "auto needs identity matchers and the policy file has none")
    labels = request.remediation.alert.labels
    try:
        failed = [str(matcher) for matcher in matchers if not matcher.matches(labels)]
    except MatcherError as error:
        return holds(HoldReason.FOREIGN_TARGET, str(error))
    if failed:
        return holds(HoldReason.FOREIGN_TARGET, f"the alert's labels do not satisfy {', '.join(failed)}")
    return PASSED


OWN_ALERTS = frozenset(
    {
        "ControlCoreAlertPathBroken",
        "ControlCoreAlertsQuarantined",
        "ControlCoreAlertsTruncated",
        "ControlCoreAnnouncementsFailing",
        "ControlCoreJournalLogPinned",
        "ControlCoreJournalNotWritable",
        "ControlCoreRemediatorSourceDown",
        "ControlCoreRemediationDowngraded",
        "ControlCoreRemediationFailing",
        "ControlCoreRemediationLooping",
        "ControlCoreRemediationPaused",
        "ControlCoreRemediatorAbsent",
    }
)
"""The alerts of rules/controlcore-remediator.yml."""


OWN_NAMES = frozenset({"controlcore-remediator", "remediator"})


NAMING_LABELS = ("job", "component", "service", "container", "deployment")


POD_SUFFIX = re.compile(r"-[a-z0-9]+-[a-z0-9]{5}")
"""The suffix that a Deployment's controllers append to its name: the hash of the template, and five characters."""


@guard(order=290, reasons=frozenset({HoldReason.ITSELF}))
def itself(request: GuardInput) -> GuardOutcome:
    """Holds for alerts about the remediator, and for the Deployment that this process runs in.

    A policy's matcher may be wide. Acting on alerts about its own failed actions would be a loop, and a process that
    replaces itself cannot verify the result.
    """
    labels, target = request.remediation.alert.labels, request.remediation.target
    named = [name for name in NAMING_LABELS if labels.get(name) in OWN_NAMES]
    if labels.get("alertname") in OWN_ALERTS or named:
        return holds(HoldReason.ITSELF, f"{labels.get('alertname', 'the alert')} is about the remediator: for people")
    start = request.facts.start.value
    if start is not None and _is_ours(target, start.pod):
        return holds(HoldReason.ITSELF, f"{target.key} is the Deployment of this process")
    return PASSED


def _is_ours(target: Target, pod: str) -> bool:
    """Whether this pod (namespace/name) is one of the target's."""
    namespace, _, name = pod.partition("/")
    if target.kind != "Deployment" or namespace != target.namespace or not name.startswith(target.name):
        return False
    return POD_SUFFIX.fullmatch(name[len(target.name) :]) is not None


@guard(order=300, reasons=frozenset({HoldReason.NOT_ALLOWED, HoldReason.OTHER_RUNG}))
def allow_list(request: GuardInput) -> GuardOutcome:
    """Holds if the policy does not list the target, or the action cannot act on its kind.

    If another rung of the ladder acts on the target, that rung has its own remediation.
    """
    target = request.remediation.target
    if target not in request.policy.targets:
        allowed = ", ".join(item.key for item in request.policy.targets)
        whole = request.policy_set.named(request.policy.name)
        if whole is not None and whole.lists(target):
            return holds(HoldReason.OTHER_RUNG, f"the rung of the ladder that is due acts on {allowed}")
        return holds(HoldReason.NOT_ALLOWED, f"the alert points at {target.key!r}; the policy allows {allowed}")
    if target.kind not in request.action.kinds:
        return holds(HoldReason.NOT_ALLOWED, f"{request.action.name} does not act on a {target.kind}")
    return PASSED


@guard(order=800, reasons=frozenset({HoldReason.TARGET_BUSY}))
def target_busy(request: GuardInput) -> GuardOutcome:
    """Holds while another remediation is planned, writing or verifying on the same target.

    The journal enforces the same when the plan is stored, for two workers that decide at the same time.
    """
    if request.history.in_flight:
        return holds(HoldReason.TARGET_BUSY, f"in flight: {', '.join(request.history.in_flight)}")
    return PASSED


@guard(
    order=1000, reasons=frozenset({HoldReason.NO_ORCHESTRATOR, HoldReason.TARGET_MISSING, HoldReason.TARGET_UNKNOWN})
)
def target(request: GuardInput) -> GuardOutcome:
    """Holds a workload action without Kubernetes, or if the Deployment is missing or could not be read."""
    if not request.has(Effect.PATCHES_WORKLOAD):
        return PASSED
    if not request.facts.has_orchestrator:
        return holds(HoldReason.NO_ORCHESTRATOR, NO_ORCHESTRATOR)
    workload = request.facts.workload
    if workload.value is not None:
        return PASSED
    if workload.problem.startswith(MISSING):
        return holds(HoldReason.TARGET_MISSING, f"{request.remediation.target.key} does not exist")
    return holds(HoldReason.TARGET_UNKNOWN, workload.problem)


@guard(order=1450, reasons=frozenset({HoldReason.SELF_TEST_UNKNOWN}))
def self_test(request: GuardInput) -> GuardOutcome:
    """Holds a policy in auto until the API server has refused a forbidden change; HTTP and SQL need no such test."""
    if not is_tested(request):
        return PASSED
    proof = request.facts.self_test
    if proof.value is None:
        return holds(HoldReason.SELF_TEST_UNKNOWN, f"it is unknown whether the rights are limited: {proof.problem}")
    return PASSED if proof.value else GuardOutcome("", detail=f"waits for approval: {proof.problem}")


def is_tested(request: GuardInput) -> bool:
    """Whether the policy is in mode auto and uses rights in Kubernetes."""
    return request.policy.mode is Mode.AUTO and bool(request.action.rbac)


def is_downgraded(request: GuardInput) -> bool:
    """Whether a policy in auto is treated as in approve, because its rights are too wide."""
    return is_tested(request) and request.facts.self_test.value is False
