"""The one page with everything on it, reviewed by a person: over real stores, a real OPA and a real Kubernetes.

Kept are every name, help, type, label and value that the set-up fixes. A value becomes `*` by this rule: it measures a
time, a size, a share or a load (by the unit in the name); it belongs to a histogram; it is a counter that is not 0, or
one of time-outs; or its metric is in MOVING. Of a metric in COMING even the series vary, and one line represents them.
Of labels only the versions in VERSIONED become `*`. Metrics that are not on the page are listed below it. `make golden`
writes the page again.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from exporter import self_metrics
from exporter.collectors import discover
from exporter.exposition.text_format import OPENMETRICS_TYPE
from exporter.metrics import Kind, Metric, Stability
from tests.fakes.golden import read_golden
from tests.fakes.running_exporter import RunningExporter, running_exporter, samples_of
from tests.fakes.waiting import wait_for
from tests.integration.exporter.whole import everything, opened_product
from tools.servers.versions import Generation
from tools.slowness import scaled

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Parsed

    from tools.servers.kubernetes.cluster import Cluster
    from tools.servers.kubernetes.metrics_api import MetricsApi

pytestmark = pytest.mark.timeout(180)

GOLDEN = Path(__file__).parent / "golden" / "whole.prom"
CATALOGUE = {metric.name: metric for spec in discover() for metric in spec.metrics} | {
    metric.name: metric for metric in self_metrics.METRICS
}
MEASURED = re.compile(r"_(seconds|bytes|ratio|cores)(_|$)")
MOVING = {
    "controlcore_bouncer_decision_cache_entries",
    "controlcore_exporter_event_loop_stalls_total",
    "controlcore_opa_decisions_total",
    "controlcore_postgres_connections",
    "controlcore_postgres_connections_headroom",
    "controlcore_postgres_dead_rows",
    "controlcore_postgres_locks",
    "controlcore_postgres_transactions_rolled_back_total",
    "controlcore_postgres_xid_age_transactions",
    "controlcore_redis_connected_clients",
    "controlcore_redis_changes_since_snapshot",
    "controlcore_redis_keyspace_hits_total",
    "controlcore_redis_keyspace_requests_total",
    "controlcore_scrape_collector_samples",
    "controlcore_tuning_setting_value",
}
"""What counts what comes and goes, or says what this machine's servers are set to."""
COMING = {"controlcore_postgres_application_connections"}
VERSIONED = {"controlcore_exporter_build_info", "controlcore_component_info", "controlcore_redis_server_info"}
VERSIONS = re.compile(r'(version|revision|python_version)="[^"]*"')
SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?P<labels>\{.*\})? (?P<value>\S+)")


def metric_of(name: str) -> Metric:
    """The declaration that a sample's name belongs to."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        found = CATALOGUE.get(name.removesuffix(suffix))
        if found is not None and (not suffix or found.kind is Kind.HISTOGRAM):
            return found
    raise AssertionError(f"{name} is in no catalogue")


def masked(line: str) -> str:
    """One line of a page, by the rule above."""
    if line.startswith("#"):
        return line
    found = SERIES.fullmatch(line)
    assert found is not None, line
    metric = metric_of(found["name"])
    is_masked = (
        metric.kind is Kind.HISTOGRAM
        or (metric.kind is Kind.COUNTER and float(found["value"]) != 0)
        or 'reason="timeout"' in (found["labels"] or "")
        or bool(MEASURED.search(metric.name))
        or metric.name in MOVING
    )
    if metric.name in COMING:
        return f"{metric.name}{{*}} *"
    labels = found["labels"] or ""
    if metric.name in VERSIONED:
        labels = VERSIONS.sub(r'\1="*"', labels)
    return f"{found['name']}{labels} {'*' if is_masked else found['value']}"


def reviewed(page: str) -> str:
    """The page as it is compared, with the metrics that are not on it at its end."""
    # On a busy machine the database is slow for a moment, and then `telemetry` does not ask.
    kept = (line for line in page.splitlines() if 'collector="telemetry",reason="suspended"' not in line)
    lines = list(dict.fromkeys(masked(line) for line in kept))
    there = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    missing = sorted(
        name for name, metric in CATALOGUE.items() if name not in there and metric.stability is not Stability.GUIDE
    )
    return "\n".join([*lines, *(f"# not known here: {name}" for name in missing), ""])


def is_complete(samples: dict[str, float]) -> bool:
    """Whether every collector has succeeded, and those that wait for others have got what they wait for."""
    names = {f'controlcore_scrape_collector_success{{collector="{spec.name}"}}' for spec in discover()}
    waiting = {"controlcore_api_deep_probe_success", "controlcore_pip_scheduler_running", "controlcore_image_pinned"}
    there = {name.partition("{")[0] for name in samples}
    return all(samples.get(name) == 1 for name in names) and waiting <= there


def complete_page(exporter: RunningExporter) -> str:
    """The first page that is complete: on a busy machine the next one may lack what was answered too late."""
    seen = ""

    def is_there() -> bool:
        nonlocal seen
        seen = exporter.get().text
        return is_complete(samples_of(seen))

    wait_for(is_there, 60, describe=lambda: seen)
    return seen


def values_of(families: Iterable[Parsed]) -> dict[tuple[str, str], float]:
    """Samples by name and labels."""
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value for each in families for sample in each.samples
    }


def check_that_openmetrics_says_the_same(exporter: RunningExporter) -> None:
    """Pages follow one another quickly; the one between two equal ones is the same page in the other format."""
    for _ in range(100):
        before = exporter.get().text
        other = exporter.get(Accept=OPENMETRICS_TYPE).text
        if before == exporter.get().text:
            assert values_of(text_string_to_metric_families(before)) == values_of(openmetrics_families(other))
            return
    raise AssertionError("the page never stood still")


def is_about_a_fault(event: dict[str, Any]) -> bool:
    """A collector that lets a busy API be, for one round, is none; nor is an answer that came too late."""
    return set(event.get("collectors_failed", {})) - {"suspended", "timeout"} != set()


def test_page_with_everything_on_it_is_the_golden_one(
    cluster: Cluster, namespace: str, metrics_api: MetricsApi, tmp_path: Path
) -> None:
    with (
        opened_product(cluster, namespace, metrics_api) as (standin, opa_url),
        running_exporter(tmp_path, everything(standin, opa_url, cluster, namespace, tmp_path)) as exporter,
    ):
        page = complete_page(exporter)
        check_that_openmetrics_says_the_same(exporter)
        status, _ = exporter.end()
    assert reviewed(page) == read_golden(GOLDEN)
    for generation in Generation:
        complaints = subprocess.run(
            [generation.locate("promtool"), "check", "metrics"],
            input=page,
            capture_output=True,
            text=True,
            check=False,
            timeout=scaled(30),
        )
        assert (complaints.returncode, complaints.stdout + complaints.stderr) == (0, "")
    assert (status, [each for each in exporter.events("health.changed") if is_about_a_fault(each)]) == (0, [])


def test_rule_of_the_golden_page_masks_what_moves_and_nothing_else() -> None:
    for line, expected in (
        ("controlcore_redis_up 1.0", "controlcore_redis_up 1.0"),
        ("controlcore_redis_memory_used_bytes 7.0", "controlcore_redis_memory_used_bytes *"),
        ('controlcore_policy_probe_results_total{result="deny"} 0.0',) * 2,
        ('controlcore_logins_total{a="b c"} 3.0', 'controlcore_logins_total{a="b c"} *'),
        (
            'controlcore_redis_ping_duration_seconds_bucket{le="0.1"} 0.0',
            'controlcore_redis_ping_duration_seconds_bucket{le="0.1"} *',
        ),
        (
            'controlcore_component_info{component="redis",version="7.0.15"} 1.0',
            'controlcore_component_info{component="redis",version="*"} 1.0',
        ),
    ):
        assert masked(line) == expected
