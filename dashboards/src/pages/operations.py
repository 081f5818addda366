"""The two programs themselves: whether the exporter's figures can be believed, and what the remediator does."""

from __future__ import annotations

from dashboards.src.forms import Form, Limit, State
from dashboards.src.pages.first_row import FIRST_ROW
from dashboards.src.panels import Page, Panel, Query, Section, events, failures, lowest

SCRAPE = "controlcore_scrape_collector"
EXPORTER = "controlcore_exporter"
REMEDIATION = "controlcore_remediation"
ALIVE = f"{REMEDIATION}_journal_writable"

_COLLECTORS = (
    Panel(
        "Collectors",
        "The last collection of each collector. A collector that is not configured has no row.",
        "short",
        (
            Query(f"min by (collector) ({SCRAPE}_success)", "Succeeds", "none", State.YES),
            Query(f"time() - {lowest(f'{SCRAPE}_last_success_timestamp_seconds', 'collector')}", "Staleness", "s"),
            Query(f"max by (collector) ({SCRAPE}_duration_seconds)", "Duration", "s"),
            Query(f"round(sum by (collector) (increase({EXPORTER}_collector_errors_total[$__range])))", "Failures"),
            Query(f"round(sum by (collector) (increase({EXPORTER}_dropped_series_total[$__range])))", "Dropped series"),
            Query(f"max by (collector) ({SCRAPE}_breaker_open)", "Circuit breaker", "none", State.BREAKER),
        ),
        Form.TABLE,
        24,
        ("ControlCoreCollectorStale", "ControlCoreSeriesDropped"),
        height=12,
    ),
    Panel(
        "Collection failures",
        "Failed collections per interval, by reason.",
        "short",
        failures(f"{EXPORTER}_collector_errors_total", "collector, reason", f"{EXPORTER}_build_info"),
        Form.BARS,
        runbooks=("ControlCoreCollectorStale",),
    ),
    Panel(
        "Collection duration",
        "The last collection of each collector.",
        "s",
        (Query(f"max by (collector) ({SCRAPE}_duration_seconds)", "{{collector}}"),),
        runbooks=("ControlCoreCollectorStale",),
    ),
)
_EXPORTER = (
    Panel(
        "Configuration",
        "As the exporter last read it. Invalid: an older one is in force, or as a sidecar none. "
        "The web configuration and discovery are shown where they are set up "
        "(`server.web_config_file`, `bouncer_discovery`).",
        "none",
        (
            Query(f"min({EXPORTER}_config_valid)", "configuration"),
            Query(f"min({EXPORTER}_web_config_last_reload_successful)", "web configuration"),
            Query(f"min({EXPORTER}_discovery_successful)", "discovery"),
        ),
        Form.STATE,
        runbooks=("ControlCoreConfigReloadFailed", "ControlCoreCredentialsNotReloaded", "ControlCoreDiscoveryFailing"),
        state=State.VALID,
    ),
    Panel(
        "Refused scrapes",
        "Scrapes per interval without an answer, by reason.",
        "short",
        failures(f"{EXPORTER}_scrapes_refused_total", "reason", f"{EXPORTER}_build_info"),
        Form.BARS,
        runbooks=("ControlCoreConnectionsDropped",),
    ),
)
_REMEDIATOR = (
    Panel(
        "Sources",
        "Whether Prometheus and Alertmanager answer the remediator. While one does not, every action is held.",
        "none",
        (Query("min by (source) (controlcore_remediator_source_up)", "{{source}}"),),
        Form.STATE,
        4,
        ("ControlCoreRemediatorSourceDown",),
        state=State.UP,
    ),
    Panel(
        "Journal",
        "Whether the journal can be written. Without it the remediator does not act.",
        "none",
        (Query(f"min({ALIVE})", "journal"),),
        Form.STATE,
        4,
        ("ControlCoreJournalNotWritable", "ControlCoreJournalLogPinned"),
        state=State.WRITABLE,
    ),
    Panel(
        "Time since the last watchdog",
        "Time since the always-firing watchdog alert arrived over Alertmanager: the whole alert path works. "
        "None has arrived: check Alertmanager's route.",
        "s",
        (Query(f"time() - {lowest(f'{REMEDIATION}_webhook_last_watchdog_timestamp_seconds')}", "watchdog"),),
        Form.NUMBER,
        4,
        ("ControlCoreAlertPathBroken",),
        limits=(Limit(1200),),
        no_value="no watchdog alert has arrived",
    ),
    Panel(
        "Open remediations by state",
        "Remediations that are not closed.",
        "short",
        (
            Query(f"sum by (state) ({REMEDIATION}_open)", "{{state}}"),
            Query(f"max({REMEDIATION}_paused)", "paused"),
        ),
    ),
    Panel(
        "Decisions",
        "Decisions per interval with their reasons. A hold is a decision.",
        "short",
        (
            Query(
                f"{events(f'{REMEDIATION}_decisions_total', 'remediation, decision, reason')} > 0",
                "{{remediation}} {{decision}} {{reason}}",
            ),
            Query(f"{events(f'{REMEDIATION}_decisions_total')} or 0 * max({ALIVE})", "total", is_total=True),
        ),
        Form.BARS,
        24,
        runbooks=("ControlCoreRemediationFailing",),
    ),
    Panel(
        "Actions",
        "Outcomes per interval of carrying out a plan and of its verification. The line counts the writes.",
        "short",
        (
            Query(
                f"{events(f'{REMEDIATION}_actions_total', 'remediation, action, outcome')} > 0",
                "{{remediation}} {{action}} {{outcome}}",
            ),
            Query(
                events(f'{REMEDIATION}_actions_total{{outcome="written"}}') + f" or 0 * max({ALIVE})",
                "writes",
                is_total=True,
            ),
        ),
        Form.BARS,
        24,
        runbooks=("ControlCoreRemediationFailing", "ControlCoreRemediationLooping"),
    ),
    Panel(
        "Time to repair, p95 of the time range",
        "From receiving the alert to the write, holds included; and from the write to the verdict.",
        "s",
        (
            Query(
                f"histogram_quantile(0.95, sum by (le) (increase({REMEDIATION}_alert_to_write_seconds_bucket"
                "[$__range])))",
                "alert to write",
            ),
            Query(
                f"histogram_quantile(0.95, sum by (action, le) (increase({REMEDIATION}_duration_seconds_bucket"
                "[$__range])))",
                "{{action}}: write to verdict",
            ),
        ),
        Form.NUMBER,
        no_value="no write in this time range",
    ),
    Panel(
        "Webhook requests",
        "Requests of Alertmanager per second by status, and faults of the engine itself.",
        "reqps",
        (
            Query(f"sum by (status) (rate({REMEDIATION}_webhook_notifications_total[$__rate_interval]))", "{{status}}"),
            Query(f"sum(rate({REMEDIATION}_engine_errors_total[$__rate_interval]))", "engine faults"),
        ),
        runbooks=("ControlCoreAlertsTruncated", "ControlCoreAlertsQuarantined"),
    ),
)

OPERATIONS = Page(
    uid="controlcore-operations",
    title="Control Core Exporter and Remediation",
    description="Whether what is shown can be believed, and what is being repaired.",
    sections=(
        FIRST_ROW,
        Section("Remediator", _REMEDIATOR),
        Section("Collectors", _COLLECTORS),
        Section("Exporter", _EXPORTER),
    ),
)
