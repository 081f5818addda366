"""How long decisions take and how many fail: the canary's questions, OPA's own figures, and what users asked."""

from __future__ import annotations

from dashboards.src.forms import Form
from dashboards.src.panels import BOUNCER, Page, Panel, Query

PROBE = "controlcore_policy_probe"
CHOSEN = 'bouncer=~"$bouncer"'


def _quantile(share: float, histogram: str) -> str:
    """A quantile of a histogram for each chosen bouncer, in windows that follow the width of the graph."""
    return f"histogram_quantile({share}, sum by (bouncer, le) (rate({histogram}_bucket{{{CHOSEN}}}[$__rate_interval])))"


_LATENCY = (
    Panel(
        "How long questions take",
        "Each question whose answer is known, by its duration. A question without an answer counts with its deadline.",
        "s",
        (Query(f"sum by (le) (increase({PROBE}_duration_seconds_bucket{{{CHOSEN}}}[$__rate_interval]))", "{{le}}"),),
        Form.HEATMAP,
        24,
        runbooks=("ControlCorePolicyLatencyHigh", "ControlCorePolicyLatencyBudgetBurn"),
    ),
    Panel(
        "Duration of a question",
        "Median, 95th and 99th percentile of each bouncer.",
        "s",
        tuple(
            Query(_quantile(share, f"{PROBE}_duration_seconds"), f"{{{{bouncer}}}} {name}")
            for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ),
        runbooks=("ControlCorePolicyLatencyHigh",),
    ),
    Panel(
        "Where the time goes",
        "Mean time of an answer inside the OPA, by stage. What a question takes beyond it is spent before the OPA.",
        "s",
        (
            Query(
                f'sum by (stage) (rate({PROBE}_stage_seconds_total{{{CHOSEN}, stage!="server_handler"}}'
                "[$__rate_interval])) / ignoring (stage) group_left ()"
                f" sum(rate({PROBE}_stage_answers_total{{{CHOSEN}}}[$__rate_interval]))",
                "{{stage}}",
            ),
        ),
        Form.STACK,
    ),
    Panel(
        "The OPA's own figure, 95th percentile",
        "Duration of all decisions of each OPA, whoever asked; OPA's default bounds are 1, 10 and 100 ms.",
        "s",
        (Query(_quantile(0.95, "controlcore_opa_decision_duration_seconds"), "{{bouncer}}"),),
    ),
)
_BUDGETS = (
    Panel(
        "Latency budget: share slower than 100 ms",
        "The objective allows 1 %. Above 14.4 % over five minutes and an hour somebody is paged.",
        "percentunit",
        (
            Query(f"controlcore:policy_probe_slow:ratio_rate5m{{{CHOSEN}}}", "{{bouncer}} 5 min"),
            Query(f"controlcore:policy_probe_slow:ratio_rate1h{{{CHOSEN}}}", "{{bouncer}} 1 h"),
        ),
        runbooks=("ControlCorePolicyLatencyBudgetBurn",),
    ),
    Panel(
        "Error budget: share without a decision",
        "The objective allows 0.1 %. Allow and deny are decisions; undefined, an engine's error and silence are not.",
        "percentunit",
        (
            Query(f"controlcore:policy_probe_errors:ratio_rate5m{{{CHOSEN}}}", "{{bouncer}} 5 min"),
            Query(f"controlcore:policy_probe_errors:ratio_rate1h{{{CHOSEN}}}", "{{bouncer}} 1 h"),
            Query(f"controlcore:policy_probe_errors:ratio_rate6h{{{CHOSEN}}}", "{{bouncer}} 6 h"),
        ),
        runbooks=("ControlCorePolicyErrorBudgetBurnFast", "ControlCorePolicyErrorBudgetBurnSlow"),
    ),
    Panel(
        "Wrong answers",
        "Questions that were allowed and had to be denied, or the reverse, in fifteen minutes.",
        "short",
        (Query(f"sum by (bouncer) (increase({PROBE}_mismatches_total{{{CHOSEN}}}[15m]))", "{{bouncer}}"),),
        runbooks=("ControlCorePolicyCanaryMismatch", "ControlCoreDecisionsStale"),
    ),
)
_USERS = (
    Panel(
        "Decisions of users",
        "Access decisions in the audit log, without the canary's own.",
        "ops",
        (
            Query(
                "sum by (policy_environment, decision) (rate(controlcore_policy_decisions_total[$__rate_interval]))",
                "{{policy_environment}} {{decision}}",
            ),
        ),
        runbooks=("ControlCoreDecisionsStopped",),
    ),
    Panel(
        "Share of denials",
        "Of ten minutes, against that of the last day. Three times as many, and a tenth at least, is an anomaly.",
        "percentunit",
        (
            Query("controlcore:policy_denials:ratio_rate10m", "{{policy_environment}} 10 min"),
            Query("controlcore:policy_denials:ratio_rate1d", "{{policy_environment}} 1 d"),
        ),
        runbooks=("ControlCoreDenyRateAnomaly",),
    ),
)

POLICY = Page(
    uid="controlcore-policy",
    title="Control Core Policy Latency",
    description="How long decisions take, where the time goes, and what is left of the budgets.",
    panels=(*_LATENCY, *_BUDGETS, *_USERS),
    variables=(BOUNCER,),
)
