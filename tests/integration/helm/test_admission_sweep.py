"""Sweeps of the admission policies: every field of every kind that the remediator may write."""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.integration.helm.admission_objects import a_job, autoscaler_at, deployment_at, jobs_at
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
from tools.servers.kubernetes.client import APPLY_PATCH, ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.servers.kubernetes.client import KubernetesClient
    from tools.servers.kubernetes.cluster import Cluster

T = TypeVar("T")


IS_WHOLE = os.environ.get("CONTROLCORE_ADMISSION_SWEEP") == "whole"
"""Every field in every form; otherwise the forms take turns."""


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
    group, path = {
        "Deployment": ("apps.v1", deployment_at),
        "HorizontalPodAutoscaler": ("autoscaling.v2", autoscaler_at),
    }[kind]
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
                return send(patch, tries - 1)  # a controller wrote in between: the policy was not evaluated
            return "refused by the policy" if "ValidatingAdmissionPolicy" in error.message else "refused otherwise"
        # The API server ignores a status in a write of the object; its controllers keep writing theirs.
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
    job = a_job(cluster, namespace)
    send_job = partial(remediator.request, "POST", f"{jobs_at(namespace)}?dryRun=All")
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
    """S1: the same for omitted fields, including its pods' labels."""
    job = a_job(cluster, namespace)
    send_job = partial(remediator.request, "POST", f"{jobs_at(namespace)}?dryRun=All")
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
