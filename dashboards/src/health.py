"""The health of Control Core, of the exporter that watches it and of the remediator that repairs it."""

from __future__ import annotations

from dashboards.src.forms import Form
from dashboards.src.panels import Page, Panel, Query

_BY = "without (instance, pod)"


def _p95(histogram: str, kept: str) -> str:
    """The 95th percentile of a histogram over five minutes, one line for each value of the kept label."""
    by = f"{kept}, le" if kept else "le"
    return f"histogram_quantile(0.95, sum by ({by}) (rate({histogram}_bucket[5m])))"


_COMPONENTS = (
    Panel(
        "Components",
        "What the last probe of each component found. A component that nobody knows about is not shown.",
        "none",
        (Query(f"max {_BY} (controlcore_component_up)", "{{component}}"),),
        Form.STATE,
    ),
    Panel(
        "Bouncers' policy engines",
        "Whether the engine behind each bouncer answers questions whose answer is known.",
        "none",
        (Query(f"max {_BY} (controlcore_policy_engine_up)", "{{bouncer}}"),),
        Form.STATE,
    ),
)
_API = (
    Panel(
        "API probes, 95th percentile",
        "/health does nothing, so its duration shows how long the event loop is blocked; deep reads the database.",
        "s",
        (Query(_p95("controlcore_api_probe_duration_seconds", "endpoint"), "{{endpoint}}"),),
    ),
    Panel(
        "API probe failures",
        "Probes without an answer, or with another than expected, in five minutes.",
        "short",
        (
            Query(
                "sum by (endpoint, reason) (increase(controlcore_api_probe_failures_total[5m])) > 0",
                "{{endpoint}} {{reason}}",
            ),
        ),
    ),
)
_DATABASE = (
    Panel(
        "Database: a new client's way in, 95th percentile",
        "Connect, authenticate and query on a connection of its own.",
        "s",
        (Query(_p95("controlcore_postgres_connect_duration_seconds", ""), "connect to answer"),),
    ),
    Panel(
        "Database: connections",
        "Connections by state, against what ordinary roles may open.",
        "short",
        (
            Query("max by (state) (controlcore_postgres_connections)", "{{state}}"),
            Query("max(controlcore_postgres_connections_limit)", "limit"),
        ),
    ),
    Panel(
        "Database: failed connections",
        "Failed attempts of the canary in five minutes, by reason.",
        "short",
        (Query("sum by (reason) (increase(controlcore_postgres_connection_failures_total[5m])) > 0", "{{reason}}"),),
    ),
    Panel(
        "Redis: memory",
        "Used, and the limit where there is one.",
        "bytes",
        (
            Query("max(controlcore_redis_memory_used_bytes)", "used"),
            Query("max(controlcore_redis_memory_limit_bytes)", "limit"),
        ),
    ),
)
_POLICY = (
    Panel(
        "Policy questions, 95th percentile",
        "Duration of authorization questions whose answer is known.",
        "s",
        (Query(_p95("controlcore_policy_probe_duration_seconds", "bouncer"), "{{bouncer}}"),),
    ),
    Panel(
        "Policy questions, answers",
        "Answers in five minutes; everything but allow and deny means that the engine fails.",
        "short",
        (
            Query(
                "sum by (bouncer, result) (increase(controlcore_policy_probe_results_total[5m])) > 0",
                "{{bouncer}} {{result}}",
            ),
        ),
    ),
)
_WORKLOADS = (
    Panel(
        "CPU of the busiest replica",
        "Usage over the limit, or over the request where there is no limit.",
        "percentunit",
        (Query("max by (component, basis) (controlcore_workload_cpu_usage_ratio)", "{{component}} of {{basis}}"),),
    ),
    Panel(
        "Replicas",
        "Available replicas, and the autoscaler's maximum.",
        "short",
        (
            Query("max by (component) (controlcore_deployment_replicas_available)", "{{component}} available"),
            Query("max by (component) (controlcore_hpa_replicas_max)", "{{component}} maximum"),
        ),
    ),
)
_OURSELVES = (
    Panel(
        "Age of what is known",
        "Seconds since each collector's last success. Policies believe nothing older than a minute.",
        "s",
        (
            Query(
                "time() - max by (collector) (controlcore_scrape_collector_last_success_timestamp_seconds)",
                "{{collector}}",
            ),
        ),
    ),
    Panel(
        "Remediations: decisions",
        "Decisions in ten minutes. A hold is a decision, and carries its reason.",
        "short",
        (
            Query(
                "sum by (remediation, decision, reason) (increase(controlcore_remediation_decisions_total[10m])) > 0",
                "{{remediation}} {{decision}} {{reason}}",
            ),
        ),
    ),
    Panel(
        "Remediations: open",
        "Remediations that are not closed, by state.",
        "short",
        (Query("sum by (state) (controlcore_remediation_open) > 0", "{{state}}"),),
    ),
    Panel(
        "Remediator: last sign of the alert path",
        "Seconds since the always-firing alert Watchdog arrived.",
        "s",
        (Query("time() - max(controlcore_remediation_webhook_last_watchdog_timestamp_seconds)", "Watchdog"),),
        Form.NUMBER,
        6,
    ),
    Panel(
        "Remediator: may it act?",
        "The journal can be written; and 1 when somebody has paused it.",
        "short",
        (
            Query("min(controlcore_remediation_journal_writable)", "journal writable"),
            Query("max(controlcore_remediation_paused)", "paused"),
        ),
        Form.NUMBER,
        6,
    ),
)

HEALTH = Page(
    uid="controlcore-health",
    title="Control Core Health",
    description="Components, their backends, and the exporter's and remediator's own state.",
    panels=(*_COMPONENTS, *_API, *_DATABASE, *_POLICY, *_WORKLOADS, *_OURSELVES),
)
