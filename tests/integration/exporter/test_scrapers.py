"""A real Prometheus scrapes the exporter in every mode and as the web configuration demands, without a gap."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from tests.fakes.running_exporter import RunningExporter, running_exporter
from tests.fakes.waiting import wait_for
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.prometheus import PrometheusServer
from tools.servers.versions import Generation

MINUTES = float(os.environ.get("CONTROLCORE_SCRAPE_MINUTES", "0"))
"""How long every mode is scraped; `make chaos` sets it. 0 is a handful of scrapes."""
EVERY_SECONDS = 2.0

pytestmark = pytest.mark.timeout(120 + 60 * MINUTES)
MODES = ("interval", "phase", "on-scrape")
PASSWORD = "correct horse"
Start = Callable[[dict[str, str] | Path, Generation], PrometheusServer]


def settings(redis_url: str, mode: str) -> dict[str, Any]:
    return {
        "redis": {"url": redis_url},
        "collection": {"mode": mode, "on_scrape_min_seconds": 0.5},
        "collectors": {"redis": {"interval_seconds": 2}},
    }


def assert_no_gap(prometheus: PrometheusServer, window: str) -> None:
    """Every scrape of every mode has a sample, and so has every one after the first of a metric of a collector."""
    for name in ("up", "controlcore_redis_up"):
        for series in prometheus.read("query", query=f"{name}[{window}]")["result"]:
            times = [float(at) for at, _ in series["values"]]
            longest = max(later - earlier for earlier, later in pairwise(times))
            print(f"{prometheus.generation.value} {series['metric']['job']} {name}: {len(times)} samples, "
                  f"longest gap {longest:.3f} s")  # fmt: skip
            assert longest < 2 * EVERY_SECONDS, series["metric"]


def test_no_scrape_fails_in_any_mode(
    redis_url: str, generation: Generation, prometheus_program: Start, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        exporters: dict[str, RunningExporter] = {}
        for mode in MODES:
            folder = tmp_path / mode
            folder.mkdir()
            exporters[mode] = stack.enter_context(running_exporter(folder, settings(redis_url, mode)))
        jobs = [
            {"job_name": mode, "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}]}
            for mode, exporter in exporters.items()
        ]
        every = {"scrape_interval": f"{EVERY_SECONDS:g}s", "scrape_timeout": f"{EVERY_SECONDS:g}s"}
        file = {"prometheus.yml": yaml.safe_dump({"global": every, "scrape_configs": jobs})}
        prometheus = prometheus_program(file, generation)
        locked = "controlcore_exporter_collection_phase_locked"
        wait_for(lambda: prometheus.value(f'{locked}{{job="phase"}}') == 1)
        window, scrapes = f"{MINUTES + 5:g}m", max(10.0, MINUTES * 60 / EVERY_SECONDS)
        wait_for(
            lambda: (prometheus.value(f'count_over_time(up{{job="phase"}}[{window}])') or 0) >= scrapes,
            30 + 61 * MINUTES,
        )
        assert [sample.value for sample in prometheus.query(f"min_over_time(up[{window}])")] == [1, 1, 1]
        assert_no_gap(prometheus, window)
        for mode in ("phase", "on-scrape"):
            age = prometheus.value(
                f'timestamp(up{{job="{mode}"}}) - on()'
                f' controlcore_scrape_collector_last_run_timestamp_seconds{{collector="redis",job="{mode}"}}'
            )
            assert age is not None
            assert age < 1.0
        errors = prometheus.query("controlcore_exporter_scrapes_refused_total > 0")
        assert errors == []


def test_web_configuration_serves_prometheus_over_tls_with_a_password(
    generation: Generation, prometheus_program: Start, tmp_path: Path
) -> None:
    pair = make_serving_pair(tmp_path, "server")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    web = {
        "tls_server_config": {"cert_file": str(pair.certificate_path), "key_file": str(pair.key_path)},
        "basic_auth_users": {"prometheus": hashed},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web))
    server = {"web_config_file": str(tmp_path / "web.yml")}
    with running_exporter(tmp_path, {"server": server}) as exporter:
        job = {
            "scheme": "https",
            "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}],
            "tls_config": {"ca_file": str(pair.certificate_path)},
        }
        right = job | {"job_name": "right", "basic_auth": {"username": "prometheus", "password": PASSWORD}}
        wrong = job | {"job_name": "wrong", "basic_auth": {"username": "prometheus", "password": "guess"}}
        text = yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [right, wrong]})
        prometheus = prometheus_program({"prometheus.yml": text}, generation)
        wait_for(lambda: prometheus.value('up{job="right"}') == 1)
        wait_for(lambda: prometheus.value('up{job="wrong"}') == 0)
        refused = 'controlcore_exporter_scrapes_refused_total{job="right",reason="unauthorized"}'
        wait_for(lambda: (prometheus.value(refused) or 0) >= 0)
        assert exporter.end()[0] == 0
