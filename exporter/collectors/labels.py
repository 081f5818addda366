"""The closed sets of label values that audit rows fall into, and the generation of the schema. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.items import OTHER, member_of

ENVIRONMENTS = ("sandbox", "production")
BOTH = "both"
"""The product's value for a promoted policy, and for a row about the whole installation: settings, keys, purges. Counts
by environment include a promoted policy in both environments; an event counts once, under this value."""
DECISIONS = {"PERMIT": "permit", "ACCESS_GRANTED": "permit", "DENY": "deny", "ACCESS_DENIED": "deny"}
"""outcome (or, in a schema without that column, event_type) as a label value; anything else is `other`."""
DECISION_EVENTS = ("ACCESS_GRANTED", "ACCESS_DENIED")

PARSED_EVENT_TYPES = (
    *("USER_LOGIN", "USER_LOGOUT", "USER_LOGIN_FAILED", "USER_PASSWORD_CHANGED", "USER_MFA_ENABLED"),
    *("USER_MFA_DISABLED", "USER_CREATED", "USER_UPDATED", "USER_DELETED", "USER_SUSPENDED", "USER_ACTIVATED"),
    *("USER_ROLE_CHANGED", "POLICY_CREATED", "POLICY_UPDATED", "POLICY_DELETED", "POLICY_ENABLED", "POLICY_DISABLED"),
    *("POLICY_DEPLOYED", "POLICY_MODIFIED", "RESOURCE_CREATED", "RESOURCE_UPDATED", "RESOURCE_DELETED"),
    *("PEP_DEPLOYED", "PEP_UPDATED", "PEP_DELETED", "PEP_STATUS_CHANGED", "SYSTEM_VERSION_UPDATE"),
    *("SYSTEM_CONFIG_CHANGED", "SYSTEM_BACKUP_CREATED", "SYSTEM_AUDIT_PURGE", "ACCESS_GRANTED", "ACCESS_DENIED"),
)
"""The event types that the 2025.10 API's GET /audit/logs can parse; a row with any other makes it answer 500."""
PARSED_OUTCOMES = ("PERMIT", "DENY", "SUCCESS", "FAILURE")
"""The same for outcome."""

EVENT_TYPES = frozenset(
    {
        *PARSED_EVENT_TYPES,
        *("AI_TRAFFIC_LOG", "AI_POLICY_VIOLATION", "AI_PII_REDACTION"),
        *("CONFIG_CHANGE", "SETTINGS_UPDATED", "CREDENTIALS_UPDATED", "OPAL_CONFIG_UPDATED"),
        *("API_KEY_GENERATED", "GITHUB_CONFIGURED", "POLICY_PROMOTED"),
    }
)
"""Every type that either generation is known to write."""
OUTCOMES = frozenset({*PARSED_OUTCOMES, "PARTIAL", "WARNING"})

SNAPSHOT_COLUMNS = frozenset(
    {
        *("id", "timestamp", "user_id", "user", "action", "resource", "resource_type", "result", "event_type"),
        *("outcome", "policy_name", "reason", "environment", "source_ip", "user_agent", "session_id", "created_at"),
    }
)
"""audit_logs as 2025.10 makes it."""
LATER_MARKS = ("latency", "decision_source", "correlation", "actor")
"""Parts of the names of columns that came later; their exact names differ."""


def environment_label(environment: object, field: str) -> str:
    """The environment as a label value of a closed set.

    `field` names the column that unknown values are counted under.
    """
    return member_of(environment, (*ENVIRONMENTS, BOTH), field)


def environments_of(environment: object, field: str) -> tuple[str, ...]:
    """The environments in which something of this environment counts: `both` is each of the two."""
    label = environment_label(environment, field)
    return ENVIRONMENTS if label == BOTH else (label,)


def decision_labels(environment: object, decision: object) -> tuple[str, str]:
    """(policy_environment, decision) of counted rows."""
    outcome = member_of(decision, DECISIONS, "audit_logs.outcome")
    return environment_label(environment, "audit_logs.environment"), DECISIONS.get(outcome, OTHER)


def event_labels(environment: object, event_type: object, outcome: object) -> tuple[str, str, str]:
    """(policy_environment, event_type, outcome) of counted rows."""
    return (
        environment_label(environment, "audit_logs.environment"),
        member_of(event_type, EVENT_TYPES, "audit_logs.event_type").lower(),
        member_of(outcome, OUTCOMES, "audit_logs.outcome").lower(),
    )


def born_events() -> list[tuple[str, str, str]]:
    """The labels that start at 0: each type with the outcome that the product always writes with it."""
    usual = {"ACCESS_GRANTED": "permit", "ACCESS_DENIED": "deny", "USER_LOGIN_FAILED": "failure"}
    return [
        (environment, event_type.lower(), usual.get(event_type, "success"))
        for environment in ENVIRONMENTS
        for event_type in PARSED_EVENT_TYPES
    ]


def generation_of(columns: Iterable[str], *, has_decision_requests: bool) -> str:
    """The generation of the schema by audit_logs' columns: "2025.10", "2026.04+", or "unknown" for neither.

    2026.04 dropped the table decision_requests and added latency, source and correlation to audit_logs.
    """
    added = set(columns) - SNAPSHOT_COLUMNS
    if not has_decision_requests or any(mark in column for column in added for mark in LATER_MARKS):
        return "2026.04+"
    return "unknown" if added else "2025.10"
