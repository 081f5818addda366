"""Reads whether a plan's effect on the cluster is complete, for effects other than rollouts and autoscalers."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.errors import BackendError, Reason
from chassis.kubernetes.objects import condition_of, is_ending, is_over, reading
from chassis.kubernetes.paths import pod_path, resource_path
from remediations.core.model.cluster import KEDA
from remediations.core.model.plan import Plan
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import read_rollout

ASKED = frozenset({"pod_gone", "job", "scaled_object", "replicas"})


@dataclass(frozen=True, slots=True)
class EffectState:
    """The state of an effect."""

    is_complete: bool
    is_kept: bool | None = None
    """Whether the written value is still in place; None if nothing remains that could be undone."""


async def read_effect(reader: ClusterReader, plan: Plan) -> EffectState:
    """The state of the plan's effect on the cluster; raises BackendError."""
    expected, namespace = plan.expected, plan.target.namespace
    match expected["effect"]:
        case "pod_gone":
            return EffectState(await _is_replaced(reader, plan))
        case "job":
            document = await reader.get(resource_path("batch/v1", "jobs", namespace=namespace, name=expected["job"]))
            with reading("Job"):
                return EffectState(condition_of(document, "Complete") is True)
        case "scaled_object":
            path = resource_path(KEDA, "scaledobjects", namespace=namespace, name=expected["scaled_object"])
            document = await reader.get(path)
            with reading("ScaledObject"):
                is_same = document["metadata"]["uid"] == expected["uid"]
                bounds = {name: expected[name] for name in ("minReplicaCount", "maxReplicaCount") if name in expected}
                is_kept = bool(is_same and bounds.items() <= document["spec"].items())
            return EffectState(is_kept, is_kept)
        case _:
            workload = await read_rollout(reader, plan.target)
            is_kept = workload.uid == expected["uid"] and workload.replicas_desired == expected["replicas"]
            return EffectState(is_kept and workload.is_rolled_out, is_kept)


async def _is_replaced(reader: ClusterReader, plan: Plan) -> bool:
    """Whether the evicted pod is gone or terminating, and the Deployment has all its pods again without it.

    On a dead node the pod stays Terminating until the node is removed; it does not serve, and a replacement runs.
    """
    try:
        document = await reader.get(pod_path(plan.target.namespace, plan.expected["pod"]))
    except BackendError as error:
        if error.reason is not Reason.MISSING:
            raise
    else:
        with reading("Pod"):
            is_same = document["metadata"]["uid"] == plan.expected["pod_uid"]
        if is_same and not (is_ending(document) or is_over(document)):
            return False
    workload = await read_rollout(reader, plan.target)
    return workload.uid == plan.expected["uid"] and workload.is_rolled_out
