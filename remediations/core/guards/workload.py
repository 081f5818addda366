"""Guards on the workload: what owns its replicas, how many pods it can lose, and whether new ones can start."""

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
    """Holds a change that another controller would undo, and scaling by an autoscaler without metrics.

    A Deployment or HPA with a controlling ownerReference is regenerated from its owner (an operator, a ScaledObject).
    `remediations.core.model.replica_owner` finds the object that owns the number of replicas.
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
        return holds(HoldReason.OWNER_UNKNOWN, "the ScaledObjects were not read" if not scaled else scaled.problem)
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
    """A text that says that several objects own the replicas; empty if at most one does."""
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
    """The controls that are switched off in the direction of this action, as text; empty if none.

    An action that adds pods must be able to add some, an action that reverts must be able to remove some.
    """
    if workload is not None and workload.replicas_desired <= 0:
        return "the Deployment is scaled to zero: no pods are wanted"
    for found in owners:
        if isinstance(found, ScaledObject) and found.is_paused:
            return f"ScaledObject {found.name} is paused"
        if found.is_in_paused and request.has(Effect.REMOVES_PODS):
            return f"scaling in of {type(found).__name__} {found.name} is paused"
        if found.is_out_paused and not request.has(Effect.REMOVES_PODS):
            return f"scaling out of {type(found).__name__} {found.name} is paused"
    return ""


def _judge_scaled_object(found: ScaledObject, autoscaler: Autoscaler | None) -> GuardOutcome:
    """The answer for a ScaledObject, with the autoscaler that KEDA has made from it, if any."""
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
    """Whether the autoscaler sees its metrics."""
    if found.is_active is True:
        return PASSED
    state = "False" if found.is_active is False else "unknown"
    return holds(HoldReason.AUTOSCALER_BLIND, f"ScalingActive of {found.name} is {state}: it sees no metrics")


def _judge_workload(request: GuardInput, found: Workload | None) -> GuardOutcome:
    """The answer for a Deployment without autoscaler: the tool that delivers its number would set it again."""
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
    """Passes if every pod is ready and the budgets allow stopping some, or if no pod is ready.

    A rollout may stop `maxUnavailable` ready pods at once (Recreate: all of them). At least one ready pod must remain,
    and no PodDisruptionBudget of the pods may allow fewer. Rollouts ignore budgets (Kubernetes, "Disruptions"), so
    their status.disruptionsAllowed is read here. That status does not yet include what another of our rollouts will
    stop, so a budget that another remediation uses holds too. A rollout that stops no ready pod passes every budget. If
    no pod is ready, nothing can be lost. If some are ready, a rolling update could stop those first. Reducing replicas
    needs every pod ready.
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
    """Holds while a pod is missing: the others are needed.

    Reducing replicas ignores budgets (Kubernetes, "Disruptions").
    """
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
"""For this time after a write its rollout may not have stopped a pod yet, and the status of a budget does not show
it."""


def _ask_budgets(stops: int, request: GuardInput) -> GuardOutcome:
    """Holds if a budget allows fewer disruptions than a rollout may cause, or another remediation uses it."""
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
    """Whether another remediation in the namespace has begun to write and may still stop pods."""
    own = request.remediation
    if item.remediation == own.id or item.target.namespace != own.target.namespace:
        return False
    return item.state in IN_FLIGHT or request.now < item.written_at + SHOWN_SECONDS


MOST_TOLD = 3


@guard(order=1250, reasons=frozenset({HoldReason.PODS_REFUSED}))
def new_pods(request: GuardInput) -> GuardOutcome:
    """Holds while it is known that the cluster would refuse new pods of the template.

    A quota without room for one more pod matters if a pod is added before another one stops: for a scale-up, and for a
    restart that stops no pod first. Objects that could not be read are listed and do not hold.
    """
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    template = request.facts.template
    if template.value is None:
        return GuardOutcome("", detail=f"unknown whether the cluster would accept new pods: {template.problem}")
    found = template.value.new_pods
    speaks_against = (*found.refusals, *(found.crowded if _adds_before(request) else ()))
    if speaks_against:
        return holds(HoldReason.PODS_REFUSED, "; ".join(speaks_against[:MOST_TOLD]))
    return GuardOutcome("", detail=f"not read: {'; '.join(found.unread)}") if found.unread else PASSED


def _adds_before(request: GuardInput) -> bool:
    """Whether the action adds a pod before another one stops."""
    if request.has(Effect.EVICTS_POD):
        return False
    workload = request.facts.workload.value
    return not request.has(Effect.STOPS_PODS) or (workload is not None and workload.stops == 0)


@guard(
    order=1340,
    reasons=frozenset({HoldReason.CONNECTION_BUDGET, HoldReason.CONNECTIONS_UNKNOWN, HoldReason.TARGET_UNKNOWN}),
)
def connections(request: GuardInput) -> GuardOutcome:
    """Holds an action that would need more connections than the policy's share of the database's limit.

    It counts the resulting replicas, those that a rollout adds meanwhile (maxSurge), and terminating pods, which keep
    their connections until they end. Each counts with the connections of one replica.
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
    """The number of replicas that the plan sets; 0 if it sets none."""
    if isinstance(plan, GuardOutcome):
        return 0
    return max((int(plan.expected[name]) for name in FIELDS & plan.expected.keys()), default=0)
