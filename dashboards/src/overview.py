"""The overview of the product's DevOps guide: its three panels with their expressions and legends as printed.

Of the guide's JSON only what today's Grafana cannot load is changed: `graph` panels are time series, and there are a
uid, a data source variable and units. Needs the exporter's `guide_names`, which are on by default.
"""

from __future__ import annotations

from dashboards.src.forms import Form
from dashboards.src.panels import Page, Panel, Query

OVERVIEW = Page(
    uid="controlcore-overview",
    title="Control Core Overview",
    description="The three panels of the DevOps guide. What is behind them: the dashboard Control Core Health.",
    panels=(
        Panel(
            title="API Response Time",
            description="95th percentile of the exporter's own requests to the control-plane API. "
            "A request without an answer counts with its deadline.",
            unit="s",
            queries=(
                Query("histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))", "95th percentile"),
            ),
        ),
        Panel(
            title="Policy Evaluations",
            description="Decisions per second that the control plane has recorded in its audit log.",
            unit="ops",
            queries=(Query("rate(policy_evaluations_total[5m])", "Evaluations/sec"),),
        ),
        Panel(
            title="Active Users",
            description="Users with at least one session that is neither expired nor revoked.",
            unit="short",
            queries=(Query("active_users_total", "Active Users"),),
            form=Form.NUMBER,
            width=6,
        ),
    ),
)
