"""A restart does not bring in a configuration that nobody has tried."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.cluster import Pods, Template
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Consent


@guard(order=1310, reasons=frozenset({HoldReason.CONFIGURATION_CHANGED, HoldReason.CONFIGURATION_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds when a ConfigMap or Secret of the template changed after the oldest pod started, or when nobody can tell.

    New pods would read it, the running ones have not: the restart would be a rollout of somebody's half-made change.
    """
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    template = request.facts.template
    if template.value is None:
        return holds(HoldReason.CONFIGURATION_UNKNOWN, template.problem)
    unread = [f"{item.name}: {item.problem}" for item in template.value.sources if item.changed_at is None]
    if unread and Consent.UNREAD_CONFIGURATION not in request.policy.accept:
        return holds(HoldReason.CONFIGURATION_UNKNOWN, "; ".join(unread))
    if not template.value.sources or Consent.CHANGED_CONFIGURATION in request.policy.accept:
        return PASSED
    return _compare(template.value, request.facts.pods)


def _compare(template: Template, pods: Fact[Pods]) -> GuardOutcome:
    """The answer for sources whose times of change are known."""
    if pods.value is None:
        return holds(HoldReason.CONFIGURATION_UNKNOWN, pods.problem)
    oldest = pods.value.oldest_started_at
    if oldest is None:
        return GuardOutcome("", detail="no pod has started: none could have read anything older")
    changed = [item.name for item in template.sources if item.changed_at is not None and item.changed_at > oldest]
    if changed:
        return holds(HoldReason.CONFIGURATION_CHANGED, f"{', '.join(changed)} changed since the oldest pod started")
    return PASSED
