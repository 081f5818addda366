"""Guards on the workload: who scales it, how many pods it can lose, and whether new ones can start."""

from __future__ import annotations

from collections.abc import Sequence

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.cluster import Autoscaler, ScaledObject, Workload
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import PastAction
from remediations.core.model.names import FIELD_MANAGER
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import IN_FLIGHT
from remediations.core.model.replica_owner import FIELDS, OwnerKind
from remediations.core.policies.limits import Consent


@guard(
    order=1100,
    reasons=frozenset(
        {
            HoldReason.OWNER_UNKNOWN,
            HoldReason.OWNED_BY_OTHER,
            HoldReason.AUTOSCALER_BLIND,
            HoldReason.WORKLOAD_PAUSED,
        }
    ),
)
def owner(request: GuardInput) -> GuardOutcome:
    """Holds what another controller would undo, and what would scale by an autoscaler that cannot see.

    A Deployment or HPA with a controlling ownerReference is regenerated from its owner (an operator, a ScaledObject).
    Which object owns the number of replicas stands in `remediations.core.model.replica_owner`.
    """
    workload = request.facts.workload.value
    if workload is not None and workload.owner:
        return holds(HoldReason.OWNED_BY_OTHER, f"{workload.owner} owns the Deployment and would undo the change")
    if not request.has(Effect.SETS_REPLICAS):
        return PASSED
    return _judge_known(request, workload)


def _judge_known(request: GuardInput, workload: Workload | None) -> GuardOutcome:
    """The answer once both kinds of autoscaler are known."""
    autoscalers, scaled = request.facts.autoscalers, request.facts.sights.scaled_objects
    if autoscalers.value is None:
        return holds(HoldReason.OWNER_UNKNOWN, autoscalers.problem)
    if scaled is None or scaled.value is None:
        return holds(HoldReason.OWNER_UNKNOWN, "the ScaledObjects were not looked at" if not scaled else scaled.problem)
    crowd = _find_crowd(autoscalers.value, scaled.value)
    if crowd:
        return holds(HoldReason.OWNED_BY_OTHER, crowd)
    autoscaler = next(iter(autoscalers.value), None)
    paused = _find_pause(request, workload, [*scaled.value, *autoscalers.value])
    if paused:
        return holds(HoldReason.WORKLOAD_PAUSED, paused)
    if scaled.value:
        return _judge_scaled_object(scaled.value[0], autoscaler)
    return _judge_autoscaler(autoscaler) if autoscaler is not None else _judge_workload(request, workload)


def _find_crowd(autoscalers: Sequence[Autoscaler], scaled: Sequence[ScaledObject]) -> str:
    """In words that more than one object owns the replicas; empty when at most one does."""
    for kind, names in (
        (OwnerKind.AUTOSCALER, [item.name for item in autoscalers]),
        (OwnerKind.SCALED_OBJECT, [item.name for item in scaled]),
    ):
        if len(names) > 1:
            return f"several {kind}s name the target: {', '.join(names)}"
    if scaled and autoscalers and autoscalers[0].owner != f"{OwnerKind.SCALED_OBJECT}/{scaled[0].name}":
        return f"ScaledObject {scaled[0].name} and HorizontalPodAutoscaler {autoscalers[0].name} both own the replicas"
    return ""


def _find_pause(request: GuardInput, workload: Workload | None, owners: Sequence[ScaledObject | Autoscaler]) -> str:
    """In words what a person has switched off in the direction of this action; empty when nothing is.

    An action that gives a workload more pods must be able to add some, one that takes them back to let some go.
    """
    if workload is not None and workload.replicas_desired <= 0:
        return "the Deployment is scaled to zero: somebody wants no pods"
    for found in owners:
        if isinstance(found, ScaledObject) and found.is_paused:
            return f"somebody has paused ScaledObject {found.name}"
        if found.is_in_paused and request.has(Effect.REMOVES_PODS):
            return f"somebody has paused scaling in of {type(found).__name__} {found.name}"
        if found.is_out_paused and not request.has(Effect.REMOVES_PODS):
            return f"somebody has paused scaling out of {type(found).__name__} {found.name}"
    return ""


def _judge_scaled_object(found: ScaledObject, autoscaler: Autoscaler | None) -> GuardOutcome:
    """The answer for a ScaledObject, with the autoscaler that KEDA makes from it, once it has."""
    if autoscaler is None:
        if found.is_ready is True:
            return PASSED
        return holds(HoldReason.AUTOSCALER_BLIND, f"KEDA does not follow ScaledObject {found.name} (Ready is not True)")
    return _judge_sight(autoscaler)


def _judge_autoscaler(found: Autoscaler) -> GuardOutcome:
    """The answer for the one autoscaler that owns the replicas."""
    if found.owner:
        return holds(HoldReason.OWNED_BY_OTHER, f"{found.owner} owns {found.name} and would undo the change")
    return _judge_sight(found)


def _judge_sight(found: Autoscaler) -> GuardOutcome:
    """Whether the autoscaler sees the metrics that it scales by."""
    if found.is_active is True:
        return PASSED
    state = "False" if found.is_active is False else "unknown"
    return holds(HoldReason.AUTOSCALER_BLIND, f"ScalingActive of {found.name} is {state}: it sees no metrics")


def _judge_workload(request: GuardInput, found: Workload | None) -> GuardOutcome:
    """The answer for a Deployment without autoscaler: whoever delivers its number would deliver it again."""
    if found is None or Consent.REPLICAS_OWNER in request.policy.accept:
        return PASSED
    managers = [name for name in found.replicas_managers if name != FIELD_MANAGER]
    if managers:
        return holds(HoldReason.OWNED_BY_OTHER, f"{', '.join(managers)} set spec.replicas and may set it back")
    if found.delivered_by:
        return holds(HoldReason.OWNED_BY_OTHER, f"{found.delivered_by} delivers the Deployment and may set it back")
    return PASSED


@guard(
    order=1200,
    reasons=frozenset(
        {
            HoldReason.TARGET_UNKNOWN,
            HoldReason.WORKLOAD_PAUSED,
            HoldReason.ROLLOUT_RUNNING,
            HoldReason.PARTIALLY_READY,
            HoldReason.DISRUPTION_BUDGET,
        }
    ),
)
def disruption(request: GuardInput) -> GuardOutcome:
    """Lets pods be stopped when every one is ready and the budgets allow it, or when none is ready.

    A rollout may stop `maxUnavailable` ready pods at once (Recreate: all of them). That must leave a ready pod, and
    no PodDisruptionBudget of the pods may allow fewer: rollouts ignore budgets (Kubernetes, "Disruptions"), so their
    status.disruptionsAllowed is read here. It does not know yet what a rollout of ours will stop, so a budget that
    another remediation uses holds too. A rollout that stops none passes every budget. With no pod ready nothing is
    left to lose. With some ready a rolling update could stop those first. Fewer replicas need every pod ready.
    """
    if not (request.has(Effect.STOPS_PODS) or request.has(Effect.REMOVES_PODS)):
        return PASSED
    workload = request.facts.workload.value
    if workload is None:
        return holds(HoldReason.TARGET_UNKNOWN, request.facts.workload.problem)
    if workload.is_paused or workload.replicas_desired <= 0:
        how = "paused (spec.paused)" if workload.is_paused else "scaled to zero"
        return holds(HoldReason.WORKLOAD_PAUSED, f"the Deployment is {how}")
    if workload.is_rolling:
        words = f"{workload.replicas_updated} of {workload.replicas_desired} pods run the newest template"
        return holds(HoldReason.ROLLOUT_RUNNING, words)
    return _judge_readiness(workload) if request.has(Effect.REMOVES_PODS) else _judge(workload, request)


def _judge_readiness(workload: Workload) -> GuardOutcome:
    """Holds while a pod is missing: the others are needed. Fewer pods ask no budget (Kubernetes, "Disruptions")."""
    if workload.replicas_ready >= workload.replicas_desired:
        return PASSED
    words = f"{workload.replicas_ready} of {workload.replicas_desired} pods are ready"
    return holds(HoldReason.PARTIALLY_READY, words)


def _judge(workload: Workload, request: GuardInput) -> GuardOutcome:
    """The answer for a settled workload whose pods are to be stopped."""
    if workload.replicas_ready <= 0:
        return GuardOutcome("", detail="no pod is ready: nothing is left to lose")
    outcome = _judge_readiness(workload)
    if outcome.reason is not None:
        return outcome
    stops = workload.stops
    if stops is None:
        return holds(HoldReason.DISRUPTION_BUDGET, "unknown how many ready pods a rollout may stop at once")
    if stops >= workload.replicas_ready:
        words = f"strategy {workload.strategy} may stop {stops} pods at once, and {workload.replicas_ready} are ready"
        return holds(HoldReason.DISRUPTION_BUDGET, words)
    return _ask_budgets(stops, request) if stops else PASSED


SHOWN_SECONDS = 60.0
"""So long after a write its rollout may have stopped no pod yet, and the status of a budget does not show it."""


def _ask_budgets(stops: int, request: GuardInput) -> GuardOutcome:
    """Holds when a budget allows fewer pods to go than a rollout may stop, or is used by another remediation."""
    facts = request.facts
    if facts.budgets.value is None:
        return holds(HoldReason.DISRUPTION_BUDGET, f"unknown: {facts.budgets.problem}")
    short = [f"{name} allows {most}" for name, most in sorted(facts.budgets.value.allowed.items()) if most < stops]
    if short:
        return holds(HoldReason.DISRUPTION_BUDGET, f"a rollout may stop {stops} pods at once: {', '.join(short)}")
    for item in request.history.actions:
        shared = sorted(facts.budgets.value.allowed.keys() & set(item.budgets)) if _is_rival(item, request) else []
        if shared:
            rival = f"{item.target.key}, where remediation {item.remediation} may stop pods"
            return holds(HoldReason.DISRUPTION_BUDGET, f"budget {shared[0]} also covers {rival}")
    return PASSED


def _is_rival(item: PastAction, request: GuardInput) -> bool:
    """Whether another remediation of the namespace has begun to write and may yet stop pods."""
    own = request.remediation
    if item.remediation == own.id or item.target.namespace != own.target.namespace:
        return False
    return item.state in IN_FLIGHT or request.now < item.written_at + SHOWN_SECONDS


MOST_TOLD = 3


@guard(order=1250, reasons=frozenset({HoldReason.PODS_REFUSED}))
def new_pods(request: GuardInput) -> GuardOutcome:
    """Holds while something that could be read says that new pods of the template would not be taken.

    A quota without room for one more pod matters where a pod is added before one goes: to a scale-up, and to a restart
    that stops no pod first. What could not be read is told and does not hold.
    """
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    template = request.facts.template
    if template.value is None:
        return GuardOutcome("", detail=f"unknown whether new pods would be taken: {template.problem}")
    found = template.value.new_pods
    speaks_against = (*found.refusals, *(found.crowded if _adds_before(request) else ()))
    if speaks_against:
        return holds(HoldReason.PODS_REFUSED, "; ".join(speaks_against[:MOST_TOLD]))
    return GuardOutcome("", detail=f"not read: {'; '.join(found.unread)}") if found.unread else PASSED


def _adds_before(request: GuardInput) -> bool:
    """Whether the action needs a new pod beside those that there are."""
    if request.has(Effect.EVICTS_POD):
        return False
    workload = request.facts.workload.value
    return not request.has(Effect.STOPS_PODS) or (workload is not None and workload.stops == 0)


@guard(
    order=1340,
    reasons=frozenset({HoldReason.CONNECTION_BUDGET, HoldReason.CONNECTIONS_UNKNOWN, HoldReason.TARGET_UNKNOWN}),
)
def connections(request: GuardInput) -> GuardOutcome:
    """Holds what would need more connections than the policy's share of what the database accepts.

    Counted are the replicas that would result, those that a rollout adds meanwhile (maxSurge), and pods on their way
    out, which keep their connections until they end; each times the connections of one replica.
    """
    budget = request.policy.connections
    if budget is None or not request.has(Effect.STARTS_PODS):
        return PASSED
    workload, pods, limit = request.facts.workload, request.facts.pods, request.facts.connection_limit
    if workload.value is None:
        return holds(HoldReason.TARGET_UNKNOWN, workload.problem)
    if pods.value is None or limit.value is None:
        return holds(HoldReason.CONNECTIONS_UNKNOWN, pods.problem if pods.value is None else limit.problem)
    replicas = max(workload.value.replicas_desired, _planned(request.plan()))
    most = replicas + workload.value.surge + pods.value.terminating
    needed, allowed = most * budget.per_replica, budget.share * limit.value
    if needed <= allowed:
        return PASSED
    words = f"{replicas} replicas + {workload.value.surge} surge + {pods.value.terminating} terminating"
    detail = f"{words}, {budget.per_replica} connections each: {needed}, {allowed:g} allowed"
    return holds(HoldReason.CONNECTION_BUDGET, detail)


def _planned(plan: Plan | GuardOutcome) -> int:
    """The number of replicas that the plan allows; 0 when it does not change that."""
    if isinstance(plan, GuardOutcome):
        return 0
    return max((int(plan.expected[name]) for name in FIELDS & plan.expected.keys()), default=0)
