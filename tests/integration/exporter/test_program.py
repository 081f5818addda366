"""The exporter as a process: over a whole stand-in, over dead backends, over frozen ones."""

from __future__ import annotations

import gzip
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import yaml

from tests.fakes.running_exporter import REPORT_MODULES, RUN, environment, running_exporter
from tools.servers.postgres import PostgresServer
from tools.servers.redis import RedisServer
from tools.servers.versions import Generation
from tools.slowness import scaled, slowness
from tools.standin.running import StandIn, running_standin

pytestmark = pytest.mark.timeout(90)

NOBODY = "127.0.0.1:9"  # the discard port: nothing listens
QUICK = {
    name: {"interval_seconds": 1, "timeout_seconds": scaled(3)}
    for name in ("postgres", "postgres_canary", "redis", "users", "decisions")
}
for name in ("postgres_canary", "redis"):
    QUICK[name]["probe_timeout_seconds"] = scaled(0.9)


def finished_well(samples: dict[str, float]) -> bool:
    found = [value for name, value in samples.items() if name.startswith("controlcore_scrape_collector_success")]
    return len(found) >= 7 and all(value == 1 for value in found)


@pytest.fixture
def standin(database: str, redis_url: str) -> Iterator[StandIn]:
    with running_standin(database, redis_url) as running:
        yield running


def everything(standin: StandIn, **more: Any) -> dict[str, Any]:
    bouncers = [
        {"name": name, "url": url, "environment": name.removeprefix("bouncer-")}
        for name, url in standin.bouncers.items()
    ]
    return {
        "database": {"url": standin.database_url},
        "redis": {"url": standin.redis_url},
        "api": {"url": standin.api_url},
        "bouncers": bouncers,
        **more,
    }


def complaints(promtool: Path, page: str) -> list[str]:
    """What promtool objects to."""
    answer = subprocess.run(
        [promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False, timeout=scaled(30)
    )
    return (answer.stdout + answer.stderr).strip().splitlines()


def test_whole_product_is_published_and_lints_clean(standin: StandIn, generation: Generation, tmp_path: Path) -> None:
    with running_exporter(tmp_path, everything(standin, guide_names=False)) as exporter:
        exporter.wait_until_ready()
        exporter.wait_for(finished_well, 20)
        page, samples = exporter.get().text, exporter.samples()
        assert complaints(generation.locate("promtool"), page) == []
        for name in (
            "controlcore_up",
            'controlcore_component_up{component="api"}',
            'controlcore_component_up{component="database"}',
            'controlcore_component_up{component="redis"}',
            'controlcore_component_up{component="policy_engine"}',
            "controlcore_postgres_up",
            "controlcore_redis_up",
        ):
            assert (name, samples.get(name)) == (name, 1.0)
        assert exporter.end()[0] == 0


def test_guide_names_cost_exactly_the_one_finding(standin: StandIn, generation: Generation, tmp_path: Path) -> None:
    with running_exporter(tmp_path, everything(standin)) as exporter:
        exporter.wait_until_ready()
        exporter.wait_for(finished_well, 20)
        found = complaints(generation.locate("promtool"), exporter.get().text)
        names = {
            "policy_evaluation_duration_seconds",
            "database_connections_failed",
            "active_users_total",
            "http_request_duration_seconds_count",
        }
        assert [line.split()[0] for line in found] == ["active_users_total"]
        published = {name.partition("{")[0] for name in exporter.samples()}
        assert names <= published


def test_conventional_variables_alone_just_work(standin: StandIn, tmp_path: Path) -> None:
    variables = {
        "DATABASE_URL": standin.database_url.replace("postgresql://", "postgresql+psycopg2://"),
        "REDIS_URL": standin.redis_url,
        "CONTROLCORE_API_URL": standin.api_url,
    }
    with running_exporter(tmp_path, variables=variables) as exporter:
        exporter.wait_until_ready()
        samples = exporter.samples()
        assert {
            samples[f'controlcore_component_up{{component="{name}"}}'] for name in ("api", "database", "redis")
        } == {1}
        assert not [name for name in samples if "bouncer_up" in name or "workloads" in name], "not configured"


def test_scrape_is_quick_small_and_lean(standin: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kubernetes is not configured, so its client, the largest part of all, must not even be imported."""
    with running_exporter(tmp_path, everything(standin), before=REPORT_MODULES) as exporter:
        exporter.wait_until_ready()
        exporter.wait_for(finished_well, 20)
        connection = HTTPConnection(exporter.url.removeprefix("http://"), timeout=scaled(5))
        seconds = []
        for _ in range(300):
            began = perf_counter()
            connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
            body = connection.getresponse().read()
            seconds.append(perf_counter() - began)
        connection.close()
        samples, memory = len(exporter.samples()), exporter.rss_mib()
        status, modules = exporter.end()
    with capsys.disabled():
        print(f"\nscrape of {samples} samples: p50 {statistics.median(seconds) * 1000:.2f} ms, "
              f"{len(body)} bytes; resident {memory:.0f} MiB")  # fmt: skip
    assert status == 0
    assert len(gzip.decompress(body)) > len(body)
    assert "kubernetes_asyncio" not in modules.splitlines()
    assert memory <= 80


def test_dead_backends_are_told_in_metrics_and_once_in_the_log(tmp_path: Path) -> None:
    settings = {
        "database": {"url": f"postgresql://reader:hunter2@{NOBODY}/cc"},
        "redis": {"url": f"redis://:hunter2@{NOBODY}/0"},
        "api": {"url": f"http://{NOBODY}"},
        "collectors": QUICK,
    }
    with running_exporter(tmp_path, settings) as exporter:
        exporter.wait_until_ready()
        assert exporter.get("/-/healthy").status == 200
        exporter.wait_for(
            lambda page: page['controlcore_exporter_collector_errors_total{collector="users",reason="refused"}'] >= 3
        )
        samples = exporter.samples()
        changes = exporter.events("health.changed")
        landing = exporter.get("/").text
        assert exporter.end()[0] == 0
    assert [samples[name] for name in ("controlcore_postgres_up", "controlcore_redis_up", "controlcore_up")] == [
        0,
        0,
        0,
    ]
    assert not [
        name for name in samples if name.startswith(("controlcore_postgres_connections", "controlcore_redis_memory"))
    ]
    assert [line["components_lost"] for line in changes] == [["api", "database", "redis"]]
    assert "hunter2" not in landing + str(exporter.log)


def test_wrong_password_is_told_and_hurts_nothing_else(
    postgres_server: PostgresServer, redis_url: str, tmp_path: Path
) -> None:
    settings = {"database": {"url": postgres_server.dsn(password="hunter2")}, "redis": {"url": redis_url}}
    with running_exporter(tmp_path, settings | {"collectors": QUICK}) as exporter:
        exporter.wait_until_ready()
        exporter.wait_for(
            lambda page: page.get('controlcore_postgres_connection_failures_total{reason="auth"}', 0) >= 2
        )
        samples = exporter.samples()
        assert (samples.get("controlcore_postgres_up"), samples["controlcore_redis_up"]) == (None, 1)
        landing = exporter.get("/").text
        exporter.end()
    lines = exporter.events("health.changed")
    failed = [name for line in lines for names in line.get("collectors_failed", {}).values() for name in names]
    # Changes within a second share a line; on a busy machine they are further apart. Each is still reported once.
    assert not [name for line in lines for name in line.get("components_lost", [])], "it may serve others: P12"
    (refused,) = [line["access_refused"] for line in lines if "access_refused" in line]
    assert refused["database"].startswith("auth: password authentication failed")
    assert "our own access is refused: auth: " in landing
    assert "our setting database.url" in landing
    assert len(failed) == len(set(failed))
    assert "hunter2" not in str(exporter.log) + landing


def test_frozen_backends_are_down_in_time_and_scrapes_stay_as_quick(tmp_path: Path) -> None:
    """Frozen servers take connections and never answer; everything that waits for them must not reach the scraper."""
    with PostgresServer() as postgres, RedisServer() as redis:
        settings = {"database": {"url": postgres.dsn()}, "redis": {"url": redis.url}, "collectors": QUICK}
        settings["collectors"] = QUICK | {
            "postgres_canary": QUICK["postgres_canary"] | {"probe_timeout_seconds": slowness()}
        }
        with running_exporter(tmp_path, settings) as exporter:
            exporter.wait_for(
                lambda page: page.get("controlcore_postgres_up") == 1 and page.get("controlcore_redis_up") == 1
            )
            well = [exporter.get().seconds for _ in range(30)]
            postgres.freeze()
            redis.freeze()
            try:
                seconds = exporter.wait_for(
                    lambda page: page["controlcore_postgres_up"] == 0 and page["controlcore_redis_up"] == 0
                )
                ill = [exporter.get().seconds for _ in range(30)]
            finally:
                postgres.thaw()
                redis.thaw()
            exporter.wait_for(lambda page: page["controlcore_postgres_up"] == 1 and page["controlcore_redis_up"] == 1)
            assert exporter.end()[0] == 0
    assert seconds < scaled(1 + 2)  # one interval and two seconds
    assert statistics.median(ill) < 5 * statistics.median(well) + 0.005


def test_bad_configuration_exits_2_with_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("servr: {}\napi: {url: nowhere}\ncollectors: {postgres: {interval_seconds: soon}}\n")
    answer = subprocess.run(
        [sys.executable, "-m", "exporter", "--config.file", file, "--config.check"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=scaled(30),
        env=environment(CONTROLCORE_EXPORTER_SCOEP="pod"),
    )  # fmt: skip
    assert answer.returncode == 2
    assert sorted(line.removeprefix(f"{file}: ").partition(":")[0] for line in answer.stderr.splitlines()) == [
        "CONTROLCORE_EXPORTER_SCOEP",
        "api.url",
        "collectors.postgres.interval_seconds",
        "servr",
    ]
    assert answer.stderr.count(f"{file}: ") == 3, "faults of the file name it"


def test_taken_port_exits_1_and_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = subprocess.run(
            [sys.executable, "-c", RUN, "--web.listen-address", f"127.0.0.1:{taken.getsockname()[1]}"],
            capture_output=True, text=True, check=False, cwd=tmp_path, timeout=scaled(30), env=environment(),
        )  # fmt: skip
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("cannot serve: server.port: cannot listen on 127.0.0.1:")


def test_reload_applies_a_good_file_and_refuses_a_bad_one(redis_url: str, tmp_path: Path) -> None:
    flag = "controlcore_exporter_config_last_reload_successful"
    file = tmp_path / "exporter.yml"
    with running_exporter(tmp_path, {"collectors": QUICK}) as exporter:
        exporter.wait_until_ready()
        assert "controlcore_redis_up" not in exporter.samples()
        file.write_text(yaml.safe_dump({"redis": {"url": redis_url}, "collectors": QUICK}))
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for(lambda page: page.get("controlcore_redis_up") == 1 and page[flag] == 1)
        file.write_text("redis: {url: nonsense}\n")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for(lambda page: page[flag] == 0)
        assert exporter.samples()["controlcore_redis_up"] == 1
        assert [fault.partition(":")[0] for line in exporter.events("config.rejected") for fault in line["faults"]] == [
            "redis.url"
        ]
        assert exporter.end()[0] == 0
