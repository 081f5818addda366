"""The objects that the admission policies are tried on, and where they are."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tools.chart import Manifest
from tools.servers.kubernetes.client import MERGE_PATCH, ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.servers.kubernetes.client import KubernetesClient
    from tools.servers.kubernetes.cluster import Cluster


QUERY = {"promql": "up", "collectors": ["api"]}


KINDS = {"ServiceAccount", "Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


MARK = {"controlcore.io/operation-id": "r-1"}


STRATEGIC = "application/strategic-merge-patch+json"


IDENTITY = ['cluster="production"']


REFUSED = 422
"""Invalid, which an admission policy answers; a missing right would be 403."""


def chart_values(namespace: str) -> dict[str, Any]:
    def policy(action: str, kind: str, name: str) -> dict[str, Any]:
        target = {"namespace": namespace, "kind": kind, "name": name}
        # Evictions and Jobs are granted only to a policy that may act.
        return {"mode": "approve", "action": action, "condition": QUERY, "verify": QUERY, "targets": [target]}

    more = {
        "evict": policy("evict_pod", "Deployment", "control-plane-api"),
        "backup": policy("run_backup_job", "CronJob", "dump"),
        "scale-api": {"parameters": {"revert_if": "up", "revert_collectors": ["api"]}, "leastReplicas": 4},
    }
    return {
        "exporter": {"enabled": False},
        "remediator": {"tokenSecret": {"name": "webhook"}, "identity": IDENTITY, "policies": more},
    }


def is_refused(client: KubernetesClient, verb: str, path: str, body: Manifest) -> bool:
    """Whether the admission policy refuses; any other refusal is an error of the test."""
    kind = STRATEGIC if "deployments" in path and "/scale" not in path else MERGE_PATCH
    try:
        if verb == "POST":
            client.post(path, body)
        else:
            client.patch(path, body, kind)
    except ApiError as error:
        if error.code != REFUSED or "ValidatingAdmissionPolicy" not in error.message:
            raise
        return True
    return False


def deployment_at(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/control-plane-api"


def autoscaler_at(namespace: str) -> str:
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/control-plane-api-hpa"


def pods_at(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def a_deployment(namespace: str) -> Manifest:
    labels = {"app": "control-plane-api"}
    template = {"metadata": {"labels": labels, "annotations": {"team": "identity"}}, "spec": a_pod()["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "control-plane-api", "namespace": namespace, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def an_autoscaler(namespace: str) -> Manifest:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "control-plane-api"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "control-plane-api-hpa", "namespace": namespace},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 2,
            "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }


SICK = "control-plane-api-5d4f8c7b9b-x2x2x"
"""A pod's name as a Deployment's ReplicaSet makes it."""


def jobs_at(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def a_bound(name: str, number: int, note: str | None) -> Manifest:
    """The patch of one bound with what the remediator says of it."""
    return {"metadata": {"annotations": MARK | {f"controlcore.io/raised-{name}": note}}, "spec": {name: number}}


def a_pod() -> Manifest:
    return {"metadata": {"name": SICK}, "spec": {"containers": [{"name": "api", "image": "none"}]}}


def an_eviction(uid: str | None, pod: str = SICK) -> Manifest:
    options = {} if uid is None else {"deleteOptions": {"preconditions": {"uid": uid}}}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}, **options}


def an_event(namespace: str) -> Manifest:
    component = "controlcore-remediator"
    involved = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": namespace, "name": "control-plane-api"}
    return {
        "metadata": {"name": "control-plane-api.r.0", "namespace": namespace},
        "involvedObject": involved,
        "type": "Normal",
        "reason": "RemediationHeld",
        "message": "m",
        "action": "held",
        "count": 1,
        "firstTimestamp": "2026-11-01T00:00:00Z",
        "lastTimestamp": "2026-11-01T00:00:00Z",
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "i",
    }


def forged_events(namespace: str) -> Sequence[Manifest]:
    event = an_event(namespace)
    return (
        {**event, "involvedObject": {**event["involvedObject"], "name": "postgresql"}},
        {**event, "source": {"component": "kubelet"}},
        {**event, "reportingComponent": "kubelet"},
    )


def a_cron_job(namespace: str) -> Manifest:
    container = {"name": "dump", "image": "none", "env": [{"name": "LEVEL", "value": "9"}]}
    pods = {"metadata": {"labels": {"app": "dump"}}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    job = {"metadata": {"labels": {"team": "db"}, "annotations": {"a": "b"}}, "spec": {"template": pods}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "dump", "namespace": namespace},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": job},
    }


def a_job(cluster: Cluster, namespace: str) -> Manifest:
    """The Job that the action `run_backup_job` makes of the CronJob."""
    found = cluster.client.get(f"/apis/batch/v1/namespaces/{namespace}/cronjobs/dump")
    template = copy.deepcopy(found["spec"]["jobTemplate"])
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "dump", "uid": found["metadata"]["uid"]}
    notes = {"cronjob.kubernetes.io/instantiate": "manual", **MARK, **template["metadata"]["annotations"]}
    labels = {**template["metadata"]["labels"], "controlcore.io/cronjob": "dump"}
    metadata = {"name": "made", "labels": labels, "annotations": notes}
    return {"metadata": metadata | {"ownerReferences": [owner | {"controller": True}]}, "spec": template["spec"]}


def forged_jobs(job: Manifest) -> Sequence[Manifest]:
    """S1: Jobs that name the CronJob as their owner and are others."""
    owners = job["metadata"]["ownerReferences"]

    def of_pod(**fields: Any) -> Manifest:
        made = copy.deepcopy(job)
        made["spec"]["template"]["spec"].update(fields)
        return made

    container = job["spec"]["template"]["spec"]["containers"][0]
    return (
        {**job, "metadata": {"name": "made"}},
        {**job, "metadata": {"name": "made", "ownerReferences": [{**owners[0], "name": "other"}]}},
        {**job, "metadata": {"name": "made", "ownerReferences": [{**owners[0], "uid": "another"}]}},
        {**job, "metadata": {**job["metadata"], "finalizers": ["controlcore.io/never"]}},
        {**job, "metadata": {**job["metadata"], "labels": job["metadata"]["labels"] | {"app": "control-plane-api"}}},
        {**job, "metadata": {**job["metadata"], "labels": {"controlcore.io/cronjob": "postgres-backup"}}},
        {**job, "metadata": {**job["metadata"], "labels": {}}},
        {**job, "spec": {**job["spec"], "parallelism": 100, "completions": 100}},
        of_pod(serviceAccountName="admin"),
        of_pod(hostPID=True),
        of_pod(volumes=[{"name": "host", "hostPath": {"path": "/"}}]),
        of_pod(containers=[{**container, "securityContext": {"privileged": True}}]),
        of_pod(containers=[{**container, "command": ["sh"]}]),
        of_pod(containers=[container, {"name": "more", "image": "x"}]),
        of_pod(initContainers=[{"name": "more", "image": "x"}]),
    )
