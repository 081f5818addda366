"""A healthy installation that is like the real product, watched by every collector, raises no alert.

The stand-in runs as tests/fixtures/product says: a bouncer made by hand without bouncer_id, modules `policy_<id>.rego`,
promoted policies in the environment `both`, PENDING information points, OPAL with statistics on the
server alone, and no reported synchronisation. The shipped rules run with their windows divided.
CONTROLCORE_RULE_MINUTES (default 10) is how long, in minutes of the rules.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.files import Pace, prometheus_files
from exporter.collectors import discover
from tests.fakes.waiting import wait_for
from tests.integration.demo.asking import ask
from tests.system.engines import opened_engines
from tools.servers.opa import OpaServer
from tools.servers.prometheus import PrometheusServer
from tools.servers.sidecar import ExporterServer
from tools.slowness import slowness
from tools.standin.database import make_rows_like_the_product
from tools.standin.running import Options, StandIn, running_standin
from tools.standin.stores import opened_stores

RULE_MINUTES = float(os.environ.get("CONTROLCORE_RULE_MINUTES", "10"))
FACTOR = 12.0
SLOWEST = 3.0
"""A slow machine gets at most this much more time for each window, as in the demo."""
BEAT_SECONDS = 1.0
ALWAYS = {"ControlCoreWatchdog"}
OF_THE_MACHINE = {
    "ControlCorePolicyLatencyHigh",
    "ControlCorePolicyLatencyBudgetBurn",
    "PolicyEvaluationSlow",
}
"""Alerts about response times: next to other work on few cores they are true for this machine."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What runs."""

    standin: StandIn
    exporter: ExporterServer
    prometheus: PrometheusServer
    run_seconds: float


def exporter_settings(
    standin: StandIn, database_url: str, engines: dict[str, OpaServer], folder: Path
) -> dict[str, Any]:
    """Every collector on, at the rules' pace, with the time that this machine needs."""
    stretch = min(slowness(), SLOWEST)
    pace = Pace(FACTOR / stretch)
    backups = folder / "backups"
    backups.mkdir()
    for hours, name in ((25, "full_backup_20260101_020000.sql.gz"), (1, "full_backup_20260102_020000.sql.gz")):
        path = backups / name
        path.write_bytes(gzip.compress(b"-- a dump\n" * 1000))
        os.utime(path, (time.time() - hours * 3600,) * 2)
    own: dict[str, dict[str, Any]] = {
        "opal": {
            "server_url": standin.opal_server_url,
            "clients": [{"name": "opal-client", "url": standin.opal_client_url}],
        },
        "backup": {"places": [{"kind": "full", "directory": str(backups)}]},
    }
    collectors = {}
    for spec in discover():
        fields = spec.settings.model_fields
        timeouts = {name: fields[name].default * stretch for name in fields if name.endswith("timeout_seconds")}
        interval = {"interval_seconds": pace.seconds(fields["interval_seconds"].default)}
        collectors[spec.name] = {**interval, **timeouts, **own.get(spec.name, {})}
    return {
        "scope": "all",
        "database": {"url": database_url, "role": "postgres"},
        "redis": {"url": standin.redis_url},
        "api": {"url": standin.api_url},
        "bouncers": [
            {
                "name": name,
                "url": url,
                "environment": name.removeprefix("bouncer-"),
                "opa_url": engines[name.removeprefix("bouncer-")].url,
            }
            for name, url in standin.bouncers.items()
        ],
        "collectors": collectors,
    }


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """The product, the exporter and Prometheus with its rules, once every collector has succeeded and was scraped."""
    pace = Pace(FACTOR / min(slowness(), SLOWEST))
    with ExitStack() as stack:
        stores = stack.enter_context(opened_stores())
        engines = opened_engines(stack)
        options = Options(opa_url=engines["sandbox"].url, is_opal_statistics_enabled=True, do_opal_clients_count=False)
        standin = stack.enter_context(running_standin(stores.database_url, stores.redis.url, options))
        make_rows_like_the_product(stores.database_url)
        settings = exporter_settings(standin, stores.exporter_url, engines, tmp_path)
        exporter = stack.enter_context(ExporterServer(settings))
        wait_for(lambda: not unsuccessful(exporter), 60, describe=lambda: unsuccessful(exporter))
        files = prometheus_files(pace, {"exporter": f"127.0.0.1:{exporter.port}"}, "127.0.0.1:9")
        rules = {name: text for name, text in files.items() if name.startswith("rules/")}
        prometheus = stack.enter_context(PrometheusServer({"prometheus.yml": files["prometheus.yml"]}))
        wait_for(lambda: prometheus.value("up") == 1, 30)
        prometheus.write_files(rules)
        prometheus.reload()
        yield Installation(standin, exporter, prometheus, RULE_MINUTES * 60 / pace.factor)


def unsuccessful(exporter: ExporterServer) -> list[str]:
    """The collectors that are configured and have not succeeded."""
    answer = ask(f"{exporter.url}/metrics")
    name = "controlcore_scrape_collector_success{"
    failed = [line for line in str(answer.body).splitlines() if line.startswith(name) and line.endswith(" 0")]
    return failed if name in str(answer.body) else ["no collector has ended"]


def beat(standin: StandIn) -> None:
    """A heartbeat of each registered bouncer."""
    for row in (1, 2):
        ask(f"{standin.api_url}/peps/{row}/heartbeat", {})


@pytest.mark.xdist_group("product")
@pytest.mark.timeout(RULE_MINUTES * 60 / FACTOR + 120)
def test_healthy_installation_like_the_real_product_raises_no_alert(installation: Installation) -> None:
    """P1, P2, P3, P5, P8, P9, P11: none of the product's own habits is an alert."""
    fired: dict[str, str] = {}
    ends_at = time.monotonic() + installation.run_seconds
    while time.monotonic() < ends_at:
        beat(installation.standin)
        for alert in installation.prometheus.alerts():
            if alert["state"] == "firing":
                labels = alert["labels"]
                fired.setdefault(json.dumps(labels, sort_keys=True), f"{labels['alertname']}: {alert['annotations']}")
        time.sleep(BEAT_SECONDS)
    names = {json.loads(labels)["alertname"] for labels in fired}
    assert not names - ALWAYS - OF_THE_MACHINE, "\n".join(fired.values())
    assert unsuccessful(installation.exporter) == []
    families = {sample.labels["__name__"] for sample in installation.prometheus.query('{job="exporter"}')}
    for family in ("controlcore_bouncer_info", "controlcore_policy_parity", "controlcore_opal_up"):
        assert family in families
