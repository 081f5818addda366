"""The sidecar: harmless to the pod it sits in, in the form that the Kubernetes at hand knows, and really applied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fakes.chart import file_of, rendered
from tools.chart import CHART, Manifest, find_object, render

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster
    from tools.servers.kubernetes.metrics_api import MetricsApi

VALUES: dict[str, Any] = {"sidecar": {"enabled": True}, "remediator": {"enabled": False}}
STRATEGIC = "application/strategic-merge-patch+json"
UMBRELLA = """
{{- $sidecar := index .Subcharts "controlcore-exporter" }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: control-plane-api, namespace: {{ .Release.Namespace }}}
spec:
  template:
    metadata:
      annotations: {{- include "controlcore-exporter.sidecarAnnotations" $sidecar | nindent 8 }}
    spec:
      {{- if include "controlcore-exporter.sidecarIsNative" $sidecar }}
      initContainers: {{- include "controlcore-exporter.sidecarContainer" $sidecar | nindent 8 }}
      {{- else }}
      containers: {{- include "controlcore-exporter.sidecarContainer" $sidecar | nindent 8 }}
      {{- end }}
      volumes: {{- include "controlcore-exporter.sidecarVolume" $sidecar | nindent 8 }}
"""

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("kube_version", "form", "place"),
    [
        ("1.28.9", "auto", "containers"),
        ("1.29.0", "auto", "initContainers"),
        ("1.31.0-eks-1", "auto", "initContainers"),
        ("1.28.9", "native", "initContainers"),
        ("1.31.0", "plain", "containers"),
    ],
)
def test_the_form_follows_the_api_server(kube_version: str, form: str, place: str) -> None:
    values = {**VALUES, "sidecar": {"enabled": True, "form": form}}
    spec = _patch(values, "add.yaml", kube_version)["spec"]["template"]["spec"]
    assert set(spec) == {place, "volumes"}
    (container,) = spec[place]
    assert container.get("restartPolicy") == ("Always" if place == "initContainers" else None)
    removal = _patch(values, "remove.yaml", kube_version)["spec"]["template"]["spec"]
    assert removal[place] == [{"name": container["name"], "$patch": "delete"}]


@pytest.mark.parametrize("kube_version", ["1.28.9", "1.31.0"])
def test_it_cannot_hurt_the_pod_it_sits_in(kube_version: str) -> None:
    spec = _patch(VALUES, "add.yaml", kube_version)["spec"]["template"]["spec"]
    (container,) = spec.get("initContainers") or spec["containers"]
    assert not [key for key in container if key.endswith("Probe")]
    assert container["resources"].keys() == {"requests", "limits"}
    assert all(part.keys() == {"cpu", "memory"} for part in container["resources"].values())
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["env"] == [{"name": "CONTROLCORE_EXPORTER_SCOPE", "value": "pod"}]
    assert spec["volumes"][0]["configMap"]["optional"] is True


def test_a_sidecar_watches_its_own_pod_only() -> None:
    config = yaml.safe_load(file_of(VALUES, "controlcore-sidecar", "config.yaml"))
    assert config["scope"] == "pod"
    assert config["api"] == {"url": "http://127.0.0.1:8000"}
    assert not config.keys() & {"database", "redis", "bouncers", "kubernetes", "preset"}
    guide = {**VALUES, "exporter": {"preset": "enterprise-guide"}}
    config = yaml.safe_load(file_of(guide, "controlcore-sidecar", "config.yaml"))
    assert config["api"] == {"url": "http://127.0.0.1:8082"}


def test_a_changed_configuration_changes_the_patch() -> None:
    changed = {**VALUES, "sidecar": {"enabled": True, "settings": {"limits": {"max_label_length": 64}}}}
    marks = [_patch(values, "add.yaml")["spec"]["template"]["metadata"]["annotations"] for values in (VALUES, changed)]
    assert marks[0]["controlcore.io/sidecar-config"] != marks[1]["controlcore.io/sidecar-config"]


@pytest.mark.parametrize("kube_version", ["1.28.9", "1.31.0"])
def test_an_umbrella_chart_puts_it_into_its_own_deployment(kube_version: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: product, version: 1.0.0}", encoding="utf-8")
    (tmp_path / "templates" / "api.yaml").write_text(UMBRELLA, encoding="utf-8")
    shutil.copytree(CHART, tmp_path / "charts" / "controlcore-exporter")
    values = {"controlcore-exporter": VALUES}
    made = render(values, "controlcore", "controlcore", kube_version=kube_version, chart=tmp_path)
    template = find_object(made, "Deployment", "control-plane-api")["spec"]["template"]
    assert template == _patch(VALUES, "add.yaml", kube_version)["spec"]["template"]
    find_object(made, "ConfigMap", template["spec"]["volumes"][0]["configMap"]["name"])


@pytest.mark.parametrize("form", ["native", "plain"])
def test_a_patched_deployment_rolls_out_and_its_autoscaler_goes_on(
    cluster: Cluster, namespace: str, metrics_api: MetricsApi, form: str
) -> None:
    """The pod template of the product's guide; the patch as `kubectl patch --patch-file` sends it, and its removal."""
    values = {**VALUES, "sidecar": {"enabled": True, "form": form}}
    objects = render(values, "controlcore", namespace)
    cluster.apply([item for item in objects if item["kind"] == "ConfigMap" and "-sidecar" in item["metadata"]["name"]])
    cluster.apply([_deployment(namespace), _autoscaler(namespace)])
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/control-plane-api"
    before = cluster.wait_rolled_out(namespace, "control-plane-api")["spec"]["template"]
    cluster.client.patch(path, _patch(values, "add.yaml", objects=objects), STRATEGIC)
    patched = cluster.wait_rolled_out(namespace, "control-plane-api")["spec"]["template"]
    containers = [*patched["spec"].get("initContainers", ()), *patched["spec"]["containers"]]
    assert {container["name"] for container in containers} == {"migrate", "api", "controlcore-exporter"}
    assert _is_scaling(cluster, namespace, metrics_api)
    cluster.client.patch(path, _patch(values, "remove.yaml", objects=objects), STRATEGIC)
    assert cluster.wait_rolled_out(namespace, "control-plane-api")["spec"]["template"] == before


def _is_scaling(cluster: Cluster, namespace: str, metrics_api: MetricsApi) -> bool:
    """Whether the autoscaler computed a size from the current pods."""
    pods = cluster.client.items(f"/api/v1/namespaces/{namespace}/pods")
    metrics_api.set_usage(namespace, {pod["metadata"]["name"]: 50.0 for pod in pods})
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/control-plane-api-hpa"

    def has_looked(autoscaler: Manifest) -> bool:
        found = {item["type"]: item["status"] for item in autoscaler.get("status", {}).get("conditions") or ()}
        return found.get("ScalingActive") == "True"

    return has_looked(cluster.wait_for(path, has_looked, 60.0))


def _patch(
    values: dict[str, Any], key: str, kube_version: str = "", objects: list[Manifest] | None = None
) -> dict[str, Any]:
    """A patch as the chart renders it."""
    made = rendered(values, kube_version) if objects is None else objects
    patch: dict[str, Any] = yaml.safe_load(find_object(made, "ConfigMap", "controlcore-sidecar-patch")["data"][key])
    return patch


def _deployment(namespace: str) -> Manifest:
    labels = {"app": "control-plane-api"}
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}
    spec = {
        "initContainers": [{"name": "migrate", "image": "none", "resources": resources}],
        "containers": [{"name": "api", "image": "none", "ports": [{"containerPort": 8000}], "resources": resources}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "control-plane-api", "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, "annotations": {"team": "identity"}}, "spec": spec},
        },
    }


def _autoscaler(namespace: str) -> Manifest:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "control-plane-api-hpa", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "control-plane-api"},
            "minReplicas": 1,
            "maxReplicas": 2,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }
