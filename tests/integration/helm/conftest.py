"""Shared by the chart's tests on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.waiting import wait_for
from tests.integration.helm.admission_objects import (
    KINDS,
    a_cron_job,
    a_deployment,
    a_job,
    an_autoscaler,
    chart_values,
    deployment_at,
    is_refused,
    jobs_at,
)
from tests.integration.helm.admission_sweep import (
    without,
)
from tools.chart import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.servers.kubernetes.client import KubernetesClient
    from tools.servers.kubernetes.cluster import Cluster


@pytest.fixture
def remediator(cluster: Cluster, namespace: str) -> Iterator[KubernetesClient]:
    """A client with the remediator's rights, once the policy is in force (a binding takes a moment)."""
    objects = [item for item in render(chart_values(namespace), "controlcore", namespace) if item["kind"] in KINDS]
    cluster.apply([*objects, a_deployment(namespace), an_autoscaler(namespace), a_cron_job(namespace)])
    client = cluster.client_for(namespace, "controlcore-remediator")
    wait_for(
        lambda: is_refused(client, "PATCH", f"{deployment_at(namespace)}?dryRun=All", {"spec": {"paused": True}}),
        describe=lambda: "the policy never came into force",
    )
    job = without(a_job(cluster, namespace), ("metadata", "labels", "team"))
    wait_for(
        lambda: is_refused(client, "POST", f"{jobs_at(namespace)}?dryRun=All", job),
        describe=lambda: "the policy of Jobs never came into force",
    )
    yield client
    for item in objects:
        if "namespace" not in item["metadata"]:
            cluster.client.delete(cluster.client.path_of(item))
