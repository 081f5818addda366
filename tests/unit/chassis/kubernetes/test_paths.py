from __future__ import annotations

import pytest

from chassis.errors import PermanentError, Reason
from chassis.kubernetes import paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (paths.namespace_path("n"), "/api/v1/namespaces/n"),
        (paths.pods_path("n"), "/api/v1/namespaces/n/pods"),
        (paths.pod_path("n", "p"), "/api/v1/namespaces/n/pods/p"),
        (paths.pod_log_path("n", "p"), "/api/v1/namespaces/n/pods/p/log"),
        (paths.eviction_path("n", "p"), "/api/v1/namespaces/n/pods/p/eviction"),
        (paths.pod_metrics_path("n"), "/apis/metrics.k8s.io/v1beta1/namespaces/n/pods"),
        (paths.events_path("n"), "/api/v1/namespaces/n/events"),
        (paths.source_path("ConfigMap", "n", "c"), "/api/v1/namespaces/n/configmaps/c"),
        (paths.source_path("Secret", "n", "c"), "/api/v1/namespaces/n/secrets/c"),
        (paths.deployments_path("n"), "/apis/apps/v1/namespaces/n/deployments"),
        (paths.deployment_path("n", "d"), "/apis/apps/v1/namespaces/n/deployments/d"),
        (paths.deployment_scale_path("n", "d"), "/apis/apps/v1/namespaces/n/deployments/d/scale"),
        (paths.replica_sets_path("n"), "/apis/apps/v1/namespaces/n/replicasets"),
        (paths.stateful_set_path("n", "s"), "/apis/apps/v1/namespaces/n/statefulsets/s"),
        (paths.autoscalers_path("n"), "/apis/autoscaling/v2/namespaces/n/horizontalpodautoscalers"),
        (paths.autoscaler_path("n", "h"), "/apis/autoscaling/v2/namespaces/n/horizontalpodautoscalers/h"),
        (paths.disruption_budgets_path("n"), "/apis/policy/v1/namespaces/n/poddisruptionbudgets"),
        (paths.leases_path("n"), "/apis/coordination.k8s.io/v1/namespaces/n/leases"),
        (paths.lease_path("n", "l"), "/apis/coordination.k8s.io/v1/namespaces/n/leases/l"),
        (paths.resource_path("v1", "nodes"), "/api/v1/nodes"),
        (
            paths.resource_path("rbac.authorization.k8s.io/v1", "clusterroles", name="system:node"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
        ),
    ],
)
def test_path_is_the_apis(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a..b", "a/b", "../secrets", "a%2fb", "a?b", "a#b", "a b", "a\n", "a\\b", "\u0430pi", "x" * 254],
)
def test_name_that_leaves_its_segment_is_refused(name: str) -> None:
    for build in (lambda: paths.deployment_path("n", name), lambda: paths.deployment_path(name, "d")):
        with pytest.raises(PermanentError) as caught:
            build()
        assert caught.value.reason is Reason.MALFORMED
