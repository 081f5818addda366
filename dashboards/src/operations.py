"""The two programs themselves: whether the exporter's figures can be believed, and what the remediator does."""

from __future__ import annotations

from dashboards.src.forms import Form
from dashboards.src.panels import Page, Panel, Query

SCRAPE = "controlcore_scrape_collector"
EXPORTER = "controlcore_exporter"
REMEDIATION = "controlcore_remediation"

_COLLECTORS = (
    Panel(
        "Collectors",
        "What each collector's last collection was. An empty cell: it is not configured.",
        "short",
        (
            Query(f"min by (collector) ({SCRAPE}_success)", "Succeeds", "none", is_state=True),
            Query(f"time() - max by (collector) ({SCRAPE}_last_success_timestamp_seconds)", "Last success", "s"),
            Query(f"max by (collector) ({SCRAPE}_duration_seconds)", "Takes", "s"),
            Query(f"sum by (collector) (increase({EXPORTER}_collector_errors_total[1h]))", "Failures in an hour"),
            Query(f"sum by (collector) (increase({EXPORTER}_dropped_series_total[1h]))", "Series dropped in an hour"),
            Query(f"max by (collector) ({SCRAPE}_breaker_open)", "Asked less often"),
        ),
        Form.TABLE,
        24,
        runbooks=("ControlCoreCollectorStale", "ControlCoreSeriesDropped"),
    ),
    Panel(
        "Why collections fail",
        "Failed collections in five minutes, by reason.",
        "short",
        (
            Query(
                f"sum by (collector, reason) (increase({EXPORTER}_collector_errors_total[5m])) > 0",
                "{{collector}} {{reason}}",
            ),
        ),
        runbooks=("ControlCoreCollectorStale",),
    ),
    Panel(
        "How long collections take",
        "The last collection of each collector.",
        "s",
        (Query(f"max by (collector) ({SCRAPE}_duration_seconds)", "{{collector}}"),),
    ),
)
_EXPORTER = (
    Panel(
        "Configuration is valid",
        "As the exporter last read it; down: an older one is in force, or as a sidecar none.",
        "none",
        (
            Query(f"min({EXPORTER}_config_valid)", "configuration"),
            Query(f"min({EXPORTER}_web_config_last_reload_successful)", "web configuration"),
            Query(f"min({EXPORTER}_discovery_successful)", "discovery"),
        ),
        Form.STATE,
        runbooks=("ControlCoreConfigReloadFailed", "ControlCoreCredentialsNotReloaded", "ControlCoreDiscoveryFailing"),
    ),
    Panel(
        "Scrapes refused",
        "Per second, by reason.",
        "reqps",
        (Query(f"sum by (reason) (rate({EXPORTER}_scrapes_refused_total[$__rate_interval]))", "{{reason}}"),),
    ),
)
_REMEDIATOR = (
    Panel(
        "Remediator",
        "Whether its journal can be written, and whether nobody has paused it.",
        "none",
        (
            Query(f"min({REMEDIATION}_journal_writable)", "journal"),
            Query(f"1 - max({REMEDIATION}_paused)", "not paused"),
        ),
        Form.STATE,
        8,
        runbooks=("ControlCoreJournalNotWritable", "ControlCoreJournalLogPinned"),
    ),
    Panel(
        "Last sign of the alert path",
        "Seconds since the always-firing alert Watchdog arrived.",
        "s",
        (Query(f"time() - max({REMEDIATION}_webhook_last_watchdog_timestamp_seconds)", "Watchdog"),),
        Form.NUMBER,
        8,
        runbooks=("ControlCoreAlertPathBroken",),
    ),
    Panel(
        "Open remediations",
        "Those that are not closed, by state.",
        "short",
        (Query(f"sum by (state) ({REMEDIATION}_open) > 0", "{{state}}"),),
        Form.LINES,
        8,
    ),
    Panel(
        "Decisions",
        "In ten minutes, with their reasons. A hold is a decision.",
        "short",
        (
            Query(
                f"sum by (remediation, decision, reason) (increase({REMEDIATION}_decisions_total[10m])) > 0",
                "{{remediation}} {{decision}} {{reason}}",
            ),
        ),
    ),
    Panel(
        "Actions",
        "In ten minutes: written, and what the verification found.",
        "short",
        (
            Query(
                f"sum by (remediation, action, outcome) (increase({REMEDIATION}_actions_total[10m])) > 0",
                "{{remediation}} {{action}} {{outcome}}",
            ),
        ),
        runbooks=("ControlCoreRemediationFailing", "ControlCoreRemediationLooping"),
    ),
    Panel(
        "From alert to write, from write to verdict",
        "95th percentile of an hour, holds included.",
        "s",
        (
            Query(
                f"histogram_quantile(0.95, sum by (le) (rate({REMEDIATION}_alert_to_write_seconds_bucket[1h])))",
                "alert to write",
            ),
            Query(
                f"histogram_quantile(0.95, sum by (action, le) (rate({REMEDIATION}_duration_seconds_bucket[1h])))",
                "{{action}} write to verdict",
            ),
        ),
    ),
    Panel(
        "Webhook",
        "Requests per second by what became of them, and faults of the engine itself.",
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
    panels=(*_COLLECTORS, *_EXPORTER, *_REMEDIATOR),
)
