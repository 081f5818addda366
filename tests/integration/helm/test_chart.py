"""The chart without a cluster: lint, the closed schema, configuration files, rights."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.collectors import discover as discover_collectors
from remediations.core.actions import discover as discover_actions
from remediations.core.policies.policy import Policy
from remediations.notifications.kubernetes_events import RIGHT as EVENT_RIGHT
from tests.fakes.chart import check_config, file_of, rendered
from tools.chart import CHART, ChartError, find_object, lint, render

SMALL: dict[str, Any] = {"remediator": {"tokenSecret": {"name": "webhook"}}}
IDENTITY = ['cluster="production"']
FULL: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "full.values.yaml").read_text(encoding="utf-8"))
OPERATOR: dict[str, Any] = {
    **SMALL,
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "rules": {"enabled": True, "runbookBase": "https://wiki.example/", "grafanaBase": "https://grafana.example"},
    "dashboards": {"enabled": True},
}
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("values", [{}, SMALL, FULL, OPERATOR], ids=["default", "small", "full", "operator"])
def test_lint_finds_nothing(values: dict[str, Any]) -> None:
    assert "0 chart(s) failed" in lint(values)


def test_without_a_token_secret_nothing_is_rendered() -> None:
    with pytest.raises(ChartError, match=r"remediator\.tokenSecret\.name: name a Secret"):
        render({}, "controlcore", "controlcore")


def test_the_command_of_the_readme_prints_the_rights_of_a_first_installation() -> None:
    command = [sys.executable, "-m", "tools.chart"]
    printed = subprocess.run(command, cwd=CHART.parents[1], capture_output=True, text=True, check=True).stdout
    roles = [item for item in yaml.safe_load_all(printed) if item["kind"] == "Role"]
    assert {role["metadata"]["name"] for role in roles} == {"controlcore-exporter", "controlcore-remediator"}


def test_the_exporter_alone_needs_no_secret() -> None:
    objects = render({"remediator": {"enabled": False}}, "controlcore", "controlcore")
    assert {item["metadata"]["name"] for item in objects} == {"controlcore-exporter"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"exportr": {}}, "additional properties 'exportr' not allowed"),
        ({"remediator": {"tokensecret": {}}}, "additional properties 'tokensecret' not allowed"),
        ({"remediator": {"policies": {"restart-api": {"modus": "auto"}}}}, "additional properties 'modus' not allowed"),
        ({"remediator": {"policies": {"restart-api": {"mode": "manual"}}}}, "must be one of"),
        ({"exporter": {"database": {"url": "postgresql://u:password@db/x"}}}, "does not match pattern"),
        ({"exporter": {"redis": {"url": "redis://:password@redis:6379"}}}, "does not match pattern"),
        ({"exporter": {"resources": {"limits": None}}}, "missing propert"),
        ({"controlcore": {"namespace": "Not a name"}}, "does not match pattern"),
    ],
)
def test_a_value_that_is_unknown_or_wrong_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ChartError, match=complaint):
        lint(values)


def test_the_schema_is_closed_everywhere_and_knows_every_default() -> None:
    """Free are only what Kubernetes or a program's own check judges, and mappings whose keys are names."""
    free = {"global", "affinity", "tolerations", "collectors", "settings", "endpoint"}
    free |= {"podSecurityContext", "securityContext", "startupProbe", "dnsConfig"}
    free |= {"initContainers", "topologySpreadConstraints", "hostAliases"}
    free |= {"people", "tlsConfig", "instanceSelector"}
    free |= {"scrapers", "alertmanagers", "exporterEgress", "remediatorEgress"}
    free |= {"schedule", "freeze", "guards", "connections", "parameters", "targets"}
    assert _open_places(SCHEMA, "") <= free
    assert _unknown_defaults(SCHEMA, DEFAULTS, "") == []


def test_a_policy_may_change_exactly_the_fields_that_a_policy_has() -> None:
    known = set(SCHEMA["properties"]["remediator"]["properties"]["policies"]["additionalProperties"]["properties"])
    assert known - {"enabled", "autoscalers", "scaledObjects", "leastReplicas"} == {
        item.name for item in fields(Policy)
    } - {"name"}


@pytest.mark.parametrize("values", [SMALL, FULL], ids=["small", "full"])
def test_the_exporter_accepts_its_configuration(values: dict[str, Any], tmp_path: Path) -> None:
    config = file_of(values, "controlcore-exporter", "config.yaml")
    password = tmp_path / "password"
    password.write_text("made-up\n", encoding="utf-8")
    text = config.replace("/run/secrets/database/password", str(password))
    answer = check_config(tmp_path, text, "exporter", "--config.check")
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("values", [SMALL, FULL], ids=["small", "full"])
def test_the_remediator_accepts_its_configuration_and_policies(values: dict[str, Any], tmp_path: Path) -> None:
    token, policies = tmp_path / "token", tmp_path / "policies.yaml"
    token.write_text("made-up-token-of-sufficient-length-0123456789\n", encoding="utf-8")
    policies.write_text(file_of(values, "controlcore-remediator", "policies.yaml"), encoding="utf-8")
    config = file_of(values, "controlcore-remediator", "config.yaml")
    config = config.replace("/run/secrets/webhook/token", str(token))
    config = config.replace("/etc/controlcore-remediator/policies.yaml", str(policies))
    answer = check_config(tmp_path, config, "remediations", "check-config")
    assert answer.returncode == 0
    expected = ("is a placeholder", "PromQL is not checked")
    assert [line for line in answer.stderr.splitlines() if not any(words in line for words in expected)] == []
    assert "restart-api" in answer.stdout


def test_roles_reach_the_configuration_and_their_tokens_are_mounted() -> None:
    """S6: Alertmanager's Secret delivers; the people on call get their own Secret."""
    roles = {"approve": {"tokenSecrets": [{"name": "oncall", "key": "secret"}], "users": ["ann"]}, "read": {}}
    values = {"remediator": {**SMALL["remediator"], "roles": roles}}
    server = yaml.safe_load(file_of(values, "controlcore-remediator", "config.yaml"))["server"]
    assert server["roles"] == {
        "approve": {"token_files": ["/run/secrets/roles/approve/oncall"], "users": ["ann"], "certificates": []},
        "read": {"token_files": [], "users": [], "certificates": []},
    }
    pod = find_object(rendered(values), "Deployment", "controlcore-remediator")["spec"]["template"]["spec"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "role-tokens"]
    assert volume["projected"]["sources"] == [
        {"secret": {"name": "oncall", "items": [{"key": "secret", "path": "approve/oncall"}]}}
    ]
    assert {"name": "role-tokens", "mountPath": "/run/secrets/roles", "readOnly": True} in pod["containers"][0][
        "volumeMounts"
    ]
    assert "roles" not in yaml.safe_load(file_of(SMALL, "controlcore-remediator", "config.yaml"))["server"]
    with pytest.raises(ChartError, match="admin"):
        render({"remediator": {**SMALL["remediator"], "roles": {"admin": {}}}}, "controlcore", "controlcore")


def test_names_modes_and_changes_reach_the_policies() -> None:
    document = yaml.safe_load(file_of(FULL, "controlcore-remediator", "policies.yaml"))
    policies = {policy["name"]: policy for policy in document["policies"]}
    assert document["identity"] == ['cluster="production"']
    assert policies["restart-api"]["mode"] == "auto"
    assert policies["restart-api"]["cooldown_seconds"] == 0
    assert policies["restart-api"]["targets"] == [
        {"namespace": "controlcore", "kind": "Deployment", "name": "controlcore-api"}
    ]
    parameters = policies["scale-api"]["parameters"]
    assert (parameters["max_replicas_cap"], parameters["step"]) == (9, 2)
    assert 'component="controlcore-api"' in parameters["revert_if"]
    assert 'component="controlcore-api"' in policies["scale-api"]["condition"]["promql"]
    assert {"autoscalers", "scaledObjects", "leastReplicas"}.isdisjoint(policies["scale-api"])
    assert policies["restart-bouncer"]["targets"][0]["namespace"] == "edge"


def test_every_member_of_an_alertmanager_cluster_can_be_named() -> None:
    place = {"more_urls": ["http://am-1:9093"], "announce_labels": {"cluster": "production"}}
    values = {"remediator": {**SMALL["remediator"], "settings": {"alertmanager": place}}}
    config = yaml.safe_load(file_of(values, "controlcore-remediator", "config.yaml"))
    command = config["alertmanager"].pop("announce_command")
    assert config["alertmanager"] == {"url": "http://alertmanager:9093", **place}
    assert command == "kubectl -n controlcore exec deploy/controlcore-remediator -- controlcore-remediator"


def test_addresses_follow_the_values_and_may_be_given() -> None:
    url = {"update-policies": {"parameters": {"url": "http://opal.edge:7000", "with_data": False}}}
    remediator = {**SMALL["remediator"], "policies": url}
    for api, expected in (("", "http://other.elsewhere:8000"), ("http://control-plane-api.x:80", None)):
        names = {"deployment": "other", "namespace": "elsewhere", "apiUrl": api}
        text = file_of({"controlcore": names, "remediator": remediator}, "controlcore-remediator", "policies.yaml")
        policies = {policy["name"]: policy for policy in yaml.safe_load(text)["policies"]}
        witness = policies["restart-api-data-path"]["witnesses"][0]
        assert witness["url"] == f"{expected or api}/opal/bouncer-pairs"
        assert policies["update-policies"]["parameters"] == {"url": "http://opal.edge:7000", "with_data": False}
        assert policies["update-policies"]["ladder"][0]["targets"][0]["namespace"] == "elsewhere"


def test_what_cannot_be_named_is_granted_only_where_something_acts() -> None:
    acting = {"evict-bouncer": {"mode": "approve"}, "run-backup": {"mode": "auto"}}
    values = {"remediator": {**SMALL["remediator"], "identity": IDENTITY, "policies": acting}}
    more = _rights(values, "controlcore-remediator") - _rights(SMALL, "controlcore-remediator")
    assert more == {"get core/pods", "create core/pods/eviction", "get batch/jobs", "create batch/jobs"}


def test_a_policy_that_is_switched_off_leaves_neither_policy_nor_right() -> None:
    values = {
        "remediator": {
            **SMALL["remediator"],
            "policies": {"scale-api": {"enabled": False}, "scale-bouncer": {"enabled": False}},
        }
    }
    document = yaml.safe_load(file_of(values, "controlcore-remediator", "policies.yaml"))
    names = {policy["name"] for policy in document["policies"]}
    assert ("restart-api" in names, "scale-api" in names) == (True, False)
    assert not any(right.startswith("patch autoscaling") for right in _rights(values, "controlcore-remediator"))


def test_the_guides_prometheus_finds_both_programs() -> None:
    for part, port in (("exporter", 9877), ("remediator", 9878)):
        pod = find_object(rendered(SMALL), "Deployment", f"controlcore-{part}")["spec"]["template"]
        annotations = pod["metadata"]["annotations"]
        assert annotations["prometheus.io/scrape"] == "true"
        assert annotations["prometheus.io/path"] == "/metrics"
        assert annotations["prometheus.io/port"] == str(port)
        assert pod["spec"]["containers"][0]["ports"][0]["containerPort"] == port


def test_one_remediator_at_a_time_writes_to_the_one_journal() -> None:
    deployment = find_object(rendered(SMALL), "Deployment", "controlcore-remediator")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    find_object(rendered(SMALL), "PersistentVolumeClaim", "controlcore-remediator")
    with pytest.raises(KeyError):
        find_object(rendered(FULL), "PersistentVolumeClaim", "controlcore-remediator")


def test_a_changed_configuration_replaces_the_pod() -> None:
    def sums(values: dict[str, Any]) -> list[str]:
        found = [item for item in rendered(values) if item["kind"] == "Deployment"]
        return [item["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for item in found]

    changed = {**SMALL, "controlcore": {"deployment": "other"}}
    assert all(before != after for before, after in zip(sums(SMALL), sums(changed), strict=True))


def test_the_exporter_gets_exactly_the_rights_that_its_collectors_name() -> None:
    wanted = {_plain(right) for spec in discover_collectors() for right in spec.rbac}
    assert {right.partition(" of ")[0] for right in _rights(SMALL, "controlcore-exporter")} == wanted
    assert "get apps/deployments of control-plane-api" in _rights(SMALL, "controlcore-exporter")


def test_the_remediator_gets_exactly_the_rights_that_its_actions_name() -> None:
    query = {"promql": "up", "collectors": ["api"]}
    more = {
        name: {"action": action, "mode": "approve", "condition": query, "verify": query, "targets": [_target(kind)]}
        for name, action, kind in (("evict", "evict_pod", "Deployment"), ("backup", "run_backup_job", "CronJob"))
    }
    values = {
        "remediator": {
            **SMALL["remediator"],
            "identity": IDENTITY,
            "readableConfigMaps": ["environment"],
            "policies": more,
        }
    }
    wanted = {_plain(right) for spec in discover_actions().values() for right in spec.rbac} | {EVENT_RIGHT}
    assert {right.partition(" of ")[0] for right in _rights(values, "controlcore-remediator")} == wanted


def _target(kind: str) -> dict[str, str]:
    return {"namespace": "controlcore", "kind": kind, "name": "control-plane-api"}


@pytest.mark.parametrize("values", [SMALL, FULL], ids=["small", "full"])
def test_writes_and_reads_of_secrets_are_granted_by_name_only(values: dict[str, Any]) -> None:
    rights = _rights(values, "controlcore-remediator") | _rights(values, "controlcore-exporter")
    assert {right.partition(" ")[0] for right in rights} <= {"get", "list", "patch", "create"}
    unnamed = {right for right in rights if " of " not in right and not right.startswith("list ")}
    nameless = {"core/pods", "core/pods/log", "core/pods/eviction", "core/events", "batch/jobs"}
    assert {right.partition(" ")[2] for right in unnamed} <= nameless, "these names are not known in advance"
    assert not any("*" in right for right in rights)
    assert {right for right in rights if "secrets" in right} <= {"get core/secrets of api-secrets"}
    assert all(item["kind"] in {"Role", "RoleBinding"} for item in rendered(values) if "rbac" in item["apiVersion"])


def test_a_policy_in_observe_brings_no_right_to_write() -> None:
    shipped = yaml.safe_load(file_of(SMALL, "controlcore-remediator", "policies.yaml"))["policies"]
    observing = {policy["name"]: {"mode": "observe"} for policy in shipped}
    values = {"remediator": {**SMALL["remediator"], "policies": observing}}
    assert not any(right.startswith(("patch ", "create ")) for right in _rights(values, "controlcore-remediator"))
    assert {"patch apps/deployments of controlcore-api", "patch apps/deployments of bouncer"} <= {
        right for right in _rights(FULL, "controlcore-remediator") if right.startswith("patch ")
    }


def test_an_action_without_known_rights_is_refused() -> None:
    values = {"remediator": {**SMALL["remediator"], "policies": {"restart-api": {"action": "delete_pod"}}}}
    with pytest.raises(ChartError):
        render(values, "controlcore", "controlcore")


def test_rights_follow_the_rungs_of_a_ladder_and_calls_bring_none() -> None:
    rungs = [{"action": "evict_pod"}, {"action": "trigger_policy_update", "targets": [_target("OpalClient")]}]
    policies = {"restart-api": {"ladder": rungs, "mode": "approve"}}
    values = {"remediator": {**SMALL["remediator"], "identity": IDENTITY, "policies": policies}}
    rights = _rights(values, "controlcore-remediator")
    assert "create core/pods/eviction" in rights
    assert rights - _rights(SMALL, "controlcore-remediator") <= {"create core/pods/eviction", "get core/pods"}


def _plain(right: str) -> str:
    """`verb group/resource` with the core group named."""
    verb, _, resource = right.partition(" ")
    return f"{verb} core{resource}" if resource.startswith("/") else right


def _rights(values: dict[str, Any], name: str) -> set[str]:
    """Every right of the program's Roles as `verb group/resource`, with ` of NAME` where it is limited to a name."""
    rights = set()
    roles = [item for item in rendered(values) if item["kind"] == "Role" and item["metadata"]["name"] == name]
    for rule in (rule for role in roles for rule in role["rules"]):
        for verb in rule["verbs"]:
            for resource in rule["resources"]:
                right = f"{verb} {rule['apiGroups'][0] or 'core'}/{resource}"
                rights |= (
                    {f"{right} of {item}" for item in rule["resourceNames"]} if "resourceNames" in rule else {right}
                )
    return rights


def _open_places(schema: dict[str, Any], name: str) -> set[str]:
    """Names of the settings that may contain anything."""
    found: set[str] = set()
    if schema.get("type") == "object" and schema.get("additionalProperties", True) is True:
        found.add(name)
    for key, child in schema.get("properties", {}).items():
        found |= _open_places(child, key)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found |= _open_places(schema[key], name)
    return found


def _unknown_defaults(schema: dict[str, Any], value: Any, path: str) -> list[str]:
    """Paths in values.yaml that the schema does not name, and named settings without a default."""
    properties = schema.get("properties")
    if not isinstance(value, dict) or properties is None:
        return []
    found = [f"{path}.{key}" for key in (value.keys() ^ properties.keys()) - {"global"}]
    for key in value.keys() & properties.keys():
        found += _unknown_defaults(properties[key], value[key], f"{path}.{key}")
    return found
