"""Evicts one unready pod while others serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from chassis.kubernetes.paths import eviction_path, pod_path
from remediations.core.action import NEW_POD_READS, ActionInput, Effect, action, refuses, settles
from remediations.core.fields import PolicySection, Range
from remediations.core.model.cluster import Pod, Workload
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Facts, Need
from remediations.core.model.plan import CreateStep, Plan
from remediations.core.model.reasons import HoldReason


@dataclass(frozen=True, slots=True)
class EvictionParameters(PolicySection):
    """The action's settings."""

    unready_seconds: Annotated[int, Range(10, 3600)] = 120
    """How long a pod must have been unready. Too small evicts pods that are only starting or pausing."""


@action(
    kinds=("Deployment",),
    effects=frozenset({Effect.PATCHES_WORKLOAD, Effect.EVICTS_POD, Effect.STARTS_PODS}),
    refusals=frozenset(
        {
            HoldReason.TARGET_UNKNOWN,
            HoldReason.WORKLOAD_PAUSED,
            HoldReason.ROLLOUT_RUNNING,
            HoldReason.NOTHING_READY,
            HoldReason.PARTIALLY_READY,
            HoldReason.DISRUPTION_BUDGET,
        }
    ),
    rbac=(
        "get apps/deployments",
        "list core/pods",
        "get core/pods/log",
        "list core/events",
        "get core/pods",
        "create core/pods/eviction",
        "list policy/poddisruptionbudgets",
        "get core/configmaps",
        *NEW_POD_READS,
    ),
    parameters=EvictionParameters,
    needs=frozenset({Need.PODS}),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Evicts the pod that has been unready longest, and only while another pod of the workload is ready.

    The eviction names the pod's uid, so a later pod of the same name is not evicted. The API server checks the
    PodDisruptionBudgets; its 429 is a Hold, and a delete is never tried instead (Kubernetes, "API-initiated Eviction").

    Undo: none; the controller starts the replacement by itself.
    """
    workload, fact = request.facts.workload.value, request.facts.sights.pods
    if workload is None or fact is None or fact.value is None:
        problem = request.facts.workload.problem or ("the pods were not read" if fact is None else fact.problem)
        return refuses(HoldReason.TARGET_UNKNOWN, problem)
    objection = _object(workload, request.facts)
    if objection is not None:
        return objection
    pods = [pod for pod in fact.value if not pod.is_ending]
    ready = sum(1 for pod in pods if pod.is_ready)
    if ready == len(pods) and ready >= workload.replicas_desired:
        return settles(f"all {ready} pods are ready")
    if not ready:
        return refuses(HoldReason.NOTHING_READY, "no pod is ready: evicting one does not help")
    sick = _sickest(pods, float(request.parameters["unready_seconds"]))
    if sick is None:
        return refuses(HoldReason.PARTIALLY_READY, f"{ready} pods are ready, and no other has been unready long enough")
    return _evict(request, workload, sick, ready)


def _object(workload: Workload, facts: Facts) -> GuardOutcome | None:
    """What prevents evicting any pod now."""
    if workload.is_paused or workload.replicas_desired <= 0:
        return refuses(HoldReason.WORKLOAD_PAUSED, "the Deployment is paused or scaled to zero")
    if workload.is_rolling:
        return refuses(HoldReason.ROLLOUT_RUNNING, "a rollout is running: it replaces the pods by itself")
    if facts.budgets.value is None:
        return refuses(HoldReason.DISRUPTION_BUDGET, f"unknown: {facts.budgets.problem}")
    names = sorted(facts.budgets.value.allowed)
    if len(names) > 1:
        return refuses(HoldReason.DISRUPTION_BUDGET, f"several budgets select the pods ({', '.join(names)}): the API "
                       "server refuses every eviction")  # fmt: skip
    return None


def _sickest(pods: list[Pod], unready_seconds: float) -> Pod | None:
    """The pod that has been unready longest; of two equal ones the first by name, so that a replay chooses the same."""
    sick = [pod for pod in pods if pod.unready_seconds is not None and pod.unready_seconds >= unready_seconds]
    return min(sick, key=lambda pod: (-(pod.unready_seconds or 0.0), pod.name), default=None)


def _evict(request: ActionInput, workload: Workload, pod: Pod, ready: int) -> Plan:
    """The plan that evicts this pod."""
    namespace = request.target.namespace
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    step = CreateStep(eviction_path(namespace, pod.name), body, pod_path(namespace, pod.name), gone_uid=pod.uid)
    return Plan(
        action="evict_pod",
        target=request.target,
        operation_id=request.operation_id,
        summary=f"evict pod {namespace}/{pod.name}, unready for {pod.unready_seconds:.0f} s; {ready} others are ready",
        steps=(step,),
        prior={"pod": pod.name, "pod_uid": pod.uid, "ready": ready, "restarts": pod.restarts},
        expected={"effect": "pod_gone", "uid": workload.uid, "pod": pod.name, "pod_uid": pod.uid},
    )
