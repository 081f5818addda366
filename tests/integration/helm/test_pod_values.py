"""An operator's values for the pods of both programs: each value reaches its object, and nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tools.chart import ChartError, Manifest, find_object, render

PROGRAMS = ("exporter", "remediator")
REQUIRED: dict[str, Any] = {"remediator": {"tokenSecret": {"name": "webhook"}}}
FIELDS: dict[str, Any] = {
    "priorityClassName": "monitoring",
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["postgresql"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.10"]},
    "terminationGracePeriodSeconds": 0,
    "initContainers": [{"name": "wait", "image": "busybox:1"}],
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "nodeSelector": {"pool": "infra"},
    "affinity": {"nodeAffinity": {}},
}

pytestmark = pytest.mark.timeout(60)


def rendered(program: str = "exporter", values: Mapping[str, Any] | None = None, **top: Any) -> list[Manifest]:
    """The objects with these values of one program, and these of the chart."""
    own = {**REQUIRED, **top}
    own[program] = {**own.get(program, {}), **(values or {})}
    return render(own, "controlcore", "controlcore")


def pod(objects: list[Manifest], program: str) -> dict[str, Any]:
    template: dict[str, Any] = find_object(objects, "Deployment", f"controlcore-{program}")["spec"]["template"]
    return template


@pytest.mark.parametrize("program", PROGRAMS)
def test_fields_of_the_pod_are_as_they_were_given_and_the_only_changes(program):
    before = pod(rendered(program), program)["spec"]
    after = pod(rendered(program, FIELDS), program)["spec"]
    assert after == {**before, **FIELDS}


@pytest.mark.parametrize("program", PROGRAMS)
def test_numbers_that_openshift_chooses_can_be_left_out(program):
    objects = rendered(program, {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}})
    assert pod(objects, program)["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod(objects, program)["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("program", PROGRAMS)
def test_arguments_and_a_startup_probe_are_added(program):
    objects = rendered(program, {"extraArgs": ["--help"], "startupProbe": {"failureThreshold": 30}})
    (container,) = pod(objects, program)["spec"]["containers"]
    assert container["args"][-2:] == [f"--config.file=/etc/controlcore-{program}/config.yaml", "--help"]
    assert container["startupProbe"] == {"failureThreshold": 30, "httpGet": container["livenessProbe"]["httpGet"]}


@pytest.mark.parametrize("program", PROGRAMS)
def test_service_account_may_be_annotated_or_be_there_already(program):
    annotated = rendered(program, {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:x"}}})
    account = find_object(annotated, "ServiceAccount", f"controlcore-{program}")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:x"}

    objects = rendered(program, {"serviceAccount": {"create": False, "name": "given"}})
    assert f"controlcore-{program}" not in {
        item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"
    }
    assert pod(objects, program)["spec"]["serviceAccountName"] == "given"
    subjects = [item["subjects"] for item in objects if item["kind"] == "RoleBinding"]
    assert [{"kind": "ServiceAccount", "name": "given", "namespace": "controlcore"}] in subjects


def test_admission_policy_limits_the_account_that_is_given():
    objects = rendered("remediator", {"serviceAccount": {"create": False, "name": "given"}})
    (policy, *_) = [item for item in objects if item["kind"] == "ValidatingAdmissionPolicy"]
    assert "system:serviceaccount:controlcore:given" in str(policy["spec"])
    assert "system:serviceaccount:controlcore:controlcore-remediator" not in str(objects)


def test_one_account_for_both_programs_is_refused():
    account = {"serviceAccount": {"create": False, "name": "shared"}}
    with pytest.raises(ChartError, match="give each its own"):
        rendered("remediator", account, exporter=account)


def test_account_that_is_not_made_needs_a_name():
    with pytest.raises(ChartError, match=r"serviceAccount.*name"):
        rendered("exporter", {"serviceAccount": {"create": False}})


@pytest.mark.parametrize("program", PROGRAMS)
def test_service_and_history_are_as_given(program):
    service = {"type": "NodePort", "annotations": {"a": "b"}, "labels": {"team": "sre", "app.kubernetes.io/name": "x"}}
    objects = rendered(program, {"service": service, "revisionHistoryLimit": 0})
    found = find_object(objects, "Service", f"controlcore-{program}")
    assert found["spec"]["type"] == "NodePort"
    assert found["metadata"]["annotations"] == {"a": "b"}
    assert found["metadata"]["labels"]["team"] == "sre"
    assert found["metadata"]["labels"]["app.kubernetes.io/name"] == f"controlcore-{program}"
    assert find_object(objects, "Deployment", f"controlcore-{program}")["spec"]["revisionHistoryLimit"] == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_folder_to_write_into_is_the_only_mount_that_may_be_written(program):
    mounts = [{"name": "work", "path": "/work", "emptyDir": "64Mi"}, {"name": "ca", "path": "/ca", "configMap": "ca"}]
    spec = pod(rendered(program, {"mounts": mounts}), program)["spec"]
    assert {"name": "mount-work", "emptyDir": {"sizeLimit": "64Mi"}} in spec["volumes"]
    found = {mount["name"]: mount["readOnly"] for mount in spec["containers"][0]["volumeMounts"] if "readOnly" in mount}
    assert (found["mount-work"], found["mount-ca"]) == (False, True)


@pytest.mark.parametrize(
    ("top", "image"),
    [
        ({}, "controlcore-sidecar:0.1.0"),
        ({"image": {"registry": "registry.example.com"}}, "registry.example.com/controlcore-sidecar:0.1.0"),
        (
            {"image": {"registry": "registry.example.com"}, "global": {"imageRegistry": "mirror.example.com/"}},
            "mirror.example.com/controlcore-sidecar:0.1.0",
        ),
        ({"image": {"tag": "sha256:abc"}}, "controlcore-sidecar@sha256:abc"),
    ],
)
def test_image_comes_from_the_registry_that_is_named(top, image):
    objects = rendered(**top)
    assert {pod(objects, program)["spec"]["containers"][0]["image"] for program in PROGRAMS} == {image}


def test_pull_secrets_are_names_or_objects_and_an_umbrella_charts_are_added():
    objects = rendered(
        image={"pullSecrets": ["one", {"name": "two"}]}, **{"global": {"imagePullSecrets": [{"name": "three"}]}}
    )
    for program in PROGRAMS:
        assert pod(objects, program)["spec"]["imagePullSecrets"] == [
            {"name": "one"},
            {"name": "two"},
            {"name": "three"},
        ]


def test_annotations_for_scraping_can_be_switched_off():
    for is_on in (True, False):
        objects = rendered(scrapeAnnotations=is_on)
        for program in PROGRAMS:
            annotations = pod(objects, program)["metadata"]["annotations"]
            assert ("prometheus.io/scrape" in annotations) is is_on
            assert "checksum/config" in annotations


def test_service_monitors_may_be_elsewhere_and_still_find_the_services():
    monitor = {"enabled": True, "namespace": "monitoring", "jobLabel": "app.kubernetes.io/name"}
    found = [item for item in rendered(serviceMonitor=monitor) if item["kind"] == "ServiceMonitor"]
    assert len(found) == 2
    for item in found:
        assert item["metadata"]["namespace"] == "monitoring"
        assert item["spec"]["namespaceSelector"] == {"matchNames": ["controlcore"]}
        assert item["spec"]["jobLabel"] == "app.kubernetes.io/name"
