"""A whole installation on real servers, which tests break in one place at a time: cluster, Prometheus, Alertmanager."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from remediations.__main__ import main
from remediations.commands.doctor import program
from tests.fakes.running_remediator import RunningRemediator
from tests.fakes.waiting import wait_for
from tools.chart import REMEDIATOR, remediator_rights
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.kubernetes.cluster import Cluster
from tools.servers.prometheus import PrometheusServer
from tools.servers.versions import Generation
from tools.slowness import scaled

API, BACKUP = "control-plane-api", "postgres-backup"
FRESHNESS = "controlcore_scrape_collector_last_success_timestamp_seconds"
GOOD_SERIES = {
    'controlcore_component_up{component="api"}': 1.0,
    "controlcore_backup_exists": 1.0,
    f'{FRESHNESS}{{collector="api"}}': None,
    f'{FRESHNESS}{{collector="backup"}}': None,
}
"""The content of the exporter's page; None means now."""
CALL_SECONDS = min(scaled(3), 9)
"""Time of one call to Prometheus, Alertmanager or the program; below the 10 s of a check."""
SILENT = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
RESENDING = ("--rules.alert.resend-delay=1s",)
"""An alert that was sent before Alertmanager was discovered is otherwise sent again after a minute only."""
PEOPLE_ROUTE = {"receiver": "people", "matchers": ['severity!="none"']}
RULES = """
groups:
  - name: controlcore
    interval: 1s
    rules:
      - {alert: ControlCoreWatchdog, expr: vector(1), labels: {severity: none, remediation: none}}
      - alert: ControlCoreAPIDown
        expr: controlcore_component_up == 0
        labels: {severity: critical, remediation: restart-api}
      - alert: ControlCoreBackupMissing
        expr: controlcore_backup_exists == 0
        labels: {severity: warning, remediation: run-backup}
"""


class OwnerOnly(RunningRemediator):
    """A remediator whose secrets only its owner can read, with a second token for people who approve."""

    def prepare(self) -> None:
        super().prepare()
        self.approver_path.write_text("a-token-of-a-person-001")
        settings = yaml.safe_load(self.settings_path.read_text())
        settings["server"]["roles"] = {"approve": {"token_files": [str(self.approver_path)]}}
        self.settings_path.write_text(yaml.safe_dump(settings))
        for path in (self.token_path, self.approver_path):
            path.chmod(0o600)

    @property
    def approver_path(self) -> Path:
        return self.folder / "approver"


@dataclass
class Installed:
    """The installation, its parts and the requests to it."""

    cluster: Cluster
    namespace: str
    alertmanager: AlertmanagerServer
    prometheus: PrometheusServer
    remediator: OwnerOnly
    page: dict[str, float | None] = field(default_factory=lambda: dict(GOOD_SERIES))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the running program."""
        whole: dict[str, Any] = yaml.safe_load(self.remediator.settings_path.read_text())
        return whole

    @property
    def policies(self) -> dict[str, Any]:
        """Its policy file."""
        whole: dict[str, Any] = yaml.safe_load(self.remediator.policies_path.read_text())
        return whole

    def routes(self, *routes: dict[str, Any], token: Path | None = None) -> None:
        """Gives Alertmanager these child routes of the root, and has it read them."""
        self.alertmanager.write_configuration(alertmanager_file(self.remediator, routes, token))
        self.alertmanager.reload()

    @property
    def own_route(self) -> dict[str, Any]:
        """The route that the documentation prints, without its waiting times."""
        return {
            "receiver": REMEDIATOR, "matchers": ['remediation!=""'], "continue": True, "group_by": ["alertname"],
            "group_wait": "0s", "group_interval": "1s", "repeat_interval": "5m",
        }  # fmt: skip

    def doctor(self, *arguments: str, settings: Path | None = None, form: str = "json") -> tuple[int, str]:
        """Exit status and output of the command."""
        path = settings or self.remediator.settings_path
        told = StringIO()
        patience = patch.object(program, "SECONDS", CALL_SECONDS)
        with patience, redirect_stdout(told), pytest.raises(SystemExit) as ended:
            main(["--config.file", str(path), "doctor", "-o", form, *arguments])
        return int(ended.value.code or 0), told.getvalue()


def alertmanager_file(remediator: OwnerOnly, routes: tuple[dict[str, Any], ...], token: Path | None = None) -> str:
    """An alertmanager.yml with these child routes."""
    credentials = {"type": "Bearer", "credentials_file": str(token or remediator.token_path)}
    webhook = {"url": f"{remediator.url}/api/v1/alerts", "max_alerts": 0, "http_config": {"authorization": credentials}}
    people = {"url": "http://127.0.0.1:9/people"}
    return yaml.safe_dump(
        {
            "route": {"receiver": "people", "group_by": ["cluster", "component", "severity"], "routes": list(routes)},
            "receivers": [
                {"name": "people", "webhook_configs": [people]},
                {"name": REMEDIATOR, "webhook_configs": [webhook]},
            ],
        }
    )


def prometheus_file(alertmanager_port: int, *targets: int) -> str:
    """A prometheus.yml that scrapes these ports every second."""
    static = [{"targets": [f"127.0.0.1:{port}" for port in targets]}]
    sends = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "external_labels": {"cluster": "test"}},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": sends},
            "scrape_configs": [{"job_name": "controlcore", "static_configs": static}],
        }
    )


def policy_file(namespace: str, witness_url: str) -> dict[str, Any]:
    """Two policies, one that acts by itself and one that waits for a person."""
    api, backup = "controlcore_component_up", "controlcore_backup_exists"
    return {
        "identity": ['cluster="test"'],
        "policies": [
            {
                "name": "restart-api", "action": "restart_workload", "mode": "auto",
                "targets": [{"namespace": namespace, "kind": "Deployment", "name": API}],
                "condition": {"promql": f"max({api}) == bool 0", "collectors": ["api"]},
                "verify": {"promql": f"min({api})", "collectors": ["api"]},
                "witnesses": [{"name": "page", "kind": "http", "url": witness_url}],
            },
            {
                "name": "run-backup", "action": "run_backup_job", "mode": "approve",
                "targets": [{"namespace": namespace, "kind": "CronJob", "name": BACKUP}],
                "condition": {"promql": f"min({backup}) == bool 0", "collectors": ["backup"]},
                "verify": {"promql": f"min({backup})", "collectors": ["backup"]},
            },
        ],
    }  # fmt: skip


def deployment(namespace: str) -> dict[str, Any]:
    """The API's Deployment."""
    pods = {"containers": [{"name": "api", "image": "api:1", "readinessProbe": {"httpGet": {"path": "/", "port": 80}}}]}
    labels = {"app": API}
    template = {"metadata": {"labels": labels}, "spec": pods}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": API, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def cron_job(namespace: str) -> dict[str, Any]:
    """The CronJob of backups."""
    pods = {"restartPolicy": "Never", "containers": [{"name": "dump", "image": "dump:1"}]}
    spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": pods}}}}
    metadata = {"name": BACKUP, "namespace": namespace}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}


@contextmanager
def serving_page(page: dict[str, float | None]) -> Iterator[int]:
    """An exporter's page with these series; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines = [f"{name} {time.time() if value is None else value}" for name, value in page.items()]
            body = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def install(cluster: Cluster, namespace: str, generation: Generation = Generation.PINNED) -> Iterator[Installed]:
    """Installs everything, and waits until alerts arrive and Prometheus has everything."""
    page = dict(GOOD_SERIES)
    with ExitStack() as stack:
        port = stack.enter_context(serving_page(page))
        policies = policy_file(namespace, f"http://127.0.0.1:{port}/")
        cluster.apply([*remediator_rights(policies["policies"], namespace), deployment(namespace), cron_job(namespace)])
        alertmanager = stack.enter_context(AlertmanagerServer(yaml.safe_dump(SILENT), generation))
        files = {"prometheus.yml": prometheus_file(alertmanager.port, port), "rules.yml": RULES}
        prometheus = stack.enter_context(PrometheusServer(files, generation, RESENDING))
        settings = {
            "prometheus": {"url": prometheus.url, "timeout_seconds": CALL_SECONDS},
            "alertmanager": {"url": alertmanager.url, "timeout_seconds": CALL_SECONDS},
            "kubernetes": {"kubeconfig": str(cluster.kubeconfig_for(namespace, REMEDIATOR))},
        }
        remediator = stack.enter_context(OwnerOnly(yaml.safe_dump(policies), settings))
        place = Installed(cluster, namespace, alertmanager, prometheus, remediator, page)
        prometheus.write_files({"prometheus.yml": prometheus_file(alertmanager.port, port, remediator.port)})
        prometheus.reload()
        place.routes(place.own_route, PEOPLE_ROUTE)
        wait_good(place)
        yield place


def wait_good(place: Installed) -> None:
    """Returns once Prometheus has every series and the alert that always fires has arrived."""
    watchdog = "controlcore_remediation_webhook_last_watchdog_timestamp_seconds"
    names = [*GOOD_SERIES, watchdog, "controlcore_remediator_build_info"]
    wait_for(lambda: all(place.prometheus.query(name) for name in names), describe=place.prometheus.targets)


def findings(output: str) -> list[dict[str, str]]:
    """The findings of a JSON output."""
    found: list[dict[str, str]] = json.loads(output)["findings"]
    return found
