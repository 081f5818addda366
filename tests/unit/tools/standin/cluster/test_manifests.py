"""The stand-in's Kubernetes objects carry the guide's names and sizes."""

from __future__ import annotations

from typing import Any

from tools.standin.cluster.components import COMPONENTS
from tools.standin.cluster.manifests import Shape, build_manifests


def find(shape: Shape, kind: str, name: str) -> Any:
    return next(each for each in build_manifests(shape) if (each["kind"], each["metadata"]["name"]) == (kind, name))  # type: ignore[index]


def environment(shape: Shape) -> dict[str, Any]:
    deployment = find(shape, "Deployment", "control-plane-api")
    return {each["name"]: each for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}


def test_every_component_has_a_deployment_and_a_service() -> None:
    for name, component in COMPONENTS.items():
        deployment = find(Shape(), "Deployment", name)
        assert deployment["spec"]["replicas"] == component.replicas
        assert deployment["spec"]["template"]["metadata"]["labels"] == {"app": name}
        assert find(Shape(), "Service", name)["spec"]["ports"][0]["port"] == component.port


def test_namespace_is_first_and_everything_else_is_in_it() -> None:
    first, *rest = build_manifests(Shape(namespace="elsewhere"))
    assert (first["kind"], first["metadata"]) == ("Namespace", {"name": "elsewhere"})
    assert {each["metadata"]["namespace"] for each in rest} == {"elsewhere"}  # type: ignore[index]


def test_autoscaler_is_the_guides() -> None:
    specification = find(Shape(), "HorizontalPodAutoscaler", "control-plane-api")["spec"]
    target = specification["metrics"][0]["resource"]
    assert (specification["minReplicas"], specification["maxReplicas"]) == (3, 10)
    assert target == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}


def test_autoscaler_can_be_left_out() -> None:
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in build_manifests(Shape(has_autoscaler=False))}


def test_drop_tables_is_set_only_when_asked() -> None:
    assert "CC_DROP_TABLES" not in environment(Shape())
    assert environment(Shape(is_dropping_tables=True))["CC_DROP_TABLES"]["value"] == "true"


def test_images_are_pinned_and_requests_equal_limits() -> None:
    container = find(Shape(cpu_millicores=80), "Deployment", "control-plane-api")["spec"]["template"]["spec"]
    (only,) = container["containers"]
    assert not only["image"].endswith(":latest")
    assert only["resources"]["requests"] == only["resources"]["limits"] == {"cpu": "80m", "memory": "256Mi"}
