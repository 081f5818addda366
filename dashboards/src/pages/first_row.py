"""The first row of every dashboard: is it up, what fires, what is open, what is paused."""

from __future__ import annotations

from dashboards.src.forms import WARNING, Form, Limit, State
from dashboards.src.panels import Panel, Query, Section

OPERATIONS = "controlcore-operations"
HEALTH = "controlcore-health"
_FIRING = 'ALERTS{alertstate="firing", alertname=~"ControlCore.*", alertname!="ControlCoreWatchdog"'
_LOADED = '0 * count(ALERTS{alertname="ControlCoreWatchdog"})'
"""0 where the shipped rules are evaluated: their watchdog always fires."""

FIRST_ROW = Section(
    "Now",
    (
        Panel(
            "Control Core",
            "Up when every component of which something is known is up. Otherwise the exporters that see one down.",
            "none",
            (
                Query("min by (cluster, instance) (controlcore_up) < 1", "{{cluster}} {{instance}}"),
                Query("min(controlcore_up) == 1", "Control Core"),
            ),
            Form.STATE,
            6,
            ("ControlCoreExporterAbsent",),
            height=4,
            state=State.UP,
            no_value="unknown: not scraped, or not set up",
            details=(HEALTH,),
        ),
        Panel(
            "Firing alerts",
            "Alerts of the shipped rules that fire now, without the watchdog.",
            "none",
            (
                Query(f'count({_FIRING}, severity="critical"}}) or {_LOADED}', "critical", limit=Limit(1)),
                Query(f'count({_FIRING}, severity!="critical"}}) or {_LOADED}', "other"),
            ),
            Form.NUMBER,
            6,
            height=4,
            limits=(Limit(1, WARNING),),
            no_value="unknown: the rules are not loaded",
            details=(HEALTH,),
        ),
        Panel(
            "Open remediations",
            "Remediations that are not closed: they wait, act or verify.",
            "none",
            (Query("sum(controlcore_remediation_open) or 0 * max(controlcore_remediation_journal_writable)", "open"),),
            Form.NUMBER,
            6,
            height=4,
            limits=(Limit(1, WARNING),),
            details=(OPERATIONS,),
        ),
        Panel(
            "Remediation paused",
            "Whether a pause or the pause file is in force. `controlcore-remediator resume` ends a pause.",
            "none",
            (Query("max(controlcore_remediation_paused)", "remediator"),),
            Form.STATE,
            6,
            ("ControlCoreRemediatorAbsent", "ControlCoreRemediationPaused"),
            height=4,
            state=State.PAUSED,
            details=(OPERATIONS,),
        ),
    ),
)
_BY = "cluster, alertname, severity, component, bouncer"
FIRING = Panel(
    "Firing alerts by name",
    "How long each has been active, the newest first. The annotations of the graphs show when.",
    "short",
    (
        Query(
            f"(time() - min by ({_BY}) (ALERTS_FOR_STATE)) and on ({_BY}) count by ({_BY}) ({_FIRING}}})",
            "For",
            "s",
        ),
    ),
    Form.TABLE,
    15,
    no_value="no alert fires, if 'Firing alerts' above is 0",
    details=(OPERATIONS,),
)
