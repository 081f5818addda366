"""How long decisions take and how many fail: canary probes, OPA's own figures, and decisions of users."""

from __future__ import annotations

from dashboards.src.forms import RATIO, WARNING, Form, Limit, Scale
from dashboards.src.pages.first_row import FIRST_ROW
from dashboards.src.panels import Page, Panel, Query, Section, events, quantile
from dashboards.src.variables import BOUNCER

PROBE = "controlcore_policy_probe"
CHOSEN = 'bouncer=~"$bouncer"'


def _quantile(share: float, histogram: str) -> str:
    """A quantile of a histogram for each chosen bouncer."""
    return quantile(share, histogram, "bouncer", CHOSEN)


_LATENCY = (
    Panel(
        "Canary probe latency, distribution",
        "Probes per interval by latency. A probe without an answer counts with its deadline.",
        "s",
        (Query(events(f"{PROBE}_duration_seconds_bucket{{{CHOSEN}}}", "le"), "{{le}}"),),
        Form.HEATMAP,
        runbooks=("ControlCorePolicyLatencyHigh", "ControlCorePolicyLatencyBudgetBurn"),
    ),
    Panel(
        "Canary probe latency, percentiles",
        "Median, 95th and 99th percentile of each bouncer.",
        "s",
        tuple(
            Query(_quantile(share, f"{PROBE}_duration_seconds"), f"{{{{bouncer}}}} {name}")
            for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ),
        runbooks=("ControlCorePolicyLatencyHigh",),
        limits=(Limit(0.1, WARNING),),
        details=("controlcore-bouncers",),
    ),
    Panel(
        "OPA evaluation time by stage, mean",
        "Mean time of a canary probe inside the OPA. The rest of the probe's latency is spent before the OPA. "
        "Only bouncers that pass OPA's metrics on show it.",
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
        no_value="no bouncer passes OPA's metrics on",
        runbooks=("ControlCorePolicyLatencyHigh",),
    ),
    Panel(
        "OPA decision latency, p95",
        "95th percentile of all decisions of each OPA; its default bucket bounds are 1, 10 and 100 ms.",
        "s",
        (Query(_quantile(0.95, "controlcore_opa_decision_duration_seconds"), "{{bouncer}}"),),
        runbooks=("ControlCorePolicyLatencyHigh",),
        limits=(Limit(0.1, WARNING),),
    ),
)
_BUDGETS = (
    Panel(
        "Latency budget: probes slower than 100 ms",
        "The objective allows 1 %. Above the line, over five minutes and over an hour, the alert fires. "
        "Recorded by the shipped rules.",
        "percentunit",
        (
            Query(f"controlcore:policy_probe_slow:ratio_rate5m{{{CHOSEN}}}", "{{bouncer}} 5 min"),
            Query(f"controlcore:policy_probe_slow:ratio_rate1h{{{CHOSEN}}}", "{{bouncer}} 1 h"),
        ),
        runbooks=("ControlCorePolicyLatencyBudgetBurn",),
        limits=(Limit(0.144),),
        scale=Scale(0.2, is_top_soft=True),
        no_value="unknown: the rules are not loaded",
    ),
    Panel(
        "Error budget: probes without a decision",
        "The objective allows 0.1 %. Allow and deny are decisions; undefined, an engine's error and no answer are not. "
        "The lines are the slow and the fast burn. Recorded by the shipped rules.",
        "percentunit",
        (
            Query(f"controlcore:policy_probe_errors:ratio_rate5m{{{CHOSEN}}}", "{{bouncer}} 5 min"),
            Query(f"controlcore:policy_probe_errors:ratio_rate1h{{{CHOSEN}}}", "{{bouncer}} 1 h"),
            Query(f"controlcore:policy_probe_errors:ratio_rate6h{{{CHOSEN}}}", "{{bouncer}} 6 h"),
        ),
        runbooks=("ControlCorePolicyErrorBudgetBurnFast", "ControlCorePolicyErrorBudgetBurnSlow"),
        limits=(Limit(0.006, WARNING), Limit(0.0144)),
        scale=Scale(0.02, is_top_soft=True),
        no_value="unknown: the rules are not loaded",
    ),
    Panel(
        "Wrong decisions",
        "Canary probes per interval that were allowed and had to be denied, or the reverse.",
        "short",
        (Query(events(f"{PROBE}_mismatches_total{{{CHOSEN}}}", "bouncer"), "{{bouncer}}"),),
        Form.BARS,
        24,
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
        "Deny ratio",
        "Over ten minutes and over a day. Three times the daily ratio, and 10 % at least, is an anomaly. Recorded by "
        "the shipped rules; absent without enough decisions.",
        "percentunit",
        (
            Query("controlcore:policy_denials:ratio_rate10m", "{{policy_environment}} 10 min"),
            Query("controlcore:policy_denials:ratio_rate1d", "{{policy_environment}} 1 d"),
        ),
        runbooks=("ControlCoreDenyRateAnomaly",),
        limits=(Limit(0.1, WARNING),),
        scale=RATIO,
        no_value="too few decisions for a ratio, or the rules are not loaded",
    ),
)

POLICY = Page(
    uid="controlcore-policy",
    title="Control Core Policy Latency",
    description="How long decisions take, where the time goes, and what is left of the budgets.",
    sections=(
        FIRST_ROW,
        Section("Latency", _LATENCY),
        Section("Service level objectives", _BUDGETS),
        Section("Decisions of users", _USERS),
    ),
    variables=(BOUNCER,),
)
