"""Guards on the pod template: what else a restart would change."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.cluster import Pods, Template
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Consent


@guard(
    order=1300,
    reasons=frozenset({HoldReason.DROP_TABLES, HoldReason.TEMPLATE_UNREADABLE, HoldReason.TARGET_UNKNOWN}),
)
def drop_tables(request: GuardInput) -> GuardOutcome:
    """Holds while the template sets CC_DROP_TABLES, or while it cannot be read completely (envFrom included).

    The control-plane API drops and creates its tables at boot when the variable is true.
    """
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    workload = request.facts.workload.value
    if workload is None:
        return holds(HoldReason.TARGET_UNKNOWN, request.facts.workload.problem)
    if workload.drop_tables is None:
        return holds(HoldReason.TEMPLATE_UNREADABLE, workload.drop_tables_problem or "not read")
    if workload.drop_tables:
        return holds(HoldReason.DROP_TABLES, "the pod template sets CC_DROP_TABLES: new pods would delete every table")
    return PASSED


@guard(order=1310, reasons=frozenset({HoldReason.CONFIGURATION_CHANGED, HoldReason.CONFIGURATION_UNKNOWN}))
def configuration(request: GuardInput) -> GuardOutcome:
    """Holds if a ConfigMap or Secret of the template changed after the oldest pod started, or if that is unknown.

    New pods would read the change and the running ones have not, so a restart would roll out an unfinished change.
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
    """The answer if the times of change are known."""
    if pods.value is None:
        return holds(HoldReason.CONFIGURATION_UNKNOWN, pods.problem)
    oldest = pods.value.oldest_started_at
    if oldest is None:
        return GuardOutcome("", detail="no pod has started: none could have read an older version")
    changed = [item.name for item in template.sources if item.changed_at is not None and item.changed_at > oldest]
    if changed:
        return holds(HoldReason.CONFIGURATION_CHANGED, f"{', '.join(changed)} changed since the oldest pod started")
    return PASSED


@guard(order=1320, reasons=frozenset({HoldReason.IMAGE_UNPINNED, HoldReason.TEMPLATE_UNREADABLE}))
def image(request: GuardInput) -> GuardOutcome:
    """Holds while an image is named by a tag and pulled at every start: the tag may now mean another image."""
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    template = request.facts.template
    if template.value is None:
        return holds(HoldReason.TEMPLATE_UNREADABLE, template.problem)
    if template.value.unpinned and Consent.UNPINNED_IMAGE not in request.policy.accept:
        return holds(HoldReason.IMAGE_UNPINNED, f"{', '.join(template.value.unpinned)}: pulled again at every start")
    return PASSED


NOT_ASKED: Fact[bool] = Fact(None, "", "not asked")


@guard(order=1330, reasons=frozenset({HoldReason.LOCKED, HoldReason.LOCK_UNKNOWN}))
def locks(request: GuardInput) -> GuardOutcome:
    """Holds actions that stop or start pods while a lock of the policy file is held or unknown."""
    if not any(request.has(effect) for effect in (Effect.STOPS_PODS, Effect.STARTS_PODS, Effect.REMOVES_PODS)):
        return PASSED
    locks = {name: request.facts.locks.get(name, NOT_ASKED) for name in request.policy_set.locks}
    held = [name for name, lock in locks.items() if lock.value is True]
    if held:
        return holds(HoldReason.LOCKED, f"{', '.join(held)} running")
    unknown = [f"{name}: {lock.problem}" for name, lock in locks.items() if lock.value is None]
    if unknown:
        return holds(HoldReason.LOCK_UNKNOWN, "; ".join(unknown))
    return PASSED
