"""Ten sidecars and the one Deployment, and a sidecar with a faulty configuration."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.collectors import discover
from exporter.settings import Scope
from tests.fakes.running_exporter import running_exporter
from tools.servers.postgres import PostgresServer
from tools.standin.running import running_standin

pytestmark = pytest.mark.timeout(180)
SIDECARS = 10
DEPLOYMENT_METRICS = frozenset(
    metric.name for spec in discover() if spec.scope is Scope.DEPLOYMENT for metric in spec.metrics
)


def published(samples: dict[str, float]) -> set[str]:
    """The metrics on a page; a histogram by its count."""
    return {name.partition("{")[0].removesuffix("_count") for name in samples}


def backends(server: PostgresServer) -> int:
    """The exporter's connections to any database."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'controlcore-exporter'"
    return int(server.run_sql(sql, "postgres")[0][0])


def test_ten_sidecars_count_nothing_twice_and_open_no_connection(
    postgres_server: PostgresServer, database: str, redis_url: str, tmp_path: Path
) -> None:
    with running_standin(database, redis_url) as standin, ExitStack() as stack:
        settings: dict[str, Any] = {
            "database": {"url": standin.database_url},
            "redis": {"url": standin.redis_url},
            "api": {"url": standin.api_url},
            "bouncers": [{"name": name, "url": url} for name, url in standin.bouncers.items()],
        }
        sidecars = []
        for number in range(SIDECARS):
            folder = tmp_path / str(number)
            folder.mkdir()
            sidecars.append(stack.enter_context(running_exporter(folder, settings | {"scope": "pod"})))
        for sidecar in sidecars:
            sidecar.wait_until_ready()
            assert published(sidecar.samples()) & DEPLOYMENT_METRICS == set()
            assert sidecar.samples()['controlcore_component_up{component="api"}'] == 1
        assert backends(postgres_server) == 0
        deployment = stack.enter_context(running_exporter(tmp_path, settings))
        deployment.wait_until_ready()
        assert {"controlcore_postgres_up", "controlcore_policy_decisions_total"} <= published(deployment.samples())
        most = 0
        for _ in range(100):
            most = max(most, backends(postgres_server))
            deployment.get()
        assert 1 <= most <= 2
        for process in (*sidecars, deployment):
            assert process.end()[0] == 0


def test_sidecar_with_a_faulty_configuration_serves_until_it_is_mended(tmp_path: Path) -> None:
    valid = "controlcore_exporter_config_valid"
    with running_exporter(tmp_path, {"scope": "pod", "servr": {}}) as exporter:
        assert exporter.samples()[valid] == 0
        assert exporter.get("/-/healthy").status == exporter.get("/-/ready").status == 200
        assert [line["faults"][0].partition(":")[0] for line in exporter.events("config.rejected")] == ["servr"]
        assert exporter.get("/-/reload", method="POST", body=b"").status == 500
        (tmp_path / "exporter.yml").write_text(yaml.safe_dump({"scope": "pod", "api": {"url": "http://127.0.0.1:9"}}))
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for(lambda page: page[valid] == 1)
        exporter.wait_for(lambda page: page.get('controlcore_component_up{component="api"}') == 0)
        assert exporter.end()[0] == 0
