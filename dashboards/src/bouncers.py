"""The bouncers: all of them in a table, and each for itself."""

from __future__ import annotations

from dashboards.src.forms import Form
from dashboards.src.panels import BOUNCER, Page, Panel, Query

CHOSEN = 'bouncer=~"$bouncer"'


def _state(metric: str, title: str) -> Query:
    """A column with yes or no for each bouncer."""
    return Query(f"max by (bouncer) ({metric}{{{CHOSEN}}})", title, "none", is_state=True)


def _age(metric: str, title: str) -> Query:
    """A column with the seconds since a time."""
    return Query(f"time() - max by (bouncer) ({metric}{{{CHOSEN}}})", title, "s")


_TABLE = Panel(
    "All bouncers",
    "What is known of each now; an empty cell is unknown. The 2025.10 build's heartbeat is a stub: trust the answer.",
    "short",
    (
        _state("controlcore_bouncer_up", "Answers"),
        _state("controlcore_policy_engine_up", "Engine decides"),
        _state("controlcore_policy_probe_success", "Decides rightly"),
        _state("controlcore_policy_parity", "Holds the policies"),
        _state("controlcore_bouncer_connected", "Heartbeat"),
        _state("controlcore_bouncer_intercepting", "Intercepts"),
        _age("controlcore_bouncer_last_heartbeat_timestamp_seconds", "Last heartbeat"),
        _age("controlcore_bouncer_policy_sync_last_success_timestamp_seconds", "Last synchronisation"),
        Query(f"max by (bouncer) (controlcore_policies_present{{{CHOSEN}}})", "Policies"),
        Query(f"max by (bouncer) (controlcore_policies_missing{{{CHOSEN}}})", "Missing"),
        Query(f"max by (bouncer) (controlcore_bouncer_decision_cache_entries{{{CHOSEN}}})", "Cached decisions"),
    ),
    Form.TABLE,
    24,
    runbooks=(
        "ControlCoreBouncerHeartbeatMissing",
        "ControlCoreBouncerHasNoPolicies",
        "ControlCoreBouncerNotIntercepting",
    ),
)
_ALL = (
    Panel(
        "Registered and running",
        "A bouncer registers once, when it starts: more running than registered means that somebody is not known.",
        "short",
        (
            Query("max by (policy_environment) (controlcore_bouncers_registered)", "{{policy_environment}} registered"),
            Query("max by (policy_environment) (controlcore_bouncers_running)", "{{policy_environment}} running"),
        ),
        runbooks=("ControlCoreBouncersUnregistered",),
    ),
    Panel(
        "OPAL",
        "Clients that the server counts, against those that answer.",
        "short",
        (
            Query("max(controlcore_opal_server_clients)", "connected"),
            Query("sum(max by (client) (controlcore_opal_client_up))", "answering"),
            Query("sum(max by (client) (controlcore_opal_client_ready))", "ready"),
        ),
        runbooks=("ControlCoreOPALClientsMissing", "ControlCoreOPALClientNotReady"),
    ),
    Panel(
        "Revisions behind",
        "Distinct revisions of the policies in one environment, minus one.",
        "short",
        (Query("max by (policy_environment) (controlcore_bouncer_policy_revision_skew)", "{{policy_environment}}"),),
        runbooks=("ControlCorePolicyRevisionSkew",),
    ),
    Panel(
        "Failed synchronisations",
        "In fifteen minutes, as the control plane's history says.",
        "short",
        (Query("sum by (bouncer) (increase(controlcore_bouncer_policy_sync_failures_total[15m])) > 0", "{{bouncer}}"),),
        runbooks=("ControlCorePolicySyncFailing",),
    ),
)
_EACH = (
    Panel(
        "$bouncer: answers",
        "What came of the questions whose answer is known; everything but allow and deny means that the engine fails.",
        "short",
        (
            Query(
                f"sum by (result) (increase(controlcore_policy_probe_results_total{{{CHOSEN}}}[5m])) > 0", "{{result}}"
            ),
        ),
        repeat="bouncer",
        runbooks=("ControlCorePolicyEngineFailing",),
    ),
    Panel(
        "$bouncer: caches",
        "Decisions and policies that the bouncer keeps; expired decisions leave only when they are asked for again.",
        "short",
        (
            Query(f"max(controlcore_bouncer_decision_cache_entries{{{CHOSEN}}})", "decisions"),
            Query(f"max(controlcore_bouncer_policy_cache_entries{{{CHOSEN}}})", "policies"),
            Query(f"max(controlcore_bouncer_policy_cache_expired_entries{{{CHOSEN}}})", "expired policies"),
        ),
        repeat="bouncer",
        runbooks=("ControlCoreBouncerCacheLeak",),
    ),
)

BOUNCERS = Page(
    uid="controlcore-bouncers",
    title="Control Core Bouncers",
    description="Every bouncer: whether it answers, decides, holds the right policies and hears of new ones.",
    panels=(_TABLE, *_ALL, *_EACH),
    variables=(BOUNCER,),
)
