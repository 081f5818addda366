"""The names and labels of what the remediator announces in Alertmanager."""

from __future__ import annotations

PLANNED = "RemediationPlanned"
ACTED = "RemediationActed"
HELD = "RemediationHeld"
ANNOUNCEMENTS = frozenset({PLANNED, ACTED, HELD})
"""Alerts that we send. One that is routed back to us begins nothing: a hold would announce itself for ever."""
RESERVED_LABELS = frozenset(
    {"alertname", "severity", "policy", "mode", "reason", "namespace", "kind", "name", "remediation"}
)
"""Labels that a configuration may not add to announcements: theirs, and the one by which an alert asks for a policy."""
