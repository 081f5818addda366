"""The health of Control Core, of the exporter that watches it and of the remediator that repairs it."""

from __future__ import annotations

from dashboards.src.forms import WARNING, Form, Limit, Scale, State
from dashboards.src.pages.first_row import FIRING, FIRST_ROW
from dashboards.src.panels import Page, Panel, Query, Section, events, failures, lowest, quantile, together

STORES, POLICY, BOUNCERS, OPERATIONS = (
    f"controlcore-{name}" for name in ("stores", "policy", "bouncers", "operations")
)

_COMPONENTS = (
    Panel(
        "Components",
        "Result of each component's last probe. An unknown component is not shown. With several clusters, "
        "the worst counts.",
        "none",
        (Query(lowest("controlcore_component_up", "component"), "{{component}}"),),
        Form.STATE,
        9,
        state=State.UP,
    ),
    FIRING,
    Panel(
        "Policy engines",
        "Whether the engine behind each bouncer decides canary probes, requests whose decision is known.",
        "none",
        (Query(lowest("controlcore_policy_engine_up", "bouncer"), "{{bouncer}}"),),
        Form.STATE,
        24,
        ("ControlCorePolicyEngineFailing",),
        height=4,
        state=State.UP,
        details=(BOUNCERS,),
    ),
)
_API = (
    Panel(
        "API probe latency, p95",
        "95th percentile. /health does no work, so its latency shows how long the event loop is blocked; "
        "the deep probe reads the database.",
        "s",
        (Query(quantile(0.95, "controlcore_api_probe_duration_seconds", "endpoint"), "{{endpoint}}"),),
        runbooks=("ControlCoreAPIDown", "ControlCoreAPIEventLoopBlocked"),
        limits=(Limit(1),),
    ),
    Panel(
        "API probe failures",
        "Probes per interval without an answer, or with another than expected, by reason.",
        "short",
        failures("controlcore_api_probe_failures_total", "endpoint, reason"),
        Form.BARS,
        runbooks=("ControlCoreAPIDown",),
    ),
)
_BACKENDS = (
    Panel(
        "PostgreSQL latency to connect, p95",
        "95th percentile of connect, authenticate and query on a new connection.",
        "s",
        (Query(quantile(0.95, "controlcore_postgres_connect_duration_seconds"), "connect to answer"),),
        details=(STORES,),
        runbooks=("ControlCoreDatabaseConnectionFailures",),
    ),
    Panel(
        "PostgreSQL connection failures",
        "Failed attempts of the canary per interval, by reason.",
        "short",
        failures("controlcore_postgres_connection_failures_total", "reason"),
        Form.BARS,
        details=(STORES,),
        runbooks=("ControlCoreDatabaseConnectionFailures",),
    ),
    Panel(
        "PostgreSQL connections",
        "Backends by state, and the most that ordinary roles may open.",
        "short",
        (
            Query("max by (state) (controlcore_postgres_connections)", "{{state}}"),
            Query("max(controlcore_postgres_connections_limit)", "limit"),
        ),
        details=(STORES,),
        runbooks=("ControlCorePostgresConnectionsHigh",),
    ),
    Panel(
        "Redis memory",
        "Used and resident bytes, and maxmemory where one is set.",
        "bytes",
        (
            Query("max(controlcore_redis_memory_used_bytes)", "used"),
            Query("max(controlcore_redis_memory_resident_bytes)", "resident"),
            Query("max(controlcore_redis_memory_limit_bytes)", "maxmemory"),
        ),
        details=(STORES,),
        runbooks=("ControlCoreRedisMemoryHigh",),
    ),
)
_POLICY = (
    Panel(
        "Canary probe latency, p95",
        "95th percentile of authorization requests whose decision is known. A probe without an answer counts with its "
        "deadline.",
        "s",
        (Query(quantile(0.95, "controlcore_policy_probe_duration_seconds", "bouncer"), "{{bouncer}}"),),
        runbooks=("ControlCorePolicyLatencyHigh",),
        limits=(Limit(0.1, WARNING),),
        details=(POLICY,),
    ),
    Panel(
        "Canary probe results",
        "Probes per interval by result. Every result but allow and deny means that the engine fails.",
        "short",
        (
            Query(
                f"{events('controlcore_policy_probe_results_total', 'bouncer, result')} > 0", "{{bouncer}} {{result}}"
            ),
            Query(events("controlcore_policy_probe_mismatches_total"), "wrong", is_total=True),
        ),
        Form.BARS,
        runbooks=("ControlCorePolicyEngineFailing", "ControlCorePolicyCanaryMismatch"),
        details=(BOUNCERS,),
    ),
)
_WORKLOADS = (
    Panel(
        "CPU utilisation of the busiest replica",
        "Usage over the limit, or over the request if there is no limit (which can exceed 100 %).",
        "percentunit",
        (Query("max by (component, basis) (controlcore_workload_cpu_usage_ratio)", "{{component}} of {{basis}}"),),
        runbooks=("ControlCoreCPUSaturated",),
        limits=(Limit(0.8, WARNING),),
        scale=Scale(1.0, is_top_soft=True),
    ),
    Panel(
        "Replicas",
        "Available replicas, and the autoscaler's maximum.",
        "short",
        (
            Query(together("controlcore_deployment_replicas_available", "component"), "{{component}} available"),
            Query(together("controlcore_hpa_replicas_max", "component"), "{{component}} maximum"),
        ),
        runbooks=("ControlCoreAutoscalerAtMaximum", "ControlCoreRolloutStalled"),
    ),
)
_PROGRAMS = (
    Panel(
        "Staleness by collector",
        "Seconds since the last success of each collector.",
        "s",
        (
            Query(
                f"time() - {lowest('controlcore_scrape_collector_last_success_timestamp_seconds', 'collector')}",
                "{{collector}}",
            ),
        ),
        runbooks=("ControlCoreCollectorStale",),
        limits=(Limit(300),),
        details=(OPERATIONS,),
    ),
    Panel(
        "Open remediations by state",
        "Remediations that are not closed.",
        "short",
        (
            Query("sum by (state) (controlcore_remediation_open)", "{{state}}"),
            Query("max(controlcore_remediation_paused)", "paused"),
        ),
        details=(OPERATIONS,),
    ),
)

HEALTH = Page(
    uid="controlcore-health",
    title="Control Core Health",
    description="Components, their backends, and the exporter's and remediator's own state.",
    sections=(
        FIRST_ROW,
        Section("Components", _COMPONENTS),
        Section("Control-plane API", _API),
        Section("PostgreSQL and Redis", _BACKENDS),
        Section("Policy decisions", _POLICY),
        Section("Workloads", _WORKLOADS),
        Section("Exporter and remediator", _PROGRAMS),
    ),
)
