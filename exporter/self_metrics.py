"""The exporter's own metrics: the health, age and cost of every collector, and the roll-up of components."""

from __future__ import annotations

import platform
from enum import StrEnum

from chassis.errors import Reason
from chassis.process import build_info
from exporter.metrics import Kind, Metric

SUCCESS = Metric(
    "controlcore_scrape_collector_success",
    "Whether the collector's last collection succeeded completely (1) or not (0).",
    labels=("collector",),
)
DURATION = Metric(
    "controlcore_scrape_collector_duration_seconds",
    "Duration of the collector's last collection.",
    labels=("collector",),
    unit="seconds",
)
INTERVAL = Metric(
    "controlcore_scrape_collector_interval_seconds",
    "Configured time between two collections of the collector.",
    labels=("collector",),
    unit="seconds",
)
LAST_RUN = Metric(
    "controlcore_scrape_collector_last_run_timestamp_seconds",
    "Unix time at which the collector's last finished collection began.",
    labels=("collector",),
    unit="seconds",
)
LAST_SUCCESS = Metric(
    "controlcore_scrape_collector_last_success_timestamp_seconds",
    "Unix time at which the collector's last successful collection began; its values are not older.",
    labels=("collector",),
    unit="seconds",
)
STALE = Metric(
    "controlcore_scrape_collector_stale",
    "Whether the collector's values are too old to be published: older than three intervals and 60 s.",
    labels=("collector",),
)
SAMPLES = Metric(
    "controlcore_scrape_collector_samples",
    "Series from the collector's last collection that gave values, after the limits.",
    labels=("collector",),
)
BREAKER = Metric(
    "controlcore_scrape_collector_breaker_open",
    "Whether the collector runs less often (1) because it failed many times in a row, or not (0).",
    labels=("collector",),
)
PHASE_LOCKED = Metric(
    "controlcore_exporter_collection_phase_locked",
    "Whether collections are timed to end before the next scrape (1); absent unless collection.mode is phase.",
)
ERRORS = Metric(
    "controlcore_exporter_collector_errors_total",
    "Collections that failed, by reason.",
    Kind.COUNTER,
    labels=("collector", "reason"),
)
DROPPED = Metric(
    "controlcore_exporter_dropped_series_total",
    "Series of the collector that the exporter dropped: over the budget, undeclared or malformed.",
    Kind.COUNTER,
    labels=("collector",),
)
ITEMS = Metric(
    "controlcore_exporter_dropped_items_total",
    "Rows, JSON items and samples that the collector left out, by reason: the product does not write such "
    "values. The rest of the answer was used.",
    Kind.COUNTER,
    labels=("collector", "reason"),
)
UNKNOWN_VALUES = Metric(
    "controlcore_exporter_unknown_values_total",
    "Values of a field that this exporter does not know; it publishes them as other.",
    Kind.COUNTER,
    labels=("collector", "field"),
)
TRUNCATED = Metric(
    "controlcore_exporter_truncated_labels_total",
    "Label values that were cut to the length limit.",
    Kind.COUNTER,
    labels=("collector",),
)
RENDER_DURATION = Metric(
    "controlcore_exporter_render_duration_seconds",
    "Time spent rendering and compressing the previous page; scrapes do not wait for it.",
    unit="seconds",
)
BUILD_INFO = Metric(
    "controlcore_exporter_build_info",
    "Always 1; the labels name the running build.",
    labels=("version", "revision", "python_version"),
)
SCOPE_INFO = Metric(
    "controlcore_exporter_scope_info",
    "Always 1; the label is the setting scope: all, pod (a sidecar) or deployment (one exporter for the rest).",
    labels=("scope",),
)
RELOAD_SUCCESSFUL = Metric(
    "controlcore_exporter_config_last_reload_successful",
    "Whether the last reload of the configuration succeeded (1) or the previous one is still in force (0).",
)
CONFIG_VALID = Metric(
    "controlcore_exporter_config_valid",
    "Whether the configuration as it was last read is valid (1) or has faults (0).",
)
RELOAD_SUCCESS_TIME = Metric(
    "controlcore_exporter_config_last_reload_success_timestamp_seconds",
    "Unix time at which the configuration in force was read.",
    unit="seconds",
)
WEB_CONFIG_SUCCESSFUL = Metric(
    "controlcore_exporter_web_config_last_reload_successful",
    "Whether the last reload of web.config.file succeeded (1) or the previous one is still in force (0).",
)
DISCOVERED = Metric(
    "controlcore_exporter_discovered_bouncers",
    "Bouncers discovered in files and in Kubernetes; absent when discovery is off.",
)
DISCOVERY_SUCCESSFUL = Metric(
    "controlcore_exporter_discovery_successful",
    "Whether discovery could read every source and left no bouncer out (1) or not (0).",
)
SCRAPES_REFUSED = Metric(
    "controlcore_exporter_scrapes_refused_total",
    "Scrapes that got no page, by reason: too many at once, a client that stopped reading, a wrong "
    "credential or target.",
    Kind.COUNTER,
    labels=("reason",),
)
CONNECTIONS_DROPPED = Metric(
    "controlcore_exporter_connections_dropped_total",
    "Connections and requests refused before they were handled, by reason: limits and deadlines.",
    Kind.COUNTER,
    labels=("reason",),
)
LOOP_STALLS = Metric(
    "controlcore_exporter_event_loop_stalls_total",
    "Times that the exporter's event loop was blocked for 2 s or more; it answered nothing meanwhile.",
    Kind.COUNTER,
)
LOOP_BLOCKED = Metric(
    "controlcore_exporter_event_loop_blocked_seconds_total",
    "Total time that the exporter's event loop was blocked, in blocks of 2 s or more.",
    Kind.COUNTER,
    unit="seconds",
)
START = Metric(
    "controlcore_exporter_start_timestamp_seconds",
    "Unix time at which the exporter started.",
    unit="seconds",
)
COMPONENT_UP = Metric(
    "controlcore_component_up",
    "Whether the component answered its last probe (1) or not (0); absent when unknown.",
    labels=("component",),
)
COMPONENT_LAST_SUCCESS = Metric(
    "controlcore_component_last_success_timestamp_seconds",
    "Unix time at which the last collection that found the component up began.",
    labels=("component",),
    unit="seconds",
)
COMPONENT_INFO = Metric(
    "controlcore_component_info",
    "Always 1; the label is the version that the component reports; absent if it reports none.",
    labels=("component", "version"),
)
UP = Metric("controlcore_up", "Whether every component with a known state is up (1) or not (0).")

METRICS = (
    UP,
    COMPONENT_UP,
    COMPONENT_LAST_SUCCESS,
    COMPONENT_INFO,
    SUCCESS,
    DURATION,
    INTERVAL,
    LAST_RUN,
    LAST_SUCCESS,
    STALE,
    SAMPLES,
    BREAKER,
    PHASE_LOCKED,
    ERRORS,
    DROPPED,
    ITEMS,
    UNKNOWN_VALUES,
    TRUNCATED,
    RENDER_DURATION,
    BUILD_INFO,
    SCOPE_INFO,
    RELOAD_SUCCESSFUL,
    RELOAD_SUCCESS_TIME,
    CONFIG_VALID,
    WEB_CONFIG_SUCCESSFUL,
    DISCOVERED,
    DISCOVERY_SUCCESSFUL,
    SCRAPES_REFUSED,
    CONNECTIONS_DROPPED,
    LOOP_STALLS,
    LOOP_BLOCKED,
    START,
)
"""Always published; never dropped."""


class Refusal(StrEnum):
    """Why a scrape got no page."""

    OVERLOADED = "overloaded"
    SLOW_READER = "slow_reader"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    MALFORMED = "malformed"
    """A target that is not a name."""
    UNKNOWN_TARGET = "unknown_target"


INITIAL_REASONS = (Reason.TIMEOUT, Reason.REFUSED, Reason.AUTH, Reason.INTERNAL)
"""Reasons whose counters exist from the start for each collector; the others appear with their first failure."""


def _build() -> tuple[str, str, str]:
    """The running build: version, revision (the version's local part, or `unknown`), version of Python."""
    number, _, revision = build_info.version().partition("+")
    return number, revision or "unknown", platform.python_version()


BUILD = _build()
"""Label values of build_info, read once: finding the version reads files."""
