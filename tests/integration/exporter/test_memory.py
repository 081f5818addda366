"""The exporter's memory with everything configured, including Kubernetes, on a real API server."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.running_exporter import REPORT_MODULES, running_exporter
from tools.standin.running import running_standin

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster

pytestmark = pytest.mark.timeout(120)
LIMIT_MIB = 100.0
"""The resident memory that the exporter may take with Kubernetes configured."""


API = "control-plane-api"
LABELS = {"app": API}
WORKLOAD: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": API},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "api", "image": "none"}]}},
    },
}


def has_all_run(samples: dict[str, float]) -> bool:
    """The workloads collector may end in an error: a cluster without a metrics server has no CPU usage."""
    run = [name for name in samples if name.startswith("controlcore_scrape_collector_last_run_timestamp_seconds")]
    return len(run) >= 8 and 'controlcore_scrape_collector_last_run_timestamp_seconds{collector="workloads"}' in run


def test_exporter_with_kubernetes_stays_within_its_memory(
    database: str,
    redis_url: str,
    cluster: Cluster,
    namespace: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.apply([{**WORKLOAD, "metadata": {"name": API, "namespace": namespace}}])
    with running_standin(database, redis_url) as standin:
        settings: dict[str, Any] = {
            "database": {"url": standin.database_url},
            "redis": {"url": standin.redis_url},
            "api": {"url": standin.api_url},
            "bouncers": [
                {"name": name, "url": url, "environment": name.removeprefix("bouncer-")}
                for name, url in standin.bouncers.items()
            ],
            "kubernetes": {"namespace": namespace, "kubeconfig": str(cluster.kubeconfig_path)},
        }
        with running_exporter(tmp_path, settings, before=REPORT_MODULES) as exporter:
            exporter.wait_for(has_all_run, 60)
            time.sleep(1.0)  # the first collections of all have ended and their buffers are gone
            for _ in range(300):
                exporter.get(Accept_Encoding="gzip")
            memory = exporter.rss_mib()
            status, modules = exporter.end()
    with capsys.disabled():
        print(f"\npython -m exporter with Kubernetes: resident {memory:.1f} MiB", file=sys.stderr)
    assert status == 0
    assert memory <= LIMIT_MIB
    assert "kubernetes_asyncio" not in modules.splitlines()
