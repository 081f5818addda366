"""Names that others see: our announcements in Alertmanager, our annotations in Kubernetes, our field manager."""

from __future__ import annotations

PLANNED = "RemediationPlanned"
ACTED = "RemediationActed"
HELD = "RemediationHeld"
ANNOUNCEMENTS = frozenset({PLANNED, ACTED, HELD})
"""Our own alerts. If they are routed back to us, they begin nothing: a hold would otherwise announce itself for
ever."""
DOCTOR = "ControlCoreRemediatorDoctor"
"""The alert with which `doctor --send-alert` tests the path through Alertmanager. It begins nothing either."""
OWN_ALERTS = ANNOUNCEMENTS | {DOCTOR}
RESERVED_LABELS = frozenset(
    {"alertname", "severity", "policy", "mode", "reason", "namespace", "kind", "name", "remediation"}
)
"""Labels that a configuration may not add to announcements: their own, and the label that names a policy."""


ANNOTATION_OPERATION = "controlcore.io/operation-id"
"""On the object and, for a restart, in the pod template: the id of the remediation that wrote."""


ANNOTATION_RAISED = "controlcore.io/raised-"
"""With a field's name appended, on an autoscaler: `BEFORE..AFTER`, the number before we raised it and our last one."""


ANNOTATION_HANDS_OFF = "controlcore.io/hands-off"
"""Set to `true` by a person on an object that must not be touched."""


FIELD_MANAGER = "controlcore-remediator"
