"""Gives a workload more replicas through the HorizontalPodAutoscaler that owns them."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.kubernetes_paths import autoscaler_path
from remediations.actions import ActionInput, Effect, Parameter, action, refuses
from remediations.decision import GuardOutcome, Plan
from remediations.document import Range
from remediations.model import ANNOTATION_OPERATION
from remediations.reasons import HoldReason
from remediations.step import PatchStep
from remediations.workload import Autoscaler


@dataclass(frozen=True, slots=True)
class _Change:
    """One bound of the autoscaler, its value now and its value afterwards."""

    bound: str
    before: int
    after: int


@action(
    kinds=("Deployment",),
    effects=frozenset({Effect.PATCHES_WORKLOAD, Effect.STARTS_PODS, Effect.SETS_REPLICAS}),
    refusals=frozenset({HoldReason.OWNER_UNKNOWN, HoldReason.AUTOSCALER_AT_CAP}),
    rbac=(
        "get apps/deployments",
        "list autoscaling/horizontalpodautoscalers",
        "get autoscaling/horizontalpodautoscalers",
        "patch autoscaling/horizontalpodautoscalers",
        "get core/configmaps",
    ),
    parameters=(
        Parameter(
            "max_replicas_cap",
            Range(1, 1000),
            "Never more replicas than this, whatever happens. Count the database connections that each replica opens.",
        ),
        Parameter("step", Range(1, 100), "Replicas added by one action.", 2),
    ),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Raises maxReplicas of an autoscaler that stands at its maximum, and minReplicas of one that does not.

    spec.replicas is never written: the autoscaler owns it and would undo the write within seconds. The new bound is an
    absolute number, so a replay changes nothing. metadata.uid and metadata.resourceVersion are preconditions.
    """
    autoscalers = request.facts.autoscalers.value
    if autoscalers is None or len(autoscalers) != 1:
        return refuses(HoldReason.OWNER_UNKNOWN, "exactly one autoscaler must own the replicas")
    autoscaler = autoscalers[0]
    cap = int(request.parameters["max_replicas_cap"])
    change = _choose(autoscaler, int(request.parameters["step"]), cap)
    if change is None:
        return refuses(
            HoldReason.AUTOSCALER_AT_CAP,
            f"{autoscaler.name} allows {autoscaler.minimum} to {autoscaler.maximum} replicas and the cap is {cap}",
        )
    return _write(request, autoscaler, change)


def _choose(autoscaler: Autoscaler, step: int, cap: int) -> _Change | None:
    """The bound to raise, or None when the cap leaves no room."""
    if autoscaler.desired >= autoscaler.maximum:
        change = _Change("maxReplicas", autoscaler.maximum, min(autoscaler.maximum + step, cap))
    else:
        running = max(autoscaler.minimum, autoscaler.current, autoscaler.desired)
        change = _Change("minReplicas", autoscaler.minimum, min(running + step, autoscaler.maximum, cap))
    return change if change.after > change.before else None


def _write(request: ActionInput, autoscaler: Autoscaler, change: _Change) -> Plan:
    """The plan that moves one bound."""
    target = request.target
    mark = {ANNOTATION_OPERATION: request.operation_id}
    body = {
        "metadata": {"uid": autoscaler.uid, "resourceVersion": autoscaler.resource_version, "annotations": mark},
        "spec": {change.bound: change.after},
    }
    return Plan(
        action="scale_workload",
        target=target,
        operation_id=request.operation_id,
        summary=(
            f"raise {change.bound} of HorizontalPodAutoscaler {target.namespace}/{autoscaler.name} "
            f"from {change.before} to {change.after}"
        ),
        steps=(PatchStep(autoscaler_path(target.namespace, autoscaler.name), "merge", body, mark),),
        prior={
            "autoscaler": autoscaler.name,
            change.bound: change.before,
            "operation_id": autoscaler.annotations.get(ANNOTATION_OPERATION),
        },
        expected={
            "effect": "autoscaler",
            "uid": autoscaler.uid,
            "autoscaler": autoscaler.name,
            change.bound: change.after,
            "operation_id": request.operation_id,
        },
    )
