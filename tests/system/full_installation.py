"""An installation in which every part of the dashboards is configured and scraped.

The stores, OPA, Kubernetes, Prometheus, Alertmanager, the exporter and the remediator are real; Control Core is the
stand-in. Each engine holds the enabled policies of its environment. The rules run with their windows divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from demo.files import CLUSTER_NAME, Pace, alertmanager_configuration, demo_policies, prometheus_files
from exporter.collectors import discover
from tests.fakes.waiting import wait_for
from tests.integration.demo.asking import ask
from tests.integration.exporter.standby import Standby
from tests.integration.exporter.whole import REDIS_KEYS, deploy, everything
from tests.system.engines import opened_engines
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.kubernetes.cluster import Cluster
from tools.servers.kubernetes.metrics_api import MetricsApi
from tools.servers.prometheus import PrometheusServer
from tools.servers.sidecar import ExporterServer, RemediatorServer
from tools.slowness import slowness
from tools.standin.faults.datastore import login_forbidden
from tools.standin.running import API, BOUNCERS, Options, StandIn, running_standin
from tools.standin.stores import EXPORTER_ROLE, Stores, opened_stores

SLOWEST = 3.0
"""A slow machine gets at most this much more time for each window, as in the demo."""
STRETCH = min(slowness(), SLOWEST)
PACE = Pace(12.0 / STRETCH)
SCRAPE_SECONDS = PACE.seconds(15)
ARCHIVING = {"archive_mode": "on", "archive_command": "true"}
MAX_MEMORY = "64mb"
POLICY = "update-policies"
OFTEN = {"cooldown_seconds": 1.0, "budget_actions": 10}
"""For a repair that is played more than once."""
NO_RECEIVER = "route: {receiver: none}\nreceivers: [{name: none}]\n"
PROMOTED = "UPDATE policies SET environment = 'both' WHERE promoted_from_sandbox"
"""As the product stores them; the engines of tests.system.engines hold them in both environments."""
FAILED_SYNC = (
    "INSERT INTO bouncer_sync_history (bouncer_id, sync_type, status, policies_synced, triggered_by)"
    " VALUES ('bouncer-sandbox', 'auto', 'failed', 0, 'system')"
)


DECISIONS = (
    'INSERT INTO audit_logs (event_type, outcome, "user", action, resource, result, environment)'
    " SELECT event_type, outcome, 'viewer', 'read', 'orders', 'success', environment FROM generate_series(1, 300),"
    " (VALUES ('ACCESS_GRANTED', 'PERMIT'), ('ACCESS_DENIED', 'DENY')) AS decisions (event_type, outcome),"
    " (VALUES ('sandbox'), ('production')) AS environments (environment)"
)
"""Enough that a share of them says something: the rules want 860 in a day."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What runs."""

    namespace: str
    stores: Stores
    standin: StandIn
    exporter: ExporterServer
    remediator: RemediatorServer
    prometheus: PrometheusServer

    def value(self, promql: str) -> float:
        """The only value of a query; 0 without one."""
        return self.prometheus.value(promql) or 0.0

    def await_value(self, promql: str, timeout_seconds: float = 60.0) -> None:
        """Returns when the query has a value other than 0."""
        wait_for(
            lambda: self.value(promql), timeout_seconds, poll_seconds=0.2, describe=lambda: f"{promql} has no value"
        )


@contextmanager
def opened_installation(cluster: Cluster, namespace: str, usage: MetricsApi, folder: Path) -> Iterator[Installation]:
    """Starts everything and yields when each collector has succeeded and both programs are scraped."""
    with ExitStack() as stack:
        stores = stack.enter_context(opened_stores(ARCHIVING))
        stack.enter_context(Standby(stores.postgres, "replica"))
        stores.redis.call("CONFIG", "SET", "maxmemory", MAX_MEMORY)
        for key in REDIS_KEYS:
            stores.redis.call("SET", key, "x")
        with psycopg.connect(stores.database_url, autocommit=True) as admin:
            admin.execute(PROMOTED)
        engines = opened_engines(stack)
        options = Options(
            traffic_interval_seconds=0.2,
            opa_url=engines["sandbox"].url,
            is_opal_statistics_enabled=True,
            do_bouncers_cache_decisions=True,
        )
        standin = stack.enter_context(running_standin(stores.database_url, stores.redis.url, options))
        deploy(cluster, namespace, usage)
        standin.database_url = stores.exporter_url
        settings = everything(standin, engines["sandbox"].url, cluster, namespace, folder)
        settings |= exporter_settings(settings, {name: engine.url for name, engine in engines.items()}, folder)
        exporter = stack.enter_context(ExporterServer(settings))
        installation = _start_watchers(stack, namespace, stores, standin, exporter)
        wait_for(lambda: not not_yet_successful(exporter), 60, describe=lambda: not_yet_successful(exporter))
        installation.await_value("count(controlcore_up) * count(controlcore_remediation_journal_writable)")
        yield installation


def exporter_settings(settings: dict[str, Any], engines: dict[str, str], folder: Path) -> dict[str, Any]:
    """What `everything` leaves out: an engine for each bouncer, the guide's names, discovery, web configuration."""
    web, found = folder / "web.yml", folder / "bouncers.json"
    web.write_text("{}", encoding="utf-8")
    found.write_text("[]", encoding="utf-8")
    for spec in discover():
        fields, own = spec.settings.model_fields, settings["collectors"][spec.name]
        own["interval_seconds"] = PACE.seconds(fields["interval_seconds"].default)
        own |= {name: fields[name].default * STRETCH for name in fields if name.endswith("timeout_seconds")}
    return {
        "scope": "all",
        "guide_names": True,
        "server": {"web_config_file": str(web)},
        "bouncer_discovery": {"files": [str(found)]},
        "bouncers": [{**each, "opa_url": engines[each["environment"]]} for each in settings["bouncers"]],
    }


def _start_watchers(
    stack: ExitStack, namespace: str, stores: Stores, standin: StandIn, exporter: ExporterServer
) -> Installation:
    """Prometheus, Alertmanager and the remediator, each knowing the others' addresses."""
    alertmanager = stack.enter_context(AlertmanagerServer(NO_RECEIVER))
    prometheus = stack.enter_context(PrometheusServer({"prometheus.yml": "global: {}\n"}))
    settings = {
        "prometheus": {"url": prometheus.url},
        "alertmanager": {"url": alertmanager.url},
        "worker": {"verify_seconds": PACE.seconds(10)},
    }
    remediator = stack.enter_context(RemediatorServer(settings, _policies(standin.opal_client_url, namespace)))
    webhook = alertmanager_configuration(PACE, f"{remediator.url}/api/v1/alerts", remediator.token_path)
    alertmanager.write_configuration(webhook)
    alertmanager.reload()
    targets = {"exporter": f"127.0.0.1:{exporter.port}", "remediator": f"127.0.0.1:{remediator.port}"}
    files = prometheus_files(PACE, targets, f"127.0.0.1:{alertmanager.port}")
    files["prometheus.yml"] = _with_target_labels(files["prometheus.yml"], namespace)
    prometheus.write_files(files)
    prometheus.reload()
    return Installation(namespace, stores, standin, exporter, remediator, prometheus)


def _policies(opal_client_url: str, namespace: str) -> str:
    """The one policy that changes nothing in Kubernetes, for the namespace that the alerts name."""
    document = yaml.safe_load(demo_policies(PACE, opal_client_url))
    document["policies"] = [policy for policy in document["policies"] if policy["name"] == POLICY]
    for policy in document["policies"]:
        del policy["ladder"]
        policy.update(OFTEN)
        policy["targets"] = [{**target, "namespace": namespace} for target in policy["targets"]]
    return yaml.safe_dump(document, sort_keys=False)


def _with_target_labels(configuration: str, namespace: str) -> str:
    """The configuration with the labels that the Prometheus operator, or a relabelling, gives each target."""
    document = yaml.safe_load(configuration)
    for job in document["scrape_configs"]:
        for group in job["static_configs"]:
            group["labels"] = {"cluster": CLUSTER_NAME, "namespace": namespace}
    return yaml.safe_dump(document, sort_keys=False)


def not_yet_successful(exporter: ExporterServer) -> list[str]:
    """The collectors that have not succeeded once."""
    page = str(ask(f"{exporter.url}/metrics").body)
    name = "controlcore_scrape_collector_last_success_timestamp_seconds"
    return [spec.name for spec in discover() if f'{name}{{collector="{spec.name}"}}' not in page]


def play_faults(installation: Installation) -> None:
    """One fault after the other, each until Prometheus has scraped it: API, database, synchronisation, engine."""
    standin = installation.standin
    standin.fault(API, "5xx")
    installation.await_value("sum(controlcore_api_probe_failures_total) > 0")
    standin.clear(API)
    with login_forbidden(installation.stores.database_url, EXPORTER_ROLE):
        installation.await_value("sum(controlcore_postgres_connection_failures_total) > 0")
    with psycopg.connect(installation.stores.database_url, autocommit=True) as admin:
        admin.execute(FAILED_SYNC)
        admin.execute(DECISIONS)
    installation.await_value("count(controlcore:policy_denials:ratio_rate1d)")
    installation.await_value("sum(controlcore_bouncer_policy_sync_failures_total) > 0")
    play_repair(installation)


def play_repair(installation: Installation) -> None:
    """A bouncer's engine fails until the remediator has had the policies loaded again and has verified it."""
    before = installation.value("sum(controlcore_remediation_duration_seconds_count)")
    standin = installation.standin
    standin.fault(BOUNCERS[0], "undefined")
    wait_for(
        lambda: is_written(installation, before),
        90,
        poll_seconds=0.2,
        describe=installation.remediator.process.log_tail,
    )
    standin.clear(BOUNCERS[0])
    installation.await_value(f"(sum(controlcore_remediation_duration_seconds_count) > {before}) or vector(0)", 90)
    installation.await_value('1 - max((ALERTS{alertname="ControlCorePolicyEngineFailing"}) or vector(0))', 90)


def is_written(installation: Installation, before: float) -> bool:
    """Whether the remediator has made a further call."""
    return installation.value("sum(controlcore_remediation_alert_to_write_seconds_count)") > before
