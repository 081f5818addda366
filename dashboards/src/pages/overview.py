"""The entry: is it up, what fires, what is open, what is paused; then the panels of the product's DevOps guide.

The guide's three panels have its expressions and legends as printed. Of its JSON only what today's Grafana cannot load
is changed: `graph` panels are time series, and there are a uid, a data source variable and units. They need the
exporter's `guide_names`, which are on by default, and do not follow the other variables.
"""

from __future__ import annotations

from dashboards.src.forms import WARNING, Form, Limit, State
from dashboards.src.pages.first_row import FIRING, FIRST_ROW
from dashboards.src.panels import Page, Panel, Query, Section, lowest

_GUIDE = (
    Panel(
        title="API Response Time",
        description="95th percentile of the exporter's own requests to the control-plane API. "
        "A request without an answer counts with its deadline.",
        unit="s",
        queries=(Query("histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))", "95th percentile"),),
        is_as_printed=True,
        runbooks=("ControlCoreAPIEventLoopBlocked",),
    ),
    Panel(
        title="Policy Evaluations",
        description="Decisions per second that the control plane has recorded in its audit log.",
        unit="ops",
        queries=(Query("rate(policy_evaluations_total[5m])", "Evaluations/sec"),),
        is_as_printed=True,
        runbooks=("ControlCoreDecisionsStopped",),
        details=("controlcore-policy",),
    ),
    Panel(
        title="Active Users",
        description="Users with at least one session that is neither expired nor revoked.",
        unit="short",
        queries=(Query("active_users_total", "Active Users"),),
        form=Form.NUMBER,
        width=24,
        height=4,
        is_as_printed=True,
    ),
)
_PARTS = (
    Panel(
        "Components",
        "Result of each component's last probe. An unknown component is not shown. With several clusters, "
        "the worst counts.",
        "none",
        (Query(lowest("controlcore_component_up", "component"), "{{component}}"),),
        Form.STATE,
        9,
        state=State.UP,
        details=("controlcore-health", "controlcore-stores"),
    ),
    FIRING,
    Panel(
        "Bouncers",
        "Whether each bouncer answers a direct probe.",
        "none",
        (Query(lowest("controlcore_bouncer_up", "bouncer"), "{{bouncer}}"),),
        Form.STATE,
        6,
        ("ControlCoreBouncerDown",),
        height=5,
        state=State.UP,
        details=("controlcore-bouncers",),
    ),
    Panel(
        "Policy engines",
        "Whether the engine behind each bouncer decides canary probes, requests whose decision is known.",
        "none",
        (Query(lowest("controlcore_policy_engine_up", "bouncer"), "{{bouncer}}"),),
        Form.STATE,
        6,
        ("ControlCorePolicyEngineFailing",),
        height=5,
        state=State.UP,
        details=("controlcore-policy",),
    ),
    Panel(
        "PostgreSQL and Redis",
        "Whether the last fresh connection was served.",
        "none",
        (Query(lowest("controlcore_postgres_up"), "PostgreSQL"), Query(lowest("controlcore_redis_up"), "Redis")),
        Form.STATE,
        6,
        ("ControlCoreDatabaseDown", "ControlCoreRedisDown"),
        height=5,
        state=State.UP,
        details=("controlcore-stores",),
    ),
    Panel(
        "Collectors that fail",
        "Collectors of the exporter whose last collection did not succeed completely.",
        "none",
        (Query("sum(1 - min by (collector) (controlcore_scrape_collector_success))", "failing"),),
        Form.NUMBER,
        6,
        height=5,
        limits=(Limit(1, WARNING),),
        details=("controlcore-operations",),
    ),
)

OVERVIEW = Page(
    uid="controlcore-overview",
    title="Control Core Overview",
    description="Start here: the state of Control Core, what fires and what is being repaired; then the three panels "
    "of the DevOps guide. Panel links lead to the details.",
    sections=(FIRST_ROW, Section("Parts", _PARTS), Section("DevOps guide", _GUIDE)),
)
