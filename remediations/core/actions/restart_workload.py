"""Replaces every pod of a Deployment with a rolling update."""

from __future__ import annotations

from chassis.kubernetes.paths import deployment_path
from remediations.core.action import NEW_POD_READS, ActionInput, Effect, action, refuses
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Facts
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import BUDGETS, PatchStep, Plan
from remediations.core.model.reasons import HoldReason


@action(
    kinds=("Deployment",),
    effects=frozenset({Effect.PATCHES_WORKLOAD, Effect.STOPS_PODS, Effect.STARTS_PODS}),
    refusals=frozenset({HoldReason.TARGET_UNKNOWN}),
    rbac=(
        "get apps/deployments",
        "patch apps/deployments",
        "list core/pods",
        "get core/pods/log",
        "list core/events",
        "list policy/poddisruptionbudgets",
        "get core/configmaps",
        *NEW_POD_READS,
    ),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Writes the operation id into the pod template, so that the controller rolls the Deployment out once.

    The value is the operation's own id and never a time, so sending the same patch again changes nothing. metadata.uid
    and metadata.resourceVersion make the API server refuse the write if the object has changed since the decision
    (Kubernetes API conventions, "Concurrency control and consistency").

    Undo: none; the pods are gone, and the template starts the same as before.
    """
    workload = request.facts.workload.value
    if workload is None:
        return refuses(HoldReason.TARGET_UNKNOWN, request.facts.workload.problem)
    mark = {ANNOTATION_OPERATION: request.operation_id}
    body = {
        "metadata": {"uid": workload.uid, "resourceVersion": workload.resource_version, "annotations": mark},
        "spec": {"template": {"metadata": {"annotations": mark}}},
    }
    target = request.target
    return Plan(
        action="restart_workload",
        target=target,
        operation_id=request.operation_id,
        summary=(
            f"restart {target.kind} {target.namespace}/{target.name}: replace "
            f"{workload.replicas_ready} ready of {workload.replicas_desired} pods"
        ),
        steps=(PatchStep(deployment_path(target.namespace, target.name), "strategic", body, mark),),
        prior={
            "template_operation_id": workload.template_annotations.get(ANNOTATION_OPERATION),
            "operation_id": workload.annotations.get(ANNOTATION_OPERATION),
        },
        expected={
            "effect": "rollout",
            "uid": workload.uid,
            "template_operation_id": request.operation_id,
            "operation_id": request.operation_id,
        }
        | _used_budgets(request.facts),
    )


def _used_budgets(facts: Facts) -> dict[str, list[str]]:
    """The budgets of the ready pods that the rollout may stop; none if it stops no ready pod."""
    workload, budgets = facts.workload.value, facts.budgets.value
    if workload is None or budgets is None or not workload.stops or workload.replicas_ready <= 0:
        return {}
    return {BUDGETS: sorted(budgets.allowed)}
