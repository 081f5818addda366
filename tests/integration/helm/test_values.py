"""The chart's values, one example of each kind: accepted by Helm and the programs, without a right too many."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.__main__ import main as check_exporter
from exporter.commands.presets import LOCAL_API_PORTS, PRESETS
from remediations.__main__ import main as check_remediator
from tests.fakes.chart import EXAMPLES, file_of, read_example, rendered, write_secrets
from tools.chart import CHART, ChartError, Manifest, find_object, lint

PLACEHOLDER = "is a placeholder: set the address in your installation"
SMALL: dict[str, Any] = {"remediator": {"tokenSecret": {"name": "webhook"}}}
EVERYTHING = read_example(CHART / "ci" / "everything-values.yaml")
ENTERPRISE = read_example(CHART / "ci" / "enterprise-values.yaml")
PROGRAMS: dict[str, tuple[Callable[[list[str]], int | None], str]] = {
    "exporter": (check_exporter, "--config.check"),
    "sidecar": (check_exporter, "--config.check"),
    "remediator": (check_remediator, "check-config"),
}

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_accepted_by_helm_and_by_the_programs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("CONTROLCORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONTROLCORE_REMEDIATOR_JOURNAL__PATH", str(tmp_path / "journal.db"))
    values = read_example(path)
    assert "0 chart(s) failed" in lint(values)
    names = {item["metadata"]["name"] for item in rendered(values) if item["kind"] == "ConfigMap"}
    for part in PROGRAMS.keys() & {name.removeprefix("controlcore-") for name in names}:
        policies = tmp_path / "policies.yaml"
        if part == "remediator":
            policies.write_text(file_of(values, "controlcore-remediator", "policies.yaml"), encoding="utf-8")
        config = write_secrets(tmp_path, file_of(values, f"controlcore-{part}", "config.yaml"))
        config = config.replace("/etc/controlcore-remediator/policies.yaml", str(policies))
        file = tmp_path / f"{part}.yaml"
        file.write_text(config, encoding="utf-8")
        check, command = PROGRAMS[part]
        assert _status(check, [command, f"--config.file={file}"]) == 0, part
        # Addresses that only the operator knows are reported as placeholders; nothing else may be reported.
        told = capsys.readouterr().err.splitlines()
        expected = (PLACEHOLDER, "PromQL is not checked: ") if part == "remediator" else ()
        assert [line for line in told if not any(words in line for words in expected)] == [], part


def test_the_chart_and_the_exporter_know_the_same_presets() -> None:
    known = yaml.safe_load((CHART / "files" / "presets.yaml").read_text(encoding="utf-8"))
    assert known.keys() == PRESETS.keys() - {"compose"}
    for name, preset in known.items():
        address = re.match(r"http://([^.:]+)[^:]*:(\d+)$", PRESETS[name]["api"]["url"])
        assert address is not None
        assert (preset["service"], preset["servicePort"]) == (address[1], int(address[2]))
        assert tuple(preset["workloads"]) == PRESETS[name]["kubernetes"]["workloads"]
        assert preset["stores"] == [store for store in ("database", "redis") if "url" in PRESETS[name].get(store, {})]
        assert preset["localPort"] == LOCAL_API_PORTS[name]
        found = PRESETS[name].get("bouncer_discovery", {}).get("kubernetes", {}).get("port")
        named = [int(bouncer["url"].rpartition(":")[2]) for bouncer in PRESETS[name].get("bouncers", ())]
        assert preset["bouncerPorts"] == [*named, *([found] if found else [])]


def test_a_preset_reaches_configuration_rights_and_policies() -> None:
    config = yaml.safe_load(file_of(ENTERPRISE, "controlcore-exporter", "config.yaml"))
    assert config["preset"] == "enterprise-guide"
    assert config["api"] == {"url": "http://controlcore-api.control-core:8082"}
    named = ["controlcore-api", "controlcore-bouncer", "controlcore-opal"]
    assert config["kubernetes"] == {"namespace": "control-core", "workloads": named}
    (deployments, *_) = find_object(rendered(ENTERPRISE), "Role", "controlcore-exporter")["rules"]
    assert deployments["resourceNames"] == named
    (policy, *_) = yaml.safe_load(file_of(ENTERPRISE, "controlcore-remediator", "policies.yaml"))["policies"]
    assert policy["targets"] == [{"namespace": "control-core", "kind": "Deployment", "name": "controlcore-api"}]


def test_services_are_listed_only_where_bouncers_are_looked_for_among_them() -> None:
    def lists_services(values: dict[str, Any]) -> bool:
        rules = find_object(rendered(values), "Role", "controlcore-exporter")["rules"]
        return any(rule["resources"] == ["services"] and "list" in rule["verbs"] for rule in rules)

    found = {**SMALL, "exporter": {"bouncerDiscovery": {"enabled": True}}}
    config = yaml.safe_load(file_of(found, "controlcore-exporter", "config.yaml"))
    assert config["bouncer_discovery"]["kubernetes"]["selector"] == "app=controlcore-bouncer"
    assert [lists_services(values) for values in (SMALL, found, ENTERPRISE)] == [False, False, True]


def test_named_colours_and_the_backups_cron_job_are_what_may_be_read() -> None:
    rules = find_object(rendered(EVERYTHING), "Role", "controlcore-exporter")["rules"]
    names = {rule["resources"][0]: rule["resourceNames"] for rule in rules if "resourceNames" in rule}
    assert names["services"] == ["control-plane-api", "control-plane-api-green"]
    assert names["cronjobs"] == ["nightly-dump"]


def test_whatever_is_mounted_is_mounted_for_reading_and_exists() -> None:
    for name, own in (("exporter", set()), ("remediator", {"journal", "temporary"})):
        spec = _pod(EVERYTHING, name)
        mounts = spec["containers"][0]["volumeMounts"]
        assert {mount["name"] for mount in mounts} == {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in mounts if not mount.get("readOnly")} == own
    volumes = {volume["name"]: volume for volume in _pod(EVERYTHING, "exporter")["volumes"]}
    assert volumes["backups"]["persistentVolumeClaim"] == {"claimName": "backups", "readOnly": True}
    hosted = {**SMALL, "exporter": {"backups": {"hostPath": "/srv/dumps"}}}
    volumes = {volume["name"]: volume for volume in _pod(hosted, "exporter")["volumes"]}
    assert volumes["backups"]["hostPath"] == {"path": "/srv/dumps", "type": "Directory"}
    config = yaml.safe_load(file_of(hosted, "controlcore-exporter", "config.yaml"))
    assert config["collectors"]["backup"]["places"] == [{"kind": "full", "directory": "/backups/postgresql"}]


def test_tls_changes_how_kubelet_and_prometheus_ask() -> None:
    for name, probe in (("exporter", "httpGet"), ("remediator", "tcpSocket")):
        template = find_object(rendered(EVERYTHING), "Deployment", f"controlcore-{name}")["spec"]["template"]
        container = template["spec"]["containers"][0]
        assert template["metadata"]["annotations"]["prometheus.io/scheme"] == "https"
        assert {next(iter(container[kind])) for kind in ("livenessProbe", "readinessProbe")} == {probe}
        assert container[f"{'liveness'}Probe"][probe].get("scheme", "HTTPS") == "HTTPS"
        monitor = find_object(rendered(EVERYTHING), "ServiceMonitor", f"controlcore-{name}")
        assert monitor["spec"]["endpoints"][0]["scheme"] == "https"
        assert monitor["spec"]["endpoints"][0]["tlsConfig"] == {"insecureSkipVerify": False}


def test_egress_reaches_names_the_api_server_and_what_is_configured() -> None:
    policy = find_object(rendered(ENTERPRISE), "NetworkPolicy", "controlcore-exporter")["spec"]
    dns, api_server, product, stores = policy["egress"]
    assert {(port["port"], port["protocol"]) for port in dns["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert api_server == {"ports": [{"port": 443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    assert {port["port"] for port in product["ports"]} == {5432, 6379, 6380, 8080, 8082}
    assert product["to"] == [_namespace("control-core")]
    assert stores == ENTERPRISE["networkPolicy"]["exporterEgress"][0]
    assert policy["ingress"] == [
        {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": [_namespace("monitoring")]}
    ]


PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
DOCTOR = {
    "podSelector": {
        "matchLabels": {"app.kubernetes.io/instance": "controlcore", "app.kubernetes.io/name": "controlcore-doctor"}
    }
}
"""The pod of `helm test`."""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"alertmanagers": PEERS}, [*PEERS, DOCTOR]),
        ({"scrapers": PEERS}, [*PEERS, DOCTOR]),
        ({"scrapers": PEERS, "alertmanagers": PEERS}, [*PEERS, *PEERS, DOCTOR]),
        ({}, None),
    ],
)
def test_remediator_admits_the_peers_that_are_named(given: dict[str, Any], expected: object) -> None:
    """M11: one list alone already limits who reaches the port."""
    values = {"networkPolicy": {"enabled": True, **given}, "remediator": {"tokenSecret": {"name": "webhook"}}}
    (rule,) = find_object(rendered(values), "NetworkPolicy", "controlcore-remediator")["spec"]["ingress"]
    assert rule.get("from") == expected


def test_no_network_policy_selects_the_products_pods() -> None:
    """It would cut off every client that no other policy admits."""
    for item in rendered(EVERYTHING):
        if item["kind"] == "NetworkPolicy":
            assert item["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "controlcore"


def test_a_single_replica_has_no_disruption_budget() -> None:
    objects = rendered(EVERYTHING)
    assert {item["spec"]["replicas"] for item in objects if item["kind"] == "Deployment"} == {1}
    assert not [item for item in objects if item["kind"] == "PodDisruptionBudget"]


def test_dashboards_carry_label_and_folder() -> None:
    made = [item for item in rendered(EVERYTHING) if item["metadata"].get("annotations", {}).get("grafana_folder")]
    assert len(made) == len(list((CHART / "files" / "dashboards").glob("*.json")))
    assert {item["metadata"]["labels"]["grafana_dashboard"] for item in made} == {"1"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"exporter": {"preset": "compose"}}, "must be one of"),
        ({"exporter": {"mounts": [{"name": "a", "path": "/a"}]}}, "oneOf"),
        ({"exporter": {"mounts": [{"name": "a", "path": "/a", "secret": "s", "claim": "c"}]}}, "oneOf"),
        ({"exporter": {"extraEnv": [{"name": "A", "value": "a", "secret": "s", "key": "k"}]}}, "oneOf"),
        ({"exporter": {"backups": {"claim": "a", "hostPath": "/a"}}}, "'not' failed"),
        ({"sidecar": {"resources": {"requests": {"cpu": None}}}}, "missing propert"),
        ({"networkPolicy": {"apiServer": {"cidrs": ["here"]}}}, "does not match pattern"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ChartError, match=complaint):
        lint(values)


def _status(check: Callable[[list[str]], int | None], arguments: list[str]) -> object:
    """The program's status, whether it returns it or ends with it."""
    try:
        return check(arguments)
    except SystemExit as end:
        return end.code


def _pod(values: dict[str, Any], name: str) -> Manifest:
    deployment = find_object(rendered(values), "Deployment", f"controlcore-{name}")
    spec: Manifest = deployment["spec"]["template"]["spec"]
    return spec


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
