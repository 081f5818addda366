"""Asks the cluster whether a plan's effect is complete, for effects that are neither a rollout nor an autoscaler's."""

from __future__ import annotations

from chassis.errors import BackendError, PermanentError, Reason
from chassis.kubernetes_paths import pod_path, resource_path
from remediations.cluster import ClusterReader, reading
from remediations.decision import Plan
from remediations.model import Fact
from remediations.sighting import Lookout
from remediations.sights import KEDA
from remediations.workload import Workload

ASKED = frozenset({"pod_gone", "job", "scaled_object", "replicas"})


async def ask_effect(lookout: Lookout, plan: Plan) -> Fact[bool]:
    """Whether the cluster shows the whole effect; a failure to find out as a fact without value."""
    source = f"{plan.expected.get('effect')} of {plan.target.key}"
    try:
        return Fact(await _ask(lookout, plan), source)
    except BackendError as error:
        return Fact(None, source, f"{error.reason.value}: {error}")


async def _ask(lookout: Lookout, plan: Plan) -> bool:
    """The answer; raises BackendError."""
    expected, namespace = plan.expected, plan.target.namespace
    match expected["effect"]:
        case "pod_gone":
            return await _is_replaced(lookout, plan)
        case "job":
            path = resource_path("batch/v1", "jobs", namespace=namespace, name=expected["job"])
            document = await lookout.read(path)
            conditions = (document.get("status") or {}).get("conditions") or ()
            return any(each["type"] == "Complete" and each["status"] == "True" for each in conditions)
        case "scaled_object":
            path = resource_path(KEDA, "scaledobjects", namespace=namespace, name=expected["scaled_object"])
            document = await lookout.read(path)
            with reading("ScaledObject"):
                is_same = document["metadata"]["uid"] == expected["uid"]
                bounds = {name: expected[name] for name in ("minReplicaCount", "maxReplicaCount") if name in expected}
                return bool(is_same and bounds.items() <= document["spec"].items())
        case _:
            workload = await _workload(lookout, plan)
            is_same = workload.uid == expected["uid"] and workload.replicas_desired == expected["replicas"]
            return is_same and workload.is_rolled_out


async def _is_replaced(lookout: Lookout, plan: Plan) -> bool:
    """Whether the evicted pod is gone and the Deployment has all its pods again."""
    try:
        document = await lookout.read(pod_path(plan.target.namespace, plan.expected["pod"]))
    except BackendError as error:
        if error.reason is not Reason.MISSING:
            raise
    else:
        if document["metadata"]["uid"] == plan.expected["pod_uid"]:
            return False
    workload = await _workload(lookout, plan)
    return workload.uid == plan.expected["uid"] and workload.is_rolled_out


async def _workload(lookout: Lookout, plan: Plan) -> Workload:
    """The Deployment as it stands."""
    if lookout.api is None:
        raise PermanentError(Reason.MISSING, "no orchestrator is configured")
    return await ClusterReader(lookout.api, lookout.timeout_seconds).rollout(plan.target)
