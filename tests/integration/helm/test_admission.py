"""The admission policy on a real API server: what the remediator's Role allows, in this form and in no other."""

from __future__ import annotations

import copy
import json
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tests.fakes.chart import rendered
from tests.fakes.waiting import wait_for
from tests.integration.helm.admission_sweep import (
    Patch,
    Path,
    Schema,
    changed,
    differences,
    patches,
    paths,
    without,
)
from tools.chart import Manifest, find_object, render
from tools.servers.kubernetes.client import APPLY_PATCH, MERGE_PATCH, ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.servers.kubernetes.client import KubernetesClient
    from tools.servers.kubernetes.cluster import Cluster

T = TypeVar("T")
IS_WHOLE = os.environ.get("CONTROLCORE_ADMISSION_SWEEP") == "whole"
"""Every field in every form; otherwise the forms take turns."""
QUERY = {"promql": "up", "collectors": ["api"]}
KINDS = {"ServiceAccount", "Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
MARK = {"controlcore.io/operation-id": "r-1"}
STRATEGIC = "application/strategic-merge-patch+json"
KEDA: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "names": {"kind": "ScaledObject", "plural": "scaledobjects"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}
IDENTITY = ['cluster="production"']
REFUSED = 422
"""Invalid, which an admission policy answers; a missing right would be 403."""

pytestmark = pytest.mark.timeout(120)


def _values(namespace: str) -> dict[str, Any]:
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


@pytest.fixture
def remediator(cluster: Cluster, namespace: str) -> Iterator[KubernetesClient]:
    """A client with the remediator's rights, once the policy is in force (a binding takes a moment)."""
    objects = [item for item in render(_values(namespace), "controlcore", namespace) if item["kind"] in KINDS]
    cluster.apply([*objects, _deployment(namespace), _autoscaler(namespace), _cron_job(namespace)])
    client = cluster.client_for(namespace, "controlcore-remediator")
    wait_for(
        lambda: _is_refused(client, "PATCH", f"{_apps(namespace)}?dryRun=All", {"spec": {"paused": True}}),
        describe=lambda: "the policy never came into force",
    )
    job = without(_job(cluster, namespace), ("metadata", "labels", "team"))
    wait_for(
        lambda: _is_refused(client, "POST", f"{_jobs(namespace)}?dryRun=All", job),
        describe=lambda: "the policy of Jobs never came into force",
    )
    yield client
    for item in objects:
        if "namespace" not in item["metadata"]:
            cluster.client.delete(cluster.client.path_of(item))


def test_what_the_actions_write_is_admitted(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    marked = {"metadata": {"annotations": MARK}}
    remediator.patch(_apps(namespace), {**marked, "spec": {"template": marked}}, STRATEGIC)
    remediator.patch(_scaling(namespace), _bound("maxReplicas", 12, "10..12"))
    remediator.patch(_scaling(namespace), _bound("minReplicas", 3, "2..3"))
    remediator.patch(_scaling(namespace), _bound("minReplicas", 5, "2..5"))
    remediator.patch(_scaling(namespace), _bound("minReplicas", 3, "2..3"))
    remediator.patch(_scaling(namespace), _bound("minReplicas", 2, None))
    scale = f"{_apps(namespace)}/scale"
    cluster.client.patch(scale, {"spec": {"replicas": 5}})
    remediator.patch(f"{scale}?dryRun=All", {"spec": {"replicas": 12}})
    remediator.patch(f"{scale}?dryRun=All", {"spec": {"replicas": 4}})
    remediator.post(f"{_jobs(namespace)}?dryRun=All", _job(cluster, namespace))
    pod = cluster.client.post(_pods(namespace), _pod())
    remediator.post(f"{_pods(namespace)}/{SICK}/eviction?dryRun=All", _eviction(pod["metadata"]["uid"]))
    remediator.post(f"/api/v1/namespaces/{namespace}/events?dryRun=All", _event(namespace))


def test_every_other_change_is_refused(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    """S1, M1, M2, L1, L2: each of these the Role alone would let pass."""
    api = cluster.client.post(_pods(namespace), _pod())
    others = ("postgresql-0", "control-plane-api-db-x2x2x")
    strangers = {name: cluster.client.post(_pods(namespace), {**_pod(), "metadata": {"name": name}}) for name in others}
    cluster.client.patch(f"{_apps(namespace)}/scale", {"spec": {"replicas": 5}})
    template = {"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "another"}]}}}}
    deployments = (
        template,
        {"spec": {"template": {"metadata": {"finalizers": ["controlcore.io/never"]}}}},
        {"spec": {"template": {"metadata": {"annotations": {"team": "other"}}}}},
        {"spec": {"template": {"metadata": {"annotations": {"team": None}}}}},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}},
        {"metadata": {"annotations": {"controlcore.io/raised-replicas": "1..2"}}},
    )
    autoscalers = (
        _bound("maxReplicas", 13, "10..13"),
        _bound("minReplicas", 13, "2..13") | {"spec": {"minReplicas": 13, "maxReplicas": 13}},
        _bound("maxReplicas", 11, None),
        _bound("maxReplicas", 11, "2..11"),
        _bound("maxReplicas", 9, None),
        _bound("maxReplicas", 9, "1..9"),
        _bound("minReplicas", 1, None),
        {"metadata": {"annotations": {"controlcore.io/raised-maxReplicas": "1..10"}}},
        {"metadata": {"annotations": {"other": "x"}}},
    )
    evict = f"{_pods(namespace)}/{SICK}/eviction"
    by_uid = _eviction(api["metadata"]["uid"])
    at_once = {**by_uid, "deleteOptions": {**by_uid["deleteOptions"], "gracePeriodSeconds": 0}}
    attempts = [("PATCH", _apps(namespace), body) for body in deployments]
    attempts += [("PATCH", _scaling(namespace), body) for body in autoscalers]
    attempts += [("PATCH", f"{_apps(namespace)}/scale", {"spec": {"replicas": number}}) for number in (0, 3, 13)]
    attempts += [("POST", evict, _eviction(None)), ("POST", evict, at_once)]
    attempts += [
        ("POST", f"{_pods(namespace)}/{name}/eviction", _eviction(pod["metadata"]["uid"], name))
        for name, pod in strangers.items()
    ]
    attempts += [("POST", _jobs(namespace), body) for body in _forged_jobs(_job(cluster, namespace))]
    attempts += [("POST", f"/api/v1/namespaces/{namespace}/events", body) for body in _forged_events(namespace)]
    passed = [body for verb, path, body in attempts if not _is_refused(remediator, verb, f"{path}?dryRun=All", body)]
    assert passed == []


def test_job_of_a_named_cron_job_that_is_gone_is_refused(
    cluster: Cluster, namespace: str, remediator: KubernetesClient
) -> None:
    """S1: without the CronJob there is nothing to compare with, whatever other CronJobs there are."""
    job = _job(cluster, namespace)
    cron_jobs = f"/apis/batch/v1/namespaces/{namespace}/cronjobs"
    cluster.client.post(cron_jobs, {**_cron_job(namespace), "metadata": {"name": "other"}})
    cluster.client.delete(f"{cron_jobs}/dump")
    wait_for(
        lambda: _is_refused(remediator, "POST", f"{_jobs(namespace)}?dryRun=All", job),
        describe=lambda: "a Job without its CronJob is admitted",
    )


MAY_DIFFER = {
    "Deployment": {("spec", "template", "metadata", "annotations", "controlcore.io/operation-id")},
    "HorizontalPodAutoscaler": set(),
    "Job": set(),
}
"""Fields that an admitted write may leave different, beside those of the metadata."""
VOLATILE = {
    ("metadata", "annotations", "controlcore.io/operation-id"),
    ("metadata", "creationTimestamp"),
    ("metadata", "generation"),
    ("metadata", "managedFields"),
    ("metadata", "resourceVersion"),
    ("metadata", "uid"),
    ("spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"),
    *(("spec", "template", "metadata", "labels", f"{prefix}controller-uid") for prefix in ("", "batch.kubernetes.io/")),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["Deployment", "HorizontalPodAutoscaler"])
def test_patch_of_every_field_changes_nothing_but_our_own(
    kind: str, cluster: Cluster, namespace: str, remediator: KubernetesClient
) -> None:
    """M1: whatever the schema knows, in each form of a patch: refused, or without effect. All forms in `make chaos`."""
    group, path = {"Deployment": ("apps.v1", _apps), "HorizontalPodAutoscaler": ("autoscaling.v2", _scaling)}[kind]
    schema = Schema.of(cluster.client, f"apis/{group.replace('.', '/')}")
    before = cluster.client.get(path(namespace))
    attempts: list[Patch] = []
    for number, (field, value) in enumerate(schema.fields(f"io.k8s.api.{group}.{kind}")):
        forms = list(patches(before, field, value))
        attempts += forms if IS_WHOLE else [forms[number % len(forms)]]

    def send(patch: Patch, tries: int = 3) -> str:
        try:
            query = "dryRun=All&fieldManager=controlcore-remediator"
            query += "&force=true" if patch.content_type == APPLY_PATCH else ""
            answer = remediator.request(
                "PATCH", f"{path(namespace)}?{query}", patch.body, content_type=patch.content_type
            )
        except ApiError as error:
            if error.code == HTTPStatus.CONFLICT and tries > 1:
                return send(patch, tries - 1)  # a controller wrote in between: the policy has not been asked
            return "refused by the policy" if "ValidatingAdmissionPolicy" in error.message else "refused otherwise"
        # The API server takes no status in a write of the object; its controllers go on writing theirs.
        after = json.loads(answer) | {"status": before.get("status")}
        wrong = set(differences(before, after)) - VOLATILE - MAY_DIFFER[kind]
        return f"CHANGED {patch}: {wrong}" if wrong else "no effect"

    _judge(kind, attempts, send)


@pytest.mark.timeout(240)
def test_job_with_any_field_of_its_own_is_refused(
    cluster: Cluster, namespace: str, remediator: KubernetesClient
) -> None:
    """S1: the Job's own schema, field by field, laid over the Job that is admitted."""
    schema = Schema.of(cluster.client, "apis/batch/v1")
    job = _job(cluster, namespace)
    send_job = partial(remediator.request, "POST", f"{_jobs(namespace)}?dryRun=All")
    admitted = json.loads(send_job(job))
    fields = [
        (field, value) for field, value in schema.fields("io.k8s.api.batch.v1.Job") if field != ("metadata", "name")
    ]

    def send(attempt: tuple[Path, object]) -> str:
        try:
            answer = json.loads(send_job(changed(job, *attempt)))
        except ApiError as error:
            return "refused by the policy" if "ValidatingAdmissionPolicy" in error.message else "refused otherwise"
        wrong = set(differences(admitted, answer)) - VOLATILE
        return f"CHANGED {attempt}: {wrong}" if wrong else "no effect"

    _judge("Job", fields, send)


def test_job_with_any_field_left_out_is_refused(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    """S1: the same for what it leaves out, the labels of its pods too."""
    job = _job(cluster, namespace)
    send_job = partial(remediator.request, "POST", f"{_jobs(namespace)}?dryRun=All")
    admitted = json.loads(send_job(job))
    fields = [path for path in paths(job) if path not in {("metadata",), ("metadata", "name")}]

    def send(path: Path) -> str:
        try:
            answer = json.loads(send_job(without(job, path)))
        except ApiError as error:
            return "refused by the policy" if "ValidatingAdmissionPolicy" in error.message else "refused otherwise"
        wrong = set(differences(admitted, answer)) - VOLATILE
        return f"CHANGED {path}: {wrong}" if wrong else "no effect"

    _judge("Job, fields left out", fields, send)


def _judge(kind: str, attempts: Sequence[T], send: Callable[[T], str]) -> None:
    """Sends all attempts, prints their count and fails for each that changed something."""
    with ThreadPoolExecutor(4) as pool:
        counts = Counter(pool.map(send, attempts))
    print(f"admission sweep of {kind}: {len(attempts)} attempts, {dict(counts)}")
    assert [result for result in counts if result.startswith("CHANGED")] == []
    assert counts["refused by the policy"] > len(attempts) // 10


@pytest.fixture
def scaled_object(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The address of a ScaledObject; its kind is taken away again, because other tests have none."""
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{KEDA['metadata']['name']}"
    cluster.apply([KEDA])
    cluster.wait_for(definition, _is_established)
    spec = {"scaleTargetRef": {"name": "control-plane-api"}, "minReplicaCount": 2, "maxReplicaCount": 10}
    path = f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects"
    made = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "control-plane-api"}}
    cluster.client.post(path, {**made, "spec": {**spec, "triggers": [{"type": "cpu"}]}})
    yield f"{path}/control-plane-api"
    cluster.client.delete(definition)
    cluster.client.wait_gone(definition)


def test_a_scaled_object_keeps_to_the_cap(scaled_object: str, remediator: KubernetesClient) -> None:
    remediator.patch(scaled_object, _bound("maxReplicaCount", 12, "10..12"))
    remediator.patch(scaled_object, _bound("minReplicaCount", 3, "2..3"))
    bodies = (
        _bound("maxReplicaCount", 13, "10..13"),
        _bound("maxReplicaCount", 9, None),
        _bound("minReplicaCount", 1, None),
        {"status": {"conditions": []}},
        {"spec": {"minReplicaCount": 0}},
        {"spec": {"triggers": []}},
        {"spec": {"scaleTargetRef": {"name": "other"}}},
        {"spec": {"cooldownPeriod": 1}},
        {"spec": {"maxReplicaCount": None}},
        {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}},
    )
    assert [body for body in bodies if not _is_refused(remediator, "PATCH", f"{scaled_object}?dryRun=All", body)] == []


def test_others_are_not_concerned(cluster: Cluster, namespace: str, remediator: KubernetesClient) -> None:
    del remediator
    cluster.client.patch(f"{_apps(namespace)}?dryRun=All", {"spec": {"paused": True}})


@pytest.mark.parametrize(
    ("kube_version", "is_wanted", "expected"),
    [
        ("1.29.9", True, []),
        (
            "1.30.0",
            True,
            ["controlcore-remediator.controlcore", "controlcore-remediator.controlcore.controlcore.postgres-backup"],
        ),
        ("1.31.0", False, []),
    ],
)
def test_the_policy_is_there_from_1_30_and_unless_switched_off(
    kube_version: str, *, is_wanted: bool, expected: list[str]
) -> None:
    values = {"remediator": {"tokenSecret": {"name": "webhook"}, "admissionPolicy": is_wanted}}
    found = rendered(values, kube_version)
    names = [item["metadata"]["name"] for item in found if item["kind"] == "ValidatingAdmissionPolicy"]
    assert names == expected


def test_caps_and_jobs_are_those_of_the_policies() -> None:
    policy = find_object(
        rendered(_values("controlcore")), "ValidatingAdmissionPolicy", "controlcore-remediator.controlcore"
    )
    variables = {item["name"]: item["expression"] for item in policy["spec"]["variables"]}
    caps = {
        f"controlcore/{name}{suffix}": 12
        for name in ("control-plane-api", "controlcore-bouncer")
        for suffix in ("", "-hpa")
    }
    assert json.loads(variables["caps"]) == caps
    assert json.loads(variables["floors"]) == {"controlcore/control-plane-api": 4}
    (jobs,) = (item for item in policy["spec"]["validations"] if "Jobs" in item["message"])
    assert '["controlcore/postgres-backup", "controlcore/dump"]' in jobs["expression"]


HASH = "5d4f8c7b9b"
"""A pod-template-hash: ten decimal digits at most, in the alphabet of the API server."""


LONGEST_WHOLE = 50
"""Characters of a Deployment's name behind which seven of the hash are never cut."""


@pytest.mark.parametrize("hashed", [HASH, HASH[:8]])
@pytest.mark.parametrize("name", ["api", "api.v2", *("a" * length for length in (46, 47, 50, 56, 57, 58, 63))])
def test_pods_of_a_target_are_told_from_those_of_its_siblings(name: str, hashed: str) -> None:
    """M2: pods of what is called like the target with more behind it are another's, however long the name is.

    The API server cuts the name of a pod before the suffix.
    """
    pattern = _pod_pattern(name)
    assert re.fullmatch(pattern, f"edge/{_pod_of(f'{name}-{hashed}')}")
    siblings = ("-db", "-bcdf", f"-db-{hashed}", f"2-{hashed}")
    for other in ("postgresql", *(f"{name}{more}" for more in siblings)):
        if len(name) <= LONGEST_WHOLE or not other.startswith(name):
            assert not re.fullmatch(pattern, f"edge/{_pod_of(other)}"), other
    assert not re.fullmatch(pattern, f"other/{_pod_of(f'{name}-{hashed}')}")


def _pod_of(owner: str) -> str:
    """The name that the API server gives a pod of this ReplicaSet or DaemonSet (metadata.generateName)."""
    return f"{owner}-"[:58] + "x2x2x"


def _pod_pattern(name: str) -> str:
    """What the eviction of pods of this Deployment is compared with."""
    more = {"evict": {"mode": "approve", "action": "evict_pod", "condition": QUERY, "verify": QUERY,
                      "targets": [{"namespace": "edge", "kind": "Deployment", "name": name}]}}  # fmt: skip
    found = rendered({"remediator": {"tokenSecret": {"name": "webhook"}, "identity": IDENTITY, "policies": more}})
    policy = find_object(found, "ValidatingAdmissionPolicy", "controlcore-remediator.controlcore")
    (pods,) = (item["expression"] for item in policy["spec"]["validations"] if "evicts" in item["message"])
    pattern = re.search(r'matches\("([^"]+)"\)', pods)
    assert pattern is not None
    return pattern[1]


def _is_refused(client: KubernetesClient, verb: str, path: str, body: Manifest) -> bool:
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


def _is_established(definition: Manifest) -> bool:
    # The server writes null before it has looked at a new definition.
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def _apps(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/control-plane-api"


def _scaling(namespace: str) -> str:
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/control-plane-api-hpa"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _deployment(namespace: str) -> Manifest:
    labels = {"app": "control-plane-api"}
    template = {"metadata": {"labels": labels, "annotations": {"team": "identity"}}, "spec": _pod()["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "control-plane-api", "namespace": namespace, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def _autoscaler(namespace: str) -> Manifest:
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


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def _bound(name: str, number: int, note: str | None) -> Manifest:
    """The patch of one bound with what the remediator says of it."""
    return {"metadata": {"annotations": MARK | {f"controlcore.io/raised-{name}": note}}, "spec": {name: number}}


def _pod() -> Manifest:
    return {"metadata": {"name": SICK}, "spec": {"containers": [{"name": "api", "image": "none"}]}}


def _eviction(uid: str | None, pod: str = SICK) -> Manifest:
    options = {} if uid is None else {"deleteOptions": {"preconditions": {"uid": uid}}}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}, **options}


def _event(namespace: str) -> Manifest:
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


def _forged_events(namespace: str) -> Sequence[Manifest]:
    event = _event(namespace)
    return (
        {**event, "involvedObject": {**event["involvedObject"], "name": "postgresql"}},
        {**event, "source": {"component": "kubelet"}},
        {**event, "reportingComponent": "kubelet"},
    )


def _cron_job(namespace: str) -> Manifest:
    container = {"name": "dump", "image": "none", "env": [{"name": "LEVEL", "value": "9"}]}
    pods = {"metadata": {"labels": {"app": "dump"}}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    job = {"metadata": {"labels": {"team": "db"}, "annotations": {"a": "b"}}, "spec": {"template": pods}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "dump", "namespace": namespace},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": job},
    }


def _job(cluster: Cluster, namespace: str) -> Manifest:
    """The Job that the action `run_backup_job` makes of the CronJob."""
    found = cluster.client.get(f"/apis/batch/v1/namespaces/{namespace}/cronjobs/dump")
    template = copy.deepcopy(found["spec"]["jobTemplate"])
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "dump", "uid": found["metadata"]["uid"]}
    notes = {"cronjob.kubernetes.io/instantiate": "manual", **MARK, **template["metadata"]["annotations"]}
    labels = {**template["metadata"]["labels"], "controlcore.io/cronjob": "dump"}
    metadata = {"name": "made", "labels": labels, "annotations": notes}
    return {"metadata": metadata | {"ownerReferences": [owner | {"controller": True}]}, "spec": template["spec"]}


def _forged_jobs(job: Manifest) -> Sequence[Manifest]:
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
