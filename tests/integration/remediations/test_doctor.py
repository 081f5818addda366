"""`doctor` on a real installation: nothing on a good one, and on broken ones the one fault with its remedy."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fakes.running_remediator import RunningRemediator
from tests.fakes.waiting import wait_for
from tests.integration.remediations.doctor_stage import (
    FRESHNESS,
    PEOPLE_ROUTE,
    RULES,
    Installed,
    cron_job,
    deployment,
    findings,
    install,
)
from tools.chart import REMEDIATOR
from tools.install import build
from tools.servers.kubernetes.client import JSON_PATCH, STRATEGIC_PATCH
from tools.servers.versions import Generation
from tools.slowness import scaled

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster

pytestmark = pytest.mark.timeout(120)
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Installed]:
    """The good installation, which every test leaves as it was."""
    namespace = f"doctor-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(namespace)
    with install(cluster, namespace) as installed:
        yield installed
    cluster.delete_namespace(namespace)


@dataclass(frozen=True)
class Broken:
    """One way to break it, and what must be said about it."""

    name: str
    breaking: Callable[[Installed, Path], Any]
    """A context manager; yields the settings' file where that is another one."""
    severity: str
    check: str
    words: str
    """In the problem or the evidence."""
    remedy: str
    arguments: tuple[str, ...] = ()


def other_settings(place: Installed, folder: Path, **changes: Any) -> Path:
    """The same settings with other values, one level deep."""
    whole = place.settings
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(whole.get(name), dict)
        whole[name] = {**whole[name], **value} if both else value
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in whole.items() if value is not None}))
    return path


def other_policies(place: Installed, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same settings with another policy file."""
    whole = place.policies
    change(whole)
    path = folder / "policies.yaml"
    path.write_text(yaml.safe_dump(whole))
    return other_settings(place, folder, policies_file=str(path))


@contextmanager
def with_routes(place: Installed, *routes: dict[str, Any], token: Path | None = None) -> Iterator[None]:
    place.routes(*routes, token=token)
    try:
        yield
    finally:
        place.routes(place.own_route, PEOPLE_ROUTE)


@contextmanager
def without_people(place: Installed, _folder: Path) -> Iterator[None]:
    with with_routes(place, place.own_route):
        yield


@contextmanager
def without_remediator(place: Installed, _folder: Path) -> Iterator[None]:
    with with_routes(place, PEOPLE_ROUTE):
        yield


@contextmanager
def with_another_token(place: Installed, folder: Path) -> Iterator[None]:
    (folder / "wrong").write_text("a-token-of-somebody-else")
    with with_routes(place, place.own_route, PEOPLE_ROUTE, token=folder / "wrong"):
        yield


@contextmanager
def with_a_route_elsewhere(place: Installed, folder: Path) -> Iterator[None]:
    """The tree is right, and the receiver's address is not ours: only an alert shows it."""
    text = (place.alertmanager.folder / "alertmanager.yml").read_text()
    place.alertmanager.write_configuration(text.replace(place.remediator.url, "http://127.0.0.1:9"))
    place.alertmanager.reload()
    try:
        yield
    finally:
        place.routes(place.own_route, PEOPLE_ROUTE)


@contextmanager
def without_token_file(place: Installed, folder: Path) -> Iterator[Path]:
    yield other_settings(place, folder, server={"more_token_files": [str(folder / "none")]})


@contextmanager
def with_an_open_token(place: Installed, _folder: Path) -> Iterator[None]:
    place.remediator.token_path.chmod(0o644)
    try:
        yield
    finally:
        place.remediator.token_path.chmod(0o600)


@contextmanager
def with_one_token_for_all(place: Installed, folder: Path) -> Iterator[Path]:
    roles = {"approve": {"token_files": [str(place.remediator.token_path)]}}
    yield other_settings(place, folder, server={"roles": roles})


@contextmanager
def without_approvers(place: Installed, folder: Path) -> Iterator[Path]:
    yield other_settings(
        place, folder, server={"roles": {"operate": {"token_files": [str(place.remediator.approver_path)]}}}
    )


@contextmanager
def without_a_right(place: Installed, _folder: Path) -> Iterator[None]:
    path = f"/apis/{RBAC}/v1/namespaces/{place.namespace}/roles/{REMEDIATOR}"
    rules = place.cluster.client.get(path)["rules"]
    place.cluster.client.patch(path, {"rules": [rule for rule in rules if "patch" not in rule["verbs"]]})
    try:
        yield
    finally:
        place.cluster.client.patch(path, {"rules": rules})


@contextmanager
def bound_to(place: Installed, role: str) -> Iterator[None]:
    collection = f"/apis/{RBAC}/v1/namespaces/{place.namespace}/rolebindings"
    subject = {"kind": "ServiceAccount", "name": REMEDIATOR, "namespace": place.namespace}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    body = {"metadata": {"name": "wide", "namespace": place.namespace}, "roleRef": reference, "subjects": [subject]}
    place.cluster.client.post(collection, body)
    try:
        yield
    finally:
        place.cluster.client.delete(f"{collection}/wide")


@contextmanager
def with_every_right(place: Installed, _folder: Path) -> Iterator[None]:
    with bound_to(place, "cluster-admin"):
        yield


@contextmanager
def without_the_cron_job(place: Installed, _folder: Path) -> Iterator[None]:
    path = place.cluster.client.path_of(cron_job(place.namespace))
    place.cluster.client.delete(path)
    place.cluster.client.wait_gone(path)
    try:
        yield
    finally:
        place.cluster.apply(cron_job(place.namespace))


@contextmanager
def with_hands_off(place: Installed, _folder: Path) -> Iterator[None]:
    path = place.cluster.client.path_of(cron_job(place.namespace))
    mark = "controlcore.io/hands-off"
    place.cluster.client.patch(path, {"metadata": {"annotations": {mark: "true"}}})
    try:
        yield
    finally:
        place.cluster.client.patch(path, {"metadata": {"annotations": {mark: None}}})


@contextmanager
def with_environment(place: Installed, env: list[dict[str, Any]]) -> Iterator[None]:
    """The Deployment's container has these variables."""
    path = place.cluster.client.path_of(deployment(place.namespace))
    spec = {"template": {"spec": {"containers": [{"name": "api", "env": env}]}}}
    place.cluster.client.patch(path, {"spec": spec}, STRATEGIC_PATCH)
    try:
        yield
    finally:
        back = [{"op": "remove", "path": "/spec/template/spec/containers/0/env"}]
        place.cluster.client.patch(path, back, JSON_PATCH)


@contextmanager
def with_drop_tables(place: Installed, _folder: Path) -> Iterator[None]:
    with with_environment(place, [{"name": "CC_DROP_TABLES", "value": "true"}]):
        yield


@contextmanager
def with_an_unreadable_secret(place: Installed, _folder: Path) -> Iterator[None]:
    key = {"secretKeyRef": {"name": "api-env", "key": "drop"}}
    with with_environment(place, [{"name": "CC_DROP_TABLES", "valueFrom": key}]):
        yield


@contextmanager
def without_kubernetes(place: Installed, folder: Path) -> Iterator[Path]:
    yield other_settings(place, folder, kubernetes=None)


@contextmanager
def with_a_newer_journal(place: Installed, _folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(place.remediator.journal_path, isolation_level=None)) as journal:
        (before,) = journal.execute("PRAGMA user_version").fetchone()
        journal.execute("PRAGMA user_version = 99")
        try:
            yield
        finally:
            journal.execute(f"PRAGMA user_version = {before}")


@contextmanager
def with_a_full_disk(place: Installed, folder: Path) -> Iterator[Path]:
    yield other_settings(place, folder, journal={"max_log_bytes": 2**62})


@contextmanager
def with_a_second_server(place: Installed, _folder: Path) -> Iterator[None]:
    journal = {"path": str(place.remediator.journal_path), "is_shared_accepted": True}
    with RunningRemediator(yaml.safe_dump(place.policies), {"journal": journal}):
        yield


@contextmanager
def paused(place: Installed, folder: Path) -> Iterator[Path]:
    (folder / "pause").write_text("tables move\n")
    yield other_settings(place, folder, pause_file=str(folder / "pause"))


@contextmanager
def on_another_port(place: Installed, folder: Path) -> Iterator[Path]:
    yield other_settings(place, folder, server={"port": 9})


@contextmanager
def without_a_name(place: Installed, folder: Path) -> Iterator[Path]:
    yield other_settings(place, folder, prometheus={"url": "http://prometheus.invalid:9090"})


@contextmanager
def without_trust(place: Installed, folder: Path) -> Iterator[Path]:
    """The API server has a certificate of its own CA."""
    yield other_settings(place, folder, alertmanager={"url": place.cluster.server})


@contextmanager
def without_the_rule(place: Installed, _folder: Path) -> Iterator[None]:
    place.prometheus.write_files({"rules.yml": RULES.replace("remediation: restart-api", "remediation: none")})
    place.prometheus.reload()
    try:
        yield
    finally:
        place.prometheus.write_files({"rules.yml": RULES})
        place.prometheus.reload()
        wait_for(lambda: "restart-api" in str(place.prometheus.rules()))


@contextmanager
def with_series(place: Installed, **changes: float | None) -> Iterator[None]:
    """The exporter's page without the series that contain a word, or with another value."""
    before = dict(place.page)
    for word, value in changes.items():
        for name in [name for name in place.page if word in name]:
            place.page.pop(name)
            place.page.update({name: value} if value is not None else {})
    try:
        yield
    finally:
        place.page.clear()
        place.page.update(before)
        wait_for(lambda: all(place.prometheus.query(name) for name in before))
        young = f"time() - min({FRESHNESS}) < 30"
        wait_for(lambda: place.prometheus.query(young))


@contextmanager
def without_a_series(place: Installed, _folder: Path) -> Iterator[None]:
    with with_series(place, controlcore_component_up=None):
        wait_for(lambda: not place.prometheus.query("controlcore_component_up"))
        yield


@contextmanager
def without_a_collector(place: Installed, _folder: Path) -> Iterator[None]:
    with with_series(place, **{'collector="backup"': None}):
        wait_for(lambda: not place.prometheus.query(f'{FRESHNESS}{{collector="backup"}}'))
        yield


@contextmanager
def with_an_old_collection(place: Installed, _folder: Path) -> Iterator[None]:
    with with_series(place, **{'collector="api"': 1.0}):
        wait_for(lambda: place.prometheus.value(f'{FRESHNESS}{{collector="api"}}') == 1.0)
        yield


@contextmanager
def of_another_cluster(place: Installed, folder: Path) -> Iterator[Path]:
    def change(policies: dict[str, Any]) -> None:
        policies["identity"] = ['cluster="production"']

    yield other_policies(place, folder, change)


@contextmanager
def with_a_placeholder(place: Installed, folder: Path) -> Iterator[Path]:
    def change(policies: dict[str, Any]) -> None:
        policies["policies"][0] |= {"mode": "dry_run"}
        policies["policies"][0]["witnesses"][0]["url"] = "http://api.invalid:8000/"

    yield other_policies(place, folder, change)


@contextmanager
def with_a_faulty_policy(place: Installed, folder: Path) -> Iterator[Path]:
    def change(policies: dict[str, Any]) -> None:
        del policies["policies"][0]["targets"]

    yield other_policies(place, folder, change)


@contextmanager
def without_alertmanager(place: Installed, folder: Path) -> Iterator[Path]:
    yield other_settings(place, folder, alertmanager=None)


SENDING = ("--send-alert",)
BROKEN = (
    Broken("people", without_people, "error", "alertmanager.routes", "not people", "receiver: people"),
    Broken("route", without_remediator, "error", "alertmanager.routes", "do not reach", "remediation!="),
    Broken("token", with_another_token, "error", "alertmanager.arrival", "unauthorized", "same token", SENDING),
    Broken("address", with_a_route_elsewhere, "error", "alertmanager.arrival", "not arrive", "curl -si", SENDING),
    Broken("token-file", without_token_file, "error", "credentials", "does not exist", "openssl rand -hex 32 >"),
    Broken("mode", with_an_open_token, "warning", "credentials", "0644", "chmod 600"),
    Broken("one-token", with_one_token_for_all, "warning", "credentials", "may also approve", "server.roles.approve"),
    Broken("approvers", without_approvers, "warning", "roles", "run-backup", "roles: {approve"),
    Broken("right", without_a_right, "error", "rights", "patch deployments.apps control", "kubectl create role"),
    Broken("rights", with_every_right, "error", "rights.excess", "* *", "rolebindings"),
    Broken("object", without_the_cron_job, "error", "kubernetes.objects", "does not exist", "kubectl get cronjobs"),
    Broken("hands-off", with_hands_off, "warning", "kubernetes.objects", "is not changed: it has", "kubectl annotate"),
    Broken("tables", with_drop_tables, "error", "kubernetes.objects", "delete every table", "kubectl set env"),
    Broken("secret", with_an_unreadable_secret, "error", "kubernetes.objects", "Secret api-env", "readableSecrets"),
    Broken("no-cluster", without_kubernetes, "error", "kubernetes", "not configured", "kubernetes: {}"),
    Broken("schema", with_a_newer_journal, "error", "journal", "schema 99", "newer version"),
    Broken("disk", with_a_full_disk, "warning", "journal", "nearly full", "df -h"),
    Broken("servers", with_a_second_server, "error", "journal.servers", "several programs", "kill "),
    Broken("pause", paused, "warning", "pauses", "tables move", "rm "),
    Broken("port", on_another_port, "error", "program", "does not answer at the address", "server.port"),
    Broken("dns", without_a_name, "error", "prometheus", "dns", "getent hosts prometheus.invalid"),
    Broken("tls", without_trust, "error", "alertmanager", "tls", "SSL_CERT_FILE"),
    Broken("rule", without_the_rule, "error", "prometheus.rules", "restart-api", "rule_files"),
    Broken("series", without_a_series, "error", "prometheus.series", "no series of controlcore_", "exporter doctor"),
    Broken("collector", without_a_collector, "error", "prometheus.collectors", "backup", "exporter doctor"),
    Broken("age", with_an_old_collection, "error", "prometheus.collectors", "succeeded recently", "exporter doctor"),
    Broken("identity", of_another_cluster, "error", "identity", 'cluster="production"', "external_labels"),
    Broken("placeholder", with_a_placeholder, "warning", "configuration", "placeholder", "check-config"),
    Broken("policy", with_a_faulty_policy, "error", "configuration", "targets", "check-config"),
    Broken("no-alertmanager", without_alertmanager, "warning", "alertmanager", "silences", "alertmanager: {url"),
)  # fmt: skip


@pytest.mark.parametrize("arguments", [(), SENDING], ids=["looking", "sending"])
def test_good_installation_has_no_finding(place: Installed, arguments: tuple[str, ...]) -> None:
    status, output = place.doctor(*arguments)
    assert (findings(output), status) == ([], 0)


def test_older_servers_say_the_same(cluster: Cluster, namespace: str) -> None:
    """They show the addresses of webhooks, and return other unused fields."""
    with install(cluster, namespace, Generation.DEBIAN) as older:
        assert older.doctor(*SENDING) == older.doctor()
        assert findings(older.doctor()[1]) == []
        older.routes(older.own_route)
        assert [item["check"] for item in findings(older.doctor()[1])] == ["alertmanager.routes"]


def test_alert_of_doctor_begins_nothing(place: Installed) -> None:
    before = place.remediator.read("SELECT count(*) FROM record")
    assert place.doctor(*SENDING)[0] == 0
    assert place.remediator.read("SELECT count(*) FROM remediation WHERE alert LIKE '%Doctor%'") == [(0,)]
    assert place.remediator.read("SELECT count(*) FROM record") == before


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_broken_installation_is_told_with_its_remedy(place: Installed, broken: Broken, tmp_path: Path) -> None:
    with broken.breaking(place, tmp_path) as settings:
        status, output = place.doctor(*broken.arguments, settings=settings)
    told = findings(output)
    (found,) = [
        item for item in told
        if (item["severity"], item["check"]) == (broken.severity, broken.check)
        and broken.words in f"{item['problem']} {item['evidence']}"
    ]  # fmt: skip
    assert broken.remedy in found["remedy"], found
    assert [item for item in told if item["severity"] == "error" and item is not found] == []
    assert status == 1


@pytest.mark.parametrize("name", ["right", "hands-off", "mode", "token-file"])
def test_printed_command_mends_the_fault(place: Installed, name: str, tmp_path: Path) -> None:
    (broken,) = [each for each in BROKEN if each.name == name]
    with broken.breaking(place, tmp_path) as settings, removed_roles(place):
        told = findings(place.doctor(settings=settings)[1])
        (remedy,) = [item["remedy"] for item in told if item["check"] == broken.check]
        commands = [line for line in remedy.splitlines() if line.split(" ")[0] in {"kubectl", "chmod", "umask"}]
        (tmp_path / "kubectl").symlink_to(build.locate("kubectl"))
        search = f"{tmp_path}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": search, "KUBECONFIG": str(place.cluster.kubeconfig_path)}
        subprocess.run(["bash", "-eu", "-c", "\n".join(commands)], env=environment, check=True, timeout=scaled(30))
        assert findings(place.doctor(settings=settings)[1]) == []


@contextmanager
def removed_roles(place: Installed) -> Iterator[None]:
    """Takes away at the end what a remedy has granted."""
    try:
        yield
    finally:
        for plural in ("roles", "rolebindings"):
            collection = f"/apis/{RBAC}/v1/namespaces/{place.namespace}/{plural}"
            for item in place.cluster.client.items(collection):
                if item["metadata"]["name"].startswith(f"{REMEDIATOR}-needs"):
                    place.cluster.client.delete(f"{collection}/{item['metadata']['name']}")


def test_forms_say_the_same(place: Installed, tmp_path: Path) -> None:
    with without_token_file(place, tmp_path) as settings:
        told = {form: place.doctor(settings=settings, form=form) for form in ("table", "json", "yaml")}
    assert {status for status, _ in told.values()} == {1}
    assert json.loads(told["json"][1]) == yaml.safe_load(told["yaml"][1])
    assert "ERROR    credentials: a token file does not exist" in told["table"][1]


def test_settings_that_cannot_be_read_end_with_status_2(place: Installed, tmp_path: Path) -> None:
    path = other_settings(place, tmp_path, nonsense=1)
    assert place.doctor(settings=path)[0] == 2
