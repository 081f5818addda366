"""The pods of `helm test`: they have what the programs have, run what the programs understand, and are admitted."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fakes.chart import write_secrets
from tools.chart import CHART, Manifest, find_object, render
from tools.slowness import scaled

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster

SMALL: dict[str, Any] = {"remediator": {"tokenSecret": {"name": "webhook"}}}
FULL: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "full.values.yaml").read_text(encoding="utf-8"))
PROGRAMS = {"exporter": "exporter", "remediator": "remediations"}
"""Each program and its package."""
FINDINGS = 1
"""The doctor's exit status when there is something to fix."""

pytestmark = pytest.mark.timeout(60)


@functools.cache
def _rendered(values: str, namespace: str) -> list[Manifest]:
    return render(json.loads(values), "controlcore", namespace, with_tests=True)


def objects_of(values: dict[str, Any], namespace: str = "controlcore") -> list[Manifest]:
    """Everything, with the pods of `helm test`."""
    return _rendered(json.dumps(values), namespace)


def pod_of(objects: list[Manifest], part: str) -> Manifest:
    """The program's doctor."""
    return find_object(objects, "Pod", f"controlcore-{part}-doctor")


@pytest.mark.parametrize("values", [SMALL, FULL], ids=["small", "full"])
@pytest.mark.parametrize("part", PROGRAMS)
def test_doctor_has_the_files_account_and_image_of_its_program(part: str, values: dict[str, Any]) -> None:
    objects = objects_of(values)
    doctor = pod_of(objects, part)
    pod = find_object(objects, "Deployment", f"controlcore-{part}")["spec"]["template"]["spec"]
    (ours,), (theirs,) = doctor["spec"]["containers"], pod["containers"]
    for name in ("image", "command", "volumeMounts", "securityContext", "resources"):
        assert ours[name] == theirs[name]
    assert ours.get("env") == theirs.get("env")
    for name in ("serviceAccountName", "securityContext", "automountServiceAccountToken"):
        assert doctor["spec"][name] == pod[name]
    volumes = [
        {"name": "journal", "emptyDir": {"sizeLimit": "64Mi"}} if each["name"] == "journal" else each
        for each in pod["volumes"]
    ]
    assert doctor["spec"]["volumes"] == volumes
    assert doctor["spec"]["restartPolicy"] == "Never"
    assert doctor["metadata"]["annotations"]["helm.sh/hook"] == "test"


@pytest.mark.parametrize("part", PROGRAMS)
def test_doctor_has_the_labels_annotations_and_arguments_that_the_values_give_its_program(part: str) -> None:
    given = {"podLabels": {"mesh": "none"}, "podAnnotations": {"inject": "false"}}
    exporter = given | {"extraArgs": ["--no-collector.tls"]}
    objects = objects_of({"exporter": exporter, "remediator": SMALL["remediator"] | given})
    doctor = pod_of(objects, part)
    assert given["podLabels"].items() <= doctor["metadata"]["labels"].items()
    assert doctor["metadata"]["labels"]["app.kubernetes.io/name"] == "controlcore-doctor"
    assert doctor["metadata"]["annotations"] == {
        "helm.sh/hook": "test", "helm.sh/hook-delete-policy": "before-hook-creation", **given["podAnnotations"],
    }  # fmt: skip
    assert ("--no-collector.tls" in doctor["spec"]["containers"][0]["args"]) == (part == "exporter")


def test_no_service_leads_to_a_doctor() -> None:
    objects = objects_of(FULL)
    labels = [pod_of(objects, part)["metadata"]["labels"] for part in PROGRAMS]
    selectors = [item["spec"]["selector"] for item in objects if item["kind"] == "Service"]
    assert selectors
    assert not [1 for selector in selectors for each in labels if selector.items() <= each.items()]


@pytest.mark.parametrize("part", PROGRAMS)
def test_command_of_the_pod_finds_what_is_missing_here(part: str, tmp_path: Path) -> None:
    """There is no kubelet: the pod's command runs on this machine, where none of its servers is."""
    objects = objects_of(SMALL | {"exporter": {"kubernetes": False}})
    (container,) = pod_of(objects, part)["spec"]["containers"]
    config = write_secrets(tmp_path, find_object(objects, "ConfigMap", f"controlcore-{part}")["data"]["config.yaml"])
    for name, text in find_object(objects, "ConfigMap", f"controlcore-{part}")["data"].items():
        (tmp_path / name).write_text(config if name == "config.yaml" else text, encoding="utf-8")
    place = f"/etc/controlcore-{part}"
    text = (tmp_path / "config.yaml").read_text(encoding="utf-8").replace(place, str(tmp_path))
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    arguments = [argument.replace(place, str(tmp_path)) for argument in container["args"]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONTROLCORE_")}
    environment |= {
        "PYTHONPATH": str(CHART.parents[1]),
        "CONTROLCORE_REMEDIATOR_JOURNAL__PATH": str(tmp_path / "journal.db"),
    }
    ended = subprocess.run(
        [sys.executable, "-m", PROGRAMS[part], *arguments, "-o", "json"],
        capture_output=True, text=True, timeout=scaled(40), check=False, env=environment,
    )  # fmt: skip
    assert ended.returncode == FINDINGS, ended.stderr
    document = json.loads(ended.stdout)
    found = {finding["check"] for finding in document["findings"]}
    assert found & {"program", "prometheus", "sources.api", "collectors.run"}, found


def test_network_policy_admits_the_doctor_of_the_remediator() -> None:
    scrapers = [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    policies = {"networkPolicy": {"enabled": True, "scrapers": scrapers}}
    objects = objects_of(SMALL | policies)
    (rule,) = find_object(objects, "NetworkPolicy", "controlcore-remediator")["spec"]["ingress"]
    labels = pod_of(objects, "remediator")["metadata"]["labels"]
    selectors = [item["podSelector"]["matchLabels"] for item in rule["from"] if "podSelector" in item]
    assert [selector for selector in selectors if selector.items() <= labels.items()]


def test_network_policy_of_the_doctor_has_the_egress_of_both_programs() -> None:
    given = [{"ports": [{"port": 5432, "protocol": "TCP"}]}]
    prometheus = "http://elsewhere:9999"
    values = {
        "networkPolicy": {"enabled": True, "exporterEgress": given, "remediatorEgress": given},
        "doctor": {"prometheusUrl": prometheus},
    }
    objects = objects_of(SMALL | values)
    policies = {
        part: find_object(objects, "NetworkPolicy", f"controlcore-{part}")["spec"] for part in (*PROGRAMS, "doctor")
    }
    ours = policies["doctor"]
    assert (ours["ingress"], ours["policyTypes"]) == ([], ["Ingress", "Egress"])
    assert all(rule in ours["egress"] for part in PROGRAMS for rule in policies[part]["egress"])
    assert {"ports": [{"port": 9999, "protocol": "TCP"}]} in ours["egress"]
    labels = pod_of(objects, "remediator")["metadata"]["labels"]
    assert ours["podSelector"]["matchLabels"].items() <= labels.items()
    (to_remediator,) = [rule for rule in ours["egress"] if rule["ports"] == [{"port": "webhook", "protocol": "TCP"}]]
    selector = to_remediator["to"][0]["podSelector"]["matchLabels"]
    assert selector == policies["remediator"]["podSelector"]["matchLabels"]


def test_doctors_can_be_left_out() -> None:
    assert not [item for item in objects_of(SMALL | {"doctor": {"enabled": False}}) if item["kind"] == "Pod"]


@pytest.mark.parametrize("part", PROGRAMS)
def test_doctor_is_admitted_where_pod_security_is_restricted(cluster: Cluster, namespace: str, part: str) -> None:
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    cluster.client.patch(f"/api/v1/namespaces/{namespace}", restricted)
    objects = objects_of(SMALL, namespace)
    cluster.apply([item for item in objects if item["kind"] == "ServiceAccount"])
    (admitted,) = cluster.apply([pod_of(objects, part)], is_dry_run=True)
    assert admitted["spec"]["serviceAccountName"] == f"controlcore-{part}"
