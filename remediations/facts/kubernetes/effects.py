"""Asks the cluster whether a plan's effect is complete, for effects that are neither a rollout nor an autoscaler's."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.errors import BackendError, PermanentError, Reason
from chassis.kubernetes.objects import condition_of, is_ending, is_over, reading
from chassis.kubernetes.paths import pod_path, resource_path
from remediations.core.model.cluster import KEDA, Workload
from remediations.core.model.facts import NO_ORCHESTRATOR, Fact
from remediations.core.model.plan import Plan
from remediations.facts.kubernetes.action_facts import ActionFactReader
from remediations.facts.kubernetes.reader import ClusterReader

ASKED = frozenset({"pod_gone", "job", "scaled_object", "replicas"})


@dataclass(frozen=True, slots=True)
class EffectState:
    """How an effect stands."""

    is_complete: bool
    is_kept: bool | None = None
    """Whether what was written still stands; None where nothing stays that could be taken back."""


async def ask_effect(reader: ActionFactReader, plan: Plan) -> Fact[EffectState]:
    """How the plan's effect stands on the cluster; a failure to find out as a fact without value."""
    source = f"{plan.expected.get('effect')} of {plan.target.key}"
    try:
        return Fact(await _read_effect(reader, plan), source)
    except BackendError as error:
        return Fact(None, source, f"{error.reason.value}: {error}")


async def _read_effect(reader: ActionFactReader, plan: Plan) -> EffectState:
    """The answer; raises BackendError."""
    expected, namespace = plan.expected, plan.target.namespace
    match expected["effect"]:
        case "pod_gone":
            return EffectState(await _is_replaced(reader, plan))
        case "job":
            path = resource_path("batch/v1", "jobs", namespace=namespace, name=expected["job"])
            document = await reader.read(path)
            return EffectState(condition_of(document, "Complete") is True)
        case "scaled_object":
            path = resource_path(KEDA, "scaledobjects", namespace=namespace, name=expected["scaled_object"])
            document = await reader.read(path)
            with reading("ScaledObject"):
                is_same = document["metadata"]["uid"] == expected["uid"]
                bounds = {name: expected[name] for name in ("minReplicaCount", "maxReplicaCount") if name in expected}
                is_kept = bool(is_same and bounds.items() <= document["spec"].items())
            return EffectState(is_kept, is_kept)
        case _:
            workload = await _workload(reader, plan)
            is_kept = workload.uid == expected["uid"] and workload.replicas_desired == expected["replicas"]
            return EffectState(is_kept and workload.is_rolled_out, is_kept)


async def _is_replaced(reader: ActionFactReader, plan: Plan) -> bool:
    """Whether the evicted pod is gone or on its way out, and the Deployment has all its pods again without it.

    On a dead node the pod stays Terminating until the node is removed; it serves nobody, and another runs in its place.
    """
    try:
        document = await reader.read(pod_path(plan.target.namespace, plan.expected["pod"]))
    except BackendError as error:
        if error.reason is not Reason.MISSING:
            raise
    else:
        is_same = document["metadata"]["uid"] == plan.expected["pod_uid"]
        if is_same and not (is_ending(document) or is_over(document)):
            return False
    workload = await _workload(reader, plan)
    return workload.uid == plan.expected["uid"] and workload.is_rolled_out


async def _workload(reader: ActionFactReader, plan: Plan) -> Workload:
    """The Deployment as it stands."""
    if reader.api is None:
        raise PermanentError(Reason.MISSING, NO_ORCHESTRATOR)
    return await ClusterReader(reader.api, reader.timeout_seconds).rollout(plan.target)
