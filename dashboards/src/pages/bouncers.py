"""The bouncers: all of them in a table, and each for itself."""

from __future__ import annotations

from dashboards.src.forms import WARNING, Form, Limit, State
from dashboards.src.pages.first_row import FIRST_ROW
from dashboards.src.panels import Page, Panel, Query, Section, events, failures, lowest, together
from dashboards.src.variables import BOUNCER

CHOSEN = 'bouncer=~"$bouncer"'


def _state(metric: str, title: str, state: State = State.YES) -> Query:
    """A column with a word for each bouncer."""
    return Query(lowest(f"{metric}{{{CHOSEN}}}", "bouncer"), title, "none", state)


def _age(metric: str, title: str) -> Query:
    """A column with the seconds since a time."""
    return Query(f"time() - {lowest(f'{metric}{{{CHOSEN}}}', 'bouncer')}", title, "s")


_TABLE = Panel(
    "All bouncers",
    "The state of each bouncer now. The 2025.10 build's heartbeat is a stub: trust the "
    "probe. The policy columns need each bouncer's OPA.",
    "short",
    (
        _state("controlcore_bouncer_up", "Direct probe", State.UP),
        _state("controlcore_policy_engine_up", "Policy engine", State.UP),
        _state("controlcore_policy_probe_success", "Canary correct"),
        _state("controlcore_policy_parity", "Policy parity"),
        _state("controlcore_bouncer_connected", "Heartbeat OK"),
        _state("controlcore_bouncer_intercepting", "Intercepting"),
        _age("controlcore_bouncer_last_heartbeat_timestamp_seconds", "Heartbeat age"),
        _age("controlcore_bouncer_policy_sync_last_success_timestamp_seconds", "Sync age"),
        Query(lowest(f"controlcore_policies_present{{{CHOSEN}}}", "bouncer"), "Policies loaded"),
        Query(f"max by (bouncer) (controlcore_policies_missing{{{CHOSEN}}})", "Policies missing"),
        Query(f"max by (bouncer) (controlcore_bouncer_decision_cache_entries{{{CHOSEN}}})", "Decision cache"),
    ),
    Form.TABLE,
    24,
    height=6,
    runbooks=(
        "ControlCoreBouncerHeartbeatMissing",
        "ControlCoreBouncerHasNoPolicies",
        "ControlCoreBouncerNotIntercepting",
    ),
)
_ALL = (
    Panel(
        "Registered and running bouncers",
        "A bouncer registers once, when it starts. More running than registered: one is missing in the control plane.",
        "short",
        (
            Query(
                together("controlcore_bouncers_registered", "policy_environment"), "{{policy_environment}} registered"
            ),
            Query(together("controlcore_bouncers_running", "policy_environment"), "{{policy_environment}} running"),
        ),
        runbooks=("ControlCoreBouncersUnregistered",),
    ),
    Panel(
        "OPAL clients",
        "Clients connected to the OPAL server, and clients that answer and are ready.",
        "short",
        (
            Query(together("controlcore_opal_server_clients"), "connected"),
            Query(together("controlcore_opal_client_up"), "answering"),
            Query(together("controlcore_opal_client_ready"), "ready"),
        ),
        runbooks=("ControlCoreOPALClientsMissing", "ControlCoreOPALClientNotReady"),
    ),
    Panel(
        "Policy revision skew",
        "Distinct revisions of the policies in one environment, minus one.",
        "short",
        (Query("max by (policy_environment) (controlcore_bouncer_policy_revision_skew)", "{{policy_environment}}"),),
        runbooks=("ControlCorePolicyRevisionSkew",),
        limits=(Limit(1),),
    ),
    Panel(
        "Policy sync failures",
        "Failed synchronisations per interval, from the control plane's history.",
        "short",
        failures("controlcore_bouncer_policy_sync_failures_total", "bouncer"),
        Form.BARS,
        runbooks=("ControlCorePolicySyncFailing",),
    ),
)
_EACH = (
    Panel(
        "$bouncer: canary probe results",
        "Probes per interval by result. Every result but allow and deny means that the engine fails.",
        "short",
        (
            Query(
                f"{events(f'controlcore_policy_probe_results_total{{{CHOSEN}}}', 'result')} > 0",
                "{{result}}",
            ),
            Query(events(f"controlcore_policy_probe_mismatches_total{{{CHOSEN}}}"), "wrong", is_total=True),
        ),
        Form.BARS,
        repeat="bouncer",
        runbooks=("ControlCorePolicyEngineFailing", "ControlCorePolicyCanaryMismatch"),
        details=("controlcore-policy",),
    ),
    Panel(
        "$bouncer: caches",
        "Cached decisions and policies. Expired decisions leave the cache only when they are requested again.",
        "short",
        (
            Query(f"max(controlcore_bouncer_decision_cache_entries{{{CHOSEN}}})", "decisions"),
            Query(f"max(controlcore_bouncer_policy_cache_entries{{{CHOSEN}}})", "policies"),
            Query(f"max(controlcore_bouncer_policy_cache_expired_entries{{{CHOSEN}}})", "expired policies"),
        ),
        repeat="bouncer",
        runbooks=("ControlCoreBouncerCacheLeak",),
        limits=(Limit(50000, WARNING),),
    ),
)

BOUNCERS = Page(
    uid="controlcore-bouncers",
    title="Control Core Bouncers",
    description="Every bouncer: whether it answers and decides, and whether its policies are complete and current.",
    sections=(
        FIRST_ROW,
        Section("All bouncers", (_TABLE,)),
        Section("Registration, OPAL and synchronisation", _ALL),
        Section("Each bouncer", _EACH),
    ),
    variables=(BOUNCER,),
)
